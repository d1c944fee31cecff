"""Metrics of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from onnx import TensorProto

from neuromatic import losses
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.metrics._checks import check_choice, check_integer, check_matrix, check_ranks, known_size
from neuromatic.metrics.base import MeanOfLoss, Metric

__all__ = [
    "CosineSimilarity",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "R2Score",
    "RootMeanSquaredError",
]


@dataclass(frozen=True)
class MeanSquaredError(MeanOfLoss):
    """Mean of ``(y_true - y_pred)²`` (Keras ``MeanSquaredError``)."""

    aliases: ClassVar[tuple[str, ...]] = ("mse",)

    def loss(self) -> losses.Loss:
        return losses.MeanSquaredError()


@dataclass(frozen=True)
class RootMeanSquaredError(MeanSquaredError):
    """Square root of the mean of ``(y_true - y_pred)²`` over all batches (Keras ``RootMeanSquaredError``)."""

    aliases: ClassVar[tuple[str, ...]] = ("rmse",)
    result: ClassVar[str] = "root_mean"


@dataclass(frozen=True)
class MeanAbsoluteError(MeanOfLoss):
    """Mean of ``|y_true - y_pred|`` (Keras ``MeanAbsoluteError``)."""

    aliases: ClassVar[tuple[str, ...]] = ("mae",)

    def loss(self) -> losses.Loss:
        return losses.MeanAbsoluteError()


@dataclass(frozen=True)
class MeanAbsolutePercentageError(MeanOfLoss):
    """Mean of ``100 |y_true - y_pred| / |y_true|`` (Keras ``MeanAbsolutePercentageError``)."""

    aliases: ClassVar[tuple[str, ...]] = ("mape",)

    def loss(self) -> losses.Loss:
        return losses.MeanAbsolutePercentageError()


@dataclass(frozen=True)
class MeanSquaredLogarithmicError(MeanOfLoss):
    """Mean of ``(log(1 + y_true) - log(1 + y_pred))²`` (Keras ``MeanSquaredLogarithmicError``)."""

    aliases: ClassVar[tuple[str, ...]] = ("msle",)

    def loss(self) -> losses.Loss:
        return losses.MeanSquaredLogarithmicError()


@dataclass(frozen=True)
class LogCoshError(MeanOfLoss):
    """Mean of ``log(cosh(y_pred - y_true))`` (Keras ``LogCoshError``)."""

    aliases: ClassVar[tuple[str, ...]] = ("logcosh", "log_cosh")
    default_name: ClassVar[str] = "logcosh"

    def loss(self) -> losses.Loss:
        return losses.LogCosh()


@dataclass(frozen=True)
class CosineSimilarity(MeanOfLoss):
    """Mean of the cosine of the angle between target and prediction (Keras ``CosineSimilarity``).

    1 for the same direction: the loss of that name with its sign changed.

    Args:
        axis: along which vectors lie.
    """

    axis: int = -1

    def loss(self) -> losses.Loss:
        return losses.CosineSimilarity(self.axis)

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        return g.add("Neg", super().values(g, y_true, y_pred))


@dataclass(frozen=True)
class R2Score(Metric):
    """``1 - Σ(y_true - y_pred)² / Σ(y_true - mean(y_true))²`` of each output (Keras ``R2Score``).

    Targets and predictions: (batch, outputs). Sums: Σy, Σy², Σ(y - p)² and the count, of each output.

    Args:
        class_aggregation: ``"uniform_average"`` of the outputs, ``"variance_weighted_average"``, or None for
            an array of all.
        num_regressors: if not 0, the score is adjusted for this many; it stays as it is while there are not
            more numbers than that.

    Raises:
        ValueError: other arguments.
        ShapeError: other shapes, or an unknown number of outputs.
    """

    class_aggregation: str | None = "uniform_average"
    num_regressors: int = 0
    result: ClassVar[str] = "r2"

    def check(self) -> None:
        choices = ("uniform_average", "variance_weighted_average", None)
        check_choice("R2Score", "class_aggregation", self.class_aggregation, choices)
        check_integer("R2Score", "num_regressors", self.num_regressors, 0)

    @property
    def arguments(self) -> Mapping[str, Any]:
        return {"class_aggregation": self.class_aggregation, "num_regressors": self.num_regressors}

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_matrix(g, y_pred)
        check_ranks(g, y_true, y_pred)
        known_size(g, y_pred, 1, "how many outputs there are")
        y, p = (op.cast(g, v, TensorProto.FLOAT) for v in (y_true, y_pred))
        error = g.add("Sub", y, p)
        one = g.add("Add", g.add("Mul", y, g.const(0.0)), g.const(1.0))
        values = (y, g.add("Mul", y, y), g.add("Mul", error, error), one)
        rows = [op.reduce(g, "ReduceSum", v, (0,), keepdims=True) for v in values]
        return g.add("Concat", *rows, axis=0)
