"""Normalisation by statistics of each row: of layers, instances, groups, channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.graph import Tensor, Value
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope

SMALLEST_NORM = float(np.finfo(np.float32).tiny)
STANDARD_DEVIATION_FLOOR = 1e-9
"""What MeanVarianceNormalization adds to a standard deviation."""


def _moments(x: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, distance from it, and variance, over some axes that stay as axes of size 1."""
    mean = ck.reduce("reduce_mean", x, axes, keepdims=True)
    centred = ck.minus(x, mean)
    return mean, centred, ck.reduce("reduce_mean", ck.multiply(centred, centred), axes, keepdims=True)


def _inverse(variance: Tensor, epsilon: float) -> Tensor:
    return ck.unary("reciprocal", ck.unary("sqrt", ck.shifted(variance, epsilon)))


def _channels(vector: Value, like: Tensor) -> Tensor:
    """A vector of channels as a tensor that broadcasts along axis 1 of another."""
    v = ck.tensor(vector, like.graph)
    return ck.reshape(v, [*v.shape, *[1] * (like.rank - 2)])


@ops.lowers("LayerNormalization", since=(17,))
def layer_normalization(
    scope: Scope,
    X: Tensor,
    Scale: Value,
    B: Value | None = None,
    *,
    axis: int,
    epsilon: float,
    stash_type: int,
) -> Tensor | tuple[Tensor, Tensor, Tensor]:
    """Y = (X - mean) / sqrt(var + epsilon) * Scale + B over the dimensions from ``axis`` on.

    https://onnx.ai/onnx/operators/onnx__LayerNormalization.html
    """
    x = ck.tensor(X, scope.context.graph)
    mean, centred, variance = _moments(x, range(axis % x.rank, x.rank))
    inverse = _inverse(variance, epsilon)
    y = ck.multiply(ck.multiply(centred, inverse), Scale)
    y = y if B is None else ck.plus(y, B)
    return (y, mean, inverse) if len(scope.outputs) > 1 else y


@ops.lowers("InstanceNormalization", since=(6, 22))
def instance_normalization(scope: Scope, input: Tensor, scale: Value, B: Value, *, epsilon: float) -> Tensor:
    """(x - mean) / sqrt(var + epsilon) * scale + B with statistics of each channel of each row.

    https://onnx.ai/onnx/operators/onnx__InstanceNormalization.html
    """
    x = ck.tensor(input, scope.context.graph)
    _, centred, variance = _moments(x, range(2, x.rank))
    y = ck.multiply(centred, ck.multiply(_inverse(variance, epsilon), _channels(scale, x)))
    return ck.plus(y, _channels(B, x))


@ops.lowers("GroupNormalization", since=(21,))
def group_normalization(
    scope: Scope, X: Tensor, scale: Value, bias: Value, *, epsilon: float, num_groups: int, stash_type: int
) -> Tensor:
    """(x - mean) / sqrt(var + epsilon) * scale + bias with statistics of each group of channels of each row.

    https://onnx.ai/onnx/operators/onnx__GroupNormalization.html.  21: scale and bias by channel.
    """
    x = ck.tensor(X, scope.context.graph)
    y = ck.reshape(_by_groups(x, num_groups, epsilon), x.shape)
    return ck.plus(ck.multiply(y, _channels(scale, x)), _channels(bias, x))


@ops.lowers("GroupNormalization", since=(18,))
def group_normalization_18(
    scope: Scope, X: Tensor, scale: Value, bias: Value, *, epsilon: float, num_groups: int
) -> Tensor:
    """GroupNormalization with scale and bias by group.

    https://onnx.ai/onnx/operators/onnx__GroupNormalization.html
    """
    x = ck.tensor(X, scope.context.graph)
    y = _by_groups(x, num_groups, epsilon)
    return ck.reshape(ck.plus(ck.multiply(y, _channels(scale, y)), _channels(bias, y)), x.shape)


def _by_groups(x: Tensor, count: int, epsilon: float) -> Tensor:
    """Rows of channels (N, count, C / count, d1, ...), normalised over all but the first two axes."""
    if x.shape[1] is None:
        raise ck.CannotRecordError("a batch in place of the channels")
    grouped = ck.reshape(x, [x.shape[0], count, x.shape[1] // count, *x.shape[2:]])
    _, centred, variance = _moments(grouped, range(2, grouped.rank))
    return ck.multiply(centred, _inverse(variance, epsilon))


@ops.lowers("MeanVarianceNormalization", since=(9, 13))
def mean_variance_normalization(scope: Scope, X: Tensor, *, axes: Sequence[int]) -> Tensor:
    """(X - mean) / standard deviation over some axes.

    https://onnx.ai/onnx/operators/onnx__MeanVarianceNormalization.html.  13: bfloat16.
    """
    _, centred, variance = _moments(X, axes)
    return ck.divide(centred, ck.shifted(ck.unary("sqrt", variance), STANDARD_DEVIATION_FLOOR))


@ops.lowers("LpNormalization", since=(1, 22))
def lp_normalization(scope: Scope, input: Tensor, *, axis: int, p: int) -> Tensor:
    """input / norm along an axis, 0 where the norm is.

    https://onnx.ai/onnx/operators/onnx__LpNormalization.html
    """
    if p == 1:
        norm = ck.reduce("reduce_sum", ck.unary("abs", input), [axis], keepdims=True)
        return ck.divide(input, ck.binary("element_max", norm, ck.number(SMALLEST_NORM)))
    squared = ck.reduce("reduce_sum", ck.multiply(input, input), [axis], keepdims=True)
    return ck.divide(input, ck.unary("sqrt", ck.binary("element_max", squared, ck.number(SMALLEST_NORM))))


@ops.lowers("LRN", since=(1, 13))
def lrn(scope: Scope, X: Tensor, *, alpha: float, beta: float, bias: float, size: int) -> Tensor:
    """X / (bias + alpha / size * sum of squares of ``size`` neighbouring channels) ** beta.

    https://onnx.ai/onnx/operators/onnx__LRN.html
    """
    channels = X.shape[1]
    if channels is None:
        raise ck.CannotRecordError("a batch in place of the channels")
    before = (size - 1) // 2
    pads = [(before, size - 1 - before) if i == 1 else (0, 0) for i in range(X.rank)]
    squares = ck.pad(ck.multiply(X, X), pads)
    total = ck.slice_axis(squares, 1, 0, channels)
    for i in range(1, size):
        total = ck.plus(total, ck.slice_axis(squares, 1, i, i + channels))
    base = ck.shifted(ck.scaled(total, alpha / size), bias)
    return ck.multiply(X, ck.binary("pow", base, ck.number(-beta)))
