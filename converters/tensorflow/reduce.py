"""Reductions, arguments of extremes, running sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import (
    Tensor,
    dtype,
    integers,
    move_axis_last,
    normalized,
    rank,
    shape,
)
from neuromatic.converters.tensorflow.registry import ops

Reduction = Callable[[Tensor, Sequence[int], bool], Tensor]


def _lower(op: str, attribute: tuple[int, ...], as_input: tuple[int, ...], function: Reduction) -> None:
    """Register a reduction for the versions with axes as an attribute and those with axes as an input."""

    def by_attribute(scope: Scope, data: Tensor, *, axes: Sequence[int] | None, keepdims: int) -> Tensor:
        return function(data, axes or range(rank(data)), bool(keepdims))

    def by_input(
        scope: Scope, data: Tensor, axes: Tensor = None, *, keepdims: int, noop_with_empty_axes: int
    ) -> Tensor:
        chosen = [] if axes is None else integers(scope, axes, "axes")
        if not chosen and not noop_with_empty_axes:
            chosen = list(range(rank(data)))
        return function(data, chosen, bool(keepdims))

    ops.lowers(op, since=attribute)(by_attribute)
    ops.lowers(op, since=as_input)(by_input)


def _max(x: Tensor, axes: Sequence[int], keepdims: bool) -> Tensor:
    reduce = tf.reduce_any if dtype(x) == tf.bool else tf.reduce_max
    return reduce(x, axes, keepdims)


def _min(x: Tensor, axes: Sequence[int], keepdims: bool) -> Tensor:
    reduce = tf.reduce_all if dtype(x) == tf.bool else tf.reduce_min
    return reduce(x, axes, keepdims)


def mean(x: Tensor, axes: Sequence[int], keepdims: bool) -> Tensor:
    """The mean; that of float16 in float32, since its sum may be above 65504."""
    if dtype(x) != tf.float16:
        return tf.reduce_mean(x, axes, keepdims)
    return tf.cast(tf.reduce_mean(tf.cast(x, tf.float32), axes, keepdims), tf.float16)


def _norm(x: Tensor, axes: Sequence[int], keepdims: bool) -> Tensor:
    if not dtype(x).is_floating:
        squared = tf.reduce_sum(tf.square(x), axes, keepdims)
        return tf.cast(tf.sqrt(tf.cast(squared, tf.float64)), dtype(x))
    return lp_norm(x, axes, 2, keepdims)


def lp_norm(x: Tensor, axes: Sequence[int], p: int, keepdims: bool = True) -> Tensor:
    """(sum |x| ** p) ** (1 / p), whose gradient at 0 is 0."""
    return root(tf.reduce_sum(powers(x, p), axes, keepdims), p)


def powers(x: Tensor, p: int) -> Tensor:
    """|x| ** p."""
    return tf.square(x) if p == 2 else tf.pow(tf.abs(x), p)


def root(x: Tensor, p: int) -> Tensor:
    """x ** (1 / p) for x >= 0, whose gradient at 0 is 0."""
    if p == 1:
        return x
    zero = x == 0
    positive = tf.where(zero, tf.ones_like(x), x)
    return tf.where(zero, tf.zeros_like(x), tf.sqrt(positive) if p == 2 else tf.pow(positive, 1 / p))


def _log_sum_exp(x: Tensor, axes: Sequence[int], keepdims: bool) -> Tensor:
    if not dtype(x).is_floating:
        return tf.cast(_log_sum_exp(tf.cast(x, tf.float64), axes, keepdims), dtype(x))
    return tf.reduce_logsumexp(x, axes, keepdims)


_FORMER = (1, 11, 13)
_lower("ReduceSum", (1, 11), (13,), tf.reduce_sum)
_lower("ReduceMean", _FORMER, (18,), mean)
_lower("ReduceProd", _FORMER, (18,), tf.reduce_prod)
_lower("ReduceMax", (1, 11, 12, 13), (18, 20), _max)
_lower("ReduceMin", (1, 11, 12, 13), (18, 20), _min)
_lower("ReduceL1", _FORMER, (18,), lambda x, axes, keep: tf.reduce_sum(tf.abs(x), axes, keep))
_lower("ReduceL2", _FORMER, (18,), _norm)
_lower("ReduceSumSquare", _FORMER, (18,), lambda x, axes, keep: tf.reduce_sum(tf.square(x), axes, keep))
_lower("ReduceLogSum", _FORMER, (18, 28), lambda x, axes, keep: tf.math.log(tf.reduce_sum(x, axes, keep)))
_lower("ReduceLogSumExp", _FORMER, (18, 28), _log_sum_exp)


@ops.lowers("ArgMax", since=(1, 11, 12, 13))
def arg_max(scope: Scope, data: Tensor, *, axis: int, keepdims: int, select_last_index: int) -> Tensor:
    """The index of the maximum along one axis, the first or the last of several.

    https://onnx.ai/onnx/operators/onnx__ArgMax.html.  12: select_last_index.
    """
    return _argument(tf.argmax, data, axis, keepdims, select_last_index)


@ops.lowers("ArgMin", since=(1, 11, 12, 13))
def arg_min(scope: Scope, data: Tensor, *, axis: int, keepdims: int, select_last_index: int) -> Tensor:
    """The index of the minimum along one axis, the first or the last of several.

    https://onnx.ai/onnx/operators/onnx__ArgMin.html.  12: select_last_index.
    """
    return _argument(tf.argmin, data, axis, keepdims, select_last_index)


def _argument(find: Callable[..., Tensor], x: Tensor, axis: int, keepdims: int, last: int) -> Tensor:
    axis = normalized(axis, rank(x))
    found = find(tf.reverse(x, [axis]) if last else x, axis, output_type=tf.int64)
    if last:
        found = tf.cast(shape(x)[axis], tf.int64) - 1 - found
    return tf.expand_dims(found, axis) if keepdims else found


@ops.lowers("CumSum", since=(11, 14))
def cum_sum(scope: Scope, x: Tensor, axis: Tensor, *, exclusive: int, reverse: int) -> Tensor:
    """Sums of all elements up to each one.  https://onnx.ai/onnx/operators/onnx__CumSum.html"""
    return tf.cumsum(x, tf.reshape(axis, []), exclusive=bool(exclusive), reverse=bool(reverse))


