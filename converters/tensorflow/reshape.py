"""Shape, order and size of tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import (
    Tensor,
    dtype,
    integers,
    known_dimension,
    normalized,
    rank,
    shape,
    static_shape,
)
from neuromatic.converters.tensorflow.registry import ops


@ops.lowers("Reshape", since=(5, 13, 14, 19, 21, 23, 24, 25))
def reshape(scope: Scope, data: Tensor, shape: Tensor, *, allowzero: int) -> Tensor:
    """The elements in another shape; -1 is the rest, 0 copies the dimension unless allowzero.

    https://onnx.ai/onnx/operators/onnx__Reshape.html.  14: allowzero.
    """
    return _reshape(data, shape, bool(allowzero))


def _reshape(data: Tensor, target: Tensor, allow_zero: bool) -> Tensor:
    if not isinstance(target, np.ndarray):
        if not allow_zero:
            copied = tf.shape(data, tf.int64)[: target.shape[0]]
            copied = tf.pad(copied, [(0, tf.maximum(0, target.shape[0] - rank(data)))])
            target = tf.where(target == 0, copied, target)
        return tf.reshape(data, target)
    if not len(target):
        return tf.reshape(data, np.zeros(0, np.int32))
    sizes = [int(n) for n in target]
    if allow_zero or 0 not in sizes:
        return tf.reshape(data, sizes)
    return tf.reshape(data, _with_copied(shape(data), sizes))


def _with_copied(old: list[Any], new: list[int]) -> list[Any]:
    """The new sizes with dimensions copied for 0, and -1 left to the one that is not known."""
    copied = [i for i, n in enumerate(new) if n == 0]
    rest = [n for i, n in enumerate(old) if i not in copied]
    sizes = [old[i] if n == 0 else n for i, n in enumerate(new)]
    given = math.prod(n for n in new if n > 0)
    if -1 in new and all(isinstance(n, int) for n in rest):
        sizes[new.index(-1)] = math.prod(rest) // given
    unknown = [i for i, n in enumerate(sizes) if not isinstance(n, int)]
    if len(unknown) == 1 and all(n > 0 for n in sizes if isinstance(n, int)):
        sizes[unknown[0]] = -1
    return sizes


@ops.lowers("Flatten", since=(1, 9, 11, 13, 21, 23, 24, 25))
def flatten(scope: Scope, input: Tensor, *, axis: int) -> Tensor:
    """A matrix: dimensions before ``axis`` are rows, the others columns.

    https://onnx.ai/onnx/operators/onnx__Flatten.html.  9: all types.  11: negative axes.
    """
    axis = axis + rank(input) if axis < 0 else axis
    rows, columns = math.prod(shape(input)[:axis]), math.prod(shape(input)[axis:])
    return tf.reshape(input, [-1 if isinstance(rows, tf.Tensor) else rows, columns])


@ops.lowers("Transpose", since=(1, 13, 21, 23, 24, 25))
def transpose(scope: Scope, data: Tensor, *, perm: Sequence[int] | None) -> Tensor:
    """The dimensions in another order, by default reversed.

    https://onnx.ai/onnx/operators/onnx__Transpose.html
    """
    return tf.transpose(data, None if perm is None else list(perm))


def _squeeze(data: Tensor, axes: Sequence[int] | None) -> Tensor:
    return tf.squeeze(data, [i for i, n in enumerate(data.shape) if n == 1] if axes is None else list(axes))


@ops.lowers("Squeeze", since=(13, 21, 23, 24, 25))
def squeeze(scope: Scope, data: Tensor, axes: Tensor = None) -> Tensor:
    """Without the given dimensions of size 1, or all of them.

    https://onnx.ai/onnx/operators/onnx__Squeeze.html.  13: axes as an input.
    """
    return _squeeze(data, None if axes is None else integers(scope, axes, "axes"))


@ops.lowers("Squeeze", since=(1, 11))
def squeeze_by_attribute(scope: Scope, data: Tensor, *, axes: Sequence[int] | None) -> Tensor:
    """Squeeze with an attribute.  https://onnx.ai/onnx/operators/onnx__Squeeze.html.  11: negative axes."""
    return _squeeze(data, axes)


def _unsqueeze(data: Tensor, axes: Sequence[int]) -> Tensor:
    total = rank(data) + len(axes)
    for axis in sorted(normalized(a, total) for a in axes):
        data = tf.expand_dims(data, axis)
    return data


