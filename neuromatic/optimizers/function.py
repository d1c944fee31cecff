"""Any ONNX function as an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from onnx import FunctionProto

from neuromatic.ir.opsets import NEUROMATIC_DOMAIN
from neuromatic.ir.values import Value
from neuromatic.optimizers.base import Optimizer, UpdateRule
from neuromatic.optimizers.checks import RATE, checked
from neuromatic.schedules import Schedule

__all__ = ["FunctionOptimizer"]


@dataclass(frozen=True, repr=False)
class FunctionOptimizer(Optimizer):
    """An optimizer from an ONNX ``FunctionProto``.

    The function takes ``(rate, step, parameter, gradient, state ...)`` and gives
    ``(new parameter, new state ...)``: the rate a scalar of the parameter's type, the step an int64 scalar
    from 1 on, states of the parameter's shape and zero at first. In the file it stands in the domain
    ``neuromatic``.

    Args:
        learning_rate: step size, or a schedule.
        body: the function.
        attributes: values of the function's attributes, all of those without a default.

    Raises:
        ValueError: the function has other inputs or outputs, or attributes lack or are unknown.
    """

    learning_rate: float | Schedule = checked(RATE, 0.01)
    _: KW_ONLY
    body: FunctionProto
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        name, inputs, outputs = self.body.name, self.body.input, self.body.output
        if len(inputs) < 4 or len(outputs) != len(inputs) - 3:
            raise ValueError(
                f"FunctionOptimizer: {name!r} must take (rate, step, parameter, gradient, state ...) "
                f"and give (new parameter, new state ...), got {list(inputs)} to {list(outputs)}"
            )
        needed, optional = set(self.body.attribute), {a.name for a in self.body.attribute_proto}
        if missing := sorted(needed - self.attributes.keys()):
            raise ValueError(f"FunctionOptimizer: {name!r} needs the attributes {missing}")
        if unknown := sorted(self.attributes.keys() - needed - optional):
            raise ValueError(f"FunctionOptimizer: {name!r} has no attributes {unknown}")

    def rule(self, parameter: Value) -> UpdateRule:
        return UpdateRule.local(self.body.name, self.attributes, *self.body.input[4:])

    def function(self, rule: UpdateRule, opset: int) -> FunctionProto:
        function = FunctionProto()
        function.CopyFrom(self.body)
        function.domain = NEUROMATIC_DOMAIN
        return function
