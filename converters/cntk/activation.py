"""Activation functions."""

from __future__ import annotations

import math

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk._elementwise import lower_unary
from neuromatic.converters.cntk.graph import Tensor, Value
from neuromatic.converters.cntk.math import named, sign
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope

LOWEST = -3.0e38
"""In place of minus infinity."""


def _softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) without overflow, and with a right gradient at both ends."""
    return ck.binary("log_add_exp", x, ck.number(0.0))


def _tanh_gate(x: Tensor) -> Tensor:
    return ck.multiply(x, ck.unary("tanh", _softplus(x)))


def _hard_swish(x: Tensor) -> Tensor:
    return ck.multiply(x, hard(x, 1 / 6, 0.5))


def hard(x: Tensor, alpha: float, beta: float) -> Tensor:
    """max(0, min(1, alpha * x + beta))"""
    line = ck.shifted(ck.scaled(x, alpha), beta)
    return ck.binary("element_max", ck.binary("element_min", line, ck.number(1.0)), ck.number(0.0))


lower_unary("Relu", (6, 13, 14), "X", named("relu"))
lower_unary("Sigmoid", (6, 13), "X", named("sigmoid"))
lower_unary("Tanh", (6, 13), "input", named("tanh"))
lower_unary("Softplus", (1, 22), "X", _softplus)
lower_unary("Softsign", (1, 22), "input", named("softsign"))
lower_unary("HardSwish", (14, 22), "X", _hard_swish)
lower_unary("Mish", (18, 22), "X", _tanh_gate)


def log_softmax_along(x: Tensor, axis: int) -> Tensor:
    """x - log(sum(exp(x), axis)), stable.

    CNTK's sum is NaN where it begins with minus infinities, as masks of attention have them.
    """
    finite = ck.binary("element_max", x, ck.number(LOWEST))
    return ck.minus(x, ck.reduce("reduce_log_sum_exp", finite, [axis], keepdims=True))


def softmax_along(x: Tensor, axis: int) -> Tensor:
    """exp(x) / sum(exp(x), axis), stable."""
    return ck.unary("exp", log_softmax_along(x, axis))


@ops.lowers("Softmax", since=(13,))
def softmax(scope: Scope, input: Tensor, *, axis: int) -> Tensor:
    """exp(x) / sum(exp(x), axis), along one axis.

    https://onnx.ai/onnx/operators/onnx__Softmax.html.  13: one axis, the last by default.
    """
    return softmax_along(input, axis)


@ops.lowers("Softmax", since=(1, 11))
def softmax_of_matrix(scope: Scope, input: Tensor, *, axis: int) -> Tensor:
    """Softmax over all dimensions from ``axis`` on.  https://onnx.ai/onnx/operators/onnx__Softmax.html"""
    return ck.reshape(softmax_along(as_matrix(input, axis), -1), input.shape)


@ops.lowers("LogSoftmax", since=(13,))
def log_softmax(scope: Scope, input: Tensor, *, axis: int) -> Tensor:
    """log(Softmax(x)), along one axis.

    https://onnx.ai/onnx/operators/onnx__LogSoftmax.html.  13: one axis, the last by default.
    """
    return log_softmax_along(input, axis)


@ops.lowers("LogSoftmax", since=(1, 11))
def log_softmax_of_matrix(scope: Scope, input: Tensor, *, axis: int) -> Tensor:
    """log(Softmax(x)) over all dimensions from ``axis`` on.

    https://onnx.ai/onnx/operators/onnx__LogSoftmax.html
    """
    return ck.reshape(log_softmax_along(as_matrix(input, axis), -1), input.shape)


def _hardmax_along(x: Tensor, axis: int) -> Tensor:
    """1 at the first of the largest elements along an axis, 0 elsewhere."""
    axis %= x.rank
    size = x.shape[axis]
    if size is None:
        raise ck.CannotRecordError("the largest row of a batch")
    place = ck.reduce("argmax", x, [axis], keepdims=True)
    numbers = np.arange(size, dtype=np.float32).reshape([size] + [1] * (x.rank - axis - 1))
    return ck.binary("equal", place, numbers, x.dtype)


@ops.lowers("Hardmax", since=(13,))
def hardmax(scope: Scope, input: Tensor, *, axis: int) -> Tensor:
    """1 at the first of the largest elements along an axis.

    https://onnx.ai/onnx/operators/onnx__Hardmax.html.  13: one axis, the last by default.
    """
    return _hardmax_along(input, axis)


@ops.lowers("Hardmax", since=(1, 11))
def hardmax_of_matrix(scope: Scope, input: Tensor, *, axis: int) -> Tensor:
    """Hardmax over all dimensions from ``axis`` on.  https://onnx.ai/onnx/operators/onnx__Hardmax.html"""
    return ck.reshape(_hardmax_along(as_matrix(input, axis), -1), input.shape)


def as_matrix(x: Tensor, axis: int) -> Tensor:
    """``x`` as a matrix whose columns are its axes from ``axis`` on, as ONNX did below opset 13."""
    axis %= x.rank
    columns = x.shape[axis:]
    if None in columns:
        raise ck.CannotRecordError("normalising over the batch")
    rows = x.shape[:axis]
    width = math.prod(n for n in columns if n is not None)
    if x.batch is not None and len(rows) == 1:
        return ck.reshape(x, [None, width])
    return ck.reshape(x, [*rows, width])


