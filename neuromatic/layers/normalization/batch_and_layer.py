"""Normalizations by the batch, and of each sample along axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuromatic.constraints import ConstraintLike
from neuromatic.errors import ShapeError
from neuromatic.initializers import InitializerLike
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers.base import Layer
from neuromatic.layers.normalization._statistics import (
    Axes,
    Trained,
    along,
    axes_of,
    check_axes,
    check_epsilon,
    known_sizes,
    of_unit_length,
    over_root_mean_square,
    standardized,
)
from neuromatic.regularizers import RegularizerLike

__all__ = ["BatchNormalization", "LayerNormalization", "RMSNormalization", "UnitNormalization"]

SHORTEST = 1e-12
"""Keras' lower bound for the length that UnitNormalization divides by."""


@dataclass(frozen=True, eq=False)
class BatchNormalization(Layer):
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta`` for each channel (Ioffe & Szegedy 2015).

    Keras ``BatchNormalization``; ONNX ``BatchNormalization`` in its inference form, which uses the moving
    mean and variance. A training step gives the node its training meaning: the batch's own mean and
    variance, towards which the moving ones go by ``moving * momentum + batch * (1 - momentum)``. Steps that a
    mask leaves out count in them. Keras' ``renorm`` and ``synchronized`` are not here.

    Input: (batch, channels, ...) of a float type.  Output: the same.
    Parameters, each (channels,): ``<name>/gamma``, ``<name>/beta``, ``<name>/moving_mean`` and
    ``<name>/moving_variance``. Without ``scale`` or ``center``, a constant takes the place of gamma or beta.

    Args:
        axis: the axis of the channels; 1 here, where images are channels first (Keras' default is -1).
        momentum: share of the moving mean and variance that a training step keeps.
        epsilon: added to the variance.
        center: whether to add beta.
        scale: whether to multiply by gamma.
        beta_initializer: first values of beta.
        gamma_initializer: first values of gamma.
        moving_mean_initializer: first values of the moving mean.
        moving_variance_initializer: first values of the moving variance.
        beta_regularizer: a penalty for beta in the loss.
        gamma_regularizer: likewise for gamma.
        beta_constraint: what holds for beta after each update.
        gamma_constraint: likewise for gamma.

    Raises:
        ShapeError: the input has no such axis, or its size is unknown.

    >>> import neuromatic as nm
    >>> nm.layers.BatchNormalization()(nm.Input((8, 28, 28))).shape
    ('batch', 8, 28, 28)
    """

    keeps_mask = True

    axis: int = 1
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: InitializerLike = "zeros"
    gamma_initializer: InitializerLike = "ones"
    moving_mean_initializer: InitializerLike = "zeros"
    moving_variance_initializer: InitializerLike = "ones"
    beta_regularizer: RegularizerLike = None
    gamma_regularizer: RegularizerLike = None
    beta_constraint: ConstraintLike = None
    gamma_constraint: ConstraintLike = None

    def __post_init__(self) -> None:
        if not isinstance(self.axis, int) or self.axis == 0:
            raise ValueError(f"BatchNormalization: axis must be an integer other than 0, got {self.axis!r}")
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"BatchNormalization: momentum must be from 0 to 1, got {self.momentum!r}")
        check_epsilon("BatchNormalization", self.epsilon)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        axis, channels = self._channels(g, x)
        order = [0, axis, *(i for i in range(1, x.rank) if i != axis)]
        if axis != 1:
            x = g.add("Transpose", x, perm=order)
        y = g.add(
            "BatchNormalization",
            x,
            *self._parameters(g, channels, x.dtype),
            epsilon=float(self.epsilon),
            momentum=float(self.momentum),
            training_mode=0,
        )
        return y if axis == 1 else g.add("Transpose", y, perm=np.argsort(order).tolist())

    def _channels(self, g: GraphBuilder, x: Value) -> tuple[int, int]:
        axis = self.axis if self.axis > 0 else self.axis + x.rank
        channels = x.shape[axis] if x.shape and 0 < axis < x.rank else None
        if not isinstance(channels, int):
            raise ShapeError(
                f"{g.scope}: BatchNormalization takes (batch, ...) with known channels at axis {self.axis}, "
                f"got {shape_text(x.shape)} from {x.name!r}; choose another axis"
            )
        return axis, channels

    def _parameters(self, g: GraphBuilder, channels: int, dtype: int) -> list[Value]:
        gamma = Trained("gamma", self.gamma_initializer, self.gamma_regularizer, self.gamma_constraint)
        beta = Trained("beta", self.beta_initializer, self.beta_regularizer, self.beta_constraint)
        mean = Trained("moving_mean", self.moving_mean_initializer)
        variance = Trained("moving_variance", self.moving_variance_initializer)
        sizes = (channels,)
        return [
            gamma.emit(g, sizes, dtype) if self.scale else g.const(np.ones(channels), dtype),
            beta.emit(g, sizes, dtype) if self.center else g.const(np.zeros(channels), dtype),
            mean.emit(g, sizes, dtype),
            variance.emit(g, sizes, dtype),
        ]


@dataclass(frozen=True, eq=False)
class LayerNormalization(Layer):
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta`` along axes (Ba, Kiros & Hinton 2016).

    Keras ``LayerNormalization``; ONNX ``LayerNormalization`` where the axes are the last ones, else written
    out. The mean and variance are those of each sample along the axes.

    Input: (batch, ..., features) of a float type.  Output: the same.
    Parameters, each of the sizes of the axes in their order: ``<name>/gamma`` and ``<name>/beta``.

    Args:
        axis: the axis or axes; -1, the last one, as in Keras. The channels of an image are at 1 here.
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
        ShapeError: the input lacks an axis, or its size is unknown.

    >>> import neuromatic as nm
    >>> nm.layers.LayerNormalization()(nm.Input((5, 8))).shape
    ('batch', 5, 8)
    """

    keeps_mask = True

    axis: Axes = -1
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
        check_axes("LayerNormalization", self.axis)
        check_epsilon("LayerNormalization", self.epsilon)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        axes = axes_of(g, "LayerNormalization", x, self.axis)
        sizes = known_sizes(g, "LayerNormalization", x, axes)
        gamma = beta = None
        if self.scale:
            wanted = Trained("gamma", self.gamma_initializer, self.gamma_regularizer, self.gamma_constraint)
            gamma = wanted.emit(g, sizes, x.dtype)
        if self.center:
            wanted = Trained("beta", self.beta_initializer, self.beta_regularizer, self.beta_constraint)
            beta = wanted.emit(g, sizes, x.dtype)
        if axes == tuple(range(axes[0], x.rank)):
            scale = gamma or g.const(np.ones(sizes), x.dtype)
            inputs = [x, scale] if beta is None else [x, scale, beta]
            return g.add("LayerNormalization", *inputs, axis=axes[0], epsilon=float(self.epsilon))
        y = standardized(g, x, axes, self.epsilon)
        y = y if gamma is None else g.add("Mul", y, along(g, gamma, axes, x.rank))
        return y if beta is None else g.add("Add", y, along(g, beta, axes, x.rank))


@dataclass(frozen=True, eq=False)
class RMSNormalization(Layer):
    """``scale * x / sqrt(mean(x**2) + epsilon)`` along axes (Zhang & Sennrich 2019).

    Keras ``RMSNormalization``; ONNX ``ReduceMean``, ``Sqrt`` and ``Div``, because its own
    ``RMSNormalization`` is newer, opset 23.

    Input: (batch, ..., features) of a float type.  Output: the same.
    Parameters: ``<name>/scale`` of the sizes of the axes in their order, at first 1. It belongs to the axes
    here; Keras multiplies by it along the last ones even where ``axis`` names others.

    Args:
        axis: the axis or axes; -1, the last one, as in Keras. The channels of an image are at 1 here.
        epsilon: added to the mean of the squares.

    Raises:
        ShapeError: the input lacks an axis, or its size is unknown.

    >>> import neuromatic as nm
    >>> nm.layers.RMSNormalization()(nm.Input((5, 8))).shape
    ('batch', 5, 8)
    """

    keeps_mask = True

    axis: Axes = -1
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        check_axes("RMSNormalization", self.axis)
        check_epsilon("RMSNormalization", self.epsilon)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        axes = axes_of(g, "RMSNormalization", x, self.axis)
        sizes = known_sizes(g, "RMSNormalization", x, axes)
        scale = Trained("scale", "ones").emit(g, sizes, x.dtype)
        y = over_root_mean_square(g, x, axes, self.epsilon)
        return g.add("Mul", y, along(g, scale, axes, x.rank))


@dataclass(frozen=True, eq=False)
class UnitNormalization(Layer):
    """``x / sqrt(sum(x**2))`` along axes, so that lengths are 1 (Keras ``UnitNormalization``).

    ONNX ``ReduceSum``, ``Sqrt`` and ``Div``. Lengths below 1e-12 count as that.

    Input: (batch, ...) of a float type.  Output: the same.

    Args:
        axis: the axis or axes; -1, the last one, as in Keras. The channels of an image are at 1 here.

    Raises:
        ShapeError: the input lacks an axis.

    >>> import neuromatic as nm
    >>> nm.layers.UnitNormalization()(nm.Input((5, 8))).shape
    ('batch', 5, 8)
    """

    keeps_mask = True

    axis: Axes = -1

    def __post_init__(self) -> None:
        check_axes("UnitNormalization", self.axis)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return of_unit_length(g, x, axes_of(g, "UnitNormalization", x, self.axis), SHORTEST)
