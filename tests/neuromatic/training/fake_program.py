"""A program in a few lines of numpy, so that the loop is tested without an engine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromatic.engines import Outcome
from neuromatic.recipe.schema import MetricSums
from neuromatic.training.callbacks import Callback, Logs, Run

Array = NDArray[Any]
MAE = MetricSums("mae", "mae sums", "mean")


class FakeProgram:
    """Learns the mean of ``y``: loss is the mean of (y - w)², metric the mean of |y - w|.

    Attributes:
        calls: what was asked of it, in order.
        losses: if given, the losses it reports instead, step by step.
    """

    def __init__(self, steps_per_call: int = 1, losses: Sequence[float] | None = None) -> None:
        self.steps_per_call = steps_per_call
        self.w = 0.0
        self.steps_done = 0
        self.calls: list[tuple[Any, ...]] = []
        self.rates: list[float] = []
        self._losses = None if losses is None else iter(losses)

    def load(self, arrays: Mapping[str, Array], whole: Collection[str] = ()) -> Array:
        self.calls.append(("load", len(arrays["y"])))
        return arrays["y"].astype(np.float64)

    def train(self, dataset: Array, rows: NDArray[np.int64], learning_rates: NDArray[np.float32]) -> Outcome:
        assert learning_rates.dtype == np.float32
        assert len(learning_rates) == len(rows)
        self.calls.append(("train", rows.tolist()))
        self.rates += learning_rates.tolist()
        losses, sums = [], []
        for line, rate in zip(rows, learning_rates, strict=True):
            error = dataset[line] - self.w
            losses.append(np.mean(error**2) if self._losses is None else next(self._losses))
            sums.append([np.abs(error).sum(), len(error)])
            self.w += float(rate) * 2 * error.mean()
        return Outcome(np.array(losses, np.float32), {"mae": np.array(sums, np.float32)})

    def evaluate(self, dataset: Array, rows: NDArray[np.int64]) -> Outcome:
        self.calls.append(("evaluate", rows.tolist()))
        error = dataset[rows] - self.w
        sums = np.stack([np.abs(error).sum(1), np.full(len(rows), rows.shape[1])], 1)
        return Outcome(np.mean(error**2, 1).astype(np.float32), {"mae": sums.astype(np.float32)})

    def predict(
        self, dataset: Array, rows: NDArray[np.int64], values: Sequence[str] | None = None
    ) -> dict[str, Array]:
        return {"y": np.full(len(rows), self.w)}

    def parameters(self) -> dict[str, Array]:
        return {"w": np.array(self.w)}

    def assign(self, parameters: Mapping[str, Array]) -> None:
        self.w = float(parameters["w"])

    def close(self) -> None:
        self.calls.append(("close",))


class Recorder(Callback):
    """Writes down every event.

    Attributes:
        events: names, with the epoch or step.
        logs: what each event reported.
        stop_after: the epoch after which to stop.
    """

    def __init__(self, stop_after: int | None = None) -> None:
        self.events: list[Any] = []
        self.logs: list[dict[str, float]] = []
        self.stop_after = stop_after
        self.run: Run | None = None

    def on_train_begin(self, run: Run) -> None:
        self.run = run
        self.events.append("begin")

    def on_epoch_begin(self, run: Run, epoch: int) -> None:
        self.events.append(("epoch", epoch))

    def on_train_batch_end(self, run: Run, step: int, logs: Logs) -> None:
        self.events.append(("batch", step))
        self.logs.append(dict(logs))

    def on_epoch_end(self, run: Run, epoch: int, logs: Logs) -> None:
        self.events.append(("epoch end", epoch))
        self.logs.append(dict(logs))
        if epoch == self.stop_after:
            run.stop()

    def on_train_end(self, run: Run) -> None:
        self.events.append("end")

    def close(self) -> None:
        self.events.append("close")
