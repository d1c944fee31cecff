"""Normalization."""

from __future__ import annotations

import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, normalized, rank, shape, unsupported
from neuromatic.converters.tensorflow.reduce import lp_norm
from neuromatic.converters.tensorflow.registry import ops


@ops.lowers("BatchNormalization", since=(14, 15), layout="NHWC")
def batch_normalization(
    scope: Scope,
    X: Tensor,
    scale: Tensor,
    B: Tensor,
    input_mean: Tensor,
    input_var: Tensor,
    *,
    epsilon: float,
    momentum: float,
    training_mode: int,
) -> Tensor:
    """Y = (X - mean) / sqrt(var + epsilon) * scale + B, by channel;  X (N, ..., C), the others (C,).

    In training mean and var are the batch's, and running = running * momentum + batch * (1 - momentum).
    https://onnx.ai/onnx/operators/onnx__BatchNormalization.html.  14: training_mode.  15: mixed types.
    """
    return _batch_normalization(
        scope, X, scale, B, input_mean, input_var, epsilon, momentum, bool(training_mode)
    )


@ops.lowers("BatchNormalization", since=(9,), layout="NHWC")
def batch_normalization_9(
    scope: Scope,
    X: Tensor,
    scale: Tensor,
    B: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    epsilon: float,
    momentum: float,
) -> Tensor:
    """BatchNormalization that trains where it has more than one output.

    https://onnx.ai/onnx/operators/onnx__BatchNormalization.html
    """
    return _batch_normalization(scope, X, scale, B, mean, var, epsilon, momentum, scope.wants(1))


@ops.lowers("BatchNormalization", since=(7,), layout="NHWC")
def batch_normalization_7(
    scope: Scope,
    X: Tensor,
    scale: Tensor,
    B: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    epsilon: float,
    momentum: float,
    spatial: int,
) -> Tensor:
    """BatchNormalization-9 with statistics by channel (spatial=1) or by element.

    https://onnx.ai/onnx/operators/onnx__BatchNormalization.html
    """
    if not spatial and rank(X) > 2:
        raise unsupported(scope, "spatial=0 is not handled; BatchNormalization-9 no longer has it")
    return _batch_normalization(scope, X, scale, B, mean, var, epsilon, momentum, scope.wants(1))


def _batch_normalization(
    scope: Scope,
    X: Tensor,
    scale: Tensor,
    B: Tensor,
    mean: Tensor,
    var: Tensor,
    epsilon: float,
    momentum: float,
    training: bool,
) -> Tensor:
    trained = scope.context.training and {scope.inputs[3], scope.inputs[4]} <= scope.context.updated
    if not training and not trained:
        return _normalized(X, scale, B, mean, var, epsilon)
    y, batch_mean, batch_var = _of_batch(X, scale, B, epsilon)
    batch_mean, batch_var = tf.stop_gradient(batch_mean), tf.stop_gradient(batch_var)
    results = [
        y,
        tf.cast(mean * momentum + tf.cast(batch_mean, dtype(mean)) * (1 - momentum), dtype(mean)),
        tf.cast(var * momentum + tf.cast(batch_var, dtype(var)) * (1 - momentum), dtype(var)),
        batch_mean,
        batch_var,
    ]
    return tuple(results[: max(len(scope.outputs), 1)])


def _normalized(X: Tensor, scale: Tensor, B: Tensor, mean: Tensor, var: Tensor, epsilon: float) -> Tensor:
    kind = dtype(X)
    factor = tf.cast(scale, dtype(var)) * tf.math.rsqrt(var + epsilon)
    offset = tf.cast(B, dtype(var)) - mean * factor
    return X * tf.cast(factor, kind) + tf.cast(offset, kind)


