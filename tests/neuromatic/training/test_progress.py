"""What training shows, on a terminal and elsewhere."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from rich.console import Console

from neuromatic.training.callbacks import Callback, Run
from neuromatic.training.progress import EpochLines, ProgressBar, describe, progress_for
from tests.neuromatic.training.fake_program import FakeProgram


def shown(kind: type[EpochLines], *, terminal: bool, logs: dict[str, float] | None = None) -> str:
    """What a callback writes in a run of two epochs of three steps."""
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=terminal, width=100, highlight=False, color_system=None, soft_wrap=True
    )
    logs = logs or {"loss": 0.12345, "accuracy": 0.5}
    callback, run = kind(console), Run(FakeProgram(), 2, 3, ("loss", "accuracy"))
    callback.on_train_begin(run)
    for epoch in range(2):
        callback.on_epoch_begin(run, epoch)
        for step in range(3):
            callback.on_train_batch_end(run, step, logs)
        callback.on_epoch_end(run, epoch, logs | {"val_loss": 2.0})
    callback.on_train_end(run)
    callback.close()
    return stream.getvalue()


def test_a_line_for_each_epoch() -> None:
    first, second = shown(EpochLines, terminal=False).splitlines()
    assert first.startswith("epoch 1/2  0.0 s  loss 0.1235  accuracy 0.5000  val_loss 2.0000")
    assert second.startswith("epoch 2/2  ")


def test_a_bar_on_a_terminal() -> None:
    text = shown(ProgressBar, terminal=True)
    assert "epoch 1/2" in text
    assert "loss 0.1235  accuracy 0.5000  val_loss 2.0000" in text
    assert "\x1b[" in text  # moves the cursor
    assert text.count("val_loss") == 2
    assert "\x1b[?25h" in text  # the cursor is shown again


def test_a_bar_elsewhere_writes_lines_alone() -> None:
    text = shown(ProgressBar, terminal=False)
    assert "\x1b" not in text
    assert text.count("val_loss 2.0000") == 2


@pytest.mark.parametrize("kind", [EpochLines, ProgressBar])
@pytest.mark.parametrize("terminal", [True, False])
def test_names_that_look_like_markup(kind: type[EpochLines], terminal: bool) -> None:
    text = shown(kind, terminal=terminal, logs={"[red]loss[/x]": 1.0})
    assert "[red]loss[/x] 1.0000" in text


def test_closing_twice_or_before_the_start_is_harmless() -> None:
    bar = ProgressBar(Console(file=io.StringIO()))
    bar.on_train_batch_end(Run(FakeProgram(), 1, 1, ("loss",)), 0, {})
    bar.close()
    bar.close()


def kinds(callbacks: list[Callback]) -> list[type]:
    return [type(c) for c in callbacks]


@pytest.mark.parametrize(
    ("verbose", "terminal", "expected"),
    [
        (0, True, []),
        (1, False, [ProgressBar]),
        (2, True, [EpochLines]),
        ("auto", True, [ProgressBar]),
        ("auto", False, [EpochLines]),
    ],
)
def test_verbose_chooses(
    verbose: Any, terminal: bool, expected: list[type], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    monkeypatch.setattr(sys, "stderr", Stream())
    assert kinds(progress_for(verbose)) == expected


def test_another_verbose_is_refused() -> None:
    with pytest.raises(ValueError, match="verbose must be 'auto', 0, 1 or 2, got 3"):
        progress_for(3)  # type: ignore[arg-type]


def test_describe() -> None:
    assert describe({"loss": 1.0, "m": 1e-7}) == "loss 1.0000  m 0.0000"
