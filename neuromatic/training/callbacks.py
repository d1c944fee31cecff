"""Callbacks: everything about training that is not the loop itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuromatic.engines import Program
from neuromatic.errors import TrainingError

Logs = Mapping[str, float]


@dataclass
class Run:
    """A training run, as callbacks see it.

    Attributes:
        program: holds the current parameters.
        epochs: how many epochs are asked for.
        steps: how many steps an epoch has.
        names: what is reported, ``loss`` first.
        stopped: whether :meth:`stop` has been called.
    """

    program: Program
    epochs: int
    steps: int
    names: tuple[str, ...]
    stopped: bool = False

    def stop(self) -> None:
        """End training after the current epoch."""
        self.stopped = True


class Callback:
    """Base of all callbacks: override what is of interest (names as in Keras).

    ``logs`` maps ``loss``, metrics and, at the end of an epoch, their ``val_`` forms to numbers.
    """

    def on_train_begin(self, run: Run) -> None:
        """Before the first step."""

    def on_epoch_begin(self, run: Run, epoch: int) -> None:
        """Before an epoch, counted from 0."""

    def on_train_batch_end(self, run: Run, step: int, logs: Logs) -> None:
        """After the steps of one call to the engine, of which ``step`` is the last in this epoch, from 0."""

    def on_epoch_end(self, run: Run, epoch: int, logs: Logs) -> None:
        """After an epoch and its validation."""

    def on_train_end(self, run: Run) -> None:
        """After the last epoch."""

    def close(self) -> None:
        """When training is over in any way, a failure included."""


@dataclass
class EarlyStopping(Callback):
    """Stop when a number has not improved for a while (Keras ``EarlyStopping``).

    Args:
        monitor: what to watch.
        min_delta: least change that counts as an improvement.
        patience: how many epochs without improvement to wait.
        mode: whether smaller or larger is better; ``"auto"`` takes larger for accuracies.
        restore_best_weights: go back to the parameters of the best epoch at the end.

    Attributes:
        best: the best number so far; None before the first.
    """

    monitor: str = "val_loss"
    min_delta: float = 0.0
    patience: int = 0
    mode: Literal["auto", "min", "max"] = "auto"
    restore_best_weights: bool = False
    best: float | None = field(default=None, init=False)
    _waited: int = field(default=0, init=False)
    _best_parameters: dict[str, NDArray[Any]] = field(default_factory=dict, init=False, repr=False)

    def on_train_begin(self, run: Run) -> None:
        self.best, self._waited, self._best_parameters = None, 0, {}

    def on_epoch_end(self, run: Run, epoch: int, logs: Logs) -> None:
        if self.monitor not in logs:
            raise TrainingError(
                f"EarlyStopping watches {self.monitor!r}, which is not reported; there is {sorted(logs)}"
            )
        if self._improved(logs[self.monitor]):
            self.best, self._waited = logs[self.monitor], 0
            if self.restore_best_weights:
                self._best_parameters = {k: np.copy(v) for k, v in run.program.parameters().items()}
            return
        self._waited += 1
        if self._waited >= max(1, self.patience):
            run.stop()

    def _improved(self, value: float) -> bool:
        if self.best is None:
            return not math.isnan(value)
        larger = self.mode == "max" or (self.mode == "auto" and "acc" in self.monitor)
        gain = value - self.best if larger else self.best - value
        return gain > abs(self.min_delta)

    def on_train_end(self, run: Run) -> None:
        if self._best_parameters:
            run.program.assign(self._best_parameters)
