"""Several optimizers for one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from neuromatic.errors import UnknownNameError
from neuromatic.ir.values import Value
from neuromatic.optimizers.base import Optimizer, UpdateRule, changed
from neuromatic.optimizers.setting import Setting
from neuromatic.schedules import Schedule

__all__ = ["MultiOptimizer"]


@dataclass(frozen=True, repr=False)
class MultiOptimizer(Optimizer):
    """Optimizers by pattern of parameter names, and one for all others (Keras ``MultiOptimizer``).

    Each has its own options, state and learning rate. The file's ``learning_rate`` is that of
    ``default_optimizer``; the rates of the others keep their ratio to it when it changes.

    Args:
        default_optimizer: for parameters that no pattern matches.
        optimizer_map: optimizers by pattern, as in ``{"embedding/*": Adagrad()}``; the first that matches
            counts.

    Raises:
        ValueError: an optimizer is none or a MultiOptimizer, or has a schedule or a rate of 0 where ratios
            are needed; or an option is given that its optimizers take.
    """

    learning_rate: float | Schedule = field(init=False)
    default_optimizer: Optimizer = field()
    optimizer_map: Mapping[str, Optimizer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "learning_rate", getattr(self.default_optimizer, "learning_rate", 0.0))
        super().__post_init__()
        own = {"learning_rate", "default_optimizer", "optimizer_map", "loss_scale_factor"}
        if others := sorted(changed(self).keys() - own):
            raise ValueError(f"MultiOptimizer: give {others} to its optimizers")
        for one in (self.default_optimizer, *self.optimizer_map.values()):
            if not isinstance(one, Optimizer) or isinstance(one, MultiOptimizer):
                raise ValueError(f"MultiOptimizer: takes optimizers other than itself, got {one!r}")
            if one.loss_scale_factor is not None:
                raise ValueError("MultiOptimizer: takes loss_scale_factor itself, for all its optimizers")
        for pattern, one in self.optimizer_map.items():
            if isinstance(one.learning_rate, Schedule) and one.learning_rate != self.learning_rate:
                raise ValueError(
                    f"MultiOptimizer: only the default optimizer can have a schedule, which the others "
                    f"follow in proportion; {pattern!r} has {one.learning_rate!r}"
                )
        if self.optimizer_map and not self.first_rate:
            raise ValueError("MultiOptimizer: the learning rate of the default optimizer must be above 0")

    def chosen(self, parameter: Value) -> Optimizer:
        """The optimizer of a parameter."""
        items = self.optimizer_map.items()
        found = (one for pattern, one in items if fnmatchcase(parameter.name, pattern))
        return next(found, self.default_optimizer)

    def rule(self, parameter: Value) -> UpdateRule:
        return self.chosen(parameter).rule(parameter)

    def update(
        self, setting: Setting, parameters: Sequence[Value], gradients: Sequence[Value]
    ) -> dict[str, Value]:
        for pattern in self.optimizer_map:
            if not any(fnmatchcase(name, pattern) for name in setting.initial):
                raise UnknownNameError("initializer", pattern, list(setting.initial))
        updates: dict[str, Value] = {}
        for one in (self.default_optimizer, *self.optimizer_map.values()):
            pairs = zip(parameters, gradients, strict=True)
            mine = [(p, x) for p, x in pairs if self.chosen(p) is one and p.name not in updates]
            if mine:
                own = replace(setting, rate=self._rate(setting, one))
                updates |= one.update(own, [p for p, _ in mine], [x for _, x in mine])
        return updates

    def _rate(self, setting: Setting, one: Optimizer) -> Value:
        """The learning rate of one of the optimizers."""
        ratio = one.first_rate / self.first_rate if self.first_rate else 1.0
        if ratio == 1.0:
            return setting.rate
        g, rate = setting.g, setting.rate
        return g.add("Mul", rate, g.const(ratio, rate.dtype), name="learning_rate/Mul")
