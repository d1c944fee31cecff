"""Shape, order and size of tensors. The batch, which CNTK keeps apart, must stay one whole axis."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk._pick import picked
from neuromatic.converters.cntk._shapes import integers, multiples, shape_value, sizes
from neuromatic.converters.cntk.graph import HostValue, Tensor, Value
from neuromatic.converters.cntk.merged import Merged, split_batch
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope


@ops.lowers("Reshape", since=(5, 13, 14, 19, 21, 23, 24, 25))
def reshape(scope: Scope, data: Value, shape: Value, *, allowzero: int) -> Tensor | Merged:
    """The elements in another shape; -1 is the rest, 0 copies the dimension unless allowzero.

    https://onnx.ai/onnx/operators/onnx__Reshape.html.  14: allowzero.
    """
    x = ck.tensor(data, scope.context.graph)
    target, factors = multiples(shape, "the new shape")
    if not allowzero:
        target = [x.shape[i] if n == 0 else n for i, n in enumerate(target)]
    return split_batch(x, _without_rest(x, target, factors), factors)


def _without_rest(x: Tensor, target: Sequence[int | None], factors: dict[int, int]) -> list[int | None]:
    """A target with -1 replaced by the size that is left, or by the batch times what is left of each row.

    Args:
        factors: by how much the batch is multiplied, by place; gets that of -1.
    """
    found = list(target)
    if -1 not in found:
        return found
    given = math.prod(n for n in found if n is not None and n != -1) * math.prod(factors.values())
    rest = math.prod(x.static) // max(given, 1)
    waits_for_batch = x.batch is not None and None not in found
    if waits_for_batch and rest != 1:
        factors[found.index(-1)] = rest
    found[found.index(-1)] = None if waits_for_batch else rest
    return found


@ops.lowers("Flatten", since=(1, 9, 11, 13, 21, 23, 24, 25))
def flatten(scope: Scope, input: Tensor, *, axis: int) -> Tensor | Merged:
    """A matrix: dimensions before ``axis`` are rows, the others columns.

    https://onnx.ai/onnx/operators/onnx__Flatten.html.  9: all types.  11: negative axes.
    """
    axis = axis + input.rank if axis < 0 else axis
    parts: list[int | None] = []
    factors: dict[int, int] = {}
    for i, part in enumerate((input.shape[:axis], input.shape[axis:])):
        known = math.prod(n for n in part if n is not None)
        if None in part and known != 1:
            factors[i] = known
        parts.append(None if None in part else known)
    return split_batch(input, parts, factors)


@ops.lowers("Transpose", since=(1, 13, 21, 23, 24, 25))
def transpose(scope: Scope, data: Tensor, *, perm: Sequence[int] | None) -> Tensor:
    """The dimensions in another order, by default reversed.

    https://onnx.ai/onnx/operators/onnx__Transpose.html
    """
    return ck.transpose(data, range(data.rank)[::-1] if perm is None else perm)


def _squeeze(data: Tensor, axes: Sequence[int] | None) -> Tensor:
    return ck.squeeze(data, [i for i, n in enumerate(data.shape) if n == 1] if axes is None else axes)


@ops.lowers("Squeeze", since=(13, 21, 23, 24, 25))
def squeeze(scope: Scope, data: Value, axes: Value | None = None) -> Tensor:
    """Without the given dimensions of size 1, or all of them.

    https://onnx.ai/onnx/operators/onnx__Squeeze.html.  13: axes as an input.
    """
    x = ck.tensor(data, scope.context.graph)
    return _squeeze(x, None if axes is None else integers(axes, "axes"))


@ops.lowers("Squeeze", since=(1, 11))
def squeeze_by_attribute(scope: Scope, data: Tensor, *, axes: Sequence[int] | None) -> Tensor:
    """Squeeze with an attribute.  https://onnx.ai/onnx/operators/onnx__Squeeze.html.  11: negative axes."""
    return _squeeze(data, axes)


@ops.lowers("Unsqueeze", since=(13, 21, 23, 24, 25))
def unsqueeze(scope: Scope, data: Value, axes: Value) -> Tensor:
    """With dimensions of size 1 put in, counted in the result.

    https://onnx.ai/onnx/operators/onnx__Unsqueeze.html.  13: axes as an input.
    """
    return ck.expand_dims(ck.tensor(data, scope.context.graph), integers(axes, "axes"))


