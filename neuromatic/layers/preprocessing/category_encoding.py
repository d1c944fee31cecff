"""CategoryEncoding: integers as one-hot, multi-hot or counting vectors."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.portable_ops import cast
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers.base import Layer
from neuromatic.layers.preprocessing._encoding import MODES, encode, whole
from neuromatic.layers.preprocessing._shared import choice, positive

__all__ = ["CategoryEncoding"]


@dataclass(frozen=True, eq=False)
class CategoryEncoding(Layer):
    """Integers as vectors of ``num_tokens`` elements (Keras ``CategoryEncoding``; ONNX ``Equal``).

    With ``"one_hot"``, ``y[..., i] = (x == i)``. With ``"multi_hot"``, ``y[i] = max(x == i)`` over the
    samples of a row, with ``"count"`` ``y[i] = sum((x == i) * count_weights)``. Integers that are no token
    set nothing.

    Input: (batch, ...) of integers for ``"one_hot"``, else (batch, samples).
    Output: float32, (batch, ..., num_tokens) or (batch, num_tokens). A last axis of size 1 is replaced by the
    tokens.

    Called as ``layer(x, count_weights=w)``, the mode ``"count"`` counts each sample with its weight.

    Args:
        num_tokens: how many tokens there are, at least 1.
        output_mode: ``"one_hot"``, ``"multi_hot"`` or ``"count"``. (Keras' ``sparse`` is not there:
            outputs are dense.)

    Raises:
        ShapeError: the input is not of integers or does not fit the mode, or weights do not fit either.

    >>> import neuromatic as nm
    >>> nm.layers.CategoryEncoding(5)(nm.Input((3,), "int32")).shape
    ('batch', 5)
    """

    num_tokens: int
    output_mode: str = "multi_hot"

    def __post_init__(self) -> None:
        positive("CategoryEncoding", num_tokens=self.num_tokens)
        choice("CategoryEncoding", "output_mode", self.output_mode, MODES)

    def emit(self, g: GraphBuilder, x: Value, count_weights: Value | None = None) -> Value:
        if count_weights is not None:
            if self.output_mode != "count":
                raise ShapeError(
                    f'{g.scope}: CategoryEncoding takes count_weights with output_mode="count" only, '
                    f"got {self.output_mode!r}"
                )
            if count_weights.shape != x.shape:
                raise ShapeError(
                    f"{g.scope}: CategoryEncoding: count_weights must have the shape of the input, "
                    f"{shape_text(x.shape)}, got {shape_text(count_weights.shape)} "
                    f"from {count_weights.name!r}"
                )
            count_weights = cast(g, count_weights, TensorProto.FLOAT)
        indices = x
        if x.dtype not in (TensorProto.INT32, TensorProto.INT64):
            indices = whole(g, "CategoryEncoding", x, TensorProto.INT64)
        return encode(g, "CategoryEncoding", indices, self.output_mode, self.num_tokens, count_weights)