def _elu(x: Tensor, alpha: float) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1); of the negative part alone, so that nothing overflows."""
    below = ck.binary("element_min", x, ck.number(0.0))
    bent = ck.scaled(ck.shifted(ck.unary("exp", below), -1.0), alpha)
    return ck.plus(ck.unary("relu", x), bent)


@ops.lowers("Elu", since=(6, 22))
def elu(scope: Scope, X: Tensor, *, alpha: float) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1).  https://onnx.ai/onnx/operators/onnx__Elu.html"""
    return _elu(X, alpha)


@ops.lowers("Selu", since=(6, 22))
def selu(scope: Scope, X: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """gamma * Elu(x, alpha).  https://onnx.ai/onnx/operators/onnx__Selu.html"""
    return ck.scaled(_elu(X, alpha), gamma)


@ops.lowers("Celu", since=(12, 28))
def celu(scope: Scope, X: Tensor, *, alpha: float) -> Tensor:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1)).

    https://onnx.ai/onnx/operators/onnx__Celu.html.  28: all float types.
    """
    return ck.scaled(_elu(ck.scaled(X, 1 / alpha), 1.0), alpha)


@ops.lowers("LeakyRelu", since=(6, 16))
def leaky_relu(scope: Scope, X: Tensor, *, alpha: float) -> Tensor:
    """x where x >= 0, else alpha * x.  https://onnx.ai/onnx/operators/onnx__LeakyRelu.html"""
    return ck.unary("leaky_relu", X, alpha=alpha)


@ops.lowers("PRelu", since=(7, 9, 16))
def prelu(scope: Scope, X: Tensor, slope: Value) -> Tensor:
    """x where x >= 0, else slope * x; slope broadcasts to x.

    https://onnx.ai/onnx/operators/onnx__PRelu.html.  9: integers.
    """
    return ck.select(ck.binary("less", X, ck.number(0.0)), ck.multiply(slope, X), X)


@ops.lowers("HardSigmoid", since=(6, 22))
def hard_sigmoid(scope: Scope, X: Tensor, *, alpha: float, beta: float) -> Tensor:
    """max(0, min(1, alpha * x + beta)).  https://onnx.ai/onnx/operators/onnx__HardSigmoid.html"""
    return hard(X, alpha, beta)


_ERF_COEFFICIENTS = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
_ERF_SCALE = 0.3275911


def _erf(x: Tensor) -> Tensor:
    """The error function, which CNTK lacks: at most 1.5e-7 off, with its exact gradient.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: sign(x) (1 - p(t) exp(-x**2)) with
    t = 1 / (1 + 0.3275911 |x|). The slope of that is up to 2.4e-5 off; here it is 2 / sqrt(pi) exp(-x**2).
    """
    bell = ck.unary("exp", ck.unary("negate", ck.multiply(x, x)))
    t = ck.unary("reciprocal", ck.shifted(ck.scaled(ck.unary("abs", x), _ERF_SCALE), 1.0))
    polynomial = ck.scaled(t, _ERF_COEFFICIENTS[-1])
    for coefficient in _ERF_COEFFICIENTS[-2::-1]:
        polynomial = ck.multiply(ck.shifted(polynomial, coefficient), t)
    above = ck.shifted(ck.unary("negate", ck.multiply(polynomial, bell)), 1.0)
    value = ck.multiply(above, sign(x))
    slope = ck.unary("stop_gradient", ck.scaled(bell, 2 / math.sqrt(math.pi)))
    # A line through 0 that carries the gradient and no value.
    line = ck.multiply(x, slope)
    carrier = ck.minus(line, ck.unary("stop_gradient", line))
    return ck.plus(ck.unary("stop_gradient", value), carrier)


lower_unary("Erf", (9, 13), "input", _erf)


@ops.lowers("Gelu", since=(20,))
def gelu(scope: Scope, X: Tensor, *, approximate: str) -> Tensor:
    """x * Phi(x), Phi by erf (see its error) or its tanh approximation.

    https://onnx.ai/onnx/operators/onnx__Gelu.html
    """
    if approximate == "tanh":
        cube = ck.multiply(ck.multiply(X, X), X)
        inner = ck.scaled(ck.plus(X, ck.scaled(cube, 0.044715)), math.sqrt(2 / math.pi))
        bent = ck.unary("tanh", inner)
    else:
        bent = _erf(ck.scaled(X, math.sqrt(0.5)))
    return ck.multiply(ck.scaled(X, 0.5), ck.shifted(bent, 1.0))


@ops.lowers("Swish", since=(24,))
def swish(scope: Scope, X: Tensor, *, alpha: float) -> Tensor:
    """x * sigmoid(alpha * x).  https://onnx.ai/onnx/operators/onnx__Swish.html"""
    return ck.multiply(X, ck.unary("sigmoid", ck.scaled(X, alpha)))


@ops.lowers("ThresholdedRelu", since=(10, 22))
def thresholded_relu(scope: Scope, X: Tensor, *, alpha: float) -> Tensor:
    """x where x > alpha, else 0.  https://onnx.ai/onnx/operators/onnx__ThresholdedRelu.html"""
    return ck.select(ck.binary("greater", X, ck.number(alpha)), X, ck.number(0.0))