@ops.lowers("Unsqueeze", since=(1, 11))
def unsqueeze_by_attribute(scope: Scope, data: Tensor, *, axes: Sequence[int]) -> Tensor:
    """Unsqueeze with an attribute.  https://onnx.ai/onnx/operators/onnx__Unsqueeze.html"""
    return ck.expand_dims(data, axes)


@ops.lowers("Concat", since=(4, 11, 13))
def concat(scope: Scope, *inputs: Value, axis: int) -> Tensor:
    """The inputs one after the other along one axis.

    https://onnx.ai/onnx/operators/onnx__Concat.html.  11: negative axes.
    """
    some = [x for x in inputs if not (isinstance(x, np.ndarray) and x.size == 0)]
    return ck.concat([ck.tensor(x, scope.context.graph) for x in some], axis)


def _split(x: Tensor, parts: Sequence[int] | None, count: int, axis: int) -> tuple[Value, ...]:
    """Parts; one without elements is a constant, which Concat leaves out."""
    total = x.shape[axis]
    if total is None:
        raise ck.CannotRecordError("splitting the batch")
    if parts is None:
        part = math.ceil(total / count)
        parts = [min(part, total - part * i) for i in range(count)]
    starts = np.concatenate([[0], np.cumsum(parts)]).tolist()
    empty = np.zeros([0 if i == axis % x.rank else n or 1 for i, n in enumerate(x.shape)], x.dtype)
    return tuple(picked(x, axis, range(a, b)) if b > a else empty for a, b in itertools.pairwise(starts))


@ops.lowers("Split", since=(18,))
def split(
    scope: Scope, input: Value, split: Value | None = None, *, axis: int, num_outputs: int | None
) -> tuple[Value, ...]:
    """Parts of the given sizes along one axis, or of equal sizes, the last one smaller.

    https://onnx.ai/onnx/operators/onnx__Split.html.  18: num_outputs.
    """
    parts = None if split is None else integers(split, "split")
    return _split(ck.tensor(input, scope.context.graph), parts, num_outputs or len(scope.outputs), axis)


@ops.lowers("Split", since=(13,))
def split_13(scope: Scope, input: Tensor, split: Value | None = None, *, axis: int) -> tuple[Value, ...]:
    """Split without num_outputs.  https://onnx.ai/onnx/operators/onnx__Split.html.  13: split as an input."""
    parts = None if split is None else integers(split, "split")
    return _split(ck.tensor(input, scope.context.graph), parts, len(scope.outputs), axis)


@ops.lowers("Split", since=(2, 11))
def split_by_attribute(
    scope: Scope, input: Tensor, *, axis: int, split: Sequence[int] | None
) -> tuple[Value, ...]:
    """Split with an attribute.  https://onnx.ai/onnx/operators/onnx__Split.html.  11: negative axes."""
    return _split(input, split, len(scope.outputs), axis)


@ops.lowers("Slice", since=(10, 11, 13))
def slice_(
    scope: Scope,
    data: Value,
    starts: Value,
    ends: Value,
    axes: Value | None = None,
    steps: Value | None = None,
) -> Tensor:
    """data[start:end:step] along each axis, as in numpy.

    https://onnx.ai/onnx/operators/onnx__Slice.html.  10: inputs in place of attributes.
    """
    first, last = integers(starts, "starts"), sizes(ends, "ends")
    chosen = range(len(first)) if axes is None else integers(axes, "axes")
    strides = [1] * len(first) if steps is None else integers(steps, "steps")
    return _sliced(ck.tensor(data, scope.context.graph), first, last, chosen, strides)


@ops.lowers("Slice", since=(1,))
def slice_by_attribute(
    scope: Scope, data: Tensor, *, axes: Sequence[int] | None, ends: Sequence[int], starts: Sequence[int]
) -> Tensor:
    """Slice with attributes.  https://onnx.ai/onnx/operators/onnx__Slice.html"""
    return _sliced(data, starts, ends, axes or range(len(starts)), [1] * len(starts))


