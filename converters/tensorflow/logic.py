"""Comparison, logic and choice, element by element."""

from __future__ import annotations

import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._elementwise import lower_binary, lower_unary
from neuromatic.converters.tensorflow._tensors import Tensor
from neuromatic.converters.tensorflow.registry import ops

lower_binary("Equal", (7, 11, 13, 19), tf.equal)
lower_binary("Greater", (7, 9, 13), tf.greater)
lower_binary("GreaterOrEqual", (12, 16), tf.greater_equal)
lower_binary("Less", (7, 9, 13), tf.less)
lower_binary("LessOrEqual", (12, 16), tf.less_equal)
lower_binary("And", (7,), tf.logical_and)
lower_binary("Or", (7,), tf.logical_or)
lower_binary("Xor", (7,), tf.math.logical_xor)
lower_unary("Not", (1,), "X", tf.logical_not)
lower_unary("IsNaN", (9, 13, 20), "X", tf.math.is_nan)


@ops.lowers("Where", since=(9, 16), layout="any")
def where(scope: Scope, condition: Tensor, X: Tensor, Y: Tensor) -> Tensor:
    """x where the condition holds, else y; all broadcast.  https://onnx.ai/onnx/operators/onnx__Where.html"""
    return tf.where(condition, X, Y)


@ops.lowers("IsInf", since=(10, 20), layout="any")
def is_inf(scope: Scope, X: Tensor, *, detect_negative: int, detect_positive: int) -> Tensor:
    """Whether x is infinite, of a sign that is looked for.

    https://onnx.ai/onnx/operators/onnx__IsInf.html.  20: all float types.
    """
    infinite = tf.math.is_inf(X)
    if not detect_negative:
        infinite &= X > 0
    if not detect_positive:
        infinite &= X < 0
    return infinite
