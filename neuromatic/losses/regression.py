"""Losses of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neuromatic.graph import GraphBuilder
from neuromatic.losses.base import EPSILON, Loss
from neuromatic.values import Value

__all__ = ["MeanSquaredError", "MeanAbsoluteError", "RootMeanSquaredError"]


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """Mean of ``(y_true - y_pred)²`` (Keras ``MeanSquaredError``)."""

    aliases: ClassVar[tuple[str, ...]] = ("mse",)

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        error = g.add("Sub", y_pred, y_true)
        return g.add("Mul", error, error)


@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """Mean of ``|y_true - y_pred|`` (Keras ``MeanAbsoluteError``)."""

    aliases: ClassVar[tuple[str, ...]] = ("mae",)

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        return g.add("Abs", g.add("Sub", y_pred, y_true))


@dataclass(frozen=True)
class RootMeanSquaredError(MeanSquaredError):
    """Square root of the batch's mean squared error; Keras has it as a metric only.

    Below 1e-7 it is 1e-7 with gradient zero, since the root has no finite slope at zero.
    """

    aliases: ClassVar[tuple[str, ...]] = ("rmse",)

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        mean = super().emit(g, y_true, y_pred)
        return g.add("Sqrt", g.add("Max", mean, g.const(EPSILON**2, y_pred.dtype)))
