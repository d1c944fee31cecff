"""Dropout, whose masks the worker draws from the seed, the node and the step."""

from __future__ import annotations

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.graph import Value
from neuromatic.converters.cntk.noise import noise_like
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope


@ops.lowers("Dropout", since=(12, 13, 22), pure=False)
def dropout(
    scope: Scope,
    data: Value,
    ratio: Value | None = None,
    training_mode: Value | None = None,
    *,
    seed: int | None,
) -> Value | tuple[Value, Value]:
    """In training, each element 0 with probability ratio, else data / (1 - ratio); else data.

    https://onnx.ai/onnx/operators/onnx__Dropout.html.  12: ratio and training_mode as inputs.
    """
    rate = 0.5 if ratio is None else float(ck.array(ratio, "ratio").item())
    wanted = training_mode is not None and bool(ck.array(training_mode, "training_mode").item())
    return _dropout(scope, data, rate, np.bool_, seed, wanted or scope.context.training)


@ops.lowers("Dropout", since=(10,), pure=False)
def dropout_10(scope: Scope, data: Value, *, ratio: float) -> Value | tuple[Value, Value]:
    """Dropout by attributes.  https://onnx.ai/onnx/operators/onnx__Dropout.html.  10: the mask is boolean."""
    return _dropout(scope, data, ratio, np.bool_, None, scope.context.training)


@ops.lowers("Dropout", since=(7,), pure=False)
def dropout_7(scope: Scope, data: Value, *, ratio: float) -> Value | tuple[Value, Value]:
    """Dropout-10 whose mask has the type of the data.  https://onnx.ai/onnx/operators/onnx__Dropout.html"""
    return _dropout(scope, data, ratio, np.float32, None, scope.context.training)


def _dropout(
    scope: Scope, data: Value, rate: float, mask_type: type[np.generic], seed: int | None, active: bool
) -> Value | tuple[Value, Value]:
    if not active or rate == 0:
        if not scope.wants(1):
            return data
        x = ck.tensor(data, scope.context.graph)
        return data, ck.binary("equal", x, x, mask_type)
    if rate >= 1:
        raise ck.CannotRecordError(f"a ratio of {rate}")
    x = ck.tensor(data, scope.context.graph)
    factors = noise_like(x, "mask", seed, rate=rate)
    y = ck.with_dtype(ck.multiply(x, factors), x.dtype)
    return (y, ck.binary("greater", factors, ck.number(0.0), mask_type)) if scope.wants(1) else y
