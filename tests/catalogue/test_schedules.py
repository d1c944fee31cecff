"""Schedules against Keras', step by step; those that Keras lacks against their formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromatic import schedules
from neuromatic.errors import RecipeError, UnknownNameError
from neuromatic.schedules import OneCycle, Schedule, Warmup
from tests.catalogue.status import equal

MANY = settings(derandomize=True, deadline=None, max_examples=15, database=None)
RATES = st.sampled_from([0.001, 0.1, 1.0])
STEPS = st.sampled_from([1, 7, 20])
SHARES = st.sampled_from([0.0, 0.1, 0.5])
FACTORS = st.sampled_from([0.3, 0.9, 1.0])
DECAY = {
    "initial_learning_rate": RATES,
    "decay_steps": STEPS,
    "decay_rate": FACTORS,
    "staircase": st.booleans(),
}

ARGUMENTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "ExponentialDecay": DECAY,
    "InverseTimeDecay": DECAY,
    "PiecewiseConstantDecay": {
        "boundaries": st.just([3, 10, 11]),
        "values": st.lists(RATES, min_size=4, max_size=4),
    },
    "PolynomialDecay": {
        "initial_learning_rate": RATES,
        "decay_steps": STEPS,
        "end_learning_rate": st.sampled_from([0.0, 0.0001, 0.5]),
        "power": st.sampled_from([0.5, 1.0, 2.0]),
        "cycle": st.booleans(),
    },
    "CosineDecay": {
        "initial_learning_rate": RATES,
        "decay_steps": STEPS,
        "alpha": SHARES,
        "warmup_target": st.sampled_from([None, 0.5]),
        "warmup_steps": st.sampled_from([0, 5]),
    },
    "CosineDecayRestarts": {
        "initial_learning_rate": RATES,
        "first_decay_steps": STEPS,
        "t_mul": st.sampled_from([1.0, 1.5, 2.0]),
        "m_mul": FACTORS,
        "alpha": SHARES,
    },
}


@equal("schedules", *ARGUMENTS)
@pytest.mark.parametrize("name", ARGUMENTS)
@MANY
@given(data=st.data())
def test_every_step_is_keras(name: str, data: st.DataObject) -> None:
    arguments = data.draw(st.fixed_dictionaries(ARGUMENTS[name]))
    ours, theirs = (
        getattr(schedules, name)(**arguments),
        getattr(keras.optimizers.schedules, name)(**arguments),
    )
    steps = [
        step for step in range(0, 45, 2) if not (name.endswith("Restarts") and begins(step, **arguments))
    ]
    expected = [float(theirs(step)) for step in steps]
    np.testing.assert_allclose([ours(step) for step in steps], expected, rtol=2e-5, atol=1e-7)


def begins(step: int, first_decay_steps: int, t_mul: float, **others: Any) -> bool:
    """Whether a cycle begins near a step: there Keras' logarithms in float32 may round either way."""
    start, length = 0.0, float(first_decay_steps)
    while start < step - 0.01:
        start, length = start + length, length * t_mul
    return step > 0 and abs(start - step) < 0.01


