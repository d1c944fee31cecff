"""Comparison, logic and choice, element by element; truth is 1 and falsehood 0."""

from __future__ import annotations

import functools

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk._elementwise import lower_binary, lower_unary
from neuromatic.converters.cntk.graph import Tensor, Value
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope


def _compared(name: str) -> functools.partial[Tensor]:
    return functools.partial(ck.binary, name, dtype=np.bool_)


def _not(x: Tensor) -> Tensor:
    return ck.binary("minus", ck.number(1.0), x, dtype=np.bool_)


lower_binary("Equal", (7, 11, 13, 19), _compared("equal"))
lower_binary("Greater", (7, 9, 13), _compared("greater"))
lower_binary("GreaterOrEqual", (12, 16), _compared("greater_equal"))
lower_binary("Less", (7, 9, 13), _compared("less"))
lower_binary("LessOrEqual", (12, 16), _compared("less_equal"))
lower_binary("And", (7,), _compared("element_times"))
lower_binary("Or", (7,), _compared("element_max"))
lower_binary("Xor", (7,), _compared("not_equal"))
lower_unary("Not", (1,), "X", _not)


@ops.lowers("Where", since=(9, 16))
def where(scope: Scope, condition: Value, X: Value, Y: Value) -> Tensor:
    """x where the condition holds, else y; all broadcast.  https://onnx.ai/onnx/operators/onnx__Where.html"""
    kind = X.dtype if not isinstance(X, np.ndarray) or isinstance(Y, np.ndarray) else Y.dtype  # type: ignore[union-attr]
    return ck.with_dtype(ck.select(condition, X, Y), kind)
