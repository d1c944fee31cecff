"""Metrics, each once, as ONNX nodes from (target, prediction) to a small vector of sums.

Sums of batches add up, whatever their sizes; a host function makes the number a user sees of them. In the
file, a metric is its sums and the name of that function, see :data:`RESULTS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from neuromatic import operators as op
from neuromatic._lookup import from_name
from neuromatic.errors import ShapeError
from neuromatic.graph import GraphBuilder, Value, shape_text

Sums = NDArray[np.float64]


def mean(sums: Sums) -> float:
    """Of [total, count] the mean; NaN where nothing was counted.

    >>> mean(np.array([3.0, 4.0]))
    0.75
    """
    return float(sums[0] / sums[1]) if sums[1] else float("nan")


RESULTS: dict[str, Callable[[Sums], float]] = {"mean": mean}
"""What the summed vectors of all batches mean, by the name that files carry."""


class Metric(ABC):
    """Base of all metrics.

    Attributes:
        name: under which results are reported.
        result: which function of :data:`RESULTS` makes the number of the sums.
    """

    name: ClassVar[str]
    result: ClassVar[str] = "mean"

    @abstractmethod
    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        """Add nodes for the vector of sums of a batch, float32."""


def _check_ranks(g: GraphBuilder, y_true: Value, y_pred: Value, *, class_axis: int = 0) -> None:
    """Refuse targets that broadcasting would compare with the wrong predictions.

    Args:
        class_axis: 1 where targets are class indices, which have no class axis.
    """
    if y_true.rank != y_pred.rank - class_axis:
        kind = "class indices" if class_axis else "targets of the predictions' shape"
        raise ShapeError(
            f"{g.scope} takes {kind}, got targets {shape_text(y_true.shape)} "
            f"for predictions {shape_text(y_pred.shape)}; choose another metric"
        )


def _difference(g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
    _check_ranks(g, y_true, y_pred)
    return g.add("Sub", y_pred, op.cast(g, y_true, y_pred.dtype))


@dataclass(frozen=True)
class MeanSquaredError(Metric):
    """Mean of ``(y_true - y_pred)²`` (Keras ``MeanSquaredError``)."""

    name: ClassVar[str] = "mean_squared_error"

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        error = _difference(g, y_true, y_pred)
        return op.sum_and_count(g, g.add("Mul", error, error))


@dataclass(frozen=True)
class MeanAbsoluteError(Metric):
    """Mean of ``|y_true - y_pred|`` (Keras ``MeanAbsoluteError``)."""

    name: ClassVar[str] = "mean_absolute_error"

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        error = _difference(g, y_true, y_pred)
        return op.sum_and_count(g, g.add("Abs", error))


@dataclass(frozen=True)
class BinaryAccuracy(Metric):
    """How often ``y_pred > threshold`` is ``y_true`` (Keras ``BinaryAccuracy``)."""

    threshold: float = 0.5
    name: ClassVar[str] = "binary_accuracy"

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        _check_ranks(g, y_true, y_pred)
        hit = g.add("Greater", y_pred, g.const(self.threshold, y_pred.dtype))
        truth = op.cast(g, y_true, y_pred.dtype)
        return op.sum_and_count(g, op.equal(g, op.cast(g, hit, y_pred.dtype), truth))


@dataclass(frozen=True)
class CategoricalAccuracy(Metric):
    """How often the largest prediction is the class of a one-hot target (Keras ``CategoricalAccuracy``)."""

    name: ClassVar[str] = "categorical_accuracy"

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        _check_ranks(g, y_true, y_pred)
        classes = [_largest(g, y) for y in (y_true, y_pred)]
        return op.sum_and_count(g, g.add("Equal", *classes))


@dataclass(frozen=True)
class SparseCategoricalAccuracy(Metric):
    """How often the largest prediction is the class index (Keras ``SparseCategoricalAccuracy``)."""

    name: ClassVar[str] = "sparse_categorical_accuracy"

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        _check_ranks(g, y_true, y_pred, class_axis=1)
        truth = op.cast(g, y_true, TensorProto.INT64)
        return op.sum_and_count(g, g.add("Equal", _largest(g, y_pred), truth))


def _largest(g: GraphBuilder, scores: Value) -> Value:
    """The index of the largest score; its axis counted from the front, as opsets below 11 want it."""
    return g.add("ArgMax", scores, axis=scores.rank - 1, keepdims=0)


@dataclass(frozen=True)
class Accuracy(Metric):
    """The accuracy that fits the shapes, as the string ``"accuracy"`` means in Keras.

    Binary for one output, sparse for class-index targets, categorical for one-hot targets.
    """

    name: ClassVar[str] = "accuracy"

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        return self.fitting(y_true, y_pred).emit(g, y_true, y_pred)

    @staticmethod
    def fitting(y_true: Value, y_pred: Value) -> Metric:
        """The accuracy for these shapes."""
        if y_true.rank < y_pred.rank:
            return SparseCategoricalAccuracy()
        if y_pred.rank < 2 or y_pred.dim(-1) == 1:
            return BinaryAccuracy()
        return CategoricalAccuracy()


METRICS: dict[str, type[Metric]] = {
    "accuracy": Accuracy,
    "acc": Accuracy,
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "mse": MeanSquaredError,
    "mean_squared_error": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mean_absolute_error": MeanAbsoluteError,
}

MetricLike = str | type[Metric] | Metric


def get(metric: MetricLike, **arguments: Any) -> Metric:
    """A metric from its Keras name, its class or itself.

    >>> get("accuracy")
    Accuracy()

    Raises:
        UnknownNameError: there is none of that name.
    """
    return from_name("metric", metric, METRICS, Metric, **arguments)
