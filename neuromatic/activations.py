"""Activations, each once, as ONNX nodes; with Keras' names, arguments and defaults.

Functions of a builder and a value, with arguments where Keras has them. ``ACTIVATIONS`` has them by Keras'
names at its defaults; for other arguments give the layer: ``Dense(8, activation=nm.layers.CELU(0.5))``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text

Emit = Callable[[GraphBuilder, Value], Value]


def _node(op_type: str) -> Emit:
    def emit(g: GraphBuilder, x: Value) -> Value:
        return g.add(op_type, x)

    return emit


exponential = _node("Exp")
selu = _node("Selu")
sigmoid = _node("Sigmoid")
softplus = _node("Softplus")
softsign = _node("Softsign")
tanh = _node("Tanh")
hard_silu = _node("HardSwish")


def linear(g: GraphBuilder, x: Value) -> Value:
    """``x`` itself (Keras ``linear``)."""
    return x


def relu(
    g: GraphBuilder,
    x: Value,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> Value:
    """``max(x, 0)``, or with Keras' three bends; see ``layers.ReLU`` (Keras ``relu``)."""
    if threshold:
        y = g.add("ThresholdedRelu", x, alpha=float(threshold))
        if negative_slope:
            below = g.add("Sub", x, g.const(threshold, x.dtype))
            below = g.add("Min", below, g.const(0.0, x.dtype))
            y = g.add("Add", y, g.add("Mul", below, g.const(negative_slope, x.dtype)))
    elif negative_slope:
        y = g.add("LeakyRelu", x, alpha=float(negative_slope))
    elif max_value is not None:
        return op.clip(g, x, 0.0, max_value)
    else:
        return g.add("Relu", x)
    return y if max_value is None else g.add("Min", y, g.const(max_value, x.dtype))


def relu6(g: GraphBuilder, x: Value) -> Value:
    """``min(max(x, 0), 6)`` (Keras ``relu6``)."""
    return op.clip(g, x, 0.0, 6.0)


def leaky_relu(g: GraphBuilder, x: Value, negative_slope: float = 0.2) -> Value:
    """``x`` where it is positive, ``negative_slope * x`` elsewhere (Keras ``leaky_relu``)."""
    return g.add("LeakyRelu", x, alpha=float(negative_slope))


def elu(g: GraphBuilder, x: Value, alpha: float = 1.0) -> Value:
    """``x`` where it is positive, ``alpha * (exp(x) - 1)`` elsewhere (Keras ``elu``)."""
    return g.add("Elu", x, alpha=float(alpha))


def celu(g: GraphBuilder, x: Value, alpha: float = 1.0) -> Value:
    """``max(x, 0) + alpha * (exp(min(x, 0) / alpha) - 1)`` (Keras ``celu``)."""
    if alpha == 1:
        return elu(g, x)
    bent = elu(g, g.add("Div", x, g.const(alpha, x.dtype)))
    return g.add("Mul", bent, g.const(alpha, x.dtype))


def gelu(g: GraphBuilder, x: Value, approximate: bool = False) -> Value:
    """``0.5 * x * (1 + erf(x / sqrt(2)))`` (Keras ``gelu``; ONNX' own ``Gelu`` is newer, opset 20).

    ``approximate`` takes :func:`gelu_tanh`.
    """
    if approximate:
        return gelu_tanh(g, x)
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


