"""The activation layers that Keras has; see ``neuromatic.activations`` for the functions themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onnx import TensorProto

from neuromatic import activations
from neuromatic.activations import ACTIVATIONS, Emit
from neuromatic.constraints import ConstraintLike
from neuromatic.errors import ShapeError, UnknownNameError
from neuromatic.initializers import InitializerLike
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers._parameters import parameter
from neuromatic.layers.base import Layer
from neuromatic.regularizers import RegularizerLike

__all__ = ["Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"]

ActivationLike = str | Emit | Layer | None

MASKED = -1e9
"""What Keras puts in place of masked elements before a softmax."""


def activate(g: GraphBuilder, x: Value, activation: ActivationLike) -> Value:
    """Apply an activation given by name, as a layer, or as a function of (builder, value); None: no change.

    Raises:
        UnknownNameError: there is no activation of that name.
    """
    if activation is None:
        return x
    if isinstance(activation, Layer):
        result = activation.emit(g, x)
        return result[0] if isinstance(result, tuple) else result
    if callable(activation):
        return activation(g, x)
    if activation not in ACTIVATIONS:
        raise UnknownNameError("activation", activation, ACTIVATIONS)
    return ACTIVATIONS[activation](g, x)


@dataclass(frozen=True, eq=False)
class Activation(Layer):
    """An activation by name, or as a function that adds ONNX nodes (Keras ``Activation``).

    Input: any shape of a float type.  Output: the same.

    Args:
        activation: name of an activation, a layer, or a function of (builder, value); None changes nothing.

    Raises:
        UnknownNameError: there is no activation of that name.

    >>> import neuromatic as nm
    >>> nm.layers.Activation("gelu")(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    activation: ActivationLike

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return activate(g, x, self.activation)


@dataclass(frozen=True, eq=False)
class ReLU(Layer):
    """Rectified linear unit, ``max(x, 0)``, with Keras' three bends (Keras ``ReLU``; ONNX ``Relu``).

    Input: any shape of a float type.  Output: the same: ``max_value`` where x is above it, x where it is
    above ``threshold``, and ``negative_slope * (x - threshold)`` elsewhere.

    Args:
        max_value: the largest output, 0 or more; None for no limit.
        negative_slope: slope below the threshold, 0 or more.
        threshold: where the unit begins to pass its input, 0 or more.

    >>> import neuromatic as nm
    >>> nm.layers.ReLU(max_value=6.0)(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0

    def __post_init__(self) -> None:
        for argument in ("max_value", "negative_slope", "threshold"):
            value = getattr(self, argument)
            if value is None and argument == "max_value":
                continue
            if not isinstance(value, (int, float)) or not value >= 0:
                raise ValueError(f"ReLU: {argument} must be a number of 0 or more, got {value!r}")

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return activations.relu(g, x, self.negative_slope, self.max_value, self.threshold)


@dataclass(frozen=True, eq=False)
class LeakyReLU(Layer):
    """``x`` where it is positive, ``negative_slope * x`` elsewhere (Keras ``LeakyReLU``; ONNX ``LeakyRelu``).

    Input: any shape of a float type.  Output: the same.

    Args:
        negative_slope: slope below 0, itself 0 or more. As in Keras, the layer's default of 0.3 is not that
            of the activation ``"leaky_relu"``, 0.2.

    >>> import neuromatic as nm
    >>> nm.layers.LeakyReLU()(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    negative_slope: float = 0.3

    def __post_init__(self) -> None:
        if not isinstance(self.negative_slope, (int, float)) or not self.negative_slope >= 0:
            raise ValueError(
                f"LeakyReLU: negative_slope must be a number of 0 or more, got {self.negative_slope!r}"
            )

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return activations.leaky_relu(g, x, self.negative_slope)


@dataclass(frozen=True, eq=False)
class PReLU(Layer):
    """``x`` where it is positive, a learned ``alpha * x`` elsewhere (Keras ``PReLU``; ONNX ``PRelu``).

    Input: (batch, ...) of a float type.  Output: the same.
    Parameters: ``<name>/alpha``, the input's shape without the batch and with 1 at the shared axes.

    Args:
        alpha_initializer: first values of ``alpha``.
        alpha_regularizer: a penalty for ``alpha`` in the loss.
        alpha_constraint: what holds for ``alpha`` after each update.
        shared_axes: axis or axes along which one ``alpha`` serves; for one alpha per channel of an image,
            which is channels first here, ``(2, 3)``. None shares nothing.

    Raises:
        ShapeError: the input lacks a shared axis, or the size of an axis that is not shared is unknown.

    >>> import neuromatic as nm
    >>> nm.layers.PReLU(shared_axes=(2, 3))(nm.Input((3, 8, 8))).shape
    ('batch', 3, 8, 8)
    """

    keeps_mask = True

    alpha_initializer: InitializerLike = "zeros"
    alpha_regularizer: RegularizerLike = None
    alpha_constraint: ConstraintLike = None
    shared_axes: int | Sequence[int] | None = None

    def __post_init__(self) -> None:
        if any(not isinstance(axis, int) or axis < 1 for axis in self._shared()):
            raise ValueError(
                f"PReLU: shared_axes counts axes from 1, the first after the batch, got {self.shared_axes!r}"
            )

    def _shared(self) -> set[int]:
        axes = self.shared_axes
        return {axes} if isinstance(axes, int) else set(axes or ())

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        shared = self._shared()
        if x.rank < 2 or (shared and max(shared) >= x.rank):
            raise ShapeError(
                f"{g.scope}: PReLU takes (batch, ...) with the shared axes {sorted(shared)}, "
                f"got {shape_text(x.shape)} from {x.name!r}; leave out axes the input lacks"
            )
        dims = [1 if axis in shared else d for axis, d in enumerate(x.shape or ()) if axis > 0]
        sizes = [d for d in dims if isinstance(d, int)]
        if len(sizes) < len(dims):
            raise ShapeError(
                f"{g.scope}: PReLU learns one alpha for each element and needs known sizes, "
                f"got {shape_text(x.shape)} from {x.name!r}; name the unknown axes in shared_axes"
            )
        count = math.prod(sizes)
        alpha = parameter(
            g,
            "alpha",
            sizes,
            initializer=self.alpha_initializer,
            fans=(count, count),
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
            dtype=x.dtype,
        )
        return g.add("PRelu", x, alpha)


@dataclass(frozen=True, eq=False)
class ELU(Layer):
    """``x`` where it is positive, ``alpha * (exp(x) - 1)`` elsewhere (Keras ``ELU``; ONNX ``Elu``).

    Input: any shape of a float type.  Output: the same.

    Args:
        alpha: minus the limit for very negative inputs.

    >>> import neuromatic as nm
    >>> nm.layers.ELU(alpha=0.5)(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    alpha: float = 1.0

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return activations.elu(g, x, self.alpha)


@dataclass(frozen=True, eq=False)
class Softmax(Layer):
    """``exp(x) / sum(exp(x))`` along an axis, or over several (Keras ``Softmax``; ONNX ``Softmax``).

    Input: any shape of a float type.  Output: the same, with a sum of 1 along ``axis``.
    With a second input, or ``mask=``, which broadcasts to the first one, elements whose mask is false, or a
    number of at most 0.5, have no part in the sum and become 0.

    Args:
        axis: the axis or axes; -1 is the last one. The channels of an image are at 1 here.

    Raises:
        ShapeError: the input has no such axis, or the mask does not broadcast to it.

    >>> import neuromatic as nm
    >>> nm.layers.Softmax()(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    axis: int | Sequence[int] = -1

    def __post_init__(self) -> None:
        axes = self._axes()
        if not axes or any(not isinstance(axis, int) for axis in axes):
            raise ValueError(f"Softmax: axis must be an integer or some of them, got {self.axis!r}")

    def _axes(self) -> tuple[int, ...]:
        return tuple(self.axis) if isinstance(self.axis, (list, tuple)) else (self.axis,)  # type: ignore[return-value]

    def emit(self, g: GraphBuilder, x: Value, mask: Value | None = None) -> Value:
        for axis in self._axes():
            if not -x.rank <= axis < x.rank:
                raise ShapeError(
                    f"{g.scope}: Softmax runs along axis {axis}, which {x.name!r} of shape "
                    f"{shape_text(x.shape)} lacks; choose an axis from {-x.rank} to {x.rank - 1}"
                )
        if mask is None:
            return self._softmax(g, x)
        if mask.rank > x.rank:
            raise ShapeError(
                f"{g.scope}: Softmax takes a mask that broadcasts to {shape_text(x.shape)} of {x.name!r}, "
                f"got {shape_text(mask.shape)} from {mask.name!r}"
            )
        if mask.dtype != TensorProto.BOOL:
            half = g.const(0.5, TensorProto.FLOAT)
            mask = g.add("Greater", op.cast(g, mask, TensorProto.FLOAT), half)
        y = self._softmax(g, g.add("Where", mask, x, g.const(MASKED, x.dtype)))
        return g.add("Where", mask, y, g.const(0.0, x.dtype))

    def _softmax(self, g: GraphBuilder, x: Value) -> Value:
        axes = self._axes()
        if len(axes) == 1:
            return activations.softmax(g, x, axes[0])
        total = op.reduce(g, "ReduceLogSumExp", x, axes, keepdims=True)
        return g.add("Exp", g.add("Sub", x, total))
