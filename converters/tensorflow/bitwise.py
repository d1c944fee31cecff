"""Operations on the bits of integers."""

from __future__ import annotations

import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._elementwise import lower_binary, lower_unary
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, element_type
from neuromatic.converters.tensorflow.registry import ops

lower_binary("BitwiseAnd", (18,), tf.bitwise.bitwise_and)
lower_binary("BitwiseOr", (18,), tf.bitwise.bitwise_or)
lower_binary("BitwiseXor", (18,), tf.bitwise.bitwise_xor)
lower_unary("BitwiseNot", (18,), "X", tf.bitwise.invert)


@ops.lowers("BitShift", since=(11, 28), layout="any")
def bit_shift(scope: Scope, X: Tensor, Y: Tensor, *, direction: str) -> Tensor:
    """The bits of X moved by Y places to the left or to the right; Y counts as unsigned.

    All bits are gone where Y is at least the width; to the right, those of a negative X leave -1.
    https://onnx.ai/onnx/operators/onnx__BitShift.html.  28: signed integers.
    """
    kind = dtype(X)
    width = 8 * kind.size
    within = (Y >= 0) & (tf.constant(width, dtype(Y)) > Y)
    places = tf.where(within, Y, tf.zeros_like(Y))
    if direction == "LEFT":
        return tf.where(within, tf.bitwise.left_shift(X, places), tf.zeros([], kind))
    gone = tf.zeros_like(X) if kind.is_unsigned else tf.where(X < 0, -tf.ones_like(X), tf.zeros_like(X))
    return tf.where(within, tf.bitwise.right_shift(X, places), gone)


@ops.lowers("BitCast", since=(26,), layout="any")
def bit_cast(scope: Scope, input: Tensor, *, to: int) -> Tensor:
    """The same bits read as another type of the same width.

    https://onnx.ai/onnx/operators/onnx__BitCast.html
    """
    kind = element_type(scope, to)
    if dtype(input) == tf.bool:
        input = tf.cast(input, tf.uint8)
    return tf.cast(input, tf.bool) if kind == tf.bool else tf.bitcast(input, kind)