@ops.lowers("Unsqueeze", since=(13, 21, 23, 24, 25))
def unsqueeze(scope: Scope, data: Tensor, axes: Tensor) -> Tensor:
    """With dimensions of size 1 put in, counted in the result.

    https://onnx.ai/onnx/operators/onnx__Unsqueeze.html.  13: axes as an input.
    """
    return _unsqueeze(data, integers(scope, axes, "axes"))


@ops.lowers("Unsqueeze", since=(1, 11))
def unsqueeze_by_attribute(scope: Scope, data: Tensor, *, axes: Sequence[int]) -> Tensor:
    """Unsqueeze with an attribute.

    https://onnx.ai/onnx/operators/onnx__Unsqueeze.html.  11: negative axes.
    """
    return _unsqueeze(data, axes)


@ops.lowers("Concat", since=(4, 11, 13), layout="axis")
def concat(scope: Scope, *inputs: Tensor, axis: int) -> Tensor:
    """The inputs one after the other along one axis.

    https://onnx.ai/onnx/operators/onnx__Concat.html.  11: negative axes.
    """
    return tf.concat(inputs, axis)


def _split(scope: Scope, x: Tensor, sizes: Sequence[int] | None, count: int, axis: int) -> tuple[Tensor, ...]:
    if sizes is None:
        total = known_dimension(scope, x, axis)
        part = math.ceil(total / count)
        sizes = [min(part, total - part * i) for i in range(count)]
    return tuple(tf.split(x, list(sizes), axis))


@ops.lowers("Split", since=(18,))
def split(
    scope: Scope, input: Tensor, split: Tensor = None, *, axis: int, num_outputs: int | None
) -> tuple[Tensor, ...]:
    """Parts of the given sizes along one axis, or of equal sizes, the last one smaller.

    https://onnx.ai/onnx/operators/onnx__Split.html.  18: num_outputs.
    """
    sizes = None if split is None else integers(scope, split, "split")
    return _split(scope, input, sizes, num_outputs or len(scope.outputs), axis)


@ops.lowers("Split", since=(13,))
def split_13(scope: Scope, input: Tensor, split: Tensor = None, *, axis: int) -> tuple[Tensor, ...]:
    """Split without num_outputs.  https://onnx.ai/onnx/operators/onnx__Split.html.  13: split as an input."""
    sizes = None if split is None else integers(scope, split, "split")
    return _split(scope, input, sizes, len(scope.outputs), axis)


@ops.lowers("Split", since=(2, 11))
def split_by_attribute(
    scope: Scope, input: Tensor, *, axis: int, split: Sequence[int] | None
) -> tuple[Tensor, ...]:
    """Split with an attribute.  https://onnx.ai/onnx/operators/onnx__Split.html.  11: negative axes."""
    return _split(scope, input, split, len(scope.outputs), axis)


@ops.lowers("Slice", since=(10, 11, 13))
def slice_(
    scope: Scope, data: Tensor, starts: Tensor, ends: Tensor, axes: Tensor = None, steps: Tensor = None
) -> Tensor:
    """data[start:end:step] along each axis, as in numpy.

    https://onnx.ai/onnx/operators/onnx__Slice.html.  10: inputs in place of attributes.
    """
    count = starts.shape[0]
    chosen = range(count) if axes is None else integers(scope, axes, "axes")
    strides = [1] * count if steps is None else integers(scope, steps, "steps")
    return _sliced(data, _bounds(starts, count), _bounds(ends, count), chosen, strides)


@ops.lowers("Slice", since=(1,))
def slice_by_attribute(
    scope: Scope, data: Tensor, *, axes: Sequence[int] | None, ends: Sequence[int], starts: Sequence[int]
) -> Tensor:
    """Slice with attributes.  https://onnx.ai/onnx/operators/onnx__Slice.html"""
    chosen = range(len(starts)) if axes is None else axes
    low, high = np.array(starts, np.int64), np.array(ends, np.int64)
    n = len(starts)
    return _sliced(data, _bounds(low, n), _bounds(high, n), chosen, [1] * n)


