"""CNTK's operations on recorded tensors, with ONNX' shapes and broadcasting; what lowerings are written in.

Each function takes tensors (or arrays, which become constants), finds the shape of the result and records
one call or a few. All refuse what would need the batch axis as an ordinary one, since CNTK keeps batches
apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromatic.converters.cntk.graph import Graph, HostValue, Moment, Shape, Tensor, Value

Array = NDArray[Any]


class CannotRecordError(Exception):
    """CNTK cannot do this; the message says what. The caller knows the node."""


def graph_of(*values: Any) -> Graph:
    """The graph of the first tensor among some values."""
    return next(v.graph for v in values if isinstance(v, Tensor))


def tensor(value: Value, graph: Graph) -> Tensor:
    """A value as a tensor of a graph."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, HostValue):
        return _fed(value, graph)
    if value.size == 0:
        raise CannotRecordError("a tensor without elements")
    if value.dtype.kind in "OUS":
        raise CannotRecordError("strings")
    return graph.constant(value)


def _fed(value: HostValue, graph: Graph) -> Tensor:
    """A value of the host as a tensor; if the batch size is in its shape, all its rows must be equal."""
    some = [np.asarray(value.at(Moment(n))) for n in (2, 3)]
    if some[0].shape == some[1].shape:
        return graph.feed(value)
    later = value.at(Moment(3, step=7, learning_rate=0.5))
    sizes = list(zip(*(a.shape for a in some), strict=False))
    if some[0].ndim != some[1].ndim or any(m != n and (m, n) != (2, 3) for m, n in sizes):
        raise CannotRecordError("a shape that does arithmetic with the batch size")
    if sum(m != n for m, n in sizes) > 1:
        raise CannotRecordError("a shape that has the batch size twice")
    axis = sizes.index((2, 3))
    row = np.take(some[0], [0], axis)
    if not all(np.array_equal(a, np.broadcast_to(row, a.shape)) for a in (*some, later)):
        raise CannotRecordError("rows that are not equal, made from the batch size")
    return repeated_for_batch(graph.constant(row), axis)


def array(value: Value, what: str) -> Array:
    """A constant.

    Raises:
        CannotRecordError: it is computed from data, or changes from step to step.
    """
    if isinstance(value, np.ndarray):
        return value
    raise CannotRecordError(f"{what} must be constant")


# -- shapes ----------------------------------------------------------------------------------------


def reshape(x: Tensor, shape: Sequence[int | None]) -> Tensor:
    """``x`` with another shape of as many elements; the batch, if any, may be elsewhere but must stay whole.

    The elements before the batch axis, in row-major order, must stay before it.
    """
    shape = tuple(shape)
    if shape == x.shape:
        return x
    if (None in shape) != (x.batch is not None):
        raise CannotRecordError(
            f"reshaping {_text(x.shape)} to {_text(shape)} mixes the batch with other axes"
        )
    static = tuple(size for size in shape if size is not None)
    if prod(static) != prod(x.static):
        raise CannotRecordError(f"{_text(x.shape)} does not fit {_text(shape)}")
    if x.batch is not None and prod(_known(x.shape[: x.batch])) != prod(_known(shape[: shape.index(None)])):
        raise CannotRecordError(
            f"reshaping {_text(x.shape)} to {_text(shape)} moves the batch among other axes"
        )
    if static == x.static:
        return _renamed(x, shape)
    return x.graph.add("reshape", [x], shape, to=static)


def _renamed(x: Tensor, shape: Shape) -> Tensor:
    """The same value with its batch axis elsewhere in ONNX' shape."""
    return Tensor(x.graph, x.register, shape, x.dtype, x.stage, x.cell)


def with_dtype(x: Tensor, dtype: Any) -> Tensor:
    """The same value under another type of ONNX."""
    return Tensor(x.graph, x.register, x.shape, np.dtype(dtype), x.stage, x.cell)


def _known(shape: Sequence[int | None]) -> list[int]:
    return [size for size in shape if size is not None]


