"""What an optimizer is, and how it updates the parameters of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, MISSING, Field, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from onnx import FunctionProto, TensorProto, helper, numpy_helper

from neuromatic.errors import RecipeError, UnknownNameError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.opsets import NEUROMATIC_DOMAIN
from neuromatic.ir.values import Value, dtype_name
from neuromatic.optimizers.checks import (
    COUNT,
    FLAG,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    check_fields,
    checked,
    optional,
)
from neuromatic.optimizers.expressions import any_found
from neuromatic.optimizers.formula import (
    CAST_LIKE_OPSET,
    FORMULAS,
    local_function,
    opset_too_low,
)
from neuromatic.optimizers.setting import Setting, shape_of
from neuromatic.optimizers.steps import updated
from neuromatic.schedules import Schedule

Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class State:
    """What an optimizer keeps for one parameter.

    Attributes:
        name: its initializer is named ``<name>/<parameter>``.
        start: its first value everywhere.
        shape: its shape; None for the parameter's.
        copies: whether it starts as the parameter's own value.
    """

    name: str
    start: float = 0.0
    shape: tuple[int, ...] | None = None
    copies: bool = False


@dataclass(frozen=True)
class UpdateRule:
    """The node that updates one parameter: operator, domain, attributes and what it keeps."""

    op: str
    domain: str
    attributes: Attributes = field(default_factory=dict)
    states: tuple[State, ...] = ()

    @classmethod
    def local(cls, name: str, attributes: Attributes, *states: str | State) -> UpdateRule:
        """A call of one of Neuromatic's own formulas; states given by name start at zero."""
        kept = tuple(State(s) if isinstance(s, str) else s for s in states)
        return cls(name, NEUROMATIC_DOMAIN, attributes, kept)


