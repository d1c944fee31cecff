"""Normalisation by statistics of the batch, of channels or of features."""

from __future__ import annotations

from math import prod

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.graph import Array, HostValue, Moment, Tensor, Value
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope

DEFAULT_EPSILON = float(np.float32(1e-5))
"""BatchNormalization's, where a node has none."""


def _by_channel(x: Value, like: Tensor) -> Tensor:
    """A vector of channels as a tensor that broadcasts along axis 1 of another."""
    return ck.reshape(ck.tensor(x, like.graph), [like.shape[1], *[1] * (like.rank - 2)])


def _with_statistics(X: Tensor, scale: Value, B: Value, mean: Value, var: Value, epsilon: float) -> Tensor:
    """scale * (x - mean) / sqrt(var + epsilon) + B"""
    graph = X.graph
    root = ck.unary("sqrt", ck.shifted(ck.tensor(var, graph), epsilon))
    factor = ck.divide(scale, root)
    offset = ck.minus(B, ck.multiply(factor, mean))
    return ck.plus(ck.multiply(X, _by_channel(factor, X)), _by_channel(offset, X))


def _by_batch(X: Tensor, scale: Value, B: Value, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """The normalised batch, and the cells that hold its mean and its unbiased variance.

    Recorded once for the same inputs: a training step has the node of the model and that of the recipe.
    """
    graph = X.graph
    inputs = [X, ck.tensor(scale, graph), ck.tensor(B, graph)]
    key = statistics_key(inputs[0], inputs[1], inputs[2], epsilon)
    if key not in graph.memo:
        channels = X.shape[1]
        if channels is None or X.batch not in (None, 0):
            raise ck.CannotRecordError("a batch that is not the first axis")
        mean, var = graph.scratch((channels,)), graph.scratch((channels,))
        rows = [ck.in_batches(X), *inputs[1:]]
        (y,) = graph.add_many(
            "batch_normalization",
            rows,
            [(rows[0].shape, X.dtype)],
            writes=[mean, var],
            epsilon=epsilon,
            spatial=X.rank > 2,
        )
        graph.memo[key] = ck.as_before(y, X), mean, var
    found: tuple[Tensor, Tensor, Tensor] = graph.memo[key]
    return found


def statistics_key(X: Tensor, scale: Tensor, B: Tensor, epsilon: float) -> tuple[object, ...]:
    """Under what a graph remembers a normalisation by the batch."""
    return ("batch normalization", X.register, X.shape, scale.register, B.register, float(epsilon))


def _moved(
    X: Tensor, old: tuple[Value, Value], batch: tuple[Tensor, Tensor], momentum: float
) -> tuple[Tensor, Tensor]:
    """Running mean and variance after a batch; ONNX keeps the population variance, CNTK the unbiased."""
    spatial = prod(X.static[1:]) if X.batch == 0 else prod(X.static[2:]) * X.static[0]

    def of_mean(moment: Moment) -> Array:
        return np.array(1 - momentum, np.float32)

    def of_variance(moment: Moment) -> Array:
        n = spatial * (moment.batch if X.batch == 0 else 1)
        return np.array((1 - momentum) * (n - 1) / n, np.float32)

    # Both are numbers of the host, set at each step: CNTK does not notice that BatchNormalization has written
    # to its cells, and computes anew only what depends on something else that has changed.
    mean, variance = (
        ck.multiply(HostValue(share), new) for share, new in zip((of_mean, of_variance), batch, strict=True)
    )
    variance = ck.binary("element_max", variance, ck.number(0.0))  # of a single element CNTK says NaN
    return _mixed(old[0], momentum, mean), _mixed(old[1], momentum, variance)


def _mixed(old: Value, momentum: float, new: Tensor) -> Tensor:
    return ck.plus(ck.scaled(ck.tensor(old, new.graph), momentum), new)


def _composed(X: Tensor, scale: Value, B: Value, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """The normalised batch, its mean and its population variance, by reductions.

    Where nothing is trained: there CNTK's own operator would take the running statistics.
    """
    if X.shape[1] is None:
        raise ck.CannotRecordError("a batch in place of the channels")
    axes = [0, *range(2, X.rank)]
    mean = ck.reduce("reduce_mean", X, axes, keepdims=True)
    centred = ck.minus(X, mean)
    var = ck.reduce("reduce_mean", ck.multiply(centred, centred), axes, keepdims=True)
    factor = ck.divide(_by_channel(scale, X), ck.unary("sqrt", ck.shifted(var, epsilon)))
    y = ck.plus(ck.multiply(centred, factor), _by_channel(B, X))
    return y, ck.reshape(mean, X.shape[1:2]), ck.reshape(var, X.shape[1:2])


def _trained(
    scope: Scope, X: Tensor, scale: Value, B: Value, old: tuple[Value, Value], epsilon: float, momentum: float
) -> Tensor | tuple[Tensor, ...]:
    """Y, and what else the node has as outputs: running mean and variance; below opset 14 the batch's."""
    if scope.context.training:
        y, mean, unbiased = _by_batch(X, scale, B, epsilon)
        if len(scope.outputs) == 1:
            return y
        moved = _moved(X, old, (mean, unbiased), momentum)
        # Below opset 14 the node names the batch's own statistics too; zeros make them ``_moved``'s.
        zeros = np.zeros(mean.static, np.float32)
        return y, *moved, *_moved(X, (zeros, zeros), (mean, unbiased), 0.0)
    y, mean, var = _composed(X, scale, B, epsilon)
    if len(scope.outputs) == 1:
        return y
    shares = [ck.scaled(new, 1 - momentum) for new in (mean, var)]
    return y, _mixed(old[0], momentum, shares[0]), _mixed(old[1], momentum, shares[1]), mean, var


def _uses_batch(scope: Scope) -> bool:
    """Whether a node in inference form has its training meaning: its running statistics are trained."""
    context = scope.context
    return bool(context.training) and set(scope.inputs[3:5]) <= context.updated


@ops.lowers("BatchNormalization", since=(14, 15), pure=False)
def batch_normalization(
    scope: Scope,
    X: Value,
    scale: Value,
    B: Value,
    input_mean: Value,
    input_var: Value,
    *,
    epsilon: float,
    momentum: float,
    training_mode: int,
) -> Tensor | tuple[Tensor, ...]:
    """scale * (x - mean) / sqrt(var + epsilon) + B along axis 1.

    In training form, mean and variance are the batch's, and running ones are given as well:
    running = momentum * running + (1 - momentum) * batch, with the population variance.
    https://onnx.ai/onnx/operators/onnx__BatchNormalization.html.  14: training_mode.
    """
    x = ck.tensor(X, scope.context.graph)
    if training_mode or _uses_batch(scope):
        return _trained(scope, x, scale, B, (input_mean, input_var), epsilon, momentum)
    return _with_statistics(x, scale, B, input_mean, input_var, epsilon)


@ops.lowers("BatchNormalization", since=(9,), pure=False)
def batch_normalization_9(
    scope: Scope,
    X: Value,
    scale: Value,
    B: Value,
    mean: Value,
    var: Value,
    *,
    epsilon: float,
    momentum: float,
) -> Tensor | tuple[Tensor, ...]:
    """BatchNormalization whose training form is told by its outputs.

    https://onnx.ai/onnx/operators/onnx__BatchNormalization.html
    """
    trains = len(scope.outputs) > 1
    return batch_normalization(
        scope, X, scale, B, mean, var, epsilon=epsilon, momentum=momentum, training_mode=int(trains)
    )


@ops.lowers("BatchNormalization", since=(7,), pure=False)
def batch_normalization_7(
    scope: Scope,
    X: Value,
    scale: Value,
    B: Value,
    mean: Value,
    var: Value,
    *,
    epsilon: float,
    momentum: float,
    spatial: int,
) -> Tensor | tuple[Tensor, ...]:
    """BatchNormalization-9 with statistics by channel (spatial=1) or by element.

    https://onnx.ai/onnx/operators/onnx__BatchNormalization.html
    """
    if not spatial and ck.tensor(X, scope.context.graph).rank > 2:
        raise ck.CannotRecordError("spatial=0")
    return batch_normalization_9(scope, X, scale, B, mean, var, epsilon=epsilon, momentum=momentum)
