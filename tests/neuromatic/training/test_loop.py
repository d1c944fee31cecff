"""The training loop with a program of numpy: order, weighting, learning rates, divergence, events."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from neuromatic.engines import Outcome
from neuromatic.errors import DivergedError
from neuromatic.training.callbacks import Callback
from neuromatic.training.loop import blocks, fit
from neuromatic.training.tally import Tally
from tests.neuromatic.training.fake_program import MAE, FakeProgram, Recorder

Y = np.array([1.0, 2.0, 4.0, 8.0, 16.0])


def train(program: FakeProgram, **options: Any) -> Any:
    settings: dict[str, Any] = {
        "metrics": [MAE],
        "epochs": 1,
        "batch_size": 2,
        "learning_rate": 0.25,
        "seed": 0,
        "shuffle": False,
    }
    return fit(program, {"y": Y}, **(settings | options))


def test_steps_are_those_of_gradient_descent() -> None:
    program = FakeProgram()
    history = train(program)
    w, losses = 0.0, []
    for rows in ([0, 1], [2, 3], [4]):
        losses.append(np.mean((Y[rows] - w) ** 2))
        w += 0.25 * 2 * np.mean(Y[rows] - w)
    assert program.w == pytest.approx(w)
    assert history.step_losses == pytest.approx(losses)
    assert program.calls == [
        ("load", 5),
        ("train", [[0, 1]]),
        ("train", [[2, 3]]),
        ("train", [[4]]),
    ]


def test_the_last_batch_counts_by_its_size() -> None:
    history = train(FakeProgram())
    losses = history.step_losses
    assert history.history["loss"] == pytest.approx([(2 * losses[0] + 2 * losses[1] + losses[2]) / 5])
    w, errors = 0.0, []
    for rows in ([0, 1], [2, 3], [4]):
        errors += np.abs(Y[rows] - w).tolist()
        w += 0.25 * 2 * np.mean(Y[rows] - w)
    assert history.history["mae"] == pytest.approx([np.mean(errors)])


@pytest.mark.parametrize("steps_per_call", [2, 3, 100])
def test_several_steps_in_one_call_give_the_same(steps_per_call: int) -> None:
    one, many = FakeProgram(), FakeProgram(steps_per_call)
    first, second = (train(p, epochs=3, batch_size=1, shuffle=True) for p in (one, many))
    assert one.w == many.w
    assert first.step_losses == second.step_losses
    assert first.history["loss"] == pytest.approx(second.history["loss"])
    assert len(many.calls) < len(one.calls)


def test_a_batch_larger_than_the_data() -> None:
    program = FakeProgram()
    train(program, batch_size=100)
    assert program.calls[1:] == [("train", [[0, 1, 2, 3, 4]])]


# -- order ---------------------------------------------------------------------------------------------


def order(seed: int, epochs: int = 2, **options: Any) -> list[list[int]]:
    program = FakeProgram(100)
    train(program, seed=seed, epochs=epochs, batch_size=5, shuffle=True, **options)
    return [call[1][0] for call in program.calls if call[0] == "train"]


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    first = order(0)
    assert order(0) == first
    assert order(0, first_step=17, learning_rate=0.5, callbacks=[Recorder()]) == first
    assert order(0, epochs=3)[:2] == first
    assert first[0] != first[1]
    assert order(1) != first
    assert all(sorted(rows) == [0, 1, 2, 3, 4] for rows in first)


def test_without_shuffling_rows_come_as_they_are() -> None:
    program = FakeProgram()
    train(program, batch_size=5, epochs=2)
    assert [c[1] for c in program.calls if c[0] == "train"] == [[[0, 1, 2, 3, 4]]] * 2


def test_blocks() -> None:
    assert [b.tolist() for b in blocks(np.arange(3), 5, 4)] == [[[0, 1, 2]]]
    assert [b.tolist() for b in blocks(np.arange(4), 2, 4)] == [[[0, 1], [2, 3]]]
    assert blocks(np.arange(0), 2, 4) == []


# -- learning rates ------------------------------------------------------------------------------------


def test_a_function_gives_the_rate_of_each_step() -> None:
    program = FakeProgram(2)
    train(program, epochs=2, learning_rate=lambda step: step / 8)
    assert program.rates == [step / 8 for step in range(6)]


def test_steps_count_on_from_the_first() -> None:
    program = FakeProgram()
    train(program, learning_rate=lambda step: step / 8, first_step=10)
    assert program.rates == [10 / 8, 11 / 8, 12 / 8]


# -- validation ----------------------------------------------------------------------------------------


def test_validation_after_each_epoch() -> None:
    program = FakeProgram(2)
    held_out = np.array([3.0, 5.0, 9.0])
    history = train(program, epochs=2, validation={"y": held_out}, batch_size=2)
    assert program.calls[:2] == [("load", 5), ("load", 3)]
    assert [c for c in program.calls if c[0] == "evaluate"] == [
        ("evaluate", [[0, 1]]),
        ("evaluate", [[2]]),
    ] * 2
    assert list(history.history) == ["loss", "mae", "val_loss", "val_mae"]
    assert history.history["val_loss"][-1] == pytest.approx(np.mean((held_out - program.w) ** 2))
    assert history.history["val_mae"][-1] == pytest.approx(np.mean(np.abs(held_out - program.w)))


# -- events --------------------------------------------------------------------------------------------


def test_events_come_in_order() -> None:
    recorder = Recorder()
    history = train(FakeProgram(2), epochs=2, callbacks=[recorder])
    epoch = [("batch", 1), ("batch", 2)]
    assert recorder.events == [
        "begin",
        ("epoch", 0),
        *epoch,
        ("epoch end", 0),
        ("epoch", 1),
        *epoch,
        ("epoch end", 1),
        "end",
        "close",
    ]
    assert recorder.run is not None
    assert (recorder.run.epochs, recorder.run.steps, recorder.run.names) == (2, 3, ("loss", "mae"))
    assert recorder.logs[2] == {name: values[0] for name, values in history.history.items()}
    assert history.epoch == [0, 1]
    assert len(history.seconds) == 2


def test_a_callback_stops_after_its_epoch() -> None:
    recorder = Recorder(stop_after=1)
    history = train(FakeProgram(), epochs=5, callbacks=[recorder])
    assert history.epoch == [0, 1]
    assert recorder.events[-3:] == [("epoch end", 1), "end", "close"]


def test_callbacks_are_closed_on_failure() -> None:
    class Failing(Callback):
        def on_epoch_end(self, run: Any, epoch: int, logs: Any) -> None:
            raise KeyError("mine")

    recorder = Recorder()
    with pytest.raises(KeyError, match="mine"):
        train(FakeProgram(), callbacks=[recorder, Failing()])
    assert recorder.events[-1] == "close"
    assert "end" not in recorder.events


def test_callbacks_are_closed_when_data_cannot_be_loaded() -> None:
    class Full(FakeProgram):
        def load(self, arrays: Any, whole: Any = ()) -> Any:
            raise MemoryError("device")

    recorder = Recorder()
    with pytest.raises(MemoryError, match="device"):
        train(Full(), callbacks=[recorder])
    assert recorder.events == ["close"]


# -- divergence ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps_per_call", [1, 3])
def test_a_loss_that_is_not_finite_ends_training(steps_per_call: int) -> None:
    recorder = Recorder()
    program = FakeProgram(steps_per_call, losses=[3.0, 2.5, float("nan"), 1.0])
    message = (
        "the loss became nan at step 3 (the last finite loss was 2.5); "
        "try a lower learning rate or check the data"
    )
    with pytest.raises(DivergedError, match=f"^{re.escape(message)}$") as caught:
        train(program, batch_size=1, callbacks=[recorder])
    assert (caught.value.step, caught.value.last_finite) == (3, 2.5)
    assert recorder.events[-1] == "close"


def test_a_first_loss_that_is_infinite() -> None:
    message = "the loss became inf at step 11 (no step before it was finite); try a lower"
    with pytest.raises(DivergedError, match=re.escape(message)) as caught:
        train(FakeProgram(losses=[float("inf")]), first_step=10)
    assert caught.value.last_finite is None


def test_the_last_finite_loss_may_be_of_the_call_before() -> None:
    program = FakeProgram(2, losses=[3.0, 2.0, float("-inf"), 1.0])
    with pytest.raises(DivergedError, match=r"-inf at step 3 .the last finite loss was 2.;"):
        train(program, batch_size=1)


# -- sums ----------------------------------------------------------------------------------------------


def test_a_tally_is_exact_over_many_batches() -> None:
    tally = Tally([MAE])
    for i in range(1000):
        sums = {"mae": np.array([[0.1 * 32, 32.0]], np.float32)}
        tally.add(Outcome(np.array([0.5 + i], np.float32), sums), 32)
    logs = tally.logs("val_")
    assert logs["val_loss"] == pytest.approx(0.5 + 999 / 2, rel=1e-12)
    assert logs["val_mae"] == pytest.approx(0.1, rel=1e-7)


def test_a_metric_that_counted_nothing() -> None:
    tally = Tally([MAE])
    tally.add(Outcome(np.zeros(1, np.float32), {"mae": np.zeros((1, 2), np.float32)}), 1)
    assert np.isnan(tally.logs()["mae"])
