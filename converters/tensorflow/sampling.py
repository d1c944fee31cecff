"""Images sampled at points that the graph computes: grids, regions, deformed kernels."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._sampling import Mode, Padding, parts, reflected, sampled
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, integers, rank, shape, unsupported
from neuromatic.converters.tensorflow.registry import ops


@ops.lowers("AffineGrid", since=(20,))
def affine_grid(scope: Scope, theta: Tensor, size: Tensor, *, align_corners: int) -> Tensor:
    """Points of an image after an affine map: theta (N, r, r + 1) times (x, y, ..., 1), grid (N, ..., r).

    The corners lie at -1 and 1, or the outer edges of the corner elements do.
    https://onnx.ai/onnx/operators/onnx__AffineGrid.html
    """
    sizes = integers(scope, size, "size")[2:]
    axes = [_even(n, bool(align_corners)) for n in sizes]
    mesh = np.meshgrid(*axes, indexing="ij")[::-1]
    points = np.stack([*mesh, np.ones(sizes)], -1).reshape(-1, len(sizes) + 1)
    grid = tf.matmul(tf.constant(points, dtype(theta))[None], theta, transpose_b=True)
    return tf.reshape(grid, [shape(theta)[0], *sizes, len(sizes)])


def _even(n: int, align_corners: bool) -> np.ndarray:
    if align_corners:
        return np.linspace(-1.0, 1.0, n)
    return (2 * np.arange(n) + 1) / n - 1


_MODES: dict[str, Mode] = {"bilinear": "linear", "bicubic": "cubic", "linear": "linear", "cubic": "cubic"}


@ops.lowers("GridSample", since=(16, 20, 22), layout="NHWC")
def grid_sample(
    scope: Scope, X: Tensor, grid: Tensor, *, align_corners: int, mode: str, padding_mode: Padding
) -> Tensor:
    """X (N, d1, ..., C) at the points of the grid (N, o1, ..., r), given as (x, y, ...) from -1 to 1.

    https://onnx.ai/onnx/operators/onnx__GridSample.html.  20: any rank, other names of modes.
    """
    sizes = [tf.cast(n, dtype(grid)) for n in shape(X)[1:-1]]
    borders = [(0.0, n - 1) if align_corners else (-0.5, n - 0.5) for n in sizes]
    points = []
    for point, size, (low, high) in zip(tf.unstack(grid, axis=-1)[::-1], sizes, borders, strict=True):
        place = (point + 1) / 2 * (size - 1) if align_corners else ((point + 1) * size - 1) / 2
        place = tf.round(place) if mode == "nearest" else place
        outside = (place < low) | (place > high)
        if padding_mode == "border":
            place = tf.where(outside, tf.clip_by_value(place, 0, size - 1), place)
        elif padding_mode == "reflection":
            place = tf.where(outside, reflected(place, low, high), place)
        if mode == "nearest" and padding_mode == "reflection":
            place = tf.floor(place)  # the border between two elements belongs to the first
        points.append(place)
    rows = tf.reshape(tf.range(tf.cast(shape(X)[0], tf.int64)), [-1] + [1] * (rank(grid) - 2))
    how = _MODES.get(mode, "nearest")
    return sampled(X, rows, points, mode=how, padding=padding_mode, borders=borders)


@ops.lowers("RoiAlign", since=(16, 22), layout="NHWC")
def roi_align(
    scope: Scope,
    X: Tensor,
    rois: Tensor,
    batch_indices: Tensor,
    *,
    coordinate_transformation_mode: str,
    mode: str,
    output_height: int,
    output_width: int,
    sampling_ratio: int,
    spatial_scale: float,
) -> Tensor:
    """The mean, or the largest part, of points in each cell of each region (x1, y1, x2, y2) of an image.

    X (N, H, W, C), rois (R, 4), batch_indices (R,). Cells have sampling_ratio ** 2 points, or about one for
    each element where that is 0.
    https://onnx.ai/onnx/operators/onnx__RoiAlign.html.  16: half a pixel less.
    """
    half = coordinate_transformation_mode == "half_pixel"
    corners = tf.cast(rois, dtype(X)) * spatial_scale - (0.5 if half else 0.0)
    x1, y1, x2, y2 = tf.unstack(corners, axis=1)
    extents = [y2 - y1, x2 - x1]
    extents = extents if half else [tf.maximum(e, 1) for e in extents]
    axes, counted = [], []
    for start, extent, cells in zip((y1, x1), extents, (output_height, output_width), strict=True):
        bins = extent / cells
        counts = tf.ones_like(bins) * sampling_ratio if sampling_ratio > 0 else tf.math.ceil(bins)
        most = sampling_ratio if sampling_ratio > 0 else tf.cast(tf.reduce_max(counts), tf.int32)
        point = tf.cast(tf.range(most), dtype(X))
        within = (point + 0.5) / counts[:, None]  # (R, points)
        cell = tf.range(cells, dtype=tf.int32)
        place = tf.cast(cell, dtype(X))[None, :, None] + within[:, None, :]
        axes.append(start[:, None, None] + place * bins[:, None, None])  # (R, cells, points)
        counted.append((point < counts[:, None])[:, None, :])
    return _pooled(X, batch_indices, axes, counted, mode)


@ops.lowers("RoiAlign", since=(10,), layout="NHWC")
def roi_align_10(
    scope: Scope,
    X: Tensor,
    rois: Tensor,
    batch_indices: Tensor,
    *,
    mode: str,
    output_height: int,
    output_width: int,
    sampling_ratio: int,
    spatial_scale: float,
) -> Tensor:
    """RoiAlign that takes coordinates as they are.  https://onnx.ai/onnx/operators/onnx__RoiAlign.html"""
    return roi_align(
        scope,
        X,
        rois,
        batch_indices,
        coordinate_transformation_mode="output_half_pixel",
        mode=mode,
        output_height=output_height,
        output_width=output_width,
        sampling_ratio=sampling_ratio,
        spatial_scale=spatial_scale,
    )