def _bounds(values: Tensor, count: int) -> list[Tensor]:
    """Starts or ends as int32, where "to the end" is often the largest int64."""
    limit = np.iinfo(np.int32).max
    if isinstance(values, np.ndarray):
        return [int(v) for v in np.clip(values, -limit, limit)]
    clipped = tf.cast(tf.clip_by_value(tf.cast(values, tf.int64), -limit, limit), tf.int32)
    return list(tf.unstack(clipped, count))


def _sliced(
    data: Tensor, starts: list[Tensor], ends: list[Tensor], axes: Sequence[int], steps: Sequence[int]
) -> Tensor:
    slices = [slice(None)] * rank(data)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        slices[axis] = slice(start, end, step)
    data = data if isinstance(data, np.ndarray) else tf.convert_to_tensor(data)
    known = isinstance(data, np.ndarray) and all(isinstance(b, int) for b in (*starts, *ends))
    return data[tuple(slices)] if known else tf.convert_to_tensor(data)[tuple(slices)]


@ops.lowers("Shape", since=(15, 19, 21, 23, 24, 25))
def shape_(scope: Scope, data: Tensor, *, end: int | None, start: int) -> Tensor:
    """The dimensions from start to end, known wherever they are fixed.

    https://onnx.ai/onnx/operators/onnx__Shape.html.  15: start and end.
    """
    sizes = list(data.shape)[start:end]
    return tf.shape(data, tf.int64)[start:end] if None in sizes else np.array(sizes, np.int64)


@ops.lowers("Shape", since=(1, 13))
def shape_1(scope: Scope, data: Tensor) -> Tensor:
    """The dimensions.  https://onnx.ai/onnx/operators/onnx__Shape.html"""
    return shape_(scope, data, end=None, start=0)


@ops.lowers("Size", since=(1, 13, 19, 21, 23, 24, 25))
def size(scope: Scope, data: Tensor) -> Tensor:
    """The number of elements.  https://onnx.ai/onnx/operators/onnx__Size.html"""
    sizes = static_shape(data)
    return tf.size(data, tf.int64) if sizes is None else np.array(math.prod(sizes), np.int64)


@ops.lowers("Expand", since=(8, 13))
def expand(scope: Scope, input: Tensor, shape: Tensor) -> Tensor:
    """The input broadcast with a shape, in both directions.

    https://onnx.ai/onnx/operators/onnx__Expand.html
    """
    if not isinstance(shape, np.ndarray):
        target = tf.broadcast_dynamic_shape(tf.shape(input), tf.cast(shape, tf.int32))
        return tf.broadcast_to(input, target)
    return tf.broadcast_to(input, _broadcast(input, [int(n) for n in shape]))


def _broadcast(x: Tensor, target: list[int]) -> list[Any]:
    """The shape of ``x`` broadcast with another; an unknown dimension is 1 or what the other one says."""
    sizes = shape(x)
    total = max(len(sizes), len(target))
    sizes = [1] * (total - len(sizes)) + sizes
    target = [1] * (total - len(target)) + target
    return [old if new == 1 else new for old, new in zip(sizes, target, strict=True)]


@ops.lowers("Tile", since=(6, 13))
def tile(scope: Scope, input: Tensor, repeats: Tensor) -> Tensor:
    """The input repeated along each axis.  https://onnx.ai/onnx/operators/onnx__Tile.html"""
    return tf.tile(input, repeats)


def _pad(
    scope: Scope, x: Tensor, pads: Sequence[int], axes: Sequence[int] | None, mode: str, value: Tensor
) -> Tensor:
    chosen = range(rank(x)) if axes is None else axes
    n = len(pads) // 2
    sides = {normalized(a, rank(x)): (b, e) for a, b, e in zip(chosen, pads[:n], pads[n:], strict=True)}
    for axis, (before, after) in sides.items():
        if before < 0 or after < 0:  # takes away
            kept = slice(max(-before, 0), min(after, 0) or None)
            x = tf.convert_to_tensor(x)[(slice(None),) * axis + (kept,)]
    grown = {axis: (max(b, 0), max(e, 0)) for axis, (b, e) in sides.items()}
    if mode == "constant":
        widths = [grown.get(axis, (0, 0)) for axis in range(rank(x))]
        if not any(map(any, widths)):
            return tf.identity(x)
        if isinstance(value, np.ndarray):
            return tf.pad(x, widths, constant_values=value)
        inside = tf.pad(tf.ones(tf.shape(x), tf.bool), widths)  # tf.pad has no gradient of the value
        return tf.where(inside, tf.pad(x, widths), value)
    for axis, width in grown.items():
        if any(width):
            index = np.arange(known_dimension(scope, x, axis))
            x = tf.gather(x, np.pad(index, width, mode=mode), axis=axis)  # type: ignore[call-overload]
    return x


