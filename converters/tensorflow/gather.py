"""Selection and placement by index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import (
    Tensor,
    dtype,
    element_type,
    move_axis_last,
    normalized,
    rank,
    shape,
    unsupported,
)
from neuromatic.converters.tensorflow.registry import ops


def _from_front(indices: Tensor, size: Tensor) -> Tensor:
    """Indices counted from the front, where negative ones count from the end."""
    if isinstance(indices, np.ndarray):
        if not (indices < 0).any():
            return indices
        if not isinstance(size, tf.Tensor):
            return np.where(indices < 0, indices + size, indices).astype(indices.dtype)
    return tf.where(indices < 0, indices + tf.cast(size, dtype(indices)), indices)


@ops.lowers("Gather", since=(1, 11, 13))
def gather(scope: Scope, data: Tensor, indices: Tensor, *, axis: int) -> Tensor:
    """data.take(indices, axis).  https://onnx.ai/onnx/operators/onnx__Gather.html.  11: negative indices."""
    return tf.gather(data, _from_front(indices, shape(data)[axis]), axis=axis)


@ops.lowers("GatherElements", since=(11, 13))
def gather_elements(scope: Scope, data: Tensor, indices: Tensor, *, axis: int) -> Tensor:
    """numpy.take_along_axis(data, indices, axis).

    https://onnx.ai/onnx/operators/onnx__GatherElements.html
    """
    axis = normalized(axis, rank(data))
    indices = _from_front(indices, shape(data)[axis])
    kept = [slice(None) if i == axis else slice(0, n) for i, n in enumerate(shape(indices))]
    last, back = move_axis_last(tf.convert_to_tensor(data)[tuple(kept)], axis)
    index, _ = move_axis_last(indices, axis)
    return tf.transpose(tf.gather(last, index, batch_dims=rank(data) - 1), back)


@ops.lowers("GatherND", since=(12, 13))
def gather_nd(scope: Scope, data: Tensor, indices: Tensor, *, batch_dims: int) -> Tensor:
    """data[indices[..., 0], indices[..., 1], ...].

    https://onnx.ai/onnx/operators/onnx__GatherND.html.  12: batch_dims.
    """
    sizes = tf.stack(shape(data)[batch_dims : batch_dims + indices.shape[-1]])
    return tf.gather_nd(data, tf.where(indices < 0, indices + tf.cast(sizes, tf.int64), indices), batch_dims)


@ops.lowers("GatherND", since=(11,))
def gather_nd_11(scope: Scope, data: Tensor, indices: Tensor) -> Tensor:
    """GatherND without batch_dims.  https://onnx.ai/onnx/operators/onnx__GatherND.html"""
    return gather_nd(scope, data, indices, batch_dims=0)


@ops.lowers("OneHot", since=(9, 11, 28))
def one_hot(scope: Scope, indices: Tensor, depth: Tensor, values: Tensor, *, axis: int) -> Tensor:
    """values[1] at the index along a new axis of size depth, values[0] elsewhere.

    https://onnx.ai/onnx/operators/onnx__OneHot.html.  11: negative indices.
    """
    depth = tf.cast(tf.reshape(depth, []), tf.int64)
    index = tf.cast(indices, tf.int64)
    axis = normalized(axis, rank(indices) + 1)
    index = tf.where(index < 0, index + depth, index)
    hot = tf.one_hot(index, tf.cast(depth, tf.int32), True, False, axis=axis, dtype=tf.bool)
    values = tf.convert_to_tensor(values)
    return tf.where(hot, values[1], values[0])


_ND: dict[str, Callable[..., Any]] = {
    "none": tf.tensor_scatter_nd_update,
    "add": tf.tensor_scatter_nd_add,
    "max": tf.tensor_scatter_nd_max,
    "min": tf.tensor_scatter_nd_min,
}


@ops.lowers("ScatterND", since=(11, 13, 16, 18))
def scatter_nd(scope: Scope, data: Tensor, indices: Tensor, updates: Tensor, *, reduction: str) -> Tensor:
    """data with data[indices[..., 0], ...] set to, or combined with, the updates.

    https://onnx.ai/onnx/operators/onnx__ScatterND.html.  16: reduction.  18: max and min.
    """
    sizes = tf.cast(tf.stack(shape(data)[: indices.shape[-1]]), tf.int64)
    indices = tf.where(indices < 0, indices + sizes, indices)
    if reduction != "mul":
        return _ND[reduction](data, indices, updates)
    if dtype(data) not in (tf.float32, tf.float64, tf.int32, tf.int64):
        raise unsupported(scope, f"reduction 'mul' of {dtype(data).name} is not handled; cast it to float32")
    strides = tf.math.cumprod(sizes, exclusive=True, reverse=True)
    row = tf.reshape(tf.reduce_sum(indices * strides, -1), [-1])
    inner = shape(data)[indices.shape[-1] :]
    factors = tf.math.unsorted_segment_prod(tf.reshape(updates, [-1, *inner]), row, tf.reduce_prod(sizes))
    return data * tf.reshape(factors, shape(data))


@ops.lowers("ScatterElements", since=(11, 13, 16, 18))
def scatter_elements(
    scope: Scope, data: Tensor, indices: Tensor, updates: Tensor, *, axis: int, reduction: str
) -> Tensor:
    """data with elements along one axis set to, or combined with, the updates.

    https://onnx.ai/onnx/operators/onnx__ScatterElements.html.  16: reduction.  18: max and min.
    """
    axis = normalized(axis, rank(data))
    grid = tf.meshgrid(*(tf.range(tf.cast(n, tf.int64)) for n in shape(indices)), indexing="ij")
    grid[axis] = tf.cast(_from_front(indices, shape(data)[axis]), tf.int64)
    return scatter_nd(scope, data, tf.stack(grid, -1), updates, reduction=reduction)


@ops.lowers("Scatter", since=(9,))
def scatter(scope: Scope, data: Tensor, indices: Tensor, updates: Tensor, *, axis: int) -> Tensor:
    """ScatterElements under its first name.  https://onnx.ai/onnx/operators/onnx__Scatter.html"""
    return scatter_elements(scope, data, indices, updates, axis=axis, reduction="none")


@ops.lowers("EyeLike", since=(9, 22))
def eye_like(scope: Scope, input: Tensor, *, dtype: int | None, k: int) -> Tensor:
    """1 on the k-th diagonal of a matrix of the input's shape, 0 elsewhere.

    https://onnx.ai/onnx/operators/onnx__EyeLike.html.  22: bfloat16.
    """
    kind = input.dtype if dtype is None else element_type(scope, dtype)
    return tf.cast(_column_minus_row(input) == k, kind)


@ops.lowers("Trilu", since=(14,))
def trilu(scope: Scope, input: Tensor, k: Tensor = None, *, upper: int) -> Tensor:
    """The matrix from, or up to, its k-th diagonal, 0 elsewhere.

    https://onnx.ai/onnx/operators/onnx__Trilu.html
    """
    diagonal = 0 if k is None else tf.cast(tf.reshape(k, []), tf.int64)
    offset = _column_minus_row(input)
    kept = offset >= diagonal if upper else offset <= diagonal
    return tf.where(kept, input, tf.zeros([], dtype(input)))


def _column_minus_row(x: Tensor) -> Tensor:
    rows, columns = (tf.range(tf.cast(n, tf.int64)) for n in shape(x)[-2:])
    return columns[None, :] - rows[:, None]
