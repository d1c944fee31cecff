"""EarlyStopping against Keras' on the same courses of a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest

from neuromatic.errors import TrainingError
from neuromatic.training.callbacks import EarlyStopping, Run
from tests.neuromatic.training.fake_program import FakeProgram

NAN = float("nan")


def course(stopping: EarlyStopping, values: Sequence[float]) -> tuple[int, FakeProgram]:
    """Epochs until it stops, where the parameter is the epoch's number."""
    program = FakeProgram()
    run = Run(program, len(values), 1, ("loss",))
    stopping.on_train_begin(run)
    epoch = 0
    for epoch, value in enumerate(values):
        program.w = float(epoch)
        stopping.on_epoch_end(run, epoch, {stopping.monitor: value})
        if run.stopped:
            break
    stopping.on_train_end(run)
    return epoch + 1, program


def keras_course(values: Sequence[float], **arguments: Any) -> tuple[int, float | None]:
    """Epochs until Keras' EarlyStopping stops, and the best value; a stand-in for its model."""

    class Model:
        stop_training = False
        optimizer = None
        epoch = 0.0

        def get_weights(self) -> list[Any]:
            return [self.epoch]

        def set_weights(self, weights: list[Any]) -> None:
            self.epoch = weights[0]

    callback = keras.callbacks.EarlyStopping(**arguments)
    model: Any = Model()
    callback.set_model(model)
    callback.on_train_begin()
    epoch = 0
    for epoch, value in enumerate(values):
        model.epoch = float(epoch)
        callback.on_epoch_end(epoch, {arguments["monitor"]: value})
        if model.stop_training:
            break
    callback.on_train_end()
    return epoch + 1, model.epoch


COURSES = {
    "better": [5.0, 4.0, 3.0, 2.0, 1.0],
    "worse": [1.0, 2.0, 3.0, 4.0, 5.0],
    "same": [1.0, 1.0, 1.0, 1.0, 1.0],
    "up and down": [3.0, 2.0, 2.5, 1.95, 2.2, 2.3, 2.4, 1.0],
    "slowly": [3.0, 2.95, 2.9, 2.85, 2.8, 2.75],
    "not a number later": [3.0, NAN, 2.0, NAN, NAN, NAN],
    "negative": [-1.0, -2.0, -1.5, -1.4, -1.3],
}


@pytest.mark.parametrize("values", COURSES.values(), ids=COURSES)
@pytest.mark.parametrize("patience", [0, 1, 2, 3])
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("min_delta", [0.0, 0.08, -0.08])
def test_it_stops_when_keras_does(values: list[float], patience: int, mode: Any, min_delta: float) -> None:
    arguments: dict[str, Any] = {"monitor": "val_loss", "patience": patience, "mode": mode}
    arguments |= {"min_delta": min_delta, "restore_best_weights": True}
    expected = keras_course(values, **arguments)
    epochs, program = course(EarlyStopping(**arguments), values)
    assert (epochs, program.w) == expected


@pytest.mark.parametrize(
    ("monitor", "values", "best"),
    [
        ("val_accuracy", [0.5, 0.8, 0.7], 0.8),
        ("acc", [0.5, 0.8, 0.7], 0.8),
        ("val_loss", [0.5, 0.2, 0.7], 0.2),
        ("mean_squared_error", [0.5, 0.2, 0.7], 0.2),
    ],
)
def test_auto_takes_the_better_direction(monitor: str, values: list[float], best: float) -> None:
    stopping = EarlyStopping(monitor)
    epochs, program = course(stopping, values)
    assert (epochs, stopping.best) == (3, best)
    assert program.w == 2.0  # without restore_best_weights the last stay


def test_it_restores_the_best_even_if_it_did_not_stop() -> None:
    epochs, program = course(EarlyStopping(patience=9, restore_best_weights=True), [3.0, 1.0, 2.0])
    assert (epochs, program.w) == (3, 1.0)


def test_it_begins_anew_with_each_run() -> None:
    stopping = EarlyStopping(patience=2)
    assert course(stopping, [1.0, 2.0, 3.0])[0] == 3
    assert course(stopping, [10.0, 9.0, 11.0])[0] == 3
    assert stopping.best == 9.0


def test_a_number_that_is_not_reported() -> None:
    run = Run(FakeProgram(), 1, 1, ("loss",))
    with pytest.raises(
        TrainingError,
        match=r"EarlyStopping watches 'val_loss', which is not reported; there is \['accuracy', 'loss'\]",
    ):
        EarlyStopping().on_epoch_end(run, 0, {"loss": 1.0, "accuracy": np.float64(0.5)})


@pytest.mark.parametrize("monitor", ["val_auc", "f1_score", "mean_io_u_iou"])
def test_more_names_of_what_is_better_larger(monitor: str) -> None:
    stopping = EarlyStopping(monitor)
    course(stopping, [1.0, 2.0])
    assert stopping.best == 2.0


def test_a_result_of_several_numbers_cannot_be_watched() -> None:
    stopping = EarlyStopping("confusion_matrix")
    run = Run(FakeProgram(), 1, 1, ())
    with pytest.raises(TrainingError, match="watches 'confusion_matrix', which is several numbers"):
        stopping.on_epoch_end(run, 0, {"confusion_matrix": np.eye(2)})
