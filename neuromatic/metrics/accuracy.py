"""How often a prediction is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnx import TensorProto

from neuromatic import operators as op
from neuromatic.graph import GraphBuilder
from neuromatic.metrics.base import Metric, check_ranks
from neuromatic.values import Value

__all__ = ["BinaryAccuracy", "CategoricalAccuracy", "SparseCategoricalAccuracy", "Accuracy"]


@dataclass(frozen=True)
class BinaryAccuracy(Metric):
    """How often ``y_pred > threshold`` is ``y_true`` (Keras ``BinaryAccuracy``)."""

    threshold: float = 0.5
    name: ClassVar[str] = "binary_accuracy"

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_ranks(g, y_true, y_pred)
        hit = g.add("Greater", y_pred, g.const(self.threshold, y_pred.dtype))
        truth = op.cast(g, y_true, y_pred.dtype)
        return op.sum_and_count(g, op.equal(g, op.cast(g, hit, y_pred.dtype), truth))


@dataclass(frozen=True)
class CategoricalAccuracy(Metric):
    """How often the largest prediction is the class of a one-hot target (Keras ``CategoricalAccuracy``)."""

    name: ClassVar[str] = "categorical_accuracy"

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_ranks(g, y_true, y_pred)
        classes = [_largest(g, y) for y in (y_true, y_pred)]
        return op.sum_and_count(g, g.add("Equal", *classes))


@dataclass(frozen=True)
class SparseCategoricalAccuracy(Metric):
    """How often the largest prediction is the class index (Keras ``SparseCategoricalAccuracy``)."""

    name: ClassVar[str] = "sparse_categorical_accuracy"

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_ranks(g, y_true, y_pred, class_axis=1)
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

    aliases: ClassVar[tuple[str, ...]] = ("acc",)

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
