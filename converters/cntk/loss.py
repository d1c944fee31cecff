"""Losses over class scores."""

from __future__ import annotations

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.activation import log_softmax_along
from neuromatic.converters.cntk.graph import Tensor, Value
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope


@ops.lowers("SoftmaxCrossEntropyLoss", since=(12, 13))
def softmax_cross_entropy_loss(
    scope: Scope,
    scores: Tensor,
    labels: Value,
    weights: Value | None = None,
    *,
    ignore_index: int | None,
    reduction: str,
) -> Tensor | tuple[Tensor, Tensor]:
    """-log Softmax(scores)[label];  scores (N, C, d1, ...), labels (N, d1, ...), weights (C,).

    log_prob (N, C, d1, ...) is the second output.
    https://onnx.ai/onnx/operators/onnx__SoftmaxCrossEntropyLoss.html.  13: bfloat16.
    """
    log_p = log_softmax_along(scores, 1)
    loss = _of_log_probabilities(log_p, labels, weights, ignore_index, reduction)
    return (loss, log_p) if scope.wants(1) else loss


@ops.lowers("NegativeLogLikelihoodLoss", since=(12, 13, 22))
def negative_log_likelihood_loss(
    scope: Scope,
    input: Value,
    target: Value,
    weight: Value | None = None,
    *,
    ignore_index: int | None,
    reduction: str,
) -> Tensor:
    """-input[target];  input (N, C, d1, ...) are log-probabilities, target (N, d1, ...), weight (C,).

    https://onnx.ai/onnx/operators/onnx__NegativeLogLikelihoodLoss.html.  13, 22: more types.
    """
    log_p = ck.tensor(input, scope.context.graph)
    return _of_log_probabilities(log_p, target, weight, ignore_index, reduction)


def _of_log_probabilities(
    log_p: Tensor, labels: Value, weights: Value | None, ignore_index: int | None, reduction: str
) -> Tensor:
    """The losses weighted by class and reduced; the mean is over the sum of the weights that count."""
    truth = class_factors(labels, log_p, weights, ignore_index)
    chosen = ck.select(truth, log_p, ck.number(0.0))  # others may be minus infinity
    losses = ck.unary("negate", ck.reduce("reduce_sum", ck.multiply(chosen, truth), [1], keepdims=False))
    if reduction == "none":
        return losses
    axes = list(range(losses.rank))
    if reduction == "mean" and weights is None and ignore_index is None:
        return ck.reduce("reduce_mean", losses, axes, keepdims=False)
    total = ck.reduce("reduce_sum", losses, axes, keepdims=False)
    if reduction == "sum":
        return total
    counted = ck.reduce("reduce_sum", truth, list(range(truth.rank)), keepdims=False)
    return ck.divide(total, counted)


def class_factors(labels: Value, scores: Tensor, weights: Value | None, ignore_index: int | None) -> Tensor:
    """(N, C, d1, ...): the weight of the class (or 1) at the label, 0 elsewhere; all 0 for ignored labels."""
    graph, classes = scores.graph, scores.shape[1]
    if classes is None:
        raise ck.CannotRecordError("classes along the batch axis")
    index = ck.expand_dims(ck.tensor(labels, graph), [1])
    column = [1, classes, *[1] * (scores.rank - 2)]
    numbers = np.arange(classes, dtype=np.float32).reshape(column)
    if ignore_index is not None and 0 <= ignore_index < classes:
        numbers = np.where(numbers == ignore_index, np.float32(-1 << 23), numbers)
    hits = ck.binary("equal", index, numbers, dtype=np.float32)
    if weights is None:
        return hits
    return ck.multiply(hits, ck.reshape(ck.tensor(weights, graph), column))
