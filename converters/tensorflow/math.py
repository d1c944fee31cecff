"""Arithmetic, element by element."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._elementwise import lower_binary, lower_unary
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, rank
from neuromatic.converters.tensorflow.registry import ops


def _abs(x: Tensor) -> Tensor:
    return x if dtype(x).is_unsigned else tf.abs(x)


def _sign(x: Tensor) -> Tensor:
    return tf.cast(x > 0, dtype(x)) if dtype(x).is_unsigned else tf.sign(x)


def _divide(a: Tensor, b: Tensor) -> Tensor:
    """The quotient; of integers it is cut off toward zero."""
    return tf.truncatediv(a, b) if dtype(a).is_integer else tf.divide(a, b)


lower_unary("Abs", (6, 13), "X", _abs)
lower_unary("Neg", (6, 13), "X", tf.negative)
lower_unary("Sign", (9, 13), "input", _sign)
lower_unary("Floor", (6, 13), "X", tf.floor)
lower_unary("Ceil", (6, 13), "X", tf.math.ceil)
lower_unary("Round", (11, 22), "X", tf.round)  # halves go to the even neighbour, in both
lower_unary("Reciprocal", (6, 13), "X", tf.math.reciprocal)
lower_unary("Sqrt", (6, 13), "X", tf.sqrt)
lower_unary("Exp", (6, 13), "input", tf.exp)
lower_unary("Log", (6, 13), "input", tf.math.log)
lower_unary("Sin", (7, 22), "input", tf.sin)
lower_unary("Cos", (7, 22), "input", tf.cos)
lower_unary("Tan", (7, 22), "input", tf.tan)
lower_unary("Asin", (7, 22), "input", tf.asin)
lower_unary("Acos", (7, 22), "input", tf.acos)
lower_unary("Atan", (7, 22), "input", tf.atan)
lower_unary("Sinh", (9, 22), "input", tf.sinh)
lower_unary("Cosh", (9, 22), "input", tf.cosh)
lower_unary("Asinh", (9, 22), "input", tf.asinh)
lower_unary("Acosh", (9, 22), "input", tf.acosh)
lower_unary("Atanh", (9, 22), "input", tf.atanh)
lower_binary("Add", (7, 13, 14), tf.add)
lower_binary("Sub", (7, 13, 14), tf.subtract)
lower_binary("Mul", (7, 13, 14), tf.multiply)
lower_binary("Div", (7, 13, 14), _divide)


@ops.lowers("Pow", since=(7, 12, 13, 15), layout="any")
def pow(scope: Scope, X: Tensor, Y: Tensor) -> Tensor:
    """Z = X ** Y in the type of X.

    https://onnx.ai/onnx/operators/onnx__Pow.html.  12: X and Y may differ in type.
    """
    if isinstance(Y, np.ndarray) and Y.size == 1 and rank(Y) <= rank(X) and Y.item() == 2:
        return tf.square(X)
    base, exponent = dtype(X), dtype(Y)
    if base.is_integer and exponent.is_floating:
        return tf.cast(tf.pow(tf.cast(X, exponent), Y), base)
    return tf.pow(X, tf.cast(Y, base))


@tf.custom_gradient
def _remainder(A: Tensor, B: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, Tensor]]]:
    """A - B trunc(A / B) of equal shapes: slope 1 by A and -trunc(A / B) by B, as PyTorch's fmod has them."""
    return tf.truncatemod(A, B), lambda slope: (slope, -slope * _truncated(A / B))


def _truncated(x: Tensor) -> Tensor:
    return tf.sign(x) * tf.floor(tf.abs(x))


def _truncated_remainder(A: Tensor, B: Tensor) -> Tensor:
    """The remainder with the sign of A; TensorFlow's own has no gradient."""
    if dtype(A).is_integer:
        return tf.truncatemod(A, B)
    shape = tf.broadcast_dynamic_shape(tf.shape(A), tf.shape(B))
    return _remainder(tf.broadcast_to(A, shape), tf.broadcast_to(B, shape))


@ops.lowers("Mod", since=(10, 13, 28), layout="any")
def mod(scope: Scope, A: Tensor, B: Tensor, *, fmod: int) -> Tensor:
    """The remainder of A / B, with the sign of A (fmod=1) or of B (fmod=0).

    https://onnx.ai/onnx/operators/onnx__Mod.html
    """
    remainder = tf.math.floormod if fmod == 0 else _truncated_remainder
    narrow = dtype(A)
    if narrow.size >= 4 and not narrow.is_unsigned:
        return remainder(A, B)
    wide = tf.int64 if narrow.is_integer else tf.float32  # types that TensorFlow has no kernel for
    return tf.cast(remainder(tf.cast(A, wide), tf.cast(B, wide)), narrow)


def _lower_variadic(op: str, since: tuple[int, ...], function: Callable[[Tensor, Tensor], Tensor]) -> None:
    def of_all(scope: Scope, *data_0: Tensor) -> Tensor:
        return functools.reduce(function, data_0)

    ops.lowers(op, since=since, layout="any")(of_all)


_lower_variadic("Max", (6, 8, 12, 13), tf.maximum)
_lower_variadic("Min", (6, 8, 12, 13), tf.minimum)
_lower_variadic("Sum", (6, 8, 13), tf.add)


@ops.lowers("Mean", since=(6, 8, 13), layout="any")
def mean(scope: Scope, *data_0: Tensor) -> Tensor:
    """The mean of the inputs, element by element.  https://onnx.ai/onnx/operators/onnx__Mean.html"""
    return functools.reduce(tf.add, data_0) / len(data_0)


@ops.lowers("Clip", since=(6,), layout="any")
def clip_by_attributes(scope: Scope, input: Tensor, *, min: float, max: float) -> Tensor:
    """min(max(x, lowest), highest).  https://onnx.ai/onnx/operators/onnx__Clip.html"""
    return tf.clip_by_value(input, min, max)


@ops.lowers("Clip", since=(11, 12, 13), layout="any")
def clip(scope: Scope, input: Tensor, min: Tensor = None, max: Tensor = None) -> Tensor:
    """min(max(x, lowest), highest), each if given.

    https://onnx.ai/onnx/operators/onnx__Clip.html.  11: inputs in place of attributes.  12: integers.
    """
    if min is not None:
        input = tf.maximum(input, min)
    return input if max is None else tf.minimum(input, max)