def _sliced(
    x: Tensor, starts: Sequence[int], ends: Sequence[int | None], axes: Sequence[int], steps: Sequence[int]
) -> Tensor:
    """An end of None is the batch size."""
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = x.shape[axis]
        if size is None:
            if (start, step) != (0, 1) or (end is not None and end < np.iinfo(np.int32).max):
                raise ck.CannotRecordError("slicing the batch")
        elif end is None:
            raise ck.CannotRecordError("a slice as long as the batch")
        else:
            x = picked(x, axis, range(size)[start:end:step])
    return x


@ops.lowers("Shape", since=(15, 19, 21, 23, 24, 25))
def shape_(scope: Scope, data: Tensor, *, end: int | None, start: int) -> Value:
    """The dimensions from start to end, known except for the batch.

    https://onnx.ai/onnx/operators/onnx__Shape.html.  15: start and end.
    """
    whole = shape_value(data)
    if isinstance(whole, np.ndarray):
        return whole[start:end]
    assert isinstance(whole, HostValue)
    return HostValue(lambda moment: whole.at(moment)[start:end])


@ops.lowers("Shape", since=(1, 13))
def shape_1(scope: Scope, data: Tensor) -> Value:
    """The dimensions.  https://onnx.ai/onnx/operators/onnx__Shape.html"""
    return shape_value(data)


@ops.lowers("Size", since=(1, 13, 19, 21, 23, 24, 25))
def size(scope: Scope, data: Tensor) -> Value:
    """The number of elements.  https://onnx.ai/onnx/operators/onnx__Size.html"""
    known = math.prod(data.static)
    if data.batch is None:
        return np.array(known, np.int64)
    return HostValue(lambda moment: np.array(known * moment.batch, np.int64))


@ops.lowers("DepthToSpace", since=(1, 11, 13, 28))
def depth_to_space(scope: Scope, input: Tensor, *, blocksize: int, mode: str) -> Tensor:
    """Channels moved into blocks of pixels; mode DCR: the block comes first in the channels, CRD: last.

    https://onnx.ai/onnx/operators/onnx__DepthToSpace.html.  11: mode.
    """
    batch, channels, height, width = _image(input)
    b, depth = blocksize, channels // blocksize**2
    if mode == "DCR":
        y = ck.transpose(ck.reshape(input, [batch, b, b, depth, height, width]), [0, 3, 4, 1, 5, 2])
    else:
        y = ck.transpose(ck.reshape(input, [batch, depth, b, b, height, width]), [0, 1, 4, 2, 5, 3])
    return ck.reshape(y, [batch, depth, height * b, width * b])


@ops.lowers("SpaceToDepth", since=(1, 13, 28))
def space_to_depth(scope: Scope, input: Tensor, *, blocksize: int, mode: str) -> Tensor:
    """The inverse of DepthToSpace.  https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html.  28: mode."""
    batch, channels, height, width = _image(input)
    b = blocksize
    blocks = ck.reshape(input, [batch, channels, height // b, b, width // b, b])
    y = ck.transpose(blocks, [0, 3, 5, 1, 2, 4] if mode == "DCR" else [0, 1, 3, 5, 2, 4])
    return ck.reshape(y, [batch, channels * b**2, height // b, width // b])


def _image(x: Tensor) -> tuple[int | None, int, int, int]:
    """The four sizes of a stack of images."""
    if x.batch not in (None, 0):
        raise ck.CannotRecordError("a batch that is not the first axis")
    channels, height, width = x.static[-3:]
    return x.shape[0], channels, height, width


@ops.lowers("Trilu", since=(14,))
def trilu(scope: Scope, input: Value, k: Value | None = None, *, upper: int) -> Tensor:
    """The matrix from, or up to, its k-th diagonal, 0 elsewhere.

    https://onnx.ai/onnx/operators/onnx__Trilu.html
    """
    x = ck.tensor(input, scope.context.graph)
    rows, columns = x.shape[-2:]
    if rows is None or columns is None:
        raise ck.CannotRecordError("a diagonal that runs through the batch")
    diagonal = integers(k, "k")[0] if k is not None else 0
    offset = np.arange(columns) - np.arange(rows)[:, None]
    kept = offset >= diagonal if upper else offset <= diagonal
    return ck.select(kept, x, ck.number(0.0))