def glu(g: GraphBuilder, x: Value, axis: int = -1) -> Value:
    """``a * sigmoid(b)``, a and b the halves of ``x`` along an axis (Keras ``glu``).

    Raises:
        ShapeError: there is no such axis, or its size is unknown or odd.
    """
    size = _known_size(g, x, axis, "glu")
    if size % 2:
        raise ShapeError(
            f"{g.scope}: glu halves axis {axis}, got {shape_text(x.shape)} from {x.name!r}; "
            f"give it an even size"
        )
    a, b = g.add_many("Split", x, g.ints(size // 2, size // 2), outputs=2, axis=axis)
    return g.add("Mul", a, g.add("Sigmoid", b))


def _known_size(g: GraphBuilder, x: Value, axis: int, name: str) -> int:
    size = x.shape[axis] if x.shape and -x.rank <= axis < x.rank else None
    if not isinstance(size, int):
        raise ShapeError(
            f"{g.scope}: {name} needs axis {axis} with a known size, got {shape_text(x.shape)} "
            f"from {x.name!r}; choose another axis"
        )
    return size


def hard_sigmoid(g: GraphBuilder, x: Value) -> Value:
    """``min(max(x / 6 + 0.5, 0), 1)`` (Keras ``hard_sigmoid``)."""
    return g.add("HardSigmoid", x, alpha=1.0 / 6.0, beta=0.5)


def sparse_sigmoid(g: GraphBuilder, x: Value) -> Value:
    """``min(max((x + 1) / 2, 0), 1)`` (Keras ``sparse_sigmoid``)."""
    return g.add("HardSigmoid", x, alpha=0.5, beta=0.5)


def log_sigmoid(g: GraphBuilder, x: Value) -> Value:
    """``-softplus(-x)``, which is finite where ``log(sigmoid(x))`` is not (Keras ``log_sigmoid``)."""
    return g.add("Neg", g.add("Softplus", g.add("Neg", x)))


def hard_tanh(g: GraphBuilder, x: Value) -> Value:
    """``min(max(x, -1), 1)`` (Keras ``hard_tanh``)."""
    return op.clip(g, x, -1.0, 1.0)


def tanh_shrink(g: GraphBuilder, x: Value) -> Value:
    """``x - tanh(x)`` (Keras ``tanh_shrink``)."""
    return g.add("Sub", x, g.add("Tanh", x))


def hard_shrink(g: GraphBuilder, x: Value, threshold: float = 0.5) -> Value:
    """``x`` where ``|x|`` is above the threshold, 0 elsewhere (Keras ``hard_shrink``)."""
    return g.add("Shrink", x, lambd=float(threshold), bias=0.0)


def soft_shrink(g: GraphBuilder, x: Value, threshold: float = 0.5) -> Value:
    """``x`` moved by the threshold towards 0, where it stays (Keras ``soft_shrink``)."""
    return g.add("Shrink", x, lambd=float(threshold), bias=float(threshold))


def sparse_plus(g: GraphBuilder, x: Value) -> Value:
    """0 up to -1, ``(x + 1)**2 / 4`` from there to 1, then ``x`` (Keras ``sparse_plus``)."""
    one = g.const(1.0, x.dtype)
    raised = g.add("Add", op.clip(g, x, -1.0, 1.0), one)
    bent = g.add("Mul", g.add("Mul", raised, raised), g.const(0.25, x.dtype))
    return g.add("Add", bent, g.add("Relu", g.add("Sub", x, one)))


def squareplus(g: GraphBuilder, x: Value, b: float = 4.0) -> Value:
    """``(x + sqrt(x**2 + b)) / 2`` (Keras ``squareplus``)."""
    root = g.add("Sqrt", g.add("Add", g.add("Mul", x, x), g.const(b, x.dtype)))
    return g.add("Mul", g.add("Add", x, root), g.const(0.5, x.dtype))


def threshold(g: GraphBuilder, x: Value, threshold: float, default_value: float) -> Value:
    """``x`` where it is above the threshold, ``default_value`` elsewhere (Keras ``threshold``)."""
    above = g.add("Greater", x, g.const(threshold, x.dtype))
    return g.add("Where", above, x, g.const(default_value, x.dtype))


def softmax(g: GraphBuilder, x: Value, axis: int = -1) -> Value:
    """``exp(x) / sum(exp(x))`` along an axis (Keras ``softmax``)."""
    return g.add("Softmax", x, axis=axis)


def log_softmax(g: GraphBuilder, x: Value, axis: int = -1) -> Value:
    """The logarithm of :func:`softmax` (Keras ``log_softmax``)."""
    return g.add("LogSoftmax", x, axis=axis)


def sparsemax(g: GraphBuilder, x: Value, axis: int = -1) -> Value:
    """The probabilities along an axis that are nearest to ``x`` (Keras ``sparsemax``).

    ``max(x - t, 0)`` with the ``t`` for which the sum is 1 (Martins & Astudillo 2016). Keras 3.15 adds up
    cumulative sums where the paper takes the last one, so that its results need not sum to 1; these do.

    Raises:
        ShapeError: there is no such axis, or its size is unknown.
    """
    size, axis = _known_size(g, x, axis, "sparsemax"), axis % x.rank
    one = g.const(1.0, x.dtype)
    ranks = np.arange(1, size + 1).reshape([size if i == axis else 1 for i in range(x.rank)])
    largest, _ = g.add_many("TopK", x, g.ints(size), outputs=2, axis=axis)
    sums = g.add("CumSum", largest, g.ints(axis))
    spare = g.add("Div", g.add("Sub", sums, one), g.const(ranks, x.dtype))
    kept = op.cast(g, g.add("Greater", largest, spare), x.dtype)
    total = op.reduce(g, "ReduceSum", g.add("Mul", largest, kept), (axis,), keepdims=True)
    count = op.reduce(g, "ReduceSum", kept, (axis,), keepdims=True)
    return g.add("Relu", g.add("Sub", x, g.add("Div", g.add("Sub", total, one), count)))


ACTIVATIONS: dict[str, Emit] = {
    "celu": celu,
    "elu": elu,
    "exponential": exponential,
    "gelu": gelu,
    "glu": glu,
    "hard_shrink": hard_shrink,
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": hard_silu,
    "hard_swish": hard_silu,
    "hard_tanh": hard_tanh,
    "leaky_relu": leaky_relu,
    "linear": linear,
    "log_sigmoid": log_sigmoid,
    "log_softmax": log_softmax,
    "mish": mish,
    "relu": relu,
    "relu6": relu6,
    "selu": selu,
    "sigmoid": sigmoid,
    "silu": silu,
    "soft_shrink": soft_shrink,
    "softmax": softmax,
    "softplus": softplus,
    "softsign": softsign,
    "sparse_plus": sparse_plus,
    "sparse_sigmoid": sparse_sigmoid,
    "sparsemax": sparsemax,
    "squareplus": squareplus,
    "swish": silu,
    "tanh": tanh,
    "tanh_shrink": tanh_shrink,
}
"""By Keras' names; ``threshold``, which has no defaults, is there as ``layers.Threshold`` alone."""