def _text(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("batch" if size is None else str(size) for size in shape) + ")"


def transpose(x: Tensor, perm: Sequence[int]) -> Tensor:
    """``x`` with its axes in the order ``perm``."""
    perm = [p % x.rank for p in perm]
    shape = [x.shape[p] for p in perm]
    static = [axis for axis in (x.axis(p) for p in perm) if axis is not None]
    if static == sorted(static):
        return _renamed(x, tuple(shape))
    groups = _neighbours(static)
    if len(groups) > MOST_GROUPS:
        return _moved_in_turn(x, groups, tuple(shape))
    return x.graph.add("transpose", [x], shape, perm=static)


MOST_GROUPS = 4
"""CNTK exchanges so many axes at once, counted without the batch, and neighbours that stay so as one."""


def _neighbours(perm: Sequence[int]) -> list[list[int]]:
    """An order of axes in pieces, of axes that follow each other before and after."""
    found: list[list[int]] = []
    for axis in perm:
        if found and found[-1][-1] + 1 == axis:
            found[-1].append(axis)
        else:
            found.append([axis])
    return found


def _moved_in_turn(x: Tensor, groups: list[list[int]], shape: Shape) -> Tensor:
    """``x`` with groups of its axes in this order: one after the other is moved to the front."""
    lead: list[int | None] = [None] if x.batch is not None else []
    sizes = {group[0]: prod(x.static[axis] for axis in group) for group in groups}
    order, y = sorted(sizes), _renamed(x, (*lead, *x.static))
    for front in [group[0] for group in reversed(groups)]:
        place = order.index(front)
        if place:
            before, after = (prod(sizes[g] for g in part) for part in (order[:place], order[place + 1 :]))
            y = reshape(y, [*lead, before, sizes[front], after])
            y = y.graph.add("transpose", [y], [*lead, sizes[front], before, after], perm=[1, 0, 2])
            order.insert(0, order.pop(place))
    return _renamed(reshape(y, [*lead, *(x.static[axis] for group in groups for axis in group)]), shape)


def expand_dims(x: Tensor, axes: Sequence[int]) -> Tensor:
    """``x`` with axes of size 1 so that they stand at ``axes`` of the result."""
    rank = x.rank + len(axes)
    new = {axis % rank for axis in axes}
    old = iter(x.shape)
    return reshape(x, [1 if i in new else next(old) for i in range(rank)])


def squeeze(x: Tensor, axes: Sequence[int]) -> Tensor:
    """``x`` without some axes, which are of size 1."""
    gone = {axis % x.rank for axis in axes}
    if any(x.shape[axis] != 1 for axis in gone):
        raise CannotRecordError(f"axes {sorted(gone)} of {_text(x.shape)} are not of size 1")
    return reshape(x, [size for i, size in enumerate(x.shape) if i not in gone])


def slice_axis(x: Tensor, axis: int, begin: int, end: int, step: int = 1) -> Tensor:
    """Elements ``begin`` to before ``end`` of an axis, with 0 <= begin < end <= size and a positive step."""
    place, size = _place(x, axis, "slicing"), x.shape[axis]
    if (begin, end, step) == (0, size, 1):
        return x
    shape = list(x.shape)
    shape[axis] = -(-(end - begin) // step)
    last = 0 if end == size else end  # 0: up to the end
    return x.graph.add("slice", [x], shape, axis=place, begin=begin, end=last, stride=step)


def concat(xs: Sequence[Tensor], axis: int) -> Tensor:
    """Tensors of equal shapes but for ``axis``, one after the other along it."""
    if len(xs) == 1:
        return xs[0]
    graph, rank = graph_of(*xs), xs[0].rank
    axis %= rank
    xs = equally_batched(xs)
    place = _place(xs[0], axis, "concatenating")
    shape = list(xs[0].shape)
    shape[axis] = sum(x.shape[axis] or 0 for x in xs)
    return graph.add("splice", xs, shape, axis=place)


def equally_batched(xs: Sequence[Tensor]) -> list[Tensor]:
    """Tensors of one rank, all with the batch where one has it; those without are repeated for each row."""
    batched = next((x for x in xs if x.batch is not None), None)
    if batched is None:
        return list(xs)
    found = []
    for x in xs:
        if x.batch is None:
            x = broadcast_to_batch(x, batched)
        if x.batch != batched.batch:
            raise CannotRecordError("the batch is a different axis of each input")
        found.append(x)
    return found


def broadcast_to_batch(x: Tensor, like: Tensor) -> Tensor:
    """``x``, which has size 1 in the place of the batch of ``like``, once for each row."""
    assert like.batch is not None
    if x.shape[like.batch] != 1:
        raise CannotRecordError(f"{_text(x.shape)} has a fixed size in place of the batch")
    inner = reshape(x, [size for i, size in enumerate(x.shape) if i != like.batch])
    shape = list(x.shape)
    shape[like.batch] = None
    zeros = reshape(_zeros(like), [None, *[1] * len(inner.static)])
    return _renamed(binary("plus", with_dtype(zeros, x.dtype), _lead(inner)), tuple(shape))


def repeated_for_batch(x: Tensor, axis: int) -> Tensor:
    """``x``, which has size 1 at an axis, once for each row of the data, with the batch there."""
    data = next((t for t in x.graph.inputs.values() if t.batch is not None), None)
    if data is None:
        raise CannotRecordError("a batch size without data that have it")
    rank = x.rank
    like = reshape(_zeros(data), [None if i == axis % rank else 1 for i in range(rank)])
    return broadcast_to_batch(x, like)


def _zeros(like: Tensor) -> Tensor:
    """0 for each row of a batch; by a comparison of one element, which has no gradient and is never NaN."""
    key = ("zeros", like.register)
    if key not in like.graph.memo:
        one = like
        for axis, size in enumerate(like.shape):
            if size is not None:
                one = slice_axis(one, axis, 0, 1)
        one = reshape(one, [None])
        like.graph.memo[key] = binary("less", one, one, np.float32)
    found: Tensor = like.graph.memo[key]
    return found


def _lead(x: Tensor) -> Tensor:
    return reshape(x, [1, *x.shape])


def _place(x: Tensor, axis: int, doing: str) -> int:
    place = x.axis(axis)
    if place is None:
        raise CannotRecordError(f"{doing} along the batch axis {axis} of {_text(x.shape)}")
    return place


def pad(x: Tensor, pads: Sequence[tuple[int, int]], mode: str = "constant", value: float = 0.0) -> Tensor:
    """``x`` with (before, after) elements around each of its axes.

    Args:
        mode: ``constant``, ``reflect`` or ``edge`` are ONNX' names; CNTK has the first two.
    """
    if not any(before or after for before, after in pads):
        return x
    if x.batch is not None and any(pads[x.batch]):
        raise CannotRecordError("padding the batch axis")
    number = {"constant": 0, "reflect": 1}[mode]
    shape = [None if size is None else size + sum(p) for size, p in zip(x.shape, pads, strict=True)]
    pattern = [list(p) for i, p in enumerate(pads) if i != x.batch]
    return x.graph.add("pad", [x], shape, pattern=pattern, mode=number, value=float(value))


# -- elementwise -----------------------------------------------------------------------------------


def unary(name: str, x: Tensor, **arguments: float) -> Tensor:
    """An elementwise function."""
    return x.graph.add(name, [x], x.shape, **arguments)


def broadcast(*values: Value) -> tuple[list[Tensor], Shape]:
    """Tensors that CNTK broadcasts as ONNX would, and the shape of the result in ONNX."""
    graph = graph_of(*values)
    xs = [tensor(v, graph) for v in values]
    rank = max(x.rank for x in xs)
    places = {rank - x.rank + x.batch for x in xs if x.batch is not None}
    if len(places) > 1:
        raise CannotRecordError(
            f"broadcasting {' with '.join(_text(x.shape) for x in xs)} mixes the batch with others"
        )
    shape: list[int | None] = []
    for axis in range(rank):
        sizes = [x.shape[axis - rank + x.rank] for x in xs if axis - rank + x.rank >= 0]
        if None in sizes:
            if any(size not in (None, 1) for size in sizes):
                raise CannotRecordError(
                    f"{' with '.join(_text(x.shape) for x in xs)}: a fixed size meets the batch"
                )
            shape.append(None)
        else:
            shape.append(max((s for s in sizes if s is not None and s != 1), default=1))
    batch = next(iter(places), None)
    if batch is not None:
        xs = [_without_axis(x, batch - rank + x.rank) for x in xs]
    return xs, tuple(shape)


def _without_axis(x: Tensor, axis: int) -> Tensor:
    """``x`` without an axis of size 1 where another has the batch."""
    if x.batch is not None or axis < 0:
        return x
    return reshape(x, [size for i, size in enumerate(x.shape) if i != axis])


def binary(name: str, a: Value, b: Value, dtype: Any = None) -> Tensor:
    """An elementwise function of two values, broadcast; of the type of the first unless said otherwise."""
    (x, y), shape = broadcast(a, b)
    return x.graph.add(name, [x, y], shape, x.dtype if dtype is None else dtype)


def plus(a: Value, b: Value) -> Tensor:
    """a + b"""
    return binary("plus", a, b)


def minus(a: Value, b: Value) -> Tensor:
    """a - b"""
    return binary("minus", a, b)


def multiply(a: Value, b: Value) -> Tensor:
    """a * b"""
    return binary("element_times", a, b)


def divide(a: Value, b: Value) -> Tensor:
    """a / b"""
    return binary("element_divide", a, b)


def scaled(x: Tensor, factor: float) -> Tensor:
    """``factor * x``"""
    return x if factor == 1 else multiply(x, number(factor))


def shifted(x: Tensor, by: float) -> Tensor:
    """``x + by``"""
    return x if by == 0 else plus(x, number(by))


_NUMBERS: dict[float, Array] = {}


def number(value: float) -> Array:
    """A scalar constant, the same array each time so that a graph records it once."""
    return _NUMBERS.setdefault(value, np.array(value, np.float32))


def select(condition: Value, a: Value, b: Value) -> Tensor:
    """``a`` where ``condition`` is true, else ``b``."""
    (c, x, y), shape = broadcast(condition, a, b)
    return x.graph.add("element_select", [c, x, y], shape, x.dtype)


# -- reductions and products -----------------------------------------------------------------------


def reduce(name: str, x: Tensor, axes: Sequence[int], *, keepdims: bool, dtype: Any = None) -> Tensor:
    """A reduction over some axes, the batch among them or not.

    Args:
        name: ``reduce_sum``, ``reduce_mean``, ``reduce_max``, ``reduce_min``; over the batch these alone.
    """
    gone = sorted({axis % x.rank for axis in axes}) if x.rank else []
    kind = x.dtype if dtype is None else np.dtype(dtype)
    places = [place for place in (x.axis(axis) for axis in gone) if place is not None]
    result = x
    if places:
        shape = [1 if i in gone and i != x.batch else size for i, size in enumerate(x.shape)]
        result = x.graph.add("reduce", [x], shape, kind, name=name, axes=places)
    if x.batch is not None and x.batch in gone:
        if name not in ("reduce_sum", "reduce_mean", "reduce_max", "reduce_min"):
            raise CannotRecordError(f"{name} over the batch")
        inner = result.graph.add("reduce_batch", [result], result.static, kind, name=name)
        result = reshape(inner, [1 if i == x.batch else size for i, size in enumerate(result.shape)])
    if not keepdims:
        result = reshape(result, [size for i, size in enumerate(result.shape) if i not in gone])
    return with_dtype(result, kind)


def times(a: Tensor, b: Tensor) -> Tensor:
    """The product of a (..., K) with b (K, ...), each with the batch in front or without it."""
    if a.batch not in (None, 0) or b.batch not in (None, 0):
        raise CannotRecordError(f"a product of {_text(a.shape)} and {_text(b.shape)}")
    batch: list[int | None] = [None] if None in (*a.shape, *b.shape) else []
    return a.graph.add("times", [a, b], [*batch, *a.static[:-1], *b.static[1:]])


def in_batches(x: Tensor) -> Tensor:
    """``x`` with its first axis as CNTK's batch; what is computed from it is turned back by ``as_before``."""
    if x.batch == 0:
        return x
    if x.batch is not None:
        raise CannotRecordError(f"the batch of {_text(x.shape)} is not its first axis")
    return x.graph.add("to_batch", [x], [None, *x.static[1:]])


def as_before(y: Tensor, x: Tensor) -> Tensor:
    """``y`` with a fixed first axis if ``x`` has one, after a computation that wanted batches."""
    if x.batch is not None or y.batch is None:
        return y
    return y.graph.add("unpack_batch", [y], [x.shape[0], *y.static])
