"""Operators as opset 6 and older have them, where opset 7 changed what they mean.

Then, shapes broadcast only if a node said so, from an axis of the first operand on, and normalisation and
Dropout said themselves whether they train.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow import logic, math
from neuromatic.converters.tensorflow._tensors import Tensor, rank, unsupported
from neuromatic.converters.tensorflow.linear import gemm
from neuromatic.converters.tensorflow.norm import batch_normalization
from neuromatic.converters.tensorflow.pool import average_pool
from neuromatic.converters.tensorflow.registry import ops
from neuromatic.converters.tensorflow.regularization import dropout_7
from neuromatic.converters.tensorflow.resize import upsample_7

__all__ = ["logic", "math"]  # which have to be registered first


def _aligned(A: Tensor, B: Tensor, axis: int | None) -> Tensor:
    """B as numpy would broadcast it, with its first axis at ``axis`` of A, or its last axis at the last."""
    if axis is None or rank(B) == 0:
        return B
    after = rank(A) - axis - rank(B)
    return tf.reshape(B, tf.concat([tf.shape(B), [1] * after], 0)) if after > 0 else B


def _lower_binary(op: str, since: int) -> None:
    """Register ``op`` as opset 7 has it, of operands whose shapes are first aligned."""
    newer: Any = ops.find(op, 7)

    def of_pair(scope: Scope, A: Tensor, B: Tensor, *, axis: int | None, broadcast: int) -> Tensor:
        return newer.function(scope, A, _aligned(A, B, axis) if broadcast else B)

    ops.lowers(op, since=[since])(of_pair)


for _op in ("Add", "Sub", "Mul", "Div"):
    _lower_binary(_op, 6)
for _op in ("Equal", "Greater", "Less", "And", "Or", "Xor"):
    _lower_binary(_op, 1)


@ops.lowers("Pow", since=(1,))
def pow_1(scope: Scope, X: Tensor, Y: Tensor, *, axis: int | None, broadcast: int) -> Tensor:
    """X ** Y.  https://onnx.ai/onnx/operators/onnx__Pow.html"""
    return math.pow(scope, X, _aligned(X, Y, axis) if broadcast else Y)


@ops.lowers("PRelu", since=(6,))
def prelu_6(scope: Scope, X: Tensor, slope: Tensor) -> Tensor:
    """x where x >= 0, else slope * x, with one slope or one for each channel.

    https://onnx.ai/onnx/operators/onnx__PRelu.html
    """
    if rank(slope) == 1 and rank(X) > 2:
        slope = tf.reshape(slope, [-1] + [1] * (rank(X) - 2))
    return tf.where(X < 0, slope * X, X)


@ops.lowers("Gemm", since=(6,))
def gemm_6(
    scope: Scope,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    *,
    alpha: float,
    beta: float,
    broadcast: int,
    transA: int,
    transB: int,
) -> Tensor:
    """Gemm.  https://onnx.ai/onnx/operators/onnx__Gemm.html"""
    return gemm(scope, A, B, C, alpha=alpha, beta=beta, transA=transA, transB=transB)


@ops.lowers("AveragePool", since=(1,), layout="NHWC")
def average_pool_1(
    scope: Scope,
    X: Tensor,
    *,
    auto_pad: str,
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Tensor:
    """The mean of each window, padding not counted.  https://onnx.ai/onnx/operators/onnx__AveragePool.html"""
    return average_pool(
        scope,
        X,
        auto_pad=auto_pad,
        ceil_mode=0,
        count_include_pad=0,
        dilations=None,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )


@ops.lowers("BatchNormalization", since=(6,), layout="NHWC")
def batch_normalization_6(
    scope: Scope,
    X: Tensor,
    scale: Tensor,
    B: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    epsilon: float,
    is_test: int,
    momentum: float,
    spatial: int,
) -> Tensor:
    """BatchNormalization that trains unless ``is_test``.

    https://onnx.ai/onnx/operators/onnx__BatchNormalization.html
    """
    if not spatial and rank(X) > 2:
        raise unsupported(scope, "spatial=0 is not handled; BatchNormalization-9 no longer has it")
    trains = int(not is_test)
    return batch_normalization(
        scope, X, scale, B, mean, var, epsilon=epsilon, momentum=momentum, training_mode=trains
    )


@ops.lowers("Dropout", since=(6,), layout="any", pure=False)
def dropout_6(scope: Scope, data: Tensor, *, is_test: int, ratio: float) -> Tensor:
    """Dropout-7 with an attribute that says when not to drop, as the run says anyway.

    https://onnx.ai/onnx/operators/onnx__Dropout.html
    """
    return dropout_7(scope, data, ratio=0.0 if is_test else ratio)


@ops.lowers("Upsample", since=(1,))
def upsample_1(scope: Scope, X: Tensor, *, height_scale: float, mode: str, width_scale: float) -> Tensor:
    """The last two axes made larger.  https://onnx.ai/onnx/operators/onnx__Upsample.html"""
    scales = [1.0, 1.0, height_scale, width_scale]
    return upsample_7(scope, X, mode="linear" if mode == "bilinear" else mode, scales=scales)
