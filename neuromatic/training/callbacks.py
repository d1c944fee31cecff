"""Callbacks: everything about training that is not the loop itself."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuromatic.engines import Program
from neuromatic.errors import TrainingError
from neuromatic.schedules import LearningRate

Logs = Mapping[str, Any]
Mode = Literal["auto", "min", "max"]


@dataclass
class Run:
    """A training run, as callbacks see it.

    Attributes:
        program: holds the current parameters.
        epochs: how many epochs are asked for.
        steps: how many steps an epoch has.
        names: what is reported, ``loss`` first.
        stopped: whether :meth:`stop` has been called.
        learning_rate: a number, or a function of the step; what is set here holds from the next call to the
            engine until the run ends. The file keeps its own.
    """

    program: Program
    epochs: int
    steps: int
    names: tuple[str, ...]
    stopped: bool = False
    learning_rate: LearningRate = 0.0

    def stop(self) -> None:
        """End training after the current epoch."""
        self.stopped = True

    def rate_for(self, user: str) -> float:
        """The learning rate, for a callback that sets it.

        Raises:
            TrainingError: it is a schedule.
        """
        if callable(self.learning_rate):
            raise TrainingError(
                f"{user} sets the learning rate, which is a schedule already: {self.learning_rate!r}; "
                f"give train(learning_rate=...) a number"
            )
        return float(self.learning_rate)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return self.learning_rate(step) if callable(self.learning_rate) else self.learning_rate


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
        mode: whether smaller or larger is better; ``"auto"`` goes by the name: see :data:`LARGER_IS_BETTER`.
        restore_best_weights: go back to the parameters of the best epoch at the end.

    Attributes:
        best: the best number so far; None before the first.
    """

    monitor: str = "val_loss"
    min_delta: float = 0.0
    patience: int = 0
    mode: Mode = "auto"
    restore_best_weights: bool = False
    best: float | None = field(default=None, init=False)
    _waited: int = field(default=0, init=False)
    _best_parameters: dict[str, NDArray[Any]] = field(default_factory=dict, init=False, repr=False)

    def on_train_begin(self, run: Run) -> None:
        self.best, self._waited, self._best_parameters = None, 0, {}

    def on_epoch_end(self, run: Run, epoch: int, logs: Logs) -> None:
        value = _watched("EarlyStopping", self.monitor, logs)
        if self._improved(value):
            self.best, self._waited = value, 0
            if self.restore_best_weights:
                self._best_parameters = {k: np.copy(v) for k, v in run.program.parameters().items()}
            return
        self._waited += 1
        if self._waited >= max(1, self.patience):
            run.stop()

    def _improved(self, value: float) -> bool:
        if self.best is None:
            return not math.isnan(value)
        return _gain(value, self.best, self.mode, self.monitor) > abs(self.min_delta)

    def on_train_end(self, run: Run) -> None:
        if self._best_parameters:
            run.program.assign(self._best_parameters)


def _watched(owner: str, monitor: str, logs: Logs) -> float:
    if monitor not in logs:
        raise TrainingError(f"{owner} watches {monitor!r}, which is not reported; there is {sorted(logs)}")
    value = logs[monitor]
    if np.ndim(value):
        raise TrainingError(f"{owner} watches {monitor!r}, which is several numbers; choose one that is one")
    return float(value)


LARGER_IS_BETTER = re.compile("acc|auc|precision|recall|score|iou|cosine|correlation|specificity|true_")
"""Parts of the names of what is better the larger it is, for the mode "auto"."""


def _gain(value: float, best: float, mode: Mode, monitor: str) -> float:
    """By how much a number is better than the best so far."""
    larger = mode == "max" or (mode == "auto" and LARGER_IS_BETTER.search(monitor) is not None)
    return value - best if larger else best - value


@dataclass
class ReduceLROnPlateau(Callback):
    """Lower the learning rate when a number has not improved for a while (Keras ``ReduceLROnPlateau``).

    Args:
        monitor: what to watch.
        factor: what the learning rate is multiplied by, below 1.
        patience: how many epochs without improvement to wait.
        mode: whether smaller or larger is better; ``"auto"`` goes by the name: see :data:`LARGER_IS_BETTER`.
        min_delta: least change that counts as an improvement.
        cooldown: how many epochs after a reduction do not count.
        min_lr: lower bound of the learning rate.

    Attributes:
        best: the best number so far; None before the first.
    """

    monitor: str = "val_loss"
    factor: float = 0.1
    patience: int = 10
    mode: Mode = "auto"
    min_delta: float = 1e-4
    cooldown: int = 0
    min_lr: float = 0.0
    best: float | None = field(default=None, init=False)
    _waited: int = field(default=0, init=False)
    _cooling: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not 0.0 <= self.factor < 1.0:
            raise ValueError(f"ReduceLROnPlateau: factor must be in [0, 1), got {self.factor!r}")

    def on_train_begin(self, run: Run) -> None:
        run.rate_for("ReduceLROnPlateau")
        self.best, self._waited, self._cooling = None, 0, 0

    def on_epoch_end(self, run: Run, epoch: int, logs: Logs) -> None:
        value = _watched("ReduceLROnPlateau", self.monitor, logs)
        if self._cooling:
            self._cooling, self._waited = self._cooling - 1, 0
        if self.best is None or _gain(value, self.best, self.mode, self.monitor) > abs(self.min_delta):
            self.best, self._waited = value, 0
        elif not self._cooling:
            self._waited += 1
            if self._waited >= self.patience:
                self._reduce(run)

    def _reduce(self, run: Run) -> None:
        rate = run.rate_for("ReduceLROnPlateau")
        if rate > self.min_lr:
            run.learning_rate = max(rate * self.factor, self.min_lr)
            self._cooling, self._waited = self.cooldown, 0


@dataclass
class LearningRateScheduler(Callback):
    """Set the learning rate of each epoch (Keras ``LearningRateScheduler``).

    Args:
        schedule: from the epoch, counted from 0, and the rate so far to the rate of the epoch; or from the
            epoch alone.
    """

    schedule: Callable[..., float]

    def on_epoch_begin(self, run: Run, epoch: int) -> None:
        rate = run.rate_for("LearningRateScheduler")
        chosen = self.schedule(epoch, rate) if _takes_two(self.schedule) else self.schedule(epoch)
        if not isinstance(chosen, (float, int, np.floating)) or not math.isfinite(chosen) or chosen < 0:
            raise TrainingError(
                f"LearningRateScheduler: the schedule must give a finite number of at least 0, got {chosen!r}"
            )
        run.learning_rate = float(chosen)


def _takes_two(schedule: Callable[..., float]) -> bool:
    """Whether a function can be called with an epoch and a rate."""
    try:
        inspect.signature(schedule).bind(0, 0.0)
    except TypeError:
        return False
    return True


@dataclass
class TakeAverages(Callback):
    """At the end, parameters become their moving averages, where the optimizer keeps some (``use_ema``).

    Args:
        averages: name of the average by name of the parameter.
    """

    averages: Mapping[str, str]

    def on_train_end(self, run: Run) -> None:
        values = run.program.parameters()
        run.program.assign(
            {name: values[average].astype(values[name].dtype) for name, average in self.averages.items()}
        )
