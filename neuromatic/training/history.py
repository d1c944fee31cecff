"""What training reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from neuromatic.training.verification import Verification


@dataclass
class History:
    """The course of one training run.

    Attributes:
        history: for ``loss``, each metric and their ``val_`` forms, what each epoch gave: a number,
            or an array for metrics that report one.
        epoch: the numbers of the epochs, from 0.
        step_losses: the loss of each single step.
        difference: the largest absolute difference between the engine's values and onnxruntime's for the
            trained model; None if nothing was trained.
        verification: which values that is of, and what could not be compared; None likewise.
        seconds: wall time of the epochs, validation included.
    """

    history: dict[str, list[Any]] = field(default_factory=dict)
    epoch: list[int] = field(default_factory=list)
    step_losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    verification: Verification | None = None

    @property
    def difference(self) -> float | None:
        return None if self.verification is None else self.verification.difference

    def add(self, epoch: int, logs: Mapping[str, Any], seconds: float) -> None:
        """Append the results of an epoch."""
        self.epoch.append(epoch)
        self.seconds.append(seconds)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
