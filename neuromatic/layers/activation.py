"""Activations, each once, by Keras' names, and the layers that apply them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from neuromatic import initializers
from neuromatic.errors import ShapeError, UnknownNameError
from neuromatic.graph import GraphBuilder
from neuromatic.initializers import Initializer
from neuromatic.layers.base import Layer
from neuromatic.values import Value, shape_text

__all__ = ["Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"]

Emit = Callable[[GraphBuilder, Value], Value]
ActivationLike = str | Emit | Layer | None


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


def _node(op: str, **attributes: float) -> Emit:
    def emit(g: GraphBuilder, x: Value) -> Value:
        return g.add(op, x, **attributes)

    return emit


def _clip(low: float, high: float) -> Emit:
    def emit(g: GraphBuilder, x: Value) -> Value:
        return g.add("Clip", x, g.const(low, x.dtype), g.const(high, x.dtype))

    return emit


def linear(g: GraphBuilder, x: Value) -> Value:
    """``x`` itself (Keras ``linear``)."""
    return x


def log_sigmoid(g: GraphBuilder, x: Value) -> Value:
    """``-softplus(-x)``, which is finite where ``log(sigmoid(x))`` is not (Keras ``log_sigmoid``)."""
    return g.add("Neg", g.add("Softplus", g.add("Neg", x)))


def gelu(g: GraphBuilder, x: Value) -> Value:
    """``0.5 * x * (1 + erf(x / sqrt(2)))`` (Keras ``gelu``; ONNX' own ``Gelu`` is newer, opset 20)."""
    erf = g.add("Erf", g.add("Mul", x, g.const(math.sqrt(0.5), x.dtype)))
    return _half_gate(g, x, erf)


def gelu_tanh(g: GraphBuilder, x: Value) -> Value:
    """``0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))`` (Keras ``gelu(approximate=True)``).

    Keras has no name for it; give the function itself: ``dense(8, activation=gelu_tanh)``.
    """
    cubic = g.add("Mul", g.add("Mul", x, g.add("Mul", x, x)), g.const(0.044715, x.dtype))
    inner = g.add("Mul", g.add("Add", x, cubic), g.const(math.sqrt(2.0 / math.pi), x.dtype))
    return _half_gate(g, x, g.add("Tanh", inner))


def _half_gate(g: GraphBuilder, x: Value, gate: Value) -> Value:
    half = g.add("Mul", x, g.const(0.5, x.dtype))
    return g.add("Mul", half, g.add("Add", gate, g.const(1.0, x.dtype)))


def silu(g: GraphBuilder, x: Value) -> Value:
    """``x * sigmoid(x)`` (Keras ``silu``; ONNX' own ``Swish`` is newer, opset 24)."""
    return g.add("Mul", x, g.add("Sigmoid", x))


def mish(g: GraphBuilder, x: Value) -> Value:
    """``x * tanh(softplus(x))`` (Keras ``mish``; ONNX' own ``Mish`` is newer, opset 18)."""
    return g.add("Mul", x, g.add("Tanh", g.add("Softplus", x)))


def tanh_shrink(g: GraphBuilder, x: Value) -> Value:
    """``x - tanh(x)`` (Keras ``tanh_shrink``)."""
    return g.add("Sub", x, g.add("Tanh", x))


ACTIVATIONS: dict[str, Emit] = {
    "celu": _node("Elu", alpha=1.0),  # at Keras' alpha of 1, celu and elu are the same function
    "elu": _node("Elu", alpha=1.0),
    "exponential": _node("Exp"),
    "gelu": gelu,
    "hard_sigmoid": _node("HardSigmoid", alpha=1.0 / 6.0, beta=0.5),
    "hard_silu": _node("HardSwish"),
    "hard_swish": _node("HardSwish"),
    "hard_tanh": _clip(-1.0, 1.0),
    "leaky_relu": _node("LeakyRelu", alpha=0.2),
    "linear": linear,
    "log_sigmoid": log_sigmoid,
    "log_softmax": _node("LogSoftmax", axis=-1),
    "mish": mish,
    "relu": _node("Relu"),
    "relu6": _clip(0.0, 6.0),
    "selu": _node("Selu"),
    "sigmoid": _node("Sigmoid"),
    "silu": silu,
    "softmax": _node("Softmax", axis=-1),
    "softplus": _node("Softplus"),
    "softsign": _node("Softsign"),
    "swish": silu,
    "tanh": _node("Tanh"),
    "tanh_shrink": tanh_shrink,
}


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
        if self.threshold:
            y = g.add("ThresholdedRelu", x, alpha=float(self.threshold))
            if self.negative_slope:
                below = g.add("Sub", x, g.const(self.threshold, x.dtype))
                below = g.add("Min", below, g.const(0.0, x.dtype))
                y = g.add("Add", y, g.add("Mul", below, g.const(self.negative_slope, x.dtype)))
        elif self.negative_slope:
            y = g.add("LeakyRelu", x, alpha=float(self.negative_slope))
        elif self.max_value is not None:
            return _clip(0.0, self.max_value)(g, x)
        else:
            return g.add("Relu", x)
        return y if self.max_value is None else g.add("Min", y, g.const(self.max_value, x.dtype))


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

    negative_slope: float = 0.3

    def __post_init__(self) -> None:
        if not isinstance(self.negative_slope, (int, float)) or not self.negative_slope >= 0:
            raise ValueError(
                f"LeakyReLU: negative_slope must be a number of 0 or more, got {self.negative_slope!r}"
            )

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return g.add("LeakyRelu", x, alpha=float(self.negative_slope))


@dataclass(frozen=True, eq=False)
class PReLU(Layer):
    """``x`` where it is positive, a learned ``alpha * x`` elsewhere (Keras ``PReLU``; ONNX ``PRelu``).

    Input: (batch, ...) of a float type.  Output: the same.
    Parameters: ``<name>/alpha``, the input's shape without the batch and with 1 at the shared axes.

    Args:
        alpha_initializer: first values of ``alpha``.
        shared_axes: axes along which one ``alpha`` serves; for one alpha per channel of an image, which is
            channels first here, ``(2, 3)``. None shares nothing.

    Raises:
        ShapeError: the input lacks a shared axis, or the size of an axis that is not shared is unknown.

    >>> import neuromatic as nm
    >>> nm.layers.PReLU(shared_axes=(2, 3))(nm.Input((3, 8, 8))).shape
    ('batch', 3, 8, 8)
    """

    alpha_initializer: str | Initializer = "zeros"
    shared_axes: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if any(not isinstance(axis, int) or axis < 1 for axis in self.shared_axes or ()):
            raise ValueError(
                f"PReLU: shared_axes counts axes from 1, the first after the batch, got {self.shared_axes!r}"
            )

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        shared = set(self.shared_axes or ())
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
        initialize = initializers.get(self.alpha_initializer).for_fans(count, count)
        return g.add("PRelu", x, g.param("alpha", initialize, sizes, x.dtype))


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

    alpha: float = 1.0

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return g.add("Elu", x, alpha=float(self.alpha))


@dataclass(frozen=True, eq=False)
class Softmax(Layer):
    """``exp(x) / sum(exp(x))`` along an axis (Keras ``Softmax``; ONNX ``Softmax``).

    Input: any shape of a float type.  Output: the same, with a sum of 1 along ``axis``.

    Args:
        axis: the axis; -1 is the last one. The channels of an image are at 1 here.

    Raises:
        ShapeError: the input has no such axis.

    >>> import neuromatic as nm
    >>> nm.layers.Softmax()(nm.Input((3,))).shape
    ('batch', 3)
    """

    axis: int = -1

    def __post_init__(self) -> None:
        if not isinstance(self.axis, int):
            raise ValueError(f"Softmax: axis must be an integer, got {self.axis!r}")

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        if not -x.rank <= self.axis < x.rank:
            raise ShapeError(
                f"{g.scope}: Softmax runs along axis {self.axis}, which {x.name!r} of shape "
                f"{shape_text(x.shape)} lacks; choose an axis from {-x.rank} to {x.rank - 1}"
            )
        return g.add("Softmax", x, axis=self.axis)
