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


LARGEST = float(np.finfo(np.float32).max)


def _is_nan(x: Tensor) -> Tensor:
    return ck.binary("not_equal", x, x, dtype=np.bool_)


lower_unary("IsNaN", (9, 13, 20), "X", _is_nan)


@ops.lowers("IsInf", since=(10, 20))
def is_inf(scope: Scope, X: Tensor, *, detect_negative: int, detect_positive: int) -> Tensor:
    """Whether an element is infinite, of the signs that are asked for.

    https://onnx.ai/onnx/operators/onnx__IsInf.html.  20: more types.
    """
    above = ck.binary("greater", X, ck.number(LARGEST), np.bool_)
    below = ck.binary("less", X, ck.number(-LARGEST), np.bool_)
    if not (detect_negative and detect_positive):
        return above if detect_positive else below if detect_negative else ck.multiply(above, below)
    return ck.binary("element_max", above, below)


@ops.lowers("Where", since=(9, 16))
def where(scope: Scope, condition: Value, X: Value, Y: Value) -> Tensor:
    """x where the condition holds, else y; all broadcast.  https://onnx.ai/onnx/operators/onnx__Where.html"""
    kind = X.dtype if not isinstance(X, np.ndarray) or isinstance(Y, np.ndarray) else Y.dtype  # type: ignore[union-attr]
    return ck.with_dtype(ck.select(condition, X, Y), kind)
