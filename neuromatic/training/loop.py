"""The one training loop: epochs, batches, validation, callbacks. It knows no engine but a program."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromatic.engines import Outcome, Program
from neuromatic.errors import DivergedError, TrainingError
from neuromatic.metrics import result_of
from neuromatic.recipe.schema import MetricSums
from neuromatic.schedules import LearningRate
from neuromatic.training.callbacks import Callback, Run
from neuromatic.training.history import History

Array = NDArray[Any]


class Tally:
    """Sums over batches, from which loss and metrics of everything seen so far follow exactly."""

    def __init__(self, metrics: Sequence[MetricSums]) -> None:
        self._metrics = metrics
        self._loss = 0.0
        self._samples = 0
        self._sums: dict[str, NDArray[np.float64]] = {}

    def add(self, outcome: Outcome, batch_size: int) -> None:
        """Count the steps of an outcome."""
        self._loss += float(outcome.loss.sum(dtype=np.float64)) * batch_size
        self._samples += len(outcome.loss) * batch_size
        for metric in self._metrics:
            sums = outcome.sums[metric.name].sum(axis=0, dtype=np.float64)
            self._sums[metric.name] = self._sums.get(metric.name, 0.0) + sums

    def add_batch(self, values: Mapping[str, Array], loss: str, batch_size: int) -> None:
        """Count one batch from the values of an evaluated graph."""
        sums = {m.name: values[m.sums][None] for m in self._metrics}
        self.add(Outcome(np.reshape(values[loss], (1,)), sums), batch_size)

    def logs(self, prefix: str = "") -> dict[str, Any]:
        """The mean loss of all samples, and each metric: a number, or an array for some of them."""
        logs: dict[str, Any] = {f"{prefix}loss": self._loss / self._samples}
        for metric in self._metrics:
            sums = self._sums[metric.name]
            logs[f"{prefix}{metric.name}"] = result_of(metric.result, sums, metric.arguments)
        return logs


def fit(
    program: Program,
    data: Mapping[str, Array],
    *,
    metrics: Sequence[MetricSums],
    epochs: int,
    batch_size: int,
    learning_rate: LearningRate,
    seed: int,
    shuffle: bool = True,
    validation: Mapping[str, Array] | None = None,
    callbacks: Sequence[Callback] = (),
    first_step: int = 0,
) -> History:
    """Train for some epochs.

    The order of an epoch depends on seed and epoch alone. The last batch of an epoch may be smaller, and
    counts by its size.

    Raises:
        DivergedError: a loss is not finite.
    """
    try:
        loop = _Loop(
            program,
            data,
            validation,
            metrics,
            batch_size,
            learning_rate,
            seed,
            shuffle,
            callbacks,
            first_step,
        )
        return loop.run(epochs)
    finally:
        for callback in callbacks:
            callback.close()


class _Loop:
    """One run of :func:`fit`: what stays the same over its epochs, the step number, and the history."""

    def __init__(
        self,
        program: Program,
        data: Mapping[str, Array],
        validation: Mapping[str, Array] | None,
        metrics: Sequence[MetricSums],
        batch_size: int,
        learning_rate: LearningRate,
        seed: int,
        shuffle: bool,
        callbacks: Sequence[Callback],
        step: int,
    ) -> None:
        self.program, self.metrics, self.batch_size = program, metrics, batch_size
        self.learning_rate = learning_rate
        self.seed, self.shuffle, self.callbacks, self.step = seed, shuffle, callbacks, step
        self.dataset, self.count = program.load(data), _length(data)
        self.held_out = None if validation is None else program.load(validation)
        self.held_out_rows = np.arange(0 if validation is None else _length(validation))
        self.history = History()

    def run(self, epochs: int) -> History:
        steps = -(-self.count // self.batch_size)
        run = Run(
            self.program,
            epochs,
            steps,
            ("loss", *(m.name for m in self.metrics)),
            learning_rate=self.learning_rate,
        )
        self.notify("on_train_begin", run)
        for epoch in range(epochs):
            started = time.perf_counter()
            self.notify("on_epoch_begin", run, epoch)
            logs = self.epoch(run, epoch)
            if self.held_out is not None:
                tally = evaluate(
                    self.program, self.held_out, self.held_out_rows, self.batch_size, self.metrics
                )
                logs |= tally.logs("val_")
            self.history.add(epoch, logs, time.perf_counter() - started)
            self.notify("on_epoch_end", run, epoch, logs)
            if run.stopped:
                break
        self.notify("on_train_end", run)
        return self.history

    def epoch(self, run: Run, epoch: int) -> dict[str, Any]:
        rows = np.arange(self.count)
        if self.shuffle:
            rows = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        tally, done = Tally(self.metrics), 0
        for block in blocks(rows, self.batch_size, self.program.steps_per_call):
            rates = np.array([run.rate(self.step + i) for i in range(len(block))], np.float32)
            outcome = self.program.train(self.dataset, block, rates)
            if len(outcome.loss) != len(block):
                raise TrainingError(f"the engine did {len(outcome.loss)} of {len(block)} steps")
            _check_finite(outcome.loss, self.step, self.history.step_losses)
            self.history.step_losses.extend(outcome.loss.tolist())
            tally.add(outcome, block.shape[1])
            self.step += len(block)
            done += len(block)
            self.notify("on_train_batch_end", run, done - 1, tally.logs())
        return tally.logs()

    def notify(self, event: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(*arguments)


def _length(arrays: Mapping[str, Array]) -> int:
    return len(next(iter(arrays.values())))


def evaluate(
    program: Program, dataset: Any, rows: NDArray[np.int64], batch_size: int, metrics: Sequence[MetricSums]
) -> Tally:
    """Loss and metrics of some rows, in inference form."""
    tally = Tally(metrics)
    for block in blocks(rows, batch_size, program.steps_per_call):
        tally.add(program.evaluate(dataset, block), block.shape[1])
    return tally


def blocks(order: NDArray[np.int64], batch_size: int, steps: int) -> list[NDArray[np.int64]]:
    """Row numbers as matrices of at most ``steps`` full batches each, the rest as a batch of its own.

    >>> [b.tolist() for b in blocks(np.arange(7), 2, 2)]
    [[[0, 1], [2, 3]], [[4, 5]], [[6]]]
    """
    full = len(order) // batch_size
    matrix = order[: full * batch_size].reshape(full, batch_size)
    result = [matrix[i : i + steps] for i in range(0, full, steps)]
    rest = order[full * batch_size :]
    return [*result, rest[None]] if len(rest) else result


def _check_finite(losses: NDArray[np.float32], step: int, before: Sequence[float]) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        first = int(bad[0])
        last = float(losses[first - 1]) if first else (before[-1] if before else None)
        raise DivergedError(step + first + 1, float(losses[first]), last)
