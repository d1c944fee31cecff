"""Arithmetic, element by element."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk._elementwise import lower_binary, lower_unary
from neuromatic.converters.cntk.graph import Tensor, Value
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope


def named(name: str) -> Callable[[Tensor], Tensor]:
    return lambda x: ck.unary(name, x)


def sign(x: Tensor) -> Tensor:
    zero = ck.number(0.0)
    return ck.minus(ck.binary("greater", x, zero), ck.binary("less", x, zero))


def _tan(x: Tensor) -> Tensor:
    """CNTK's own gradient of tan is wrong."""
    return ck.divide(ck.unary("sin", x), ck.unary("cos", x))


def _acosh(x: Tensor) -> Tensor:
    root = ck.unary("sqrt", ck.shifted(ck.multiply(x, x), -1.0))
    return ck.unary("log", ck.plus(x, root))


def truncated(x: Tensor) -> Tensor:
    """Toward zero."""
    return ck.select(ck.binary("less", x, ck.number(0.0)), ck.unary("ceil", x), ck.unary("floor", x))


def _divide(a: Value, b: Value) -> Tensor:
    """The quotient; of integers it is cut off toward zero."""
    quotient = ck.divide(a, b)
    if quotient.dtype.kind not in "iu":
        return quotient
    # CNTK divides by a rounded reciprocal, so that a whole quotient may come out below or above itself.
    x, y = ck.tensor(a, quotient.graph), ck.tensor(b, quotient.graph)
    whole = truncated(quotient)
    rest, size = ck.multiply(ck.minus(x, ck.multiply(y, whole)), sign(x)), ck.unary("abs", y)
    step = ck.minus(ck.binary("greater_equal", rest, size), ck.binary("less", rest, ck.number(0.0)))
    return ck.plus(whole, ck.multiply(ck.multiply(step, sign(x)), sign(y)))


lower_unary("Abs", (6, 13), "X", named("abs"))
lower_unary("Neg", (6, 13), "X", named("negate"))
lower_unary("Sign", (9, 13), "input", sign)
lower_unary("Floor", (6, 13), "X", named("floor"))
lower_unary("Ceil", (6, 13), "X", named("ceil"))
lower_unary("Reciprocal", (6, 13), "X", named("reciprocal"))
lower_unary("Sqrt", (6, 13), "X", named("sqrt"))
lower_unary("Exp", (6, 13), "input", named("exp"))
lower_unary("Log", (6, 13), "input", named("log"))
lower_unary("Sin", (7, 22), "input", named("sin"))
lower_unary("Cos", (7, 22), "input", named("cos"))
lower_unary("Tan", (7, 22), "input", _tan)
lower_unary("Asin", (7, 22), "input", named("asin"))
lower_unary("Acos", (7, 22), "input", named("acos"))
lower_unary("Atan", (7, 22), "input", named("atan"))
lower_unary("Sinh", (9, 22), "input", named("sinh"))
lower_unary("Cosh", (9, 22), "input", named("cosh"))
lower_unary("Asinh", (9, 22), "input", named("asinh"))
lower_unary("Acosh", (9, 22), "input", _acosh)
lower_unary("Atanh", (9, 22), "input", named("atanh"))
lower_binary("Add", (7, 13, 14), ck.plus)
lower_binary("Sub", (7, 13, 14), ck.minus)
lower_binary("Mul", (7, 13, 14), ck.multiply)
lower_binary("Div", (7, 13, 14), _divide)


def _rounded(x: Tensor) -> Tensor:
    """To the nearest integer, halves to the even one."""
    whole = ck.unary("floor", x)
    rest = ck.minus(x, whole)
    half = ck.unary("floor", ck.scaled(whole, 0.5))
    odd = ck.minus(whole, ck.scaled(half, 2.0))
    up = ck.binary("greater", rest, ck.number(0.5))
    return ck.plus(whole, ck.plus(up, ck.multiply(ck.binary("equal", rest, ck.number(0.5)), odd)))


lower_unary("Round", (11, 22), "X", _rounded)


