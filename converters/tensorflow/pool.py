"""Pools, channels last."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, known_dimension, rank, shape
from neuromatic.converters.tensorflow._windows import (
    Pads,
    Window,
    element,
    offsets,
    padded,
    require_sizes,
    same_as_pads,
    slide,
    window,
)
from neuromatic.converters.tensorflow.reduce import lp_norm, mean, powers, root
from neuromatic.converters.tensorflow.registry import ops


@ops.lowers("MaxPool", since=(1, 8, 10, 11, 12, 22), layout="NHWC")
def max_pool(
    scope: Scope,
    X: Tensor,
    *,
    auto_pad: str,
    ceil_mode: int,
    dilations: Sequence[int] | None,
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None,
    storage_order: int,
    strides: Sequence[int] | None,
) -> Tensor:
    """The maximum of each window, and its index in X (N, C, ...) taken as one row if wanted.

    https://onnx.ai/onnx/operators/onnx__MaxPool.html.  8: Indices.  10: ceil_mode, dilations.  12: int8.
    """
    w = window(
        scope,
        X,
        kernel_shape,
        auto_pad=auto_pad,
        pads=pads,
        strides=strides,
        dilations=dilations,
        ceil_mode=ceil_mode,
    )
    if scope.wants(1):
        return _max_pool_with_indices(scope, X, w, storage_order)
    if _is_native(X, w):
        return _pooled(tf.nn.max_pool, padded(X, w.pads, dtype(X).min), w, w.padding)
    return slide(padded(X, same_as_pads(X, w), dtype(X).min), w, tf.maximum)


def _is_native(x: Tensor, w: Window) -> bool:
    """Whether TensorFlow has kernels for it, and for its gradient."""
    floats = (tf.float32, tf.float16, tf.bfloat16, tf.float64)
    return dtype(x) in floats and not w.dilated and 3 <= rank(x) <= 5


def _pooled(pool: Callable[..., Tensor], x: Tensor, w: Window, padding: str) -> Tensor:
    """TensorFlow's pool; that of a volume is one over its planes and then one over its depth.

    TensorFlow's own for volumes lacks types, and without oneDNN the gradient of a maximum goes, whole, to
    each of several equal elements.
    """
    if rank(x) < 5:
        return pool(x, w.kernel, w.strides, padding)
    batch, depth, height, width, channels = shape(x)
    planes = tf.reshape(x, [batch * depth, height, width, channels])
    planes = pool(planes, w.kernel[1:], w.strides[1:], padding)
    height, width = shape(planes)[1:3]
    lines = tf.reshape(planes, [batch, depth, height * width, channels])
    y = pool(lines, [w.kernel[0], 1], [w.strides[0], 1], padding)
    return tf.reshape(y, [batch, shape(y)[1], height, width, channels])


def _max_pool_with_indices(scope: Scope, X: Tensor, w: Window, storage_order: int) -> tuple[Tensor, Tensor]:
    sizes = [known_dimension(scope, X, axis) for axis in range(1, rank(X) - 1)]
    channels = known_dimension(scope, X, rank(X) - 1)
    pads = same_as_pads(X, w)
    area = int(np.prod(sizes))
    index = np.arange(area).reshape(sizes, order="F" if storage_order else "C")[None, ..., None]
    x, index = padded(X, pads, dtype(X).min), np.pad(index, [(0, 0), *pads, (0, 0)])
    values = tf.stack([element(x, w, o) for o in offsets(w.kernel)], -1)
    places = np.stack([element(index, w, o) for o in offsets(w.kernel)], -1)
    best = tf.one_hot(tf.argmax(values, -1), values.shape[-1], dtype=tf.int64)
    batch = tf.range(tf.cast(shape(X)[0], tf.int64))
    plane = tf.reshape(batch, [-1] + [1] * (rank(X) - 1)) * channels + np.arange(channels)
    return tf.reduce_max(values, -1), tf.reduce_sum(best * places, -1) + plane * area


@ops.lowers("AveragePool", since=(7, 10, 11, 19, 22), layout="NHWC")
def average_pool(
    scope: Scope,
    X: Tensor,
    *,
    auto_pad: str,
    ceil_mode: int,
    count_include_pad: int,
    dilations: Sequence[int] | None,
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Tensor:
    """The mean of each window, padding counted or not.

    https://onnx.ai/onnx/operators/onnx__AveragePool.html.  10: ceil_mode.  19: dilations.
    """
    w = window(
        scope,
        X,
        kernel_shape,
        auto_pad=auto_pad,
        pads=pads,
        strides=strides,
        dilations=dilations,
        ceil_mode=ceil_mode,
    )
    native = _is_native(X, w)
    if native and w.pads is None and not (count_include_pad and w.padding == "SAME"):
        return _pooled(tf.nn.avg_pool, X, w, w.padding)  # which does not count its own padding
    require_sizes(scope, list(X.shape[1:-1]))
    pads_of_axes = same_as_pads(X, w)
    counts = _counts(list(X.shape[1:-1]), pads_of_axes, w, bool(count_include_pad))
    x = padded(X, pads_of_axes)
    if native:
        mean = _pooled(tf.nn.avg_pool, x, w, "VALID")
        return mean * tf.cast(np.prod(w.kernel) / counts, dtype(X))
    return slide(x, w, tf.add) / tf.cast(counts, dtype(X))


def _counts(sizes: list[int], pads: Pads, w: Window, include_pad: bool) -> np.ndarray:
    """How many elements of each window count; never those that ``ceil_mode`` added."""
    counts = np.ones([1] * (len(sizes) + 2))
    for axis, (size, (before, after), extra) in enumerate(zip(sizes, pads, w.ceil_pads, strict=True)):
        counted = np.pad(np.ones(size), (before, after), constant_values=float(include_pad))
        counted[len(counted) - extra :] = 0
        reach = (w.kernel[axis] - 1) * w.dilations[axis] + 1
        starts = range(0, len(counted) - reach + 1, w.strides[axis])
        along = [counted[s : s + reach : w.dilations[axis]].sum() for s in starts]
        counts = counts * np.reshape(along, [-1 if i == axis + 1 else 1 for i in range(counts.ndim)])
    return counts


def _spatial_axes(X: Tensor) -> list[int]:
    return list(range(1, rank(X) - 1))


@ops.lowers("GlobalAveragePool", since=(1, 22), layout="NHWC")
def global_average_pool(scope: Scope, X: Tensor) -> Tensor:
    """The mean over all spatial axes.  https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html"""
    return mean(X, _spatial_axes(X), keepdims=True)


@ops.lowers("GlobalMaxPool", since=(1, 22), layout="NHWC")
def global_max_pool(scope: Scope, X: Tensor) -> Tensor:
    """The maximum over all spatial axes.  https://onnx.ai/onnx/operators/onnx__GlobalMaxPool.html"""
    return tf.reduce_max(X, _spatial_axes(X), keepdims=True)