@dataclass(frozen=True, repr=False)
class Optimizer(ABC):
    """Base of all optimizers: an ONNX node for each parameter, and what is common to all of them.

    A subclass says by :meth:`rule` which node updates a parameter. Options that are off add no nodes. With
    several of them, a step does what Keras does, in this order: it unscales, accumulates and clips gradients,
    decays weights, updates, and averages; constraints of layers come after it.

    Args:
        learning_rate: step size, written into the file as the default of its ``learning_rate`` input; or a
            schedule, which the file then names.
        weight_decay: before each update, parameters lose this share of themselves times the learning rate.
        clipnorm: largest norm of each gradient.
        clipvalue: largest absolute value in gradients.
        global_clipnorm: largest norm of all gradients together.
        use_ema: whether to keep a moving average of each parameter (state ``average``), which takes the
            parameter's place when training ends.
        ema_momentum: how much of the average is kept in a step.
        ema_overwrite_frequency: after how many updates parameters are set to their averages; None for never.
        loss_scale_factor: what the loss is multiplied by before gradients are taken, which are then divided
            by it.
        gradient_accumulation_steps: of how many steps an update takes the mean gradient.
        exclude_from_weight_decay: regular expressions; parameters whose names contain one are not decayed
            (Keras has a method of this name).
        learning_rates: factors of the learning rate by pattern of parameter names, as in
            ``{"conv2d/*": 0.1}``; the first that matches counts.

    Raises:
        ValueError: names the argument that is wrong.
    """

    learning_rate: float | Schedule
    _: KW_ONLY
    weight_decay: float | None = checked(optional(NOT_NEGATIVE), None)
    clipnorm: float | None = checked(optional(POSITIVE), None)
    clipvalue: float | None = checked(optional(POSITIVE), None)
    global_clipnorm: float | None = checked(optional(POSITIVE), None)
    use_ema: bool = checked(FLAG, False)
    ema_momentum: float = checked(SHARE, 0.99)
    ema_overwrite_frequency: int | None = checked(optional(COUNT), None)
    loss_scale_factor: float | None = checked(optional(POSITIVE), None)
    gradient_accumulation_steps: int | None = checked(optional(COUNT), None)
    exclude_from_weight_decay: Sequence[str] = ()
    learning_rates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)
        name = type(self).__name__
        clips = [n for n in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(self, n) is not None]
        if len(clips) > 1:
            raise ValueError(f"{name}: only one of clipnorm, clipvalue and global_clipnorm, got {clips}")
        if isinstance(self.exclude_from_weight_decay, str):
            raise ValueError(
                f"{name}: exclude_from_weight_decay must be a list of names, "
                f"got {self.exclude_from_weight_decay!r}"
            )
        for pattern, factor in self.learning_rates.items():
            if not NOT_NEGATIVE[0](factor):
                raise ValueError(
                    f"{name}: learning_rates[{pattern!r}] must be {NOT_NEGATIVE[1]}, got {factor!r}"
                )

    def __repr__(self) -> str:
        given = [f"{key}={value!r}" for key, value in changed(self).items()]
        return f"{type(self).__name__}({', '.join(given)})"

    @property
    def first_rate(self) -> float:
        """The learning rate of the first step."""
        rate = self.learning_rate
        return float(rate(0)) if isinstance(rate, Schedule) else float(rate)

    @abstractmethod
    def rule(self, parameter: Value) -> UpdateRule:
        """The node that updates a parameter."""

    def function(self, rule: UpdateRule, opset: int) -> FunctionProto | None:
        """The model-local function that a node calls, or None for an operator of ONNX."""
        return local_function(rule.op, opset) if rule.op in FORMULAS else None

    def decay(self, parameter: Value) -> float | None:
        """The weight decay of a parameter; None for none."""
        return None if self.keeps_weight(parameter) else self.weight_decay

    def keeps_weight(self, parameter: Value) -> bool:
        """Whether a parameter is excluded from weight decay."""
        return any_found(self.exclude_from_weight_decay, parameter.name)

    def has_options(self) -> bool:
        """Whether an update is more than the node of :meth:`rule`."""
        return any(
            getattr(self, item.name) != _default(item)
            for item in fields(Optimizer)
            if item.name != "learning_rate"
        )

    def rate_factor(self, parameter: Value) -> float:
        """What the learning rate of a parameter is multiplied by."""
        factors = self.learning_rates.items()
        return next((f for pattern, f in factors if fnmatchcase(parameter.name, pattern)), 1.0)

    def update(
        self, setting: Setting, parameters: Sequence[Value], gradients: Sequence[Value]
    ) -> dict[str, Value]:
        """Add the update of parameters; returns the new value of each initializer by its name.

        Raises:
            UnknownNameError: a pattern of ``learning_rates`` matches no initializer.
            RecipeError: the model's opset is too low.
        """
        for pattern in self.learning_rates:
            if not any(fnmatchcase(name, pattern) for name in setting.initial):
                raise UnknownNameError("initializer", pattern, list(setting.initial))
        return updated(self, setting, parameters, gradients)

    def emit(
        self,
        setting: Setting,
        parameter: Value,
        current: Value,
        gradient: Value,
        *,
        prefix: str = "new",
    ) -> dict[str, Value]:
        """Add the node that updates one parameter; returns the new value of each initializer by its name.

        Args:
            setting: rate and step of this parameter, and the graph.
            parameter: the initializer; its type is that of its master where it has one.
            current: its value, after weight decay.
            gradient: its gradient.
            prefix: begins the names of the results.
        """
        g, rule = setting.g, self.rule(parameter)
        if (function := self.function(rule, g.opset)) is not None:
            if g.functions.get(function.name, function) != function:
                raise RecipeError(f"the model has another function named {function.name!r} already")
            g.add_function(function)
            numbers = rule.attributes and rule.domain == NEUROMATIC_DOMAIN
            if numbers and g.opset < CAST_LIKE_OPSET and parameter.dtype != TensorProto.FLOAT:
                raise opset_too_low(f"{rule.op} of {dtype_name(parameter.dtype)}", CAST_LIKE_OPSET, g.opset)
        states = [_initial(setting, parameter, state) for state in rule.states]
        kept, attributes = [parameter, *states], dict(rule.attributes)
        given = [] if function is None else function.input[4 + len(states) :]
        settings = [g.const(attributes.pop(key), parameter.dtype) for key in given]
        results = g.add_many(
            rule.op,
            op.cast(g, setting.rate, parameter.dtype),
            setting.step,
            current,
            gradient,
            *states,
            *settings,
            domain=rule.domain,
            name=f"update/{parameter.name}",
            outputs=[g.fresh(f"{prefix}/{value.name}") for value in kept],
            types=[(value.dtype, value.shape) for value in kept],
            **attributes,
        )
        return {value.name: result for value, result in zip(kept, results, strict=True)}


def _initial(setting: Setting, parameter: Value, state: State) -> Value:
    g, dtype = setting.g, helper.tensor_dtype_to_np_dtype(parameter.dtype)
    if state.copies:
        array = numpy_helper.to_array(setting.initial[parameter.name]).astype(dtype)
    else:
        shape = shape_of(parameter) if state.shape is None else state.shape
        array = np.full(shape, state.start, dtype)
    return g.initializer(g.fresh(f"{state.name}/{parameter.name}"), array)


def _default(item: Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


def changed(given: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, by name."""
    values = [(item, getattr(given, item.name)) for item in fields(given)]
    return {item.name: value for item, value in values if value != _default(item)}
