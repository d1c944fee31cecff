"""Learning rates as functions of the step, with Keras' names, arguments and numbers.

A schedule given to an optimizer is written into the file by name and arguments; the host computes the rate
of each step, counted from 0, and hands it to the update.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from neuromatic._names import by_name, from_name, snake_case
from neuromatic.errors import RecipeError

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "Schedule",
    "Warmup",
]


class Schedule(ABC):
    """Base of all schedules (Keras ``LearningRateSchedule``)."""

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""


LearningRate = float | Callable[[int], float]
"""A number, or a function of the step (counted from 0 over all epochs)."""


def _check(owner: Schedule, name: str, fine: bool, expected: str) -> None:
    if not fine:
        raise ValueError(f"{type(owner).__name__}: {name} must be {expected}, got {getattr(owner, name)!r}")


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)`` (Keras ``ExponentialDecay``).

    Args:
        initial_learning_rate: the rate of step 0.
        decay_steps: after how many steps the rate has fallen by ``decay_rate``, above 0.
        decay_rate: that factor.
        staircase: whether the rate falls every ``decay_steps`` steps instead of at each.
    """

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False

    def __post_init__(self) -> None:
        _check(self, "decay_steps", self.decay_steps > 0, "above 0")

    def __call__(self, step: int) -> float:
        passed = step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (
            math.floor(passed) if self.staircase else passed
        )


@dataclass(frozen=True)
class InverseTimeDecay(Schedule):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)`` (Keras ``InverseTimeDecay``).

    Args:
        initial_learning_rate: the rate of step 0.
        decay_steps: the unit of time, in steps, above 0.
        decay_rate: how fast the rate falls.
        staircase: whether the rate falls every ``decay_steps`` steps instead of at each.
    """

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False

    def __post_init__(self) -> None:
        _check(self, "decay_steps", self.decay_steps > 0, "above 0")

    def __call__(self, step: int) -> float:
        passed = step / self.decay_steps
        passed = math.floor(passed) if self.staircase else passed
        return self.initial_learning_rate / (1.0 + self.decay_rate * passed)


@dataclass(frozen=True)
class PiecewiseConstantDecay(Schedule):
    """``values[i]`` up to and including step ``boundaries[i]`` (Keras ``PiecewiseConstantDecay``).

    Args:
        boundaries: the last steps of all values but the last, rising.
        values: the rates, one more than there are boundaries.
    """

    boundaries: Sequence[float]
    values: Sequence[float]

    def __post_init__(self) -> None:
        _check(self, "values", len(self.values) == len(self.boundaries) + 1, "one more than boundaries")
        _check(self, "boundaries", list(self.boundaries) == sorted(self.boundaries), "rising")

    def __call__(self, step: int) -> float:
        pairs = zip(self.boundaries, self.values, strict=False)
        return next((value for boundary, value in pairs if step <= boundary), self.values[-1])


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """From one rate to another, along ``(1 - step / decay_steps) ** power`` (Keras ``PolynomialDecay``).

    Args:
        initial_learning_rate: the rate of step 0.
        decay_steps: the step that the end is reached at, above 0.
        end_learning_rate: the rate from then on.
        power: 1 for a line.
        cycle: whether to begin anew, with twice ``decay_steps``, three times ..., instead of staying there.
    """

    initial_learning_rate: float
    decay_steps: float
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False

    def __post_init__(self) -> None:
        _check(self, "decay_steps", self.decay_steps > 0, "above 0")

    def __call__(self, step: int) -> float:
        steps: float = self.decay_steps
        if self.cycle:
            steps *= max(1, math.ceil(step / self.decay_steps))
        left = 1.0 - min(step, steps) / steps
        fall = self.initial_learning_rate - self.end_learning_rate
        return float(fall * left**self.power + self.end_learning_rate)


def _half_cosine(passed: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * passed))


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """Along half a cosine, after a linear rise if wanted (Loshchilov & Hutter 2016; Keras ``CosineDecay``).

    Args:
        initial_learning_rate: the rate of step 0.
        decay_steps: how many steps the fall takes, above 0.
        alpha: the last rate, as a share of the highest.
        warmup_target: the rate that the first ``warmup_steps`` rise to; None for no such rise.
        warmup_steps: how many steps the rise takes.
    """

    initial_learning_rate: float
    decay_steps: float
    alpha: float = 0.0
    warmup_target: float | None = None
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        _check(self, "decay_steps", self.decay_steps > 0, "above 0")
        _check(self, "warmup_steps", self.warmup_steps >= 0, "at least 0")

    def __call__(self, step: int) -> float:
        start, since = self.initial_learning_rate, float(step)
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return start + (self.warmup_target - start) * step / self.warmup_steps
            start, since = self.warmup_target, since - self.warmup_steps
        passed = min(since, self.decay_steps) / self.decay_steps
        return start * ((1.0 - self.alpha) * _half_cosine(passed) + self.alpha)


@dataclass(frozen=True)
class CosineDecayRestarts(Schedule):
    """Half a cosine again and again (Loshchilov & Hutter 2016; Keras ``CosineDecayRestarts``).

    Args:
        initial_learning_rate: the rate of step 0.
        first_decay_steps: how many steps the first fall takes, above 0.
        t_mul: how much longer each next one takes.
        m_mul: how much lower each next one begins.
        alpha: the lowest rate, as a share of ``initial_learning_rate``.
    """

    initial_learning_rate: float
    first_decay_steps: float
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

    def __post_init__(self) -> None:
        _check(self, "first_decay_steps", self.first_decay_steps > 0, "above 0")
        _check(self, "t_mul", self.t_mul >= 1.0, "at least 1")

    def __call__(self, step: int) -> float:
        passed, restarts = step / self.first_decay_steps, 0
        if self.t_mul == 1.0:
            restarts = math.floor(passed)
            passed -= restarts
        else:
            while passed >= 1.0:
                passed = (passed - 1.0) / self.t_mul
                restarts += 1
        cosine = self.m_mul**restarts * _half_cosine(passed)
        return self.initial_learning_rate * ((1.0 - self.alpha) * cosine + self.alpha)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to a high rate and down to nearly nothing, in one cycle (Smith & Topin 2018; not in Keras).

    From ``max_learning_rate / div_factor`` up, then down to a ``final_div_factor``-th of where it began.

    Args:
        max_learning_rate: the highest rate.
        total_steps: how many steps the cycle has; the last rate stays.
        pct_start: share of the steps that rise, in (0, 1).
        div_factor: how much lower the first rate is than the highest.
        final_div_factor: how much lower the last rate is than the first.
        anneal_strategy: ``"cos"`` or ``"linear"``.
    """

    max_learning_rate: float
    total_steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    anneal_strategy: Literal["cos", "linear"] = "cos"

    def __post_init__(self) -> None:
        _check(self, "total_steps", self.total_steps >= 2, "at least 2")
        _check(self, "pct_start", 0.0 < self.pct_start < 1.0, "in (0, 1)")
        _check(self, "div_factor", self.div_factor > 0, "above 0")
        _check(self, "final_div_factor", self.final_div_factor > 0, "above 0")
        _check(self, "anneal_strategy", self.anneal_strategy in ("cos", "linear"), '"cos" or "linear"')

    def __call__(self, step: int) -> float:
        first = self.max_learning_rate / self.div_factor
        last, top = self.total_steps - 1, self.pct_start * self.total_steps - 1.0
        if top > 0.0 and step <= top:
            return self._between(first, self.max_learning_rate, step / top)
        passed = (min(step, last) - max(top, 0.0)) / (last - max(top, 0.0))
        return self._between(self.max_learning_rate, first / self.final_div_factor, passed)

    def _between(self, start: float, end: float, passed: float) -> float:
        left = _half_cosine(passed) if self.anneal_strategy == "cos" else 1.0 - passed
        return end + (start - end) * left


