"""Layers for the activations with arguments for which Keras has functions only."""

from __future__ import annotations

from dataclasses import dataclass

from neuromatic import activations
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers.base import Layer

__all__ = [
    "CELU",
    "GELU",
    "GLU",
    "HardShrink",
    "LogSoftmax",
    "SoftShrink",
    "Sparsemax",
    "Squareplus",
    "Threshold",
]


def _check_number(layer: Layer, name: str, value: object, *, lowest: float) -> None:
    if not isinstance(value, (int, float)) or not value >= lowest:
        raise ValueError(
            f"{type(layer).__name__}: {name} must be a number of {lowest} or more, got {value!r}"
        )


@dataclass(frozen=True, eq=False)
class CELU(Layer):
    """``max(x, 0) + alpha * (exp(min(x, 0) / alpha) - 1)`` (Keras' function ``celu``; ONNX ``Elu``).

    Input: any shape of a float type.  Output: the same.

    Args:
        alpha: minus the limit for very negative inputs; not 0.

    >>> import neuromatic as nm
    >>> nm.layers.CELU()(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.alpha, (int, float)) or not self.alpha:
            raise ValueError(f"CELU: alpha must be a number other than 0, got {self.alpha!r}")

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return activations.celu(g, x, self.alpha)


@dataclass(frozen=True, eq=False)
class GELU(Layer):
    """``0.5 * x * (1 + erf(x / sqrt(2)))`` (Keras' function ``gelu``; ONNX ``Erf``).

    Input: any shape of a float type.  Output: the same.

    Args:
        approximate: take ``tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))`` for the error function.

    >>> import neuromatic as nm
    >>> nm.layers.GELU()(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    approximate: bool = False

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return activations.gelu(g, x, self.approximate)


@dataclass(frozen=True, eq=False)
class GLU(Layer):
    """``a * sigmoid(b)``, a and b the halves of x (Keras' function ``glu``; ONNX ``Split``).

    Input: any shape of a float type.  Output: the same with half the axis.

    Args:
        axis: the axis that is halved; the channels of an image are at 1 here.

    Raises:
        ShapeError: the input has no such axis, or its size is unknown or odd.

    >>> import neuromatic as nm
    >>> nm.layers.GLU()(nm.Input((6,))).shape
    ('batch', 3)
    """

    axis: int = -1

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return activations.glu(g, x, self.axis)


@dataclass(frozen=True, eq=False)
class HardShrink(Layer):
    """``x`` where ``|x|`` is above the threshold, 0 elsewhere.

    Keras' function ``hard_shrink``; ONNX ``Shrink``.

    Input: any shape of a float type.  Output: the same.

    Args:
        threshold: the threshold, 0 or more.

    >>> import neuromatic as nm
    >>> nm.layers.HardShrink()(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    threshold: float = 0.5

    def __post_init__(self) -> None:
        _check_number(self, "threshold", self.threshold, lowest=0)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return activations.hard_shrink(g, x, self.threshold)


@dataclass(frozen=True, eq=False)
class SoftShrink(Layer):
    """``x`` moved by the threshold towards 0, where it stays.

    Keras' function ``soft_shrink``; ONNX ``Shrink``.

    Input: any shape of a float type.  Output: the same.

    Args:
        threshold: the threshold, 0 or more.

    >>> import neuromatic as nm
    >>> nm.layers.SoftShrink()(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    threshold: float = 0.5

    def __post_init__(self) -> None:
        _check_number(self, "threshold", self.threshold, lowest=0)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return activations.soft_shrink(g, x, self.threshold)


@dataclass(frozen=True, eq=False)
class LogSoftmax(Layer):
    """``x - log(sum(exp(x)))`` along an axis (Keras' function ``log_softmax``; ONNX ``LogSoftmax``).

    Input: any shape of a float type.  Output: the same.

    Args:
        axis: the axis; the channels of an image are at 1 here.

    >>> import neuromatic as nm
    >>> nm.layers.LogSoftmax()(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    axis: int = -1

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return activations.log_softmax(g, x, self.axis)


@dataclass(frozen=True, eq=False)
class Sparsemax(Layer):
    """The probabilities along an axis that are nearest to x.

    Keras' function ``sparsemax``; ONNX ``TopK``, ``CumSum``.

    Input: any shape of a float type.  Output: the same.
    ``max(x - t, 0)`` with the t for which the sum is 1 (Martins & Astudillo 2016). Keras 3.15 takes
    another t, with which results need not sum to 1.

    Args:
        axis: the axis; the channels of an image are at 1 here.

    Raises:
        ShapeError: the input has no such axis, or its size is unknown.

    >>> import neuromatic as nm
    >>> nm.layers.Sparsemax()(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    axis: int = -1

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return activations.sparsemax(g, x, self.axis)


@dataclass(frozen=True, eq=False)
class Squareplus(Layer):
    """``(x + sqrt(x**2 + b)) / 2`` (Keras' function ``squareplus``; ONNX ``Sqrt``).

    Input: any shape of a float type.  Output: the same.

    Args:
        b: how round the bend at 0 is, 0 or more.

    >>> import neuromatic as nm
    >>> nm.layers.Squareplus()(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    b: float = 4.0

    def __post_init__(self) -> None:
        _check_number(self, "b", self.b, lowest=0)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return activations.squareplus(g, x, self.b)


@dataclass(frozen=True, eq=False)
class Threshold(Layer):
    """``x`` where it is above the threshold, ``default_value`` elsewhere.

    Keras' function ``threshold``; ONNX ``Where``.

    Input: any shape of a float type.  Output: the same.

    Args:
        threshold: the threshold.
        default_value: what takes the place of the others.

    >>> import neuromatic as nm
    >>> nm.layers.Threshold(0.1, 0.0)(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    threshold: float
    default_value: float

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return activations.threshold(g, x, self.threshold, self.default_value)
