"""Normalizations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuromatic import initializers
from neuromatic.errors import ShapeError
from neuromatic.graph import GraphBuilder
from neuromatic.initializers import Initializer
from neuromatic.layers.base import Layer
from neuromatic.values import Value, shape_text

__all__ = ["BatchNormalization"]


@dataclass(frozen=True, eq=False)
class BatchNormalization(Layer):
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta`` for each channel (Ioffe & Szegedy 2015).

    Keras ``BatchNormalization``; ONNX ``BatchNormalization`` in its inference form, which uses the moving
    mean and variance. A training step gives the node its training meaning: the batch's own mean and
    variance, towards which the moving ones go by ``moving * momentum + batch * (1 - momentum)``.

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

    Raises:
        ShapeError: the input has no such axis, or its size is unknown.

    >>> import neuromatic as nm
    >>> nm.layers.BatchNormalization()(nm.Input((8, 28, 28))).shape
    ('batch', 8, 28, 28)
    """

    axis: int = 1
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: str | Initializer = "zeros"
    gamma_initializer: str | Initializer = "ones"
    moving_mean_initializer: str | Initializer = "zeros"
    moving_variance_initializer: str | Initializer = "ones"

    def __post_init__(self) -> None:
        if not isinstance(self.axis, int) or self.axis == 0:
            raise ValueError(f"BatchNormalization: axis must be an integer other than 0, got {self.axis!r}")
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"BatchNormalization: momentum must be from 0 to 1, got {self.momentum!r}")
        if not self.epsilon > 0:
            raise ValueError(f"BatchNormalization: epsilon must be above 0, got {self.epsilon!r}")

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
        def param(name: str, initializer: str | Initializer) -> Value:
            initialize = initializers.get(initializer).for_fans(channels, channels)
            return g.param(name, initialize, (channels,), dtype)

        return [
            param("gamma", self.gamma_initializer) if self.scale else g.const(np.ones(channels), dtype),
            param("beta", self.beta_initializer) if self.center else g.const(np.zeros(channels), dtype),
            param("moving_mean", self.moving_mean_initializer),
            param("moving_variance", self.moving_variance_initializer),
        ]