@dataclass(frozen=True)
class Warmup(Schedule):
    """A linear rise before another schedule, or before a constant rate (not in Keras).

    Args:
        learning_rate: the schedule that follows, which then begins with its step 0, or a number.
        steps: how many steps the rise takes, at least 1.
        start: the rate of step 0.
    """

    learning_rate: float | Schedule
    steps: int
    start: float = 0.0

    def __post_init__(self) -> None:
        _check(self, "steps", self.steps >= 1, "at least 1")

    def __call__(self, step: int) -> float:
        after = max(0, step - self.steps)
        rate = self.learning_rate(after) if isinstance(self.learning_rate, Schedule) else self.learning_rate
        return self.start + (rate - self.start) * min(1.0, step / self.steps)


SCHEDULES = by_name(Schedule, sys.modules[__name__])


def get(schedule: str | type[Schedule] | Schedule, **arguments: Any) -> Schedule:
    """A schedule from its name, its class or itself.

    >>> get("exponential_decay", initial_learning_rate=0.1, decay_steps=10, decay_rate=0.5)(20)
    0.025

    Raises:
        UnknownNameError: there is none of that name.
    """
    return from_name("schedule", schedule, SCHEDULES, Schedule, **arguments)


def to_config(schedule: Schedule) -> dict[str, Any] | None:
    """Name and arguments of a schedule, as JSON has them; None for a class of one's own."""
    name = snake_case(type(schedule).__name__)
    if SCHEDULES.get(name) is not type(schedule):
        return None
    arguments = {f.name: getattr(schedule, f.name) for f in fields(schedule)}  # type: ignore[arg-type]
    return {"name": name, "arguments": {key: _plain(value) for key, value in arguments.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, Schedule):
        return to_config(value)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def from_config(config: Mapping[str, Any]) -> Schedule:
    """The schedule of a name and arguments.

    Raises:
        RecipeError: it is not what :func:`to_config` gives.
    """
    try:
        arguments = {
            key: from_config(value) if isinstance(value, Mapping) else value
            for key, value in config["arguments"].items()
        }
        cls: Any = SCHEDULES[config["name"]]
        found: Schedule = cls(**arguments)
        for step in (0, 1, 1000):  # arguments of a wrong kind may show only there
            float(found(step))
        return found
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
        raise RecipeError(f"the file names a schedule that cannot be made: {config}: {error!r}") from error
