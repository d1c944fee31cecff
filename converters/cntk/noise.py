"""Random numbers, which the worker draws from the seed, the node and the step."""

from __future__ import annotations

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.graph import Tensor, Value
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope


def noise_like(x: Tensor, kind: str, seed: float | None = None, **arguments: float) -> Tensor:
    """Random numbers in the shape of ``x``; see :meth:`Graph.noise_like`.

    Raises:
        CannotRecordError: ``x`` has no batch.
    """
    if x.batch is None:
        raise ck.CannotRecordError("random numbers for what is the same for all rows")
    drawn = x.graph.noise_like(x, kind, seed, **arguments)
    return ck.transpose(drawn, [*range(1, x.batch + 1), 0, *range(x.batch + 1, x.rank)])


def _drawn(
    scope: Scope, like: Value, dtype: int | None, kind: str, seed: float | None, **arguments: float
) -> Tensor:
    if dtype not in (None, 1):
        raise ck.CannotRecordError(f"random numbers of type {dtype}")
    return noise_like(ck.tensor(like, scope.context.graph), kind, seed, **arguments)


@ops.lowers("RandomUniformLike", since=(1, 22), pure=False)
def random_uniform_like(
    scope: Scope, input: Value, *, dtype: int | None, high: float, low: float, seed: float | None
) -> Tensor:
    """Uniform between low and high, in the shape of input.

    https://onnx.ai/onnx/operators/onnx__RandomUniformLike.html.  22: bfloat16.
    """
    return _drawn(scope, input, dtype, "uniform", seed, low=low, high=high)


@ops.lowers("RandomNormalLike", since=(1, 22), pure=False)
def random_normal_like(
    scope: Scope, input: Value, *, dtype: int | None, mean: float, scale: float, seed: float | None
) -> Tensor:
    """Normal with this mean and deviation, in the shape of input.

    https://onnx.ai/onnx/operators/onnx__RandomNormalLike.html.  22: bfloat16.
    """
    return _drawn(scope, input, dtype, "normal", seed, mean=mean, scale=scale)


@ops.lowers("Bernoulli", since=(15, 22), pure=False)
def bernoulli(scope: Scope, input: Value, *, dtype: int | None, seed: float | None) -> Tensor:
    """1 with the probability that input gives for each element, else 0.

    https://onnx.ai/onnx/operators/onnx__Bernoulli.html.  22: bfloat16.
    """
    drawn = _drawn(scope, input, dtype, "uniform", seed, low=0.0, high=1.0)
    below = ck.binary("less", drawn, ck.tensor(input, scope.context.graph), np.bool_)
    return ck.with_dtype(below, np.dtype(np.float32))
