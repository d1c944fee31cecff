"""Normalizations of each sample by groups of channels, and by single channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from neuromatic.constraints import ConstraintLike
from neuromatic.errors import ShapeError
from neuromatic.initializers import InitializerLike
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers.base import Layer
from neuromatic.layers.normalization._statistics import (
    Trained,
    along,
    axes_of,
    check_axes,
    check_epsilon,
    known_sizes,
    standardized,
)
from neuromatic.regularizers import RegularizerLike

__all__ = ["GroupNormalization", "InstanceNormalization"]


def _by_rows(
    g: GraphBuilder, x: Value, count: int, epsilon: float, gamma: Value | None, beta: Value | None
) -> Value:
    """``x`` (batch, count, ...) standardized over all but the first two axes, with a factor and an offset."""
    if x.dtype == TensorProto.FLOAT:
        factor = gamma or g.const(np.ones(count), x.dtype)
        offset = beta or g.const(np.zeros(count), x.dtype)
        return g.add("InstanceNormalization", x, factor, offset, epsilon=float(epsilon))
    # onnxruntime has InstanceNormalization for float32 alone.
    y = standardized(g, x, tuple(range(2, x.rank)), epsilon)
    return _scaled(g, y, 1, gamma, beta)


def _scaled(g: GraphBuilder, y: Value, axis: int, gamma: Value | None, beta: Value | None) -> Value:
    y = y if gamma is None else g.add("Mul", y, along(g, gamma, (axis,), y.rank))
    return y if beta is None else g.add("Add", y, along(g, beta, (axis,), y.rank))


def _factors(
    g: GraphBuilder, layer: GroupNormalization | InstanceNormalization, channels: int, dtype: int
) -> tuple[Value | None, Value | None]:
    """The layer's gamma and beta, as far as it has them."""
    gamma = Trained("gamma", layer.gamma_initializer, layer.gamma_regularizer, layer.gamma_constraint)
    beta = Trained("beta", layer.beta_initializer, layer.beta_regularizer, layer.beta_constraint)
    return (
        gamma.emit(g, (channels,), dtype) if layer.scale else None,
        beta.emit(g, (channels,), dtype) if layer.center else None,
    )


@dataclass(frozen=True, eq=False)
class GroupNormalization(Layer):
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta``, statistics by groups (Wu & He 2018).

    Keras ``GroupNormalization``; ONNX ``InstanceNormalization`` between two ``Reshape``. The mean and
    variance are those of each sample over a group of neighbouring channels and all other axes.

    Input: (batch, channels, ...) of a float type.  Output: the same.
    Parameters, each (channels,): ``<name>/gamma`` and ``<name>/beta``.

    Args:
        groups: number of groups; it divides that of the channels. -1: each channel is a group.
        axis: the axis of the channels; 1 here, where images are channels first (Keras' default is -1).
        epsilon: added to the variance.
        center: whether to add beta.
        scale: whether to multiply by gamma.
        beta_initializer: first values of beta.
        gamma_initializer: first values of gamma.
        beta_regularizer: a penalty for beta in the loss.
        gamma_regularizer: likewise for gamma.
        beta_constraint: what holds for beta after each update.
        gamma_constraint: likewise for gamma.

    Raises:
        ShapeError: the input has no such axis, or its size is unknown or no multiple of ``groups``.

    >>> import neuromatic as nm
    >>> nm.layers.GroupNormalization(4)(nm.Input((8, 28, 28))).shape
    ('batch', 8, 28, 28)
    """

    keeps_mask = True

    groups: int = 32
    axis: int = 1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: InitializerLike = "zeros"
    gamma_initializer: InitializerLike = "ones"
    beta_regularizer: RegularizerLike = None
    gamma_regularizer: RegularizerLike = None
    beta_constraint: ConstraintLike = None
    gamma_constraint: ConstraintLike = None

    def __post_init__(self) -> None:
        if not isinstance(self.groups, int) or (self.groups < 1 and self.groups != -1):
            raise ValueError(
                f"GroupNormalization: groups must be a positive integer or -1, got {self.groups!r}"
            )
        check_axes("GroupNormalization", self.axis)
        check_epsilon("GroupNormalization", self.epsilon)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        (axis,) = axes_of(g, "GroupNormalization", x, self.axis)
        (channels,) = known_sizes(g, "GroupNormalization", x, (axis,))
        groups = channels if self.groups == -1 else self.groups
        if channels % groups:
            raise ShapeError(
                f"{g.scope}: GroupNormalization makes {groups} groups of equal size, got {channels} channels "
                f"in {shape_text(x.shape)} from {x.name!r}; choose a number of groups that divides them"
            )
        gamma, beta = _factors(g, self, channels, x.dtype)
        order = [0, axis, *(i for i in range(1, x.rank) if i != axis)]
        turned = x if axis == 1 else g.add("Transpose", x, perm=order)
        rows = g.add("Reshape", turned, g.ints(0, groups, -1))
        y = _by_rows(g, rows, groups, self.epsilon, None, None)
        y = g.add("Reshape", y, _sizes(g, turned), types=[(x.dtype, turned.shape)])
        y = y if axis == 1 else g.add("Transpose", y, perm=np.argsort(order).tolist())
        return _scaled(g, y, axis, gamma, beta)


def _sizes(g: GraphBuilder, x: Value) -> Value:
    """The shape of ``x``, as a constant where all but the batch is known."""
    known = [d for d in (x.shape or ())[1:] if isinstance(d, int)]
    return g.ints(0, *known) if len(known) == x.rank - 1 else g.add("Shape", x)


@dataclass(frozen=True, eq=False)
class InstanceNormalization(Layer):
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta``, statistics by channel of each sample.

    ONNX ``InstanceNormalization``. Keras has no such class; its ``GroupNormalization(-1)`` computes the same.

    Input: (batch, channels, ...) of a float type, with at least one axis after the channels.
    Output: the same.
    Parameters, each (channels,): ``<name>/gamma`` and ``<name>/beta``.

    Args:
        epsilon: added to the variance.
        center: whether to add beta.
        scale: whether to multiply by gamma.
        beta_initializer: first values of beta.
        gamma_initializer: first values of gamma.
        beta_regularizer: a penalty for beta in the loss.
        gamma_regularizer: likewise for gamma.
        beta_constraint: what holds for beta after each update.
        gamma_constraint: likewise for gamma.

    Raises:
        ShapeError: there is no axis after the channels, or their number is unknown.

    >>> import neuromatic as nm
    >>> nm.layers.InstanceNormalization()(nm.Input((8, 28, 28))).shape
    ('batch', 8, 28, 28)
    """

    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: InitializerLike = "zeros"
    gamma_initializer: InitializerLike = "ones"
    beta_regularizer: RegularizerLike = None
    gamma_regularizer: RegularizerLike = None
    beta_constraint: ConstraintLike = None
    gamma_constraint: ConstraintLike = None

    def __post_init__(self) -> None:
        check_epsilon("InstanceNormalization", self.epsilon)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        if x.rank < 3:
            raise ShapeError(
                f"{g.scope}: InstanceNormalization takes (batch, channels, ...) with an axis after the "
                f"channels, got {shape_text(x.shape)} from {x.name!r}; use layer_normalization() for vectors"
            )
        (channels,) = known_sizes(g, "InstanceNormalization", x, (1,))
        gamma, beta = _factors(g, self, channels, x.dtype)
        return _by_rows(g, x, channels, self.epsilon, gamma, beta)