@ops.lowers("LpPool", since=(18, 22), layout="NHWC")
def lp_pool(
    scope: Scope,
    X: Tensor,
    *,
    auto_pad: str,
    ceil_mode: int,
    dilations: Sequence[int] | None,
    kernel_shape: Sequence[int],
    p: int,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Tensor:
    """(sum |x| ** p) ** (1 / p) of each window.

    https://onnx.ai/onnx/operators/onnx__LpPool.html.  18: ceil_mode, dilations.  22: bfloat16.
    """
    w = window(
        scope,
        X,
        kernel_shape,
        auto_pad=auto_pad,
        pads=pads,
        strides=strides,
        dilations=dilations,
        ceil_mode=ceil_mode,
    )
    return root(slide(padded(powers(X, p), same_as_pads(X, w)), w, tf.add), p)


@ops.lowers("LpPool", since=(2, 11), layout="NHWC")
def lp_pool_2(
    scope: Scope,
    X: Tensor,
    *,
    auto_pad: str,
    kernel_shape: Sequence[int],
    p: int,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Tensor:
    """LpPool without dilations.  https://onnx.ai/onnx/operators/onnx__LpPool.html"""
    return lp_pool(
        scope,
        X,
        auto_pad=auto_pad,
        ceil_mode=0,
        dilations=None,
        kernel_shape=kernel_shape,
        p=p,
        pads=pads,
        strides=strides,
    )


@ops.lowers("GlobalLpPool", since=(2, 22), layout="NHWC")
def global_lp_pool(scope: Scope, X: Tensor, *, p: int) -> Tensor:
    """(sum |x| ** p) ** (1 / p) over all spatial axes.

    https://onnx.ai/onnx/operators/onnx__GlobalLpPool.html.  22: bfloat16.
    """
    return lp_norm(X, _spatial_axes(X), p)
