"""The callbacks that set the learning rate, against Keras' on the same courses of a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest

import neuromatic as nm
from neuromatic import LearningRateScheduler, ReduceLROnPlateau
from neuromatic.errors import TrainingError
from neuromatic.training.callbacks import Callback, Run
from tests.neuromatic.training.fake_program import FakeProgram
from tests.neuromatic.training.test_callbacks import COURSES


def rates(callback: Callback, values: Sequence[float]) -> list[float]:
    """The learning rate of each epoch."""
    run = Run(FakeProgram(), len(values), 1, ("loss",), learning_rate=0.5)
    callback.on_train_begin(run)
    found = []
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(run, epoch)
        found.append(run.rate(0))
        callback.on_epoch_end(run, epoch, {"val_loss": value})
    return found


def keras_rates(callback: Any, values: Sequence[float]) -> list[float]:
    class Model:
        optimizer = keras.optimizers.SGD(0.5)

    model: Any = Model()
    model.optimizer.learning_rate = 0.5
    callback.set_model(model)
    callback.on_train_begin()
    found = []
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        found.append(float(model.optimizer.learning_rate))
        callback.on_epoch_end(epoch, {"val_loss": value})
    return found


@pytest.mark.parametrize("values", COURSES.values(), ids=COURSES)
@pytest.mark.parametrize("patience", [1, 2])
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(("cooldown", "min_lr", "min_delta"), [(0, 0.0, 1e-4), (2, 0.2, 0.0), (1, 0.0, 0.08)])
def test_reduced_when_keras_reduces(
    values: list[float], patience: int, mode: Any, cooldown: int, min_lr: float, min_delta: float
) -> None:
    arguments: dict[str, Any] = {"factor": 0.5, "patience": patience, "mode": mode, "cooldown": cooldown}
    arguments |= {"min_lr": min_lr, "min_delta": min_delta}
    course = [*values, *values]
    expected = keras_rates(keras.callbacks.ReduceLROnPlateau(**arguments), course)
    assert rates(ReduceLROnPlateau(**arguments), course) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "schedule",
    [lambda epoch: 0.1 / (1 + epoch), lambda epoch, rate: rate * 0.9, lambda epoch, lr=1.0: lr + 0.1],
    ids=["epoch", "epoch and rate", "rate by default"],
)
def test_a_scheduler_is_keras(schedule: Callable[..., float]) -> None:
    expected = keras_rates(keras.callbacks.LearningRateScheduler(schedule), [1.0] * 5)
    assert rates(LearningRateScheduler(schedule), [1.0] * 5) == pytest.approx(expected, rel=1e-6)


def model() -> nm.Model:
    return (
        nm.Sequential((4,))
        .dense(2, kernel_initializer="ones")
        .loss("mse")
        .optimizer("sgd", learning_rate=0.2)
    )


def data() -> tuple[Any, Any]:
    x = np.random.default_rng(3).normal(size=(16, 4)).astype(np.float32)
    return x, x[:, :2]


def test_the_steps_of_an_epoch_have_its_rate() -> None:
    first, second = model(), model()
    options: dict[str, Any] = {"epochs": 3, "batch_size": 8, "shuffle": False, "verbose": 0}
    first.train(*data(), callbacks=[LearningRateScheduler(lambda epoch, rate: rate / 2)], **options)
    second.train(*data(), learning_rate=lambda step: 0.2 / 2 ** (1 + step // 2), **options)
    for name, value in second.parameters().items():
        np.testing.assert_array_equal(first.parameters()[name], value)


def test_the_file_keeps_its_rate() -> None:
    trained = model()
    trained.train(*data(), callbacks=[LearningRateScheduler(lambda epoch: 0.0)], verbose=0)
    again = model()
    for name, value in again.parameters().items():
        np.testing.assert_array_equal(trained.parameters()[name], value)
    trained.train(*data(), verbose=0)
    again.train(*data(), verbose=0)
    for name, value in again.parameters().items():
        np.testing.assert_array_equal(trained.parameters()[name], value)


@pytest.mark.parametrize("callback", [ReduceLROnPlateau("loss"), LearningRateScheduler(lambda epoch: 0.1)])
def test_a_schedule_is_not_theirs_to_change(callback: Callback) -> None:
    scheduled = model().optimizer("sgd", learning_rate=nm.schedules.CosineDecay(0.1, 5))
    with pytest.raises(TrainingError, match="the learning rate, which is a schedule already: CosineDecay"):
        scheduled.train(*data(), callbacks=[callback], verbose=0)
    scheduled.train(*data(), callbacks=[callback], verbose=0, learning_rate=0.1)


def test_mistakes() -> None:
    with pytest.raises(ValueError, match=r"ReduceLROnPlateau: factor must be in \[0, 1\), got 1.0"):
        ReduceLROnPlateau(factor=1.0)
    with pytest.raises(TrainingError, match="ReduceLROnPlateau watches 'val_loss', which is not reported"):
        model().train(*data(), callbacks=[ReduceLROnPlateau()], verbose=0)
    with pytest.raises(TrainingError, match=r"the schedule must give a finite number .*, got 'slow'"):
        model().train(*data(), callbacks=[LearningRateScheduler(lambda epoch: "slow")], verbose=0)  # type: ignore[arg-type,return-value]
