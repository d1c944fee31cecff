"""Metrics of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neuromatic import operators as op
from neuromatic.graph import GraphBuilder
from neuromatic.metrics.base import Metric, check_ranks
from neuromatic.values import Value

__all__ = ["MeanSquaredError", "MeanAbsoluteError"]


def _difference(g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
    check_ranks(g, y_true, y_pred)
    return g.add("Sub", y_pred, op.cast(g, y_true, y_pred.dtype))


@dataclass(frozen=True)
class MeanSquaredError(Metric):
    """Mean of ``(y_true - y_pred)²`` (Keras ``MeanSquaredError``)."""

    aliases: ClassVar[tuple[str, ...]] = ("mse",)

    name: ClassVar[str] = "mean_squared_error"

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        error = _difference(g, y_true, y_pred)
        return op.sum_and_count(g, g.add("Mul", error, error))


@dataclass(frozen=True)
class MeanAbsoluteError(Metric):
    """Mean of ``|y_true - y_pred|`` (Keras ``MeanAbsoluteError``)."""

    aliases: ClassVar[tuple[str, ...]] = ("mae",)

    name: ClassVar[str] = "mean_absolute_error"

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        error = _difference(g, y_true, y_pred)
        return op.sum_and_count(g, g.add("Abs", error))