def test_a_schedule_is_a_function_of_the_step() -> None:
    class Ours(Schedule):
        def __call__(self, step: int) -> float:
            return 1.0 / (1 + step)

    class Theirs(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> Any:
            return 1.0 / (1 + step)

    assert [Ours()(step) for step in range(5)] == [Theirs()(step) for step in range(5)]
    bases: list[Any] = [Schedule, keras.optimizers.schedules.LearningRateSchedule]
    for base in bases:
        with pytest.raises((TypeError, NotImplementedError)):
            base()(0)


def test_a_restart_begins_at_the_highest_rate() -> None:
    restarts = schedules.CosineDecayRestarts(1.0, 10, t_mul=2.0, m_mul=0.5)
    assert [restarts(step) for step in (0, 10, 30, 70)] == pytest.approx([1.0, 0.5, 0.25, 0.125])


@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_one_cycle(strategy: Any) -> None:
    """From max / 25 to max at step 0.3 * 100 - 1, then to max / 25 / 1e4 at the last step."""
    cycle = OneCycle(1.0, 100, anneal_strategy=strategy)
    rise = np.linspace(0.0, 1.0, 30)
    fall = np.linspace(0.0, 1.0, 71)
    if strategy == "cos":
        rise, fall = ((1 - np.cos(np.pi * passed)) / 2 for passed in (rise, fall))
    expected = [*(0.04 + 0.96 * rise), *(1.0 + (4e-6 - 1.0) * fall[1:])]
    np.testing.assert_allclose([cycle(step) for step in range(100)], expected, rtol=1e-9)
    assert cycle(1000) == pytest.approx(4e-6)
    assert OneCycle(1.0, 2)(1) == pytest.approx(4e-6)


def test_warmup() -> None:
    constant = Warmup(0.5, 4, start=0.1)
    assert [constant(step) for step in range(6)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.5])
    then = schedules.ExponentialDecay(1.0, 1, 0.5)
    assert [Warmup(then, 2)(step) for step in range(5)] == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.25])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: schedules.ExponentialDecay(0.1, 0, 0.5),
            "ExponentialDecay: decay_steps must be above 0, got 0",
        ),
        (lambda: schedules.InverseTimeDecay(0.1, -1, 0.5), "InverseTimeDecay: decay_steps must be above 0"),
        (lambda: schedules.PolynomialDecay(0.1, 0), "PolynomialDecay: decay_steps must be above 0, got 0"),
        (lambda: schedules.CosineDecay(0.1, 0), "CosineDecay: decay_steps must be above 0, got 0"),
        (lambda: schedules.CosineDecay(0.1, 1, warmup_steps=-1), "warmup_steps must be at least 0, got -1"),
        (lambda: schedules.CosineDecayRestarts(0.1, 0), "first_decay_steps must be above 0, got 0"),
        (lambda: schedules.CosineDecayRestarts(0.1, 1, t_mul=0.5), "t_mul must be at least 1, got 0.5"),
        (lambda: schedules.PiecewiseConstantDecay([1], [0.1]), "values must be one more than boundaries"),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [1, 2, 3]), "boundaries must be rising"),
        (lambda: OneCycle(0.1, 1), "OneCycle: total_steps must be at least 2, got 1"),
        (lambda: OneCycle(0.1, 5, pct_start=1.0), r"OneCycle: pct_start must be in \(0, 1\), got 1.0"),
        (lambda: OneCycle(0.1, 5, anneal_strategy="up"), 'anneal_strategy must be "cos" or "linear"'),  # type: ignore[arg-type]
        (lambda: Warmup(0.1, 0), "Warmup: steps must be at least 1, got 0"),
    ],
)
def test_bad_arguments(make: Callable[[], Schedule], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


ONE_OF_EACH = [
    schedules.ExponentialDecay(0.1, 5, 0.5, staircase=True),
    schedules.InverseTimeDecay(0.1, 5, 0.5),
    schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2, 0.3]),
    schedules.PolynomialDecay(0.1, 5, cycle=True),
    schedules.CosineDecay(0.1, 5, warmup_target=0.2, warmup_steps=2),
    schedules.CosineDecayRestarts(0.1, 5),
    OneCycle(0.1, 20),
    Warmup(Warmup(0.1, 3), 2),
]


@pytest.mark.parametrize("schedule", ONE_OF_EACH, ids=lambda s: type(s).__name__)
def test_a_name_and_arguments_give_the_schedule_again(schedule: Schedule) -> None:
    config = schedules.to_config(schedule)
    assert config is not None
    again = schedules.from_config(config)
    assert again == schedule
    assert [again(step) for step in range(9)] == [schedule(step) for step in range(9)]


def test_every_schedule_has_a_name() -> None:
    assert {type(s) for s in ONE_OF_EACH} == set(schedules.SCHEDULES.values())
    assert schedules.get("cosine_decay", initial_learning_rate=0.1, decay_steps=5) == schedules.CosineDecay(
        0.1, 5
    )
    with pytest.raises(UnknownNameError, match="there is no schedule named 'cosine_decya'; did you mean"):
        schedules.get("cosine_decya")
    with pytest.raises(RecipeError, match="the file names a schedule that cannot be made"):
        schedules.from_config({"name": "cosine_decay", "arguments": {"decay_steps": 0}})