@ops.lowers("Mod", since=(10, 13, 28))
def mod(scope: Scope, A: Value, B: Value, *, fmod: int) -> Tensor:
    """A - B floor(A / B), with the sign of B; with ``fmod`` A - B trunc(A / B), with the sign of A.

    The gradient is 1 for A and minus the rounded quotient for B.
    https://onnx.ai/onnx/operators/onnx__Mod.html.  13: bfloat16.  28: floats without fmod.
    """
    graph = scope.context.graph
    a, b = ck.tensor(A, graph), ck.tensor(B, graph)
    quotient = ck.unary("stop_gradient", ck.divide(a, b))
    turns = truncated(quotient) if fmod else ck.unary("floor", quotient)
    zero = ck.number(0.0)  # also in place of what infinity times zero is
    rest = ck.minus(a, ck.select(turns, ck.multiply(b, turns), zero))
    # CNTK divides by a rounded reciprocal, so that a quotient may be one too low or too high.
    size, like = ck.unary("abs", b), ck.unary("stop_gradient", a if fmod else b)
    inward = ck.unary("stop_gradient", ck.multiply(rest, sign(like)))
    turn = ck.multiply(size, sign(like))
    rest = ck.minus(rest, ck.select(ck.binary("greater_equal", inward, size), turn, zero))
    rest = ck.plus(rest, ck.select(ck.binary("less", inward, zero), turn, zero))
    return rest if a.dtype.kind in "iu" else ck.select(size, rest, ck.number(float("nan")))


@ops.lowers("Pow", since=(7, 12, 13, 15))
def pow(scope: Scope, X: Value, Y: Value) -> Tensor:
    """Z = X ** Y in the type of X; the usual constant exponents without logarithms.

    https://onnx.ai/onnx/operators/onnx__Pow.html.  12: X and Y may differ in type.
    """
    if isinstance(X, Tensor) and isinstance(Y, np.ndarray) and Y.size == 1 and Y.ndim <= X.rank:
        simple = _power(X, float(Y.item()))
        if simple is not None:
            return simple
    return ck.binary("pow", X, Y)


def _power(x: Tensor, exponent: float) -> Tensor | None:
    if exponent == 0.5:
        return ck.unary("sqrt", x)
    if exponent == -0.5:
        return ck.unary("reciprocal", ck.unary("sqrt", x))
    if exponent in (1.0, 2.0, 3.0, 4.0):
        return functools.reduce(ck.multiply, [x] * int(exponent))
    return None


def _lower_variadic(op: str, since: tuple[int, ...], function: Callable[[Any, Any], Tensor]) -> None:
    def of_all(scope: Scope, *data_0: Value) -> Value:
        return functools.reduce(function, data_0)

    ops.lowers(op, since=since)(of_all)


_lower_variadic("Max", (6, 8, 12, 13), functools.partial(ck.binary, "element_max"))
_lower_variadic("Min", (6, 8, 12, 13), functools.partial(ck.binary, "element_min"))
_lower_variadic("Sum", (6, 8, 13), ck.plus)


@ops.lowers("Mean", since=(6, 8, 13))
def mean(scope: Scope, *data_0: Value) -> Tensor:
    """The mean of the inputs, element by element.  https://onnx.ai/onnx/operators/onnx__Mean.html"""
    total = functools.reduce(ck.plus, data_0)
    return ck.scaled(ck.tensor(total, scope.context.graph), 1 / len(data_0))


@ops.lowers("Clip", since=(6,))
def clip_by_attributes(scope: Scope, input: Tensor, *, min: float, max: float) -> Tensor:
    """min(max(x, lowest), highest).  https://onnx.ai/onnx/operators/onnx__Clip.html"""
    return _clipped(input, ck.number(min), ck.number(max))


@ops.lowers("Clip", since=(11, 12, 13))
def clip(scope: Scope, input: Tensor, min: Value | None = None, max: Value | None = None) -> Tensor:
    """min(max(x, lowest), highest), each if given.

    https://onnx.ai/onnx/operators/onnx__Clip.html.  11: inputs in place of attributes.  12: integers.
    """
    return _clipped(input, min, max)


def _clipped(x: Tensor, low: Value | None, high: Value | None) -> Tensor:
    """Written with selections, so that the gradient inside the bounds is 1 and outside 0, bounds included."""
    if low is not None:
        x = ck.binary("element_max", x, low)
    return x if high is None else ck.binary("element_min", x, high)
