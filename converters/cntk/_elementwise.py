"""Registers the operators that are one CNTK function of one or two operands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from neuromatic.converters.cntk.graph import Tensor, Value
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope


def lower_unary(
    op: str, since: Iterable[int], input_name: Literal["X", "input"], function: Callable[[Tensor], Tensor]
) -> None:
    """Register ``y = function(x)``; the schemas call the operand either ``X`` or ``input``."""

    def of_X(scope: Scope, X: Tensor) -> Tensor:
        return function(X)

    def of_input(scope: Scope, input: Tensor) -> Tensor:
        return function(input)

    ops.lowers(op, since=since)(of_X if input_name == "X" else of_input)


def lower_binary(op: str, since: Iterable[int], function: Callable[[Value, Value], Tensor]) -> None:
    """Register ``c = function(a, b)``, where ``a`` and ``b`` broadcast as in numpy."""

    def of_pair(scope: Scope, A: Value, B: Value) -> Tensor:
        return function(A, B)

    ops.lowers(op, since=since)(of_pair)
