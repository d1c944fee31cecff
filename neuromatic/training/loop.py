"""The one training loop: epochs, batches, validation, callbacks. It knows no engine but a program."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromatic.data import Rows
from neuromatic.engines import Program
from neuromatic.errors import DivergedError, TrainingError
from neuromatic.recipe.schema import MetricSums
from neuromatic.schedules import LearningRate
from neuromatic.training.callbacks import Callback, Run
from neuromatic.training.divergence import Trail
from neuromatic.training.history import History
from neuromatic.training.inspector import Inspector
from neuromatic.training.tally import Tally

Array = NDArray[Any]


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
    inspector: Inspector | None = None,
    rows: Rows | None = None,
) -> History:
    """Train for some epochs.

    The order of an epoch depends on seed and epoch alone. The last batch of an epoch may be smaller, and
    counts by its size; where the file has a fixed batch it is left out.

    Args:
        rows: what of the data are rows; by default, all of them are.
        inspector: before the first epoch, the first call of the engine is made once, so that all that
            follows the last one can be tried with its result; then it is undone.

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
            inspector,
            rows or Rows(frozenset(data)),
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
        inspector: Inspector | None,
        rows: Rows,
    ) -> None:
        self.program, self.metrics, self.batch_size = program, metrics, batch_size
        self.learning_rate = learning_rate
        self.seed, self.shuffle, self.callbacks, self.step = seed, shuffle, callbacks, step
        self.rows, self.count, self.validation = rows, rows.count(data), validation
        self.dataset = program.load(data, rows.given_whole(data))
        self.held_out = None if validation is None else program.load(validation, rows.given_whole(validation))
        self.history = History()
        self.first_step, self.inspector, self.trail = step, inspector, Trail(program)

    def run(self, epochs: int) -> History:
        steps = -(-len(self.order(0)) // self.batch_size)
        if self.inspector is not None:
            self.rehearse(self.inspector)
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
            if self.validation is not None:
                logs |= self.validate(self.validation).logs("val_")
            self.history.add(epoch, logs, time.perf_counter() - started)
            self.notify("on_epoch_end", run, epoch, logs)
            if run.stopped:
                break
        self.notify("on_train_end", run)
        return self.history

    def rehearse(self, inspector: Inspector) -> None:
        """Make the first calls of the run, and try with their result what comes at its end; then undo them.

        A callback may still lower a learning rate that is too high: then only the state before is tried.
        """
        program = self.program
        state = program.parameters(), program.steps_done
        block = blocks(self.order(0), self.batch_size, program.steps_per_call)[0]
        rate = self.learning_rate
        rates = [rate(self.step + i) if callable(rate) else rate for i in range(len(block))]
        outcome = program.train(self.dataset, block, np.array(rates, np.float32))
        fine = bool(np.isfinite(outcome.loss).all()) and inspector.finite()
        if not fine:
            self.restore(*state)
        if self.validation is not None:
            self.validate(self.validation, calls=1)
        inspector.rehearse(self.step + len(block) * fine)
        self.restore(*state)
        self.trail.begin(*state)

    def restore(self, parameters: Mapping[str, Array], steps_done: int) -> None:
        self.program.assign(parameters)
        self.program.steps_done = steps_done

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The row numbers in the order of an epoch; whole batches of them where the batch is fixed."""
        size = self.rows.size or 1
        draw = np.random.default_rng([self.seed, epoch]).permutation if self.shuffle else np.arange
        if self.rows.ordered:
            batches: NDArray[np.int64] = draw(self.count // size)
            return (batches[:, None] * size + np.arange(size)).ravel()
        order: NDArray[np.int64] = draw(self.count)
        return order[: self.count - self.count % size]

    def validate(self, data: Mapping[str, Array], calls: int | None = None) -> Tally:
        """Loss and metrics of the held-out rows.

        Args:
            calls: how many calls of the engine suffice, for a trial.
        """
        rows, size = np.arange(self.rows.count(data)), self.rows.size or 1
        full = len(rows) - len(rows) % size
        tally = Tally(self.metrics)
        for block in blocks(rows[:full], self.batch_size, self.program.steps_per_call)[:calls]:
            tally.add(self.program.evaluate(self.held_out, block), block.shape[1])
        if full < len(rows) and self.inspector is not None:
            self.inspector.count_rest(tally, self.held_out, data, rows[full:])
        return tally

    def epoch(self, run: Run, epoch: int) -> dict[str, Any]:
        tally, done = Tally(self.metrics), 0
        for block in blocks(self.order(epoch), self.batch_size, self.program.steps_per_call):
            rates = np.array([run.rate(self.step + i) for i in range(len(block))], np.float32)
            self.trail.add(block, rates)
            outcome = self.program.train(self.dataset, block, rates)
            if len(outcome.loss) != len(block):
                raise TrainingError(f"the engine did {len(outcome.loss)} of {len(block)} steps")
            self.check_finite(outcome.loss, block)
            self.history.step_losses.extend(outcome.loss.tolist())
            tally.add(outcome, block.shape[1])
            self.step += len(block)
            done += len(block)
            self.notify("on_train_batch_end", run, done - 1, tally.logs())
        return tally.logs()

    def check_finite(self, losses: NDArray[np.float32], block: NDArray[np.int64]) -> None:
        """Raise a DivergedError that names the step and, where it can be found, the node."""
        bad = np.flatnonzero(~np.isfinite(losses))
        if not len(bad):
            return
        first, before = int(bad[0]), self.history.step_losses
        last = float(losses[first - 1]) if first else (before[-1] if before else None)
        error = DivergedError(self.step + first + 1, float(losses[first]), last)
        if self.inspector is not None:
            self.trail.go_to(self.dataset, self.step + first - self.first_step)
            error = error.at(self.inspector.first_bad_node(block[first]))
        raise error

    def notify(self, event: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(*arguments)


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
