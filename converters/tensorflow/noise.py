"""Random numbers that depend on the run's seed, the node and the step alone."""

from __future__ import annotations

import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, element_type, shape, unsupported
from neuromatic.converters.tensorflow.registry import ops


def _drawn(scope: Scope, like: Tensor, number: int | None, given: float | None, normal: bool) -> Tensor:
    """Numbers in the shape of ``like``: uniform from 0 to 1, or normal of mean 0 and deviation 1."""
    if not scope.context.training:
        raise unsupported(scope, "random numbers outside a training step, where no runtime draws the same")
    seed = scope.context.random_seed(seeded(scope.within + scope.outputs[0], given))
    draw = tf.random.stateless_normal if normal else tf.random.stateless_uniform
    numbers = draw(shape(like), seed, alg="philox")
    return tf.cast(numbers, dtype(like) if number is None else element_type(scope, number))


def seeded(name: str, given: float | None) -> str:
    """What tells a node's numbers from another's: its name, and its attribute ``seed`` if it has one."""
    return name if given is None else f"{name} {given:g}"


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
