"""Losses over class scores."""

from __future__ import annotations

import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, move_axis_last
from neuromatic.converters.tensorflow.registry import ops


@ops.lowers("SoftmaxCrossEntropyLoss", since=(12, 13))
def softmax_cross_entropy_loss(
    scope: Scope,
    scores: Tensor,
    labels: Tensor,
    weights: Tensor = None,
    *,
    ignore_index: int | None,
    reduction: str,
) -> Tensor:
    """-log Softmax(scores)[label];  scores (N, C, d1, ...), labels (N, d1, ...), weights (C,).

    log_prob (N, C, d1, ...) is the second output.
    https://onnx.ai/onnx/operators/onnx__SoftmaxCrossEntropyLoss.html.  13: bfloat16.
    """
    last, _ = move_axis_last(scores, 1)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(_valid(labels, ignore_index), last)
    loss = _reduced(losses, labels, weights, ignore_index, reduction)
    return (loss, tf.nn.log_softmax(scores, 1)) if scope.wants(1) else loss


@ops.lowers("NegativeLogLikelihoodLoss", since=(12, 13, 22))
def negative_log_likelihood_loss(
    scope: Scope,
    input: Tensor,
    target: Tensor,
    weight: Tensor = None,
    *,
    ignore_index: int | None,
    reduction: str,
) -> Tensor:
    """-input[target];  input (N, C, d1, ...) are log-probabilities, target (N, d1, ...), weight (C,).

    https://onnx.ai/onnx/operators/onnx__NegativeLogLikelihoodLoss.html.  13, 22: more types.
    """
    last, _ = move_axis_last(input, 1)
    index = tf.expand_dims(_valid(target, ignore_index), -1)
    losses = -tf.squeeze(tf.gather(last, index, batch_dims=len(target.shape)), -1)
    return _reduced(losses, target, weight, ignore_index, reduction)


def _valid(labels: Tensor, ignore_index: int | None) -> Tensor:
    """The labels with ignored ones, which may be out of range, set to class 0."""
    if ignore_index is None:
        return labels
    return tf.where(labels == ignore_index, tf.zeros_like(labels), labels)


def _reduced(
    losses: Tensor, labels: Tensor, weights: Tensor, ignore_index: int | None, reduction: str
) -> Tensor:
    """The losses weighted by class and reduced; the mean is over the sum of the weights that count."""
    if weights is None and ignore_index is None:
        reduce = {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction]
        return reduce(losses)
    factors = tf.ones_like(losses)
    if weights is not None:
        factors = tf.cast(tf.gather(weights, _valid(labels, ignore_index)), dtype(losses))
    if ignore_index is not None:
        factors = tf.where(labels == ignore_index, tf.zeros_like(factors), factors)
    losses = losses * factors
    if reduction == "none":
        return losses
    total = tf.reduce_sum(losses)
    return total if reduction == "sum" else total / tf.reduce_sum(factors)
