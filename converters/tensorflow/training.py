"""The operators of ONNX training: Gradient and the optimizers (domain ai.onnx.preview.training).

The optimizers take their tensors in groups: all X, then all gradients, then all of each state.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.registry import TRAINING_DOMAIN
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, unsupported
from neuromatic.converters.tensorflow.execution import ChannelsLast
from neuromatic.converters.tensorflow.registry import ops


@ops.lowers("Gradient", since=(1,), domain=TRAINING_DOMAIN, pure=False)
def gradient(
    scope: Scope, *Inputs: Tensor, xs: Sequence[str], y: str, zs: Sequence[str] | None
) -> tuple[Tensor, ...]:
    """The gradients of sum(y) by each of xs, which are the first inputs; zeros where y does not depend on it.

    https://onnx.ai/onnx/operators/onnx_aionnxpreviewtraining_Gradient.html
    """
    tape = scope.context.tape
    if tape is None:
        raise unsupported(scope, "there is no gradient outside a training step")
    if list(scope.inputs[: len(xs)]) != list(xs):
        raise unsupported(scope, f"its first inputs have to be its xs themselves: {', '.join(xs)}")
    values = scope.context.values
    target = values[y]
    target = target.tensor if isinstance(target, ChannelsLast) else target
    sources = [_source(values.get(name), given) for name, given in zip(xs, Inputs, strict=False)]
    if not isinstance(target, tf.Tensor):
        return tuple(tf.zeros_like(s) for s in sources)
    found = tape.gradient(target, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return tuple(
        ChannelsLast(g).channels_first()
        if isinstance(values.get(name), ChannelsLast)
        else tf.convert_to_tensor(g)
        for name, g in zip(xs, found, strict=True)
    )


def _source(value: Tensor, given: Tensor) -> Tensor:
    """What the graph computed with: a channels-last value as it is, not a copy turned for this node."""
    return value.tensor if isinstance(value, ChannelsLast) else given


def _groups(inputs: Sequence[Tensor], count: int) -> list[tuple[Tensor, ...]]:
    """(X, G, state ...) for each optimized tensor."""
    size = len(inputs) // count
    return list(zip(*(inputs[i * size : (i + 1) * size] for i in range(count)), strict=True))


def _grouped(results: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """All new X, then all of each new state."""
    return tuple(tensor for group in zip(*results, strict=True) for tensor in group)


def _regularized(X: Tensor, G: Tensor, norm_coefficient: float) -> Tensor:
    return G if norm_coefficient == 0 else norm_coefficient * X + G


@ops.lowers("Adam", since=(1,), domain=TRAINING_DOMAIN)
def adam(
    scope: Scope,
    R: Tensor,
    T: Tensor,
    *inputs: Tensor,
    alpha: float,
    beta: float,
    epsilon: float,
    norm_coefficient: float,
    norm_coefficient_post: float,
) -> tuple[Tensor, ...]:
    """V = alpha V + (1 - alpha) G;  H = beta H + (1 - beta) G**2;  X -= R' V / (sqrt(H) + epsilon).

    R' = R sqrt(1 - beta**T) / (1 - alpha**T) where T > 0, else R.
    https://onnx.ai/onnx/operators/onnx_aionnxpreviewtraining_Adam.html
    """
    started = T > 0
    t = tf.where(started, tf.cast(T, tf.float64), tf.ones([], tf.float64))  # 1 - beta**1 would lose digits
    correction = tf.sqrt(1 - tf.pow(tf.cast(beta, tf.float64), t)) / (
        1 - tf.pow(tf.cast(alpha, tf.float64), t)
    )
    rate = tf.where(started, R * tf.cast(correction, dtype(R)), R)
    results = []
    for X, G, V, H in _groups(inputs, 4):
        g = _regularized(X, G, norm_coefficient)
        v = alpha * V + (1 - alpha) * g
        h = beta * H + (1 - beta) * tf.square(g)
        x = X - tf.cast(rate, dtype(X)) * v / (tf.sqrt(h) + epsilon)
        results.append((x if norm_coefficient_post == 0 else (1 - norm_coefficient_post) * x, v, h))
    return _grouped(results)


@ops.lowers("Momentum", since=(1,), domain=TRAINING_DOMAIN)
def momentum(
    scope: Scope,
    R: Tensor,
    T: Tensor,
    *inputs: Tensor,
    alpha: float,
    beta: float,
    mode: str,
    norm_coefficient: float,
) -> tuple[Tensor, ...]:
    """V = alpha V + beta' G;  X -= R V, or R (G + alpha V) in mode "nesterov".

    beta' = beta where T > 0, else 1.  https://onnx.ai/onnx/operators/onnx_aionnxpreviewtraining_Momentum.html
    """
    results = []
    for X, G, V in _groups(inputs, 3):
        g = _regularized(X, G, norm_coefficient)
        damped = g if beta == 1 else g * tf.where(T > 0, tf.cast(beta, dtype(X)), tf.cast(1, dtype(X)))
        v = alpha * V + damped
        results.append((X - tf.cast(R, dtype(X)) * (g + alpha * v if mode == "nesterov" else v), v))
    return _grouped(results)


@ops.lowers("Adagrad", since=(1,), domain=TRAINING_DOMAIN)
def adagrad(
    scope: Scope,
    R: Tensor,
    T: Tensor,
    *inputs: Tensor,
    decay_factor: float,
    epsilon: float,
    norm_coefficient: float,
) -> tuple[Tensor, ...]:
    """H = H + G**2;  X -= R / (1 + T decay_factor) * G / (sqrt(H) + epsilon).

    https://onnx.ai/onnx/operators/onnx_aionnxpreviewtraining_Adagrad.html
    """
    rate = R / (1 + tf.cast(T, dtype(R)) * decay_factor)
    results = []
    for X, G, H in _groups(inputs, 3):
        g = _regularized(X, G, norm_coefficient)
        h = H + tf.square(g)
        results.append((X - tf.cast(rate, dtype(X)) * g / (tf.sqrt(h) + epsilon), h))
    return _grouped(results)
