"""Sums over batches, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromatic.engines import Outcome
from neuromatic.metrics import result_of
from neuromatic.recipe.schema import MetricSums

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