def _pooled(X: Tensor, rows: Tensor, axes: list[Tensor], counted: list[Tensor], mode: str) -> Tensor:
    """The points (R, cells, points) of two axes, combined to (R, cells, cells, C)."""
    y, x = axes[0][:, :, None, :, None], axes[1][:, None, :, None, :]
    kept = counted[0][:, :, None, :, None] & counted[1][:, None, :, None, :]
    points = []
    for point, n in zip((y, x), shape(X)[1:3], strict=True):
        size = tf.cast(n, dtype(X))
        kept &= (point >= -1) & (point <= size)
        points.append(tf.clip_by_value(point, 0, size - 1))
    y, x = (tf.broadcast_to(p, tf.shape(kept)) for p in points)
    found = parts(X, tf.reshape(rows, [-1, 1, 1, 1, 1]), [y, x], padding="border")
    factor = tf.cast(kept, dtype(X))[..., None]
    if mode == "max":
        return tf.reduce_max(functools.reduce(tf.maximum, found) * factor, [3, 4])
    counts = [tf.reduce_sum(tf.cast(c, dtype(X)), -1) for c in counted]
    total = tf.reduce_sum(functools.reduce(operator.add, found) * factor, [3, 4])
    return total / tf.maximum(counts[0][:, :, None, None] * counts[1][:, None, :, None], 1)


@ops.lowers("DeformConv", since=(19, 22), layout="NHWC")
def deform_conv(
    scope: Scope,
    X: Tensor,
    W: Tensor,
    offset: Tensor,
    B: Tensor = None,
    mask: Tensor = None,
    *,
    dilations: Sequence[int] | None,
    group: int,
    kernel_shape: Sequence[int] | None,
    offset_group: int,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Tensor:
    """Conv of elements that are moved by offsets and weighted by a mask.

    X (N, H, W, C), W (M, C/group, kh, kw), offset (N, offset_group * kh * kw * 2, oh, ow), mask its half.
    https://onnx.ai/onnx/operators/onnx__DeformConv.html.  22: bfloat16.
    """
    if rank(X) != 4:
        raise unsupported(scope, f"its input has {rank(X) - 2} spatial axes; 2 are handled")
    kernel, (outputs, inputs) = list(W.shape[2:]), shape(W)[:2]
    size, (batch, height, width) = math.prod(kernel), (shape(offset)[0], *shape(offset)[2:])
    moves = tf.reshape(offset, [batch, offset_group, size, 2, height, width])
    starts = [-p for p in (pads or [0] * 4)[:2]]
    where = []  # per axis (K, out)
    grid = np.stack(np.meshgrid(*(np.arange(k) for k in kernel), indexing="ij")).reshape(2, -1)
    for axis, n in enumerate((height, width)):
        out = tf.cast(tf.range(n), dtype(X)) * (strides or [1, 1])[axis] + starts[axis]
        where.append(tf.constant(grid[axis] * (dilations or [1, 1])[axis], dtype(X))[:, None] + out)
    places = (where[0][:, :, None], where[1][:, None, :])
    rows = tf.reshape(tf.range(tf.cast(batch, tf.int64)), [-1, 1, 1, 1])
    columns = []
    for index, channels in enumerate(tf.split(X, offset_group, -1)):
        points = [moves[:, index, :, axis] + places[axis] for axis in (0, 1)]
        column = sampled(channels, rows, points)
        if mask is not None:
            weights = tf.reshape(mask, [batch, offset_group, size, height, width])[:, index]
            column *= tf.expand_dims(weights, -1)
        columns.append(column)
    column = tf.concat(columns, -1)  # (N, K, oh, ow, C)
    weights = tf.reshape(W, [group, outputs // group, inputs, size])
    blocks = tf.reshape(column, [batch, size, height, width, group, inputs])
    y = tf.reshape(tf.einsum("nkhwgc,gmck->nhwgm", blocks, weights), [batch, height, width, outputs])
    return y if B is None else y + B
