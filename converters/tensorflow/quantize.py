"""Quantisation: QuantizeLinear and DequantizeLinear, and products of quantised numbers.

Integers have no gradient in TensorFlow. So QuantizeLinear hands on, beside its integers, the same numbers as
floats, whose gradient is that of a straight line within the range of the integers and 0 outside;
DequantizeLinear takes them up. A graph with pairs of both trains as if nothing were rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, element_type, normalized, rank, shape
from neuromatic.converters.tensorflow.constant import cast_to
from neuromatic.converters.tensorflow.conv import conv
from neuromatic.converters.tensorflow.execution import Quantized
from neuromatic.converters.tensorflow.linear import matmul
from neuromatic.converters.tensorflow.registry import ops


def _spread(parameter: Tensor, x: Tensor, axis: int, block: int) -> Tensor:
    """A scale or zero point so that it broadcasts to ``x``: for all, by index of one axis, or by block."""
    if rank(parameter) == 0:
        return parameter
    if parameter.shape.num_elements() == 1 if isinstance(parameter, tf.Tensor) else parameter.size == 1:
        return tf.reshape(parameter, [])
    axis = normalized(axis, rank(x))
    if block:
        repeated = tf.repeat(parameter, block, axis)
        return repeated[(slice(None),) * axis + (slice(0, shape(x)[axis]),)]
    return tf.reshape(parameter, [-1 if i == axis else 1 for i in range(rank(x))])


def _rounded(x: Tensor) -> Tensor:
    """The nearest whole number, with the gradient of ``x``."""
    return x + tf.stop_gradient(tf.round(x) - x)


def _limits(kind: tf.DType) -> tuple[float, float]:
    """The least and the largest number of an integer type."""
    bits: Any = {"int4": 4, "uint4": 4}.get(kind.name, 8 * kind.size)
    low, high = (0, 2**bits - 1) if kind.name.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return float(low), float(high)


@ops.lowers("QuantizeLinear", since=(23, 24, 25, 28))
def quantize_linear(
    scope: Scope,
    x: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor = None,
    *,
    axis: int,
    block_size: int,
    output_dtype: int,
    precision: int,
    saturate: int,
) -> Quantized | Tensor:
    """round(x / y_scale) + y_zero_point within the range of the zero point's type, by default uint8.

    https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html.  21: blocks.  23: precision.
    """
    if y_zero_point is not None:
        kind = dtype(y_zero_point)
    else:
        kind = element_type(scope, output_dtype) if output_dtype else tf.uint8
    exact = element_type(scope, precision) if precision else dtype(y_scale)
    scaled = tf.cast(x, exact) / tf.cast(_spread(y_scale, x, axis, block_size), exact)
    if not (kind.is_integer or kind.name in ("int4", "uint4")):
        return cast_to(scope, scaled, kind, bool(saturate))
    steps = _rounded(tf.cast(scaled, tf.float64 if exact == tf.float64 else tf.float32))
    if y_zero_point is not None:
        zero = cast_to(scope, y_zero_point, dtype(steps), False)
        steps += _spread(zero, x, axis, block_size)
    steps = tf.clip_by_value(steps, *_limits(kind))
    return Quantized(cast_to(scope, tf.stop_gradient(steps), kind, False), steps)


@ops.lowers("QuantizeLinear", since=(21,))
def quantize_linear_21(
    scope: Scope,
    x: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor = None,
    *,
    axis: int,
    block_size: int,
    output_dtype: int,
    saturate: int,
) -> Quantized | Tensor:
    """QuantizeLinear in the scale's precision.  https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html"""
    return quantize_linear(
        scope,
        x,
        y_scale,
        y_zero_point,
        axis=axis,
        block_size=block_size,
        output_dtype=output_dtype,
        precision=0,
        saturate=saturate,
    )


@ops.lowers("QuantizeLinear", since=(19,))
def quantize_linear_19(
    scope: Scope, x: Tensor, y_scale: Tensor, y_zero_point: Tensor = None, *, axis: int, saturate: int
) -> Quantized | Tensor:
    """QuantizeLinear-21 without blocks.  https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html"""
    return quantize_linear_21(
        scope, x, y_scale, y_zero_point, axis=axis, block_size=0, output_dtype=0, saturate=saturate
    )


@ops.lowers("QuantizeLinear", since=(13,))
def quantize_linear_13(
    scope: Scope, x: Tensor, y_scale: Tensor, y_zero_point: Tensor = None, *, axis: int
) -> Quantized | Tensor:
    """QuantizeLinear-19 of integers.  https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html"""
    return quantize_linear_19(scope, x, y_scale, y_zero_point, axis=axis, saturate=1)


@ops.lowers("QuantizeLinear", since=(10,))
def quantize_linear_10(
    scope: Scope, x: Tensor, y_scale: Tensor, y_zero_point: Tensor = None
) -> Quantized | Tensor:
    """QuantizeLinear-13 with one scale.  https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html"""
    return quantize_linear_13(scope, x, y_scale, y_zero_point, axis=1)


