"""Registers the operators that are one TensorFlow function of one or two operands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import Tensor
from neuromatic.converters.tensorflow.registry import ops


def lower_unary(
    op: str, since: Iterable[int], input_name: Literal["X", "input"], function: Callable[[Tensor], Tensor]
) -> None:
    """Register ``y = function(x)``; the schemas call the operand either ``X`` or ``input``."""

    def of_X(scope: Scope, X: Tensor) -> Tensor:
        return function(X)

    def of_input(scope: Scope, input: Tensor) -> Tensor:
        return function(input)

    ops.lowers(op, since=since, layout="any")(of_X if input_name == "X" else of_input)


def lower_binary(op: str, since: Iterable[int], function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Register ``c = function(a, b)``, where ``a`` and ``b`` broadcast as in numpy."""

    def of_pair(scope: Scope, A: Tensor, B: Tensor) -> Tensor:
        return function(A, B)

    ops.lowers(op, since=since, layout="any")(of_pair)