@ops.lowers("CumProd", since=(26,))
def cum_prod(scope: Scope, x: Tensor, axis: Tensor, *, exclusive: int, reverse: int) -> Tensor:
    """Products of all elements up to each one.  https://onnx.ai/onnx/operators/onnx__CumProd.html"""
    return tf.math.cumprod(x, tf.reshape(axis, []), exclusive=bool(exclusive), reverse=bool(reverse))


@ops.lowers("TopK", since=(11, 24))
def top_k(
    scope: Scope, X: Tensor, K: Tensor, *, axis: int, largest: int, sorted: int
) -> tuple[Tensor, Tensor]:
    """The K largest or smallest values along one axis, and their indices.

    https://onnx.ai/onnx/operators/onnx__TopK.html.  11: largest, sorted.  24: bfloat16.
    """
    return _top_k(X, tf.cast(tf.reshape(K, []), tf.int32), axis, bool(largest))


@ops.lowers("TopK", since=(10,))
def top_k_10(scope: Scope, X: Tensor, K: Tensor, *, axis: int) -> tuple[Tensor, Tensor]:
    """The K largest values along one axis.

    https://onnx.ai/onnx/operators/onnx__TopK.html.  10: K as an input.
    """
    return _top_k(X, tf.cast(tf.reshape(K, []), tf.int32), axis, True)


@ops.lowers("TopK", since=(1,))
def top_k_1(scope: Scope, X: Tensor, *, axis: int, k: int) -> tuple[Tensor, Tensor]:
    """The k largest values along one axis.  https://onnx.ai/onnx/operators/onnx__TopK.html"""
    return _top_k(X, k, axis, True)


def _top_k(x: Tensor, k: Tensor, axis: int, largest: bool) -> tuple[Tensor, Tensor]:
    last, back = move_axis_last(x, axis)
    turned = tf.negative if dtype(x).is_floating else tf.bitwise.invert  # reverses the order, never overflows
    values, indices = tf.math.top_k(last if largest else turned(last), k)  # int64 indices have no gradient
    values = values if largest else turned(values)
    return tf.transpose(values, back), tf.cast(tf.transpose(indices, back), tf.int64)
