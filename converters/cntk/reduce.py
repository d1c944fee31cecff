"""Reductions, arguments of extremes, running sums."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk._pick import reversed_along
from neuromatic.converters.cntk._products import times_along
from neuromatic.converters.cntk._shapes import integers
from neuromatic.converters.cntk.graph import Tensor, Value
from neuromatic.converters.cntk.math import truncated
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope

LOWEST = -3.0e38
"""In place of minus infinity."""

Reduction = Callable[[Tensor, Sequence[int], bool], Tensor]


def _lower(op: str, attribute: tuple[int, ...], as_input: tuple[int, ...], function: Reduction) -> None:
    """Register a reduction for the versions with axes as an attribute and those with axes as an input."""

    def by_attribute(scope: Scope, data: Tensor, *, axes: Sequence[int] | None, keepdims: int) -> Tensor:
        return function(data, axes or range(data.rank), bool(keepdims))

    def by_input(
        scope: Scope, data: Value, axes: Value | None = None, *, keepdims: int, noop_with_empty_axes: int
    ) -> Tensor:
        x, chosen = ck.tensor(data, scope.context.graph), integers(axes, "axes")
        if not chosen and not noop_with_empty_axes:
            chosen = list(range(x.rank))
        return function(x, chosen, bool(keepdims))

    ops.lowers(op, since=attribute)(by_attribute)
    ops.lowers(op, since=as_input)(by_input)


def _plain(name: str) -> Reduction:
    return lambda x, axes, keepdims: ck.reduce(name, x, axes, keepdims=keepdims)


_sum = _plain("reduce_sum")


def _whole(function: Reduction) -> Reduction:
    """A reduction whose results, of integers, are cut off to integers."""

    def of(x: Tensor, axes: Sequence[int], keepdims: bool) -> Tensor:
        y = function(x, axes, keepdims)
        return truncated(y) if x.dtype.kind in "iu" else y

    return of


def _mean(x: Tensor, axes: Sequence[int], keepdims: bool) -> Tensor:
    """Of integers, the quotient of two integers: a mean of products with 1/n could fall short of one."""
    if x.dtype.kind not in "iu":
        return ck.reduce("reduce_mean", x, axes, keepdims=keepdims)
    if x.batch is not None and x.batch in [axis % x.rank for axis in axes]:
        raise ck.CannotRecordError("a mean of integers over the batch")
    count = prod(n for n in (x.shape[axis] for axis in {axis % x.rank for axis in axes}) if n is not None)
    return truncated(ck.divide(_sum(x, axes, keepdims), ck.number(float(count))))


def _sum_square(x: Tensor, axes: Sequence[int], keepdims: bool) -> Tensor:
    return _sum(ck.multiply(x, x), axes, keepdims)


def _norm(x: Tensor, axes: Sequence[int], keepdims: bool) -> Tensor:
    """The Euclidean norm, whose gradient at 0 is 0."""
    squared = _sum_square(x, axes, keepdims)
    zero = ck.binary("equal", squared, ck.number(0.0))
    root = ck.unary("sqrt", ck.plus(squared, zero))
    return ck.minus(root, zero)


def _log_sum(x: Tensor, axes: Sequence[int], keepdims: bool) -> Tensor:
    return ck.unary("log", _sum(x, axes, keepdims))


def _log_sum_exp(x: Tensor, axes: Sequence[int], keepdims: bool) -> Tensor:
    if x.batch is None or x.batch not in [axis % x.rank for axis in axes]:
        # CNTK's own is NaN where it begins with minus infinities.
        found = ck.reduce(
            "reduce_log_sum_exp", ck.binary("element_max", x, ck.number(LOWEST)), axes, keepdims=keepdims
        )
        nothing = ck.binary("less", found, ck.number(LOWEST / 2))
        return ck.with_dtype(ck.select(nothing, ck.number(-np.inf), found), x.dtype)
    largest = ck.unary("stop_gradient", ck.reduce("reduce_max", x, axes, keepdims=True))
    total = ck.reduce("reduce_sum", ck.unary("exp", ck.minus(x, largest)), axes, keepdims=True)
    result = ck.plus(ck.unary("log", total), largest)
    return result if keepdims else ck.squeeze(result, axes)


_FORMER = (1, 11, 13)
_lower("ReduceSum", (1, 11), (13,), _sum)
_lower("ReduceMean", _FORMER, (18,), _mean)
_lower("ReduceMax", (1, 11, 12, 13), (18, 20), _plain("reduce_max"))
_lower("ReduceMin", (1, 11, 12, 13), (18, 20), _plain("reduce_min"))
_lower("ReduceProd", _FORMER, (18,), _plain("reduce_prod"))
_lower("ReduceSumSquare", _FORMER, (18,), _sum_square)
_lower("ReduceL1", _FORMER, (18,), lambda x, axes, keep: _sum(ck.unary("abs", x), axes, keep))
_lower("ReduceL2", _FORMER, (18,), _whole(_norm))
_lower("ReduceLogSum", _FORMER, (18, 28), _whole(_log_sum))
_lower("ReduceLogSumExp", _FORMER, (18, 28), _whole(_log_sum_exp))


def _extreme(name: str, data: Tensor, axis: int, keepdims: int, select_last_index: int) -> Tensor:
    if select_last_index and data.shape[axis] is not None:
        data = reversed_along(data, axis)
    found = ck.reduce(name, data, [axis], keepdims=bool(keepdims), dtype=np.int64)
    size = data.shape[axis]
    if select_last_index and size is not None:
        return ck.with_dtype(ck.minus(ck.number(float(size - 1)), found), np.int64)
    return found


def _lower_extreme(op: str, name: str) -> None:
    find = functools.partial(_extreme, name)

    def newer(scope: Scope, data: Tensor, *, axis: int, keepdims: int, select_last_index: int) -> Tensor:
        return find(data, axis, keepdims, select_last_index)

    def older(scope: Scope, data: Tensor, *, axis: int, keepdims: int) -> Tensor:
        return find(data, axis, keepdims, 0)

    ops.lowers(op, since=(12, 13))(newer)
    ops.lowers(op, since=(1, 11))(older)


_lower_extreme("ArgMax", "argmax")
_lower_extreme("ArgMin", "argmin")


@ops.lowers("CumSum", since=(11, 14))
def cum_sum(scope: Scope, x: Value, axis: Value, *, exclusive: int, reverse: int) -> Tensor:
    """Sums of all elements up to each one, by a product with a triangle of ones.

    https://onnx.ai/onnx/operators/onnx__CumSum.html
    """
    data, (along,) = ck.tensor(x, scope.context.graph), integers(axis, "axis")
    size = data.shape[along]
    if size is None:
        raise ck.CannotRecordError("running sums over the batch")
    triangle = np.triu(np.ones((size, size), np.float32), 1 if exclusive else 0)
    return times_along(data, along, data.graph.constant(triangle.T.copy() if reverse else triangle))
