"""Selection by index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk._pick import reversed_along
from neuromatic.converters.cntk._products import times_along
from neuromatic.converters.cntk.graph import HostValue, Moment, Tensor, Value
from neuromatic.converters.cntk.linear import product
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope

MOST_SLICES = 16
"""More single elements than this are taken by a product with a 0/1 matrix."""


@ops.lowers("Gather", since=(1, 11, 13))
def gather(scope: Scope, data: Value, indices: Value, *, axis: int) -> Tensor:
    """data.take(indices, axis).

    https://onnx.ai/onnx/operators/onnx__Gather.html.  11: negative indices.
    """
    graph = scope.context.graph
    x = ck.tensor(data, graph)
    axis %= x.rank
    if isinstance(indices, HostValue):
        indices = ck.tensor(indices, graph)
    if isinstance(indices, np.ndarray):
        return _picked(x, indices, axis)
    if x.batch is None:
        return _looked_up(x, indices, axis)
    if indices.batch is not None:
        raise ck.CannotRecordError("data and indices that both have the batch")
    hot = ck.transpose(_hot(ck.reshape(indices, [_count(indices)]), _size(x, axis)), (1, 0))
    return _shaped(times_along(x, axis, ck.with_dtype(hot, x.dtype)), x, indices.shape, axis)


def _size(x: Tensor, axis: int) -> int:
    size = x.shape[axis]
    if size is None:
        raise ck.CannotRecordError("indices into the batch")
    return size


def _count(x: Tensor) -> int:
    return int(np.prod(x.static, dtype=int))


def _shaped(y: Tensor, x: Tensor, indices: Sequence[int | None], axis: int) -> Tensor:
    """Elements picked along an axis, with that axis in the shape of the indices."""
    return ck.reshape(y, [*x.shape[:axis], *indices, *x.shape[axis + 1 :]])


def _picked(x: Tensor, indices: NDArray[np.integer], axis: int) -> Tensor:
    """Elements at constant places: a slice where they are evenly spaced, else slices or a product."""
    size = _size(x, axis)
    places = np.where(indices < 0, indices + size, indices).ravel()
    if places.size == 0 or places.min() < 0 or places.max() >= size:
        raise ck.CannotRecordError(f"indices {indices.tolist()} into {size} elements")
    steps = np.unique(np.diff(places))
    if len(steps) == 0 or (len(steps) == 1 and steps[0] > 0):
        step = int(steps[0]) if len(steps) else 1
        y = ck.slice_axis(x, axis, int(places[0]), int(places[-1]) + 1, step)
    elif len(places) <= MOST_SLICES:
        y = ck.concat([ck.slice_axis(x, axis, int(i), int(i) + 1) for i in places], axis)
    else:
        matrix = (np.arange(size)[:, None] == places).astype(np.float32)
        y = times_along(x, axis, x.graph.constant(matrix))
    return _shaped(y, x, indices.shape, axis)


def _from_front(indices: Tensor, size: int) -> Tensor:
    """Indices counted from the front, where negative ones count from the end."""
    negative = ck.binary("less", indices, ck.number(0.0))
    return ck.select(negative, ck.shifted(indices, float(size)), indices)


def _looked_up(table: Tensor, indices: Tensor, axis: int) -> Tensor:
    """Rows of a table that is the same for all rows of the batch, at places that data say.

    CNTK would read, and in the gradient write, outside the table: places are kept inside.
    """
    size = _size(table, axis)
    places = ck.binary("element_max", _from_front(indices, size), ck.number(0.0))
    places = ck.binary("element_min", places, ck.number(float(size - 1)))
    rest = [i for i in range(table.rank) if i != axis]
    rows = ck.transpose(table, [axis, *rest])
    # The gradient of CNTK's gather is wrong without a batch.
    lone = places.batch is None
    batched = places if not lone else ck.in_batches(ck.reshape(places, [_count(places)]))
    y = table.graph.add("gather", [rows, batched], [*batched.shape, *rows.static[1:]], table.dtype, axis=0)
    if lone:
        y = ck.reshape(
            ck.as_before(y, ck.reshape(places, [_count(places)])), [*places.shape, *rows.static[1:]]
        )
    n = indices.rank
    return ck.transpose(y, [*range(n, n + axis), *range(n), *range(n + axis, y.rank)])


def _hot(places: Tensor, size: int) -> Tensor:
    """1 at each place along a new last axis, 0 elsewhere; 0 alone for places out of range."""
    numbers = np.arange(size, dtype=np.float32)
    return ck.binary("equal", ck.expand_dims(_from_front(places, size), [-1]), numbers, np.float32)


@ops.lowers("GatherElements", since=(11, 13))
def gather_elements(scope: Scope, data: Value, indices: Value, *, axis: int) -> Tensor:
    """numpy.take_along_axis(data, indices, axis).

    https://onnx.ai/onnx/operators/onnx__GatherElements.html
    """
    graph = scope.context.graph
    x, places = ck.tensor(data, graph), ck.tensor(indices, graph)
    axis %= x.rank
    size = _size(x, axis)
    for i, (n, m) in enumerate(zip(places.shape, x.shape, strict=True)):
        if i != axis and n is not None and m is not None:
            x = ck.slice_axis(x, i, 0, n)
    candidates = ck.transpose(ck.expand_dims(x, [x.rank]), _swapped(x.rank, axis))
    chosen = ck.select(_hot(places, size), candidates, ck.number(0.0))
    return ck.with_dtype(ck.reduce("reduce_sum", chosen, [-1], keepdims=False), x.dtype)


@ops.lowers("GatherND", since=(11, 12, 13))
def gather_nd(scope: Scope, data: Value, indices: Value, *, batch_dims: int) -> Tensor:
    """data[indices[..., 0], indices[..., 1], ...], after ``batch_dims`` axes that both have.

    Of data that are the same for all rows; at places of the batch only if they are constant.
    https://onnx.ai/onnx/operators/onnx__GatherND.html.  12: batch_dims.
    """
    graph = scope.context.graph
    x, places = ck.tensor(data, graph), ck.tensor(indices, graph)
    depth = places.shape[-1]
    constant = isinstance(indices, np.ndarray) and not batch_dims
    if constant and None not in x.shape[:depth]:
        return _picked_nd(x, ck.array(indices, "places"))
    if batch_dims or x.batch is not None or depth is None:
        raise ck.CannotRecordError("places in each row of the batch")
    sizes, rest = x.static[:depth], x.static[depth:]
    last, number = places.rank - 1, None
    for i, size in enumerate(sizes):
        one = _from_front(ck.squeeze(ck.slice_axis(places, last, i, i + 1), [last]), size)
        number = one if number is None else ck.plus(ck.scaled(number, float(size)), one)
    assert number is not None
    return _looked_up(ck.reshape(x, [int(np.prod(sizes)), *rest]), number, 0)


def _picked_nd(x: Tensor, indices: NDArray[np.integer]) -> Tensor:
    """Elements of the first axes at constant places."""
    depth = indices.shape[-1]
    sizes = [n or 0 for n in x.shape[:depth]]
    flat = np.where(indices < 0, indices + sizes, indices) @ np.cumprod([1, *sizes[:0:-1]])[::-1]
    y = _picked(ck.reshape(x, [int(np.prod(sizes)), *x.shape[depth:]]), flat.ravel(), 0)
    return ck.reshape(y, [*indices.shape[:-1], *x.shape[depth:]])


@ops.lowers("ReverseSequence", since=(10, 28))
def reverse_sequence(
    scope: Scope, input: Value, sequence_lens: Value, *, batch_axis: int, time_axis: int
) -> Tensor:
    """Each row backwards in time as far as its sequence goes, and the rest as it is.

    https://onnx.ai/onnx/operators/onnx__ReverseSequence.html.  28: more types.
    """
    x = ck.tensor(input, scope.context.graph)
    size = _size(x, time_axis)
    if not isinstance(sequence_lens, Tensor):
        few = [v.at(Moment(n)) if isinstance(v := sequence_lens, HostValue) else v for n in (2, 3)]
        if all((np.asarray(lengths) == size).all() for lengths in few):
            return reversed_along(x, time_axis)
    lengths = ck.tensor(sequence_lens, scope.context.graph)
    if x.batch not in (None, batch_axis):
        raise ck.CannotRecordError("sequences along the batch")
    count = x.shape[batch_axis]
    numbers = np.arange(size, dtype=np.float32)
    ends = ck.reshape(lengths, [count, 1])
    backward = ck.shifted(ck.minus(ends, numbers), -1.0)
    places = ck.select(ck.binary("less", numbers, ends), backward, numbers)
    order = [batch_axis, time_axis, *(i for i in range(x.rank) if i not in (batch_axis, time_axis))]
    rows = ck.transpose(x, order)
    width = int(np.prod([n or 1 for n in rows.shape[2:]], dtype=int))
    flat = ck.reshape(rows, [count, size, width])
    turned = product(ck.with_dtype(_hot(places, size), x.dtype), flat)
    return ck.transpose(ck.reshape(turned, rows.shape), [order.index(i) for i in range(x.rank)])


@ops.lowers("Compress", since=(9, 11, 28))
def compress(scope: Scope, input: Value, condition: Value, *, axis: int | None) -> Tensor:
    """The elements along an axis, or of all, where a constant condition holds.

    https://onnx.ai/onnx/operators/onnx__Compress.html.  11: negative axes.
    """
    x = ck.tensor(input, scope.context.graph)
    if axis is None:
        x, axis = ck.reshape(x, [_count(x)]), 0
    chosen = np.flatnonzero(ck.array(condition, "the condition"))
    return _picked(x, chosen, axis % x.rank)


def _swapped(rank: int, axis: int) -> list[int]:
    """The order of axes with ``axis`` and the last, which is one more, exchanged."""
    order = list(range(rank + 1))
    order[axis], order[rank] = rank, axis
    return order


@ops.lowers("OneHot", since=(9, 11, 28))
def one_hot(scope: Scope, indices: Value, depth: Value, values: Value, *, axis: int) -> Tensor:
    """values[1] at the index along a new axis of size depth, values[0] elsewhere.

    https://onnx.ai/onnx/operators/onnx__OneHot.html.  11: negative indices.
    """
    graph = scope.context.graph
    places, size = ck.tensor(indices, graph), int(ck.array(depth, "depth").item())
    axis %= places.rank + 1
    index = ck.expand_dims(_from_front(places, size), [axis])
    numbers = np.arange(size, dtype=np.float32).reshape([size] + [1] * (places.rank - axis))
    hot = ck.binary("equal", index, numbers, np.float32)
    if isinstance(values, np.ndarray) and values.tolist() == [0, 1]:
        return ck.with_dtype(hot, values.dtype)
    pair = ck.tensor(values, graph)
    off, on = (ck.squeeze(ck.slice_axis(pair, 0, i, i + 1), [0]) for i in range(2))
    return ck.select(hot, on, off)