@ops.lowers("Pad", since=(18, 19, 21, 23, 24, 25))
def pad(
    scope: Scope, data: Tensor, pads: Tensor, constant_value: Tensor = None, axes: Tensor = None, *, mode: str
) -> Tensor:
    """The input with elements added, or taken away, before and after each axis.

    https://onnx.ai/onnx/operators/onnx__Pad.html.  18: axes.  19: mode wrap.
    """
    value = np.array(0, dtype(data).as_numpy_dtype)
    if constant_value is not None:
        known = isinstance(constant_value, np.ndarray)
        value = constant_value.reshape(()) if known else tf.reshape(constant_value, [])
    chosen = None if axes is None else integers(scope, axes, "axes")
    return _pad(scope, data, integers(scope, pads, "pads"), chosen, mode, value)


@ops.lowers("Pad", since=(11, 13))
def pad_11(scope: Scope, data: Tensor, pads: Tensor, constant_value: Tensor = None, *, mode: str) -> Tensor:
    """Pad of all axes.  https://onnx.ai/onnx/operators/onnx__Pad.html.  11: pads as an input."""
    return pad(scope, data, pads, constant_value, mode=mode)


@ops.lowers("Pad", since=(2,))
def pad_by_attribute(scope: Scope, data: Tensor, *, mode: str, pads: Sequence[int], value: float) -> Tensor:
    """Pad with attributes.  https://onnx.ai/onnx/operators/onnx__Pad.html"""
    return _pad(scope, data, pads, None, mode, value)


@ops.lowers("Range", since=(11,))
def range_(scope: Scope, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """start, start + delta, ... before limit.  https://onnx.ai/onnx/operators/onnx__Range.html"""
    if all(isinstance(v, np.ndarray) for v in (start, limit, delta)):
        count = max(math.ceil((limit.item() - start.item()) / delta.item()), 0)
        return (start + np.arange(count) * delta).astype(start.dtype)
    start, limit, delta = (tf.reshape(v, []) for v in (start, limit, delta))
    if start.dtype.is_integer:
        return tf.range(start, limit, delta)
    steps = tf.range(tf.shape(tf.range(start, limit, delta))[0])  # tf.range itself has no gradient
    return start + tf.cast(steps, start.dtype) * delta


@ops.lowers("Range", since=(27,))
def range_27(scope: Scope, start: Tensor, limit: Tensor, delta: Tensor, *, stash_type: int) -> Tensor:
    """Range computed in another precision.  https://onnx.ai/onnx/operators/onnx__Range.html"""
    return range_(scope, start, limit, delta)


@ops.lowers("DepthToSpace", since=(1, 11, 13, 28), layout="NHWC")
def depth_to_space(scope: Scope, input: Tensor, *, blocksize: int, mode: str) -> Tensor:
    """Channels moved into blocks of pixels; mode DCR: the block comes first in the channels, CRD: last.

    https://onnx.ai/onnx/operators/onnx__DepthToSpace.html.  11: mode.
    """
    batch, height, width, channels = shape(input)
    b, depth = blocksize, channels // blocksize**2
    if mode == "DCR":
        y = tf.transpose(tf.reshape(input, [batch, height, width, b, b, depth]), [0, 1, 3, 2, 4, 5])
    else:
        y = tf.transpose(tf.reshape(input, [batch, height, width, depth, b, b]), [0, 1, 4, 2, 5, 3])
    return tf.reshape(y, [batch, height * b, width * b, depth])


@ops.lowers("SpaceToDepth", since=(1, 13, 28), layout="NHWC")
def space_to_depth(scope: Scope, input: Tensor, *, blocksize: int, mode: str) -> Tensor:
    """The inverse of DepthToSpace.  https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html.  28: mode."""
    batch, height, width, channels = shape(input)
    b = blocksize
    blocks = tf.reshape(input, [batch, height // b, b, width // b, b, channels])
    order = [0, 1, 3, 2, 4, 5] if mode == "DCR" else [0, 1, 3, 5, 2, 4]
    return tf.reshape(tf.transpose(blocks, order), [batch, height // b, width // b, channels * b**2])
