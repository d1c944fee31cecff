"""Random numbers that depend on the run's seed, the node and the step alone."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, element_type, shape, unsupported
from neuromatic.converters.tensorflow.registry import ops


def _seed(scope: Scope, given: float | None) -> Tensor:
    if not (scope.context.training or scope.context.draws):
        raise unsupported(scope, "random numbers outside a training step, where no runtime draws the same")
    return scope.context.random_seed(seeded(scope.within + scope.outputs[0], given))


def _drawn(scope: Scope, like: Tensor, number: int | None, given: float | None, normal: bool) -> Tensor:
    """Numbers in the shape of ``like``: uniform from 0 to 1, or normal of mean 0 and deviation 1."""
    kind = dtype(like) if number is None else element_type(scope, number)
    return _of_shape(scope, shape(like), kind, given, normal)


def _of_shape(
    scope: Scope, sizes: Sequence[Tensor], kind: tf.DType, given: float | None, normal: bool
) -> Tensor:
    draw = tf.random.stateless_normal if normal else tf.random.stateless_uniform
    return tf.cast(draw(list(sizes), _seed(scope, given), alg="philox"), kind)


def seeded(name: str, given: float | None) -> str:
    """What tells a node's numbers from another's: its name, and its attribute ``seed`` if it has one."""
    return name if given is None else f"{name} {given:g}"


@ops.lowers("RandomUniform", since=(1, 22), pure=False)
def random_uniform(
    scope: Scope, *, dtype: int, high: float, low: float, seed: float | None, shape: Sequence[int]
) -> Tensor:
    """Uniform between low and high, in the given shape.

    https://onnx.ai/onnx/operators/onnx__RandomUniform.html.  22: bfloat16.
    """
    return _of_shape(scope, shape, element_type(scope, dtype), seed, False) * (high - low) + low


@ops.lowers("RandomNormal", since=(1, 22), pure=False)
def random_normal(
    scope: Scope, *, dtype: int, mean: float, scale: float, seed: float | None, shape: Sequence[int]
) -> Tensor:
    """Normal with this mean and deviation, in the given shape.

    https://onnx.ai/onnx/operators/onnx__RandomNormal.html.  22: bfloat16.
    """
    return _of_shape(scope, shape, element_type(scope, dtype), seed, True) * scale + mean


@ops.lowers("Multinomial", since=(7, 22), pure=False)
def multinomial(scope: Scope, input: Tensor, *, dtype: int, sample_size: int, seed: float | None) -> Tensor:
    """Classes drawn by their log-probabilities: input (batch, classes), result (batch, sample_size).

    https://onnx.ai/onnx/operators/onnx__Multinomial.html.  22: bfloat16.
    """
    logits = tf.cast(input, tf.float32)
    drawn = tf.random.stateless_categorical(logits, sample_size, _seed(scope, seed), tf.int64)
    return tf.cast(drawn, element_type(scope, dtype))


@ops.lowers("RandomUniformLike", since=(1, 22), pure=False)
def random_uniform_like(
    scope: Scope, input: Tensor, *, dtype: int | None, high: float, low: float, seed: float | None
) -> Tensor:
    """Uniform between low and high, in the shape of input.

    https://onnx.ai/onnx/operators/onnx__RandomUniformLike.html.  22: bfloat16.
    """
    return _drawn(scope, input, dtype, seed, False) * (high - low) + low


@ops.lowers("RandomNormalLike", since=(1, 22), pure=False)
def random_normal_like(
    scope: Scope, input: Tensor, *, dtype: int | None, mean: float, scale: float, seed: float | None
) -> Tensor:
    """Normal with this mean and deviation, in the shape of input.

    https://onnx.ai/onnx/operators/onnx__RandomNormalLike.html.  22: bfloat16.
    """
    return _drawn(scope, input, dtype, seed, True) * scale + mean


@ops.lowers("Bernoulli", since=(15, 22), pure=False)
def bernoulli(scope: Scope, input: Tensor, *, dtype: int | None, seed: float | None) -> Tensor:
    """1 with the probability that input gives for each element, else 0.

    https://onnx.ai/onnx/operators/onnx__Bernoulli.html.  22: bfloat16.
    """
    hit = _drawn(scope, input, None, seed, False) < input
    return tf.cast(hit, input.dtype if dtype is None else element_type(scope, dtype))
