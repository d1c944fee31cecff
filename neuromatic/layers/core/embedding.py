"""Embeddings: rows of a trained table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from onnx import TensorProto, helper

from neuromatic.constraints import ConstraintLike
from neuromatic.errors import ShapeError
from neuromatic.initializers import Fans, Initializer, InitializerLike, Shape
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers._arguments import check_positive
from neuromatic.layers._parameters import parameter
from neuromatic.layers.base import Layer
from neuromatic.regularizers import RegularizerLike

__all__ = ["Embedding", "ReversibleEmbedding"]


@dataclass(frozen=True, eq=False)
class _Given(Initializer):
    """Values that the user gives."""

    values: NDArray[np.float32]

    def __call__(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> NDArray[np.float32]:
        return self.values


class _Table(Layer):
    """What both embeddings do; the subclasses have the arguments."""

    input_dim: int
    output_dim: int
    embeddings_initializer: InitializerLike
    embeddings_regularizer: RegularizerLike
    embeddings_constraint: ConstraintLike
    mask_zero: bool
    weights: ArrayLike | None

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_positive(owner, "input_dim", self.input_dim)
        check_positive(owner, "output_dim", self.output_dim)
        size = (self.input_dim, self.output_dim)
        if self.weights is not None and np.shape(self.weights) not in (size, (1, *size)):
            raise ValueError(
                f"{owner}: weights must be a matrix of shape {size}, got shape {np.shape(self.weights)}"
            )

    def _table(self, g: GraphBuilder) -> Value:
        size = (self.input_dim, self.output_dim)
        initializer = self.embeddings_initializer
        if self.weights is not None:
            initializer = _Given(np.asarray(self.weights, np.float32).reshape(size))
        return parameter(
            g,
            "embeddings",
            size,
            initializer=initializer,
            fans=size,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )

    def _looked_up(self, g: GraphBuilder, x: Value) -> Value:
        table = self._table(g)
        integers = x.dtype in (TensorProto.INT32, TensorProto.INT64)
        y = g.add("Gather", table, x if integers else op.cast(g, x, TensorProto.INT32), axis=0)
        if self.mask_zero:
            g.set_mask(y, g.add("Not", op.equal(g, x, g.const(0, x.dtype))))
        return y


@dataclass(frozen=True, eq=False)
class Embedding(_Table):
    """For each number a row of a trained table, ``y = embeddings[x]`` (Keras ``Embedding``; ONNX ``Gather``).

    Input: (batch, ...) of int32 or int64, from 0 to below ``input_dim``; other types are cast to int32.
    Output: (batch, ..., output_dim) float32.
    Parameters: ``<name>/embeddings`` (input_dim, output_dim).
    Keras' ``lora_rank``, ``lora_alpha`` and quantization are left out. onnxruntime refuses numbers outside
    the table, and takes negative ones as counted from its end.

    Args:
        input_dim: how many rows the table has.
        output_dim: how long they are.
        embeddings_initializer: first values of the table.
        embeddings_regularizer: a penalty for the table in the loss.
        embeddings_constraint: what holds for the table after each update.
        mask_zero: whether the number 0 means that there is no step: later layers get a mask (batch, steps)
            of what is not 0.
        weights: first values of the table as a matrix, in place of the initializer.

    Raises:
        ValueError: a size is not a positive integer, or the matrix has another shape.

    >>> import neuromatic as nm
    >>> nm.layers.Embedding(1000, 8)(nm.Input((20,), "int64")).shape
    ('batch', 20, 8)
    """

    input_dim: int
    output_dim: int
    embeddings_initializer: InitializerLike = "uniform"
    embeddings_regularizer: RegularizerLike = None
    embeddings_constraint: ConstraintLike = None
    mask_zero: bool = False
    weights: ArrayLike | None = None

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return self._looked_up(g, x)


@dataclass(frozen=True, eq=False)
class ReversibleEmbedding(_Table):
    """An embedding that also goes back, ``y = x @ embeddings.T`` (Keras ``ReversibleEmbedding``).

    Called plainly it is ``Embedding`` (ONNX ``Gather``). Called with ``reverse=True`` it gives a score to
    each row of its table (ONNX ``Transpose``, ``MatMul``): ``layer(hidden, reverse=True)``.

    Input: (batch, ...) of integers, or with ``reverse`` (batch, ..., output_dim) of a float type.
    Output: (batch, ..., output_dim), or with ``reverse`` (batch, ..., input_dim).
    Parameters: ``<name>/embeddings`` (input_dim, output_dim), and without ``tie_weights``
    ``<name>/reverse_embeddings`` (output_dim, input_dim). Keras' LoRA and quantization are left out.

    Args:
        input_dim: how many rows the table has.
        output_dim: how long they are.
        tie_weights: whether the way back uses the same table, transposed.
        embeddings_initializer: first values of the table, and of the other one.
        embeddings_regularizer: a penalty for the table in the loss.
        embeddings_constraint: what holds for the table after each update.
        mask_zero: as in ``Embedding``.
        reverse_dtype: element type in which the way back is computed; by default that of the input.
        logit_soft_cap: bounds the scores: ``cap * tanh(scores / cap)``; None for no bound.
        weights: first values of the table as a matrix, in place of the initializer.

    Raises:
        ValueError: a size is not a positive integer, or the matrix has another shape.
        ShapeError: with ``reverse``, the input's last axis is not ``output_dim``.

    >>> import neuromatic as nm
    >>> nm.layers.ReversibleEmbedding(1000, 8)(nm.Input((20, 8)), reverse=True).shape
    ('batch', 20, 1000)
    """

    input_dim: int
    output_dim: int
    tie_weights: bool = True
    embeddings_initializer: InitializerLike = "uniform"
    embeddings_regularizer: RegularizerLike = None
    embeddings_constraint: ConstraintLike = None
    mask_zero: bool = False
    reverse_dtype: DTypeLike | None = None
    logit_soft_cap: float | None = None
    weights: ArrayLike | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        cap = self.logit_soft_cap
        if cap is not None and not (isinstance(cap, (int, float)) and cap > 0):
            raise ValueError(f"ReversibleEmbedding: logit_soft_cap must be a positive number, got {cap!r}")

    def emit(self, g: GraphBuilder, x: Value, *, reverse: bool = False) -> Value:
        if not reverse:
            return self._looked_up(g, x)
        if x.rank < 2 or x.dim(-1) != self.output_dim:
            raise ShapeError(
                f"{g.scope}: ReversibleEmbedding with reverse=True takes (batch, ..., {self.output_dim}), "
                f"got {shape_text(x.shape)} from {x.name!r}; give it vectors of the table's size"
            )
        kernel = self._reverse_kernel(g)
        if self.reverse_dtype is not None:
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.reverse_dtype))
            x, kernel = op.cast(g, x, kind), op.cast(g, kernel, kind)
        scores = g.add("MatMul", x, kernel)
        if self.logit_soft_cap is None:
            return scores
        cap = g.const(self.logit_soft_cap, scores.dtype)
        return g.add("Mul", g.add("Tanh", g.add("Div", scores, cap)), cap)

    def _reverse_kernel(self, g: GraphBuilder) -> Value:
        if self.tie_weights:
            return g.add("Transpose", self._table(g), perm=[1, 0])
        size = (self.output_dim, self.input_dim)
        return parameter(g, "reverse_embeddings", size, initializer=self.embeddings_initializer, fans=size)
