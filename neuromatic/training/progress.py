"""Showing the course of training: a bar on a terminal, a line for each epoch elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from neuromatic.metrics import result_text
from neuromatic.printable import printable
from neuromatic.training.callbacks import Callback, Logs, Run

Verbose = Literal["auto", 0, 1, 2]


def progress_for(verbose: Verbose) -> list[Callback]:
    """The callback that Keras' ``verbose`` asks for: 0 none, 1 a bar, 2 lines, ``"auto"`` by the terminal.

    Raises:
        ValueError: another value.
    """
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got {verbose!r}")
    if verbose == 0:
        return []
    if verbose == 1 or (verbose == "auto" and sys.stderr.isatty()):
        return [ProgressBar()]
    return [EpochLines()]


def describe(logs: Logs) -> str:
    """Numbers as one line: ``loss 0.1234  accuracy 0.9876  recall [0.5000 1.0000]``."""
    line = "  ".join(f"{name} {result_text(value, '.4f')}" for name, value in logs.items())
    return printable(line, keep="")


class EpochLines(Callback):
    """One line on standard error for each epoch."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, soft_wrap=True, highlight=False)
        self._started = 0.0

    def on_epoch_begin(self, run: Run, epoch: int) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, run: Run, epoch: int, logs: Logs) -> None:
        seconds = time.perf_counter() - self._started
        line = f"epoch {epoch + 1}/{run.epochs}  {seconds:.1f} s  {describe(logs)}"
        self._console.print(line, markup=False)  # outputs of a model may be named like markup


class ProgressBar(EpochLines):
    """A bar for the current epoch with loss, metrics and time left; finished epochs stay as lines."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[logs]}", markup=False),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None

    def on_epoch_begin(self, run: Run, epoch: int) -> None:
        super().on_epoch_begin(run, epoch)
        self._progress.start()
        self._task = self._progress.add_task(f"epoch {epoch + 1}/{run.epochs}", total=run.steps, logs="")

    def on_train_batch_end(self, run: Run, step: int, logs: Logs) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=step + 1, logs=describe(logs))

    def on_epoch_end(self, run: Run, epoch: int, logs: Logs) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        super().on_epoch_end(run, epoch, logs)

    def close(self) -> None:
        self._progress.stop()