@ops.lowers("DequantizeLinear", since=(23, 24, 25, 28))
def dequantize_linear(
    scope: Scope,
    x: Quantized | Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor = None,
    *,
    axis: int,
    block_size: int,
    output_dtype: int,
) -> Tensor:
    """(x - x_zero_point) * x_scale, in the type of the scale unless another is asked for.

    https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html.  21: blocks.  23: output_dtype.
    """
    wide = tf.float64 if dtype(x_scale) == tf.float64 else tf.float32
    steps = x.steps if isinstance(x, Quantized) else cast_to(scope, x, wide, False)
    steps = tf.cast(steps, wide)
    if x_zero_point is not None:
        zero = cast_to(scope, x_zero_point, wide, False)
        steps -= _spread(zero, steps, axis, block_size)
    y = steps * tf.cast(_spread(x_scale, steps, axis, block_size), wide)
    return tf.cast(y, element_type(scope, output_dtype) if output_dtype else dtype(x_scale))


@ops.lowers("DequantizeLinear", since=(21,))
def dequantize_linear_21(
    scope: Scope,
    x: Quantized | Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor = None,
    *,
    axis: int,
    block_size: int,
) -> Tensor:
    """DequantizeLinear to the scale's type.  https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html"""
    return dequantize_linear(
        scope, x, x_scale, x_zero_point, axis=axis, block_size=block_size, output_dtype=0
    )


@ops.lowers("DequantizeLinear", since=(13, 19))
def dequantize_linear_13(
    scope: Scope, x: Quantized | Tensor, x_scale: Tensor, x_zero_point: Tensor = None, *, axis: int
) -> Tensor:
    """DequantizeLinear-21 without blocks.  https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html"""
    return dequantize_linear_21(scope, x, x_scale, x_zero_point, axis=axis, block_size=0)


@ops.lowers("DequantizeLinear", since=(10,))
def dequantize_linear_10(
    scope: Scope, x: Quantized | Tensor, x_scale: Tensor, x_zero_point: Tensor = None
) -> Tensor:
    """DequantizeLinear-13 with one scale.  https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html"""
    return dequantize_linear_13(scope, x, x_scale, x_zero_point, axis=1)


def _centred(x: Tensor, zero_point: Tensor, axis: int, kind: tf.DType) -> Tensor:
    """x - zero_point, where a vector of zero points is spread along one axis, one for each index."""
    x = tf.cast(x, kind)
    return x if zero_point is None else x - tf.cast(_along(zero_point, rank(x), axis), kind)


def _along(parameter: Tensor, n: int, axis: int) -> Tensor:
    if rank(parameter) != 1:
        return parameter
    return tf.reshape(parameter, [-1 if i == normalized(axis, n) else 1 for i in range(n)])


def _requantized(y: Tensor, factor: Tensor, zero_point: Tensor) -> Tensor:
    """round(y * factor) + zero_point, in the type of the zero point."""
    kind = dtype(zero_point)
    scaled = tf.round(tf.cast(y, tf.float64) * tf.cast(factor, tf.float64) + tf.cast(zero_point, tf.float64))
    return tf.cast(tf.clip_by_value(scaled, kind.min, kind.max), kind)


@ops.lowers("MatMulInteger", since=(10,))
def matmul_integer(
    scope: Scope, A: Tensor, B: Tensor, a_zero_point: Tensor = None, b_zero_point: Tensor = None
) -> Tensor:
    """(A - a_zero_point) @ (B - b_zero_point) in int32; vectors of zero points are by row and by column.

    https://onnx.ai/onnx/operators/onnx__MatMulInteger.html
    """
    return matmul(scope, _centred(A, a_zero_point, -2, tf.int32), _centred(B, b_zero_point, -1, tf.int32))


@ops.lowers("QLinearMatMul", since=(10, 21))
def qlinear_matmul(
    scope: Scope,
    a: Tensor,
    a_scale: Tensor,
    a_zero_point: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
) -> Tensor:
    """The product of two quantised matrices, quantised; vectors of scales are by row and by column.

    https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html.  21: float8 and more.
    """
    product = matmul_integer(scope, a, b, a_zero_point, b_zero_point)
    n = rank(product)
    factor = _along(a_scale, n, -2) * _along(b_scale, n, -1) / _along(y_scale, n, -2)
    return _requantized(product, factor, _along(y_zero_point, n, -2))


@ops.lowers("ConvInteger", since=(10,), layout="NHWC")
def conv_integer(
    scope: Scope,
    x: Tensor,
    w: Tensor,
    x_zero_point: Tensor = None,
    w_zero_point: Tensor = None,
    *,
    auto_pad: str,
    dilations: Sequence[int] | None,
    group: int,
    kernel_shape: Sequence[int] | None,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Tensor:
    """Conv of (x - x_zero_point) with (w - w_zero_point) in int32.

    https://onnx.ai/onnx/operators/onnx__ConvInteger.html
    """
    y = conv(  # float64 holds every sum of products of bytes
        scope,
        _centred(x, x_zero_point, 0, tf.float64),
        _centred(w, w_zero_point, 0, tf.float64),
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    return tf.cast(y, tf.int32)


@ops.lowers("QLinearConv", since=(10,), layout="NHWC")
def qlinear_conv(
    scope: Scope,
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor,
    w: Tensor,
    w_scale: Tensor,
    w_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
    B: Tensor = None,
    *,
    auto_pad: str,
    dilations: Sequence[int] | None,
    group: int,
    kernel_shape: Sequence[int] | None,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Tensor:
    """Conv of quantised numbers, quantised; the kernel's scales may be by output channel.

    https://onnx.ai/onnx/operators/onnx__QLinearConv.html
    """
    y = conv_integer(
        scope,
        x,
        w,
        x_zero_point,
        w_zero_point,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    y = y if B is None else y + B
    return _requantized(y, _along(x_scale * w_scale / y_scale, rank(y), -1), y_zero_point)
