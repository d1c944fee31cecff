"""Losses of numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.losses.base import EPSILON, ElementLoss, Loss, class_axis, softplus

__all__ = [
    "CosineSimilarity",
    "Huber",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "RootMeanSquaredError",
]


@dataclass(frozen=True)
class MeanSquaredError(ElementLoss):
    """Mean of ``(y_true - y_pred)²`` over the last axis (Keras ``MeanSquaredError``)."""

    aliases: ClassVar[tuple[str, ...]] = ("mse",)

    def elements(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        error = g.add("Sub", y_pred, y_true)
        return g.add("Mul", error, error)


@dataclass(frozen=True)
class MeanAbsoluteError(ElementLoss):
    """Mean of ``|y_true - y_pred|`` over the last axis (Keras ``MeanAbsoluteError``)."""

    aliases: ClassVar[tuple[str, ...]] = ("mae",)

    def elements(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        return g.add("Abs", g.add("Sub", y_pred, y_true))


@dataclass(frozen=True)
class MeanAbsolutePercentageError(ElementLoss):
    """Mean of ``100 |(y_true - y_pred) / y_true|`` (Keras ``MeanAbsolutePercentageError``).

    Targets nearer to 0 than 1e-7 count as 1e-7.
    """

    aliases: ClassVar[tuple[str, ...]] = ("mape",)

    def elements(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        scale = op.maximum(g, g.add("Abs", y_true), g.const(EPSILON, y_true.dtype))
        share = g.add("Abs", g.add("Div", g.add("Sub", y_true, y_pred), scale))
        return g.add("Mul", g.const(100.0, y_pred.dtype), share)


@dataclass(frozen=True)
class MeanSquaredLogarithmicError(ElementLoss):
    """Mean of ``(log(y_true + 1) - log(y_pred + 1))²`` (Keras ``MeanSquaredLogarithmicError``).

    Values below 1e-7 count as 1e-7, and their gradient is zero.
    """

    aliases: ClassVar[tuple[str, ...]] = ("msle",)

    def elements(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        least, one = g.const(EPSILON, y_pred.dtype), g.const(1.0, y_pred.dtype)
        logs = [g.add("Log", g.add("Add", op.maximum(g, y, least), one)) for y in (y_pred, y_true)]
        error = g.add("Sub", *logs)
        return g.add("Mul", error, error)


@dataclass(frozen=True)
class Huber(ElementLoss):
    """``e² / 2`` for errors ``|e| <= delta``, ``delta |e| - delta² / 2`` for larger (Keras ``Huber``).

    Args:
        delta: where the loss turns from quadratic to linear.

    Raises:
        ValueError: delta is not above 0.
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.delta > 0, "delta", "above 0")

    def elements(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        size = g.add("Abs", g.add("Sub", y_pred, y_true))
        delta = g.const(self.delta, y_pred.dtype)
        # With c = min(|e|, delta) both cases are c²/2 + delta (|e| - c).
        near = op.minimum(g, size, delta)
        square = g.add("Mul", g.const(0.5, y_pred.dtype), g.add("Mul", near, near))
        return g.add("Add", square, g.add("Mul", delta, g.add("Sub", size, near)))


@dataclass(frozen=True)
class LogCosh(ElementLoss):
    """Mean of ``log(cosh(y_pred - y_true))`` over the last axis (Keras ``LogCosh``)."""

    def elements(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        error = g.add("Sub", y_pred, y_true)
        doubled = g.add("Mul", error, g.const(-2.0, y_pred.dtype))
        total = g.add("Add", error, softplus(g, doubled))
        return g.add("Sub", total, g.const(math.log(2.0), y_pred.dtype))


@dataclass(frozen=True)
class CosineSimilarity(Loss):
    """Minus the cosine of the angle between target and prediction (Keras ``CosineSimilarity``).

    -1 for the same direction, 1 for opposite ones. Vectors shorter than 1e-7 are divided by 1e-7.

    Args:
        axis: the axis that vectors lie along.
    """

    axis: int = -1

    def classes_along(self, prediction: Value) -> int | None:
        return class_axis(prediction, self.axis)

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        axis = class_axis(y_pred, self.axis)
        units = [self._unit(g, y, axis) for y in (y_true, y_pred)]
        return g.add("Neg", op.reduce(g, "ReduceSum", g.add("Mul", *units), (axis,)))

    def _unit(self, g: GraphBuilder, y: Value, axis: int) -> Value:
        square = op.reduce(g, "ReduceSum", g.add("Mul", y, y), (axis,), keepdims=True)
        return g.add("Div", y, g.add("Sqrt", op.maximum(g, square, g.const(EPSILON**2, y.dtype))))


@dataclass(frozen=True)
class RootMeanSquaredError(MeanSquaredError):
    """Square root of the batch's mean squared error; Keras has it as a metric only.

    Below 1e-7 it is 1e-7 with gradient zero, since the root has no finite slope at zero.
    """

    aliases: ClassVar[tuple[str, ...]] = ("rmse",)

    def emit(
        self,
        g: GraphBuilder,
        y_true: Value,
        y_pred: Value,
        *,
        weight: str | None = None,
        mask: Value | None = None,
    ) -> Value:
        mean = super().emit(g, y_true, y_pred, weight=weight, mask=mask)
        return g.add("Sqrt", op.maximum(g, mean, g.const(EPSILON**2, y_pred.dtype)))