def _of_batch(X: Tensor, scale: Tensor, B: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """The batch normalized, its mean and its (population) variance.

    The same operations whatever else the node computes, so that two nodes on one X are computed once.
    """
    if dtype(X) == dtype(scale) == tf.float32 and rank(X) > 2:
        return _of_batch_fused(X, scale, B, epsilon)
    x = tf.cast(X, tf.float32) if dtype(X).size < 4 else X
    mean, var = tf.nn.moments(x, list(range(rank(x) - 1)))
    scale, B = tf.cast(scale, dtype(x)), tf.cast(B, dtype(x))
    y = (x - mean) * (scale * tf.math.rsqrt(var + epsilon)) + B
    return tf.cast(y, dtype(X)), mean, var


def _of_batch_fused(X: Tensor, scale: Tensor, B: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """One kernel for it all: a third of the time of the formula, forward and backward."""
    sizes = shape(X)
    x = X if rank(X) == 4 else tf.reshape(X, [sizes[0], -1, 1, sizes[-1]])
    # Not tf.compat.v1.nn.fused_batch_norm, which raises epsilon to 1.001e-5 without a word.
    y, mean, var, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=B, mean=[], variance=[], epsilon=epsilon, is_training=True
    )
    count = tf.cast(tf.size(X) // sizes[-1], tf.float32)
    population = var * ((count - 1) / count)  # the kernel divides by count - 1
    return (y if rank(X) == 4 else tf.reshape(y, sizes)), mean, population


@ops.lowers("LayerNormalization", since=(17,))
def layer_normalization(
    scope: Scope,
    X: Tensor,
    Scale: Tensor,
    B: Tensor = None,
    *,
    axis: int,
    epsilon: float,
    stash_type: int,
) -> Tensor:
    """Y = (X - mean) / sqrt(var + epsilon) * Scale + B over the dimensions from ``axis`` on.

    Mean and InvStdDev are computed in float32 at least.
    https://onnx.ai/onnx/operators/onnx__LayerNormalization.html
    """
    axes = list(range(normalized(axis, rank(X)), rank(X)))
    x = tf.cast(X, tf.float32) if dtype(X).size < 4 else X
    mean, var = tf.nn.moments(x, axes, keepdims=True)
    inverse = tf.math.rsqrt(var + epsilon)
    y = tf.cast((x - mean) * inverse, dtype(X)) * Scale
    y = y if B is None else y + B
    return (y, mean, inverse)[: max(len(scope.outputs), 1)]


@ops.lowers("InstanceNormalization", since=(6, 22), layout="NHWC")
def instance_normalization(
    scope: Scope, input: Tensor, scale: Tensor, B: Tensor, *, epsilon: float
) -> Tensor:
    """(x - mean) / sqrt(var + epsilon) * scale + B with statistics of each channel of each row.

    https://onnx.ai/onnx/operators/onnx__InstanceNormalization.html.  22: bfloat16.
    """
    x = tf.cast(input, tf.float32) if dtype(input).size < 4 else input
    mean, var = tf.nn.moments(x, list(range(1, rank(x) - 1)), keepdims=True)
    y = tf.cast((x - mean) * tf.math.rsqrt(var + epsilon), dtype(input))
    return y * scale + B


@ops.lowers("LRN", since=(1, 13), layout="NHWC")
def lrn(scope: Scope, X: Tensor, *, alpha: float, beta: float, bias: float, size: int) -> Tensor:
    """x / (bias + alpha / size * s) ** beta, where s sums the squares of ``size`` channels around each.

    https://onnx.ai/onnx/operators/onnx__LRN.html.  13: bfloat16.
    """
    before, channels = (size - 1) // 2, shape(X)[-1]
    squares: Tensor = tf.pad(tf.square(X), [*[(0, 0)] * (rank(X) - 1), (before, size - 1 - before)])
    total = tf.add_n([squares[..., i : i + channels] for i in range(size)])
    return X / tf.pow(bias + alpha / size * total, beta)


@ops.lowers("LpNormalization", since=(1, 22))
def lp_normalization(scope: Scope, input: Tensor, *, axis: int, p: int) -> Tensor:
    """x / (sum |x| ** p) ** (1 / p) along one axis, and 0 where all of it is 0.

    https://onnx.ai/onnx/operators/onnx__LpNormalization.html.  22: bfloat16.
    """
    return tf.math.divide_no_nan(input, lp_norm(input, [axis], p))
