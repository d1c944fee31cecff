"""How often a prediction is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.metrics._checks import check_integer, check_number, check_ranks, known_size
from neuromatic.metrics.base import MeanOfValues, Metric

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "FittingAccuracy",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
]


@dataclass(frozen=True)
class Accuracy(MeanOfValues):
    """How often ``y_pred`` is ``y_true`` exactly (Keras' class ``Accuracy``).

    This is for predictions that are labels. The word ``"accuracy"`` means :class:`FittingAccuracy`.
    """

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_ranks(g, y_true, y_pred)
        return op.equal(g, y_pred, op.cast(g, y_true, y_pred.dtype))


@dataclass(frozen=True)
class BinaryAccuracy(MeanOfValues):
    """How often ``y_pred > threshold`` is ``y_true`` (Keras ``BinaryAccuracy``).

    Args:
        threshold: a number above which a prediction means 1.
    """

    threshold: float = 0.5

    def check(self) -> None:
        check_number("BinaryAccuracy", "threshold", self.threshold, float("-inf"))

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_ranks(g, y_true, y_pred)
        threshold = float(np.float32(self.threshold))  # as Keras has it for float64 predictions too
        hit = g.add("Greater", y_pred, g.const(threshold, y_pred.dtype))
        truth = op.cast(g, y_true, y_pred.dtype)
        return op.equal(g, op.cast(g, hit, y_pred.dtype), truth)


@dataclass(frozen=True)
class CategoricalAccuracy(MeanOfValues):
    """How often the largest prediction is the class of a one-hot target (Keras ``CategoricalAccuracy``)."""

    classes_last: ClassVar[bool] = True

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_ranks(g, y_true, y_pred)
        classes = [largest(g, y) for y in (y_true, y_pred)]
        return g.add("Equal", *classes)


@dataclass(frozen=True)
class SparseCategoricalAccuracy(MeanOfValues):
    """How often the largest prediction is the class index (Keras ``SparseCategoricalAccuracy``)."""

    classes_last: ClassVar[bool] = True

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_ranks(g, y_true, y_pred, class_axis=1)
        truth = op.cast(g, y_true, TensorProto.INT64)
        return g.add("Equal", largest(g, y_pred), truth)


def largest(g: GraphBuilder, scores: Value, axis: int = -1) -> Value:
    """The index of the largest score; its axis counted from the front, as opsets below 11 want it."""
    if not -scores.rank <= axis < scores.rank:
        raise ShapeError(f"{g.scope} takes classes along axis {axis}, {shape_text(scores.shape)} has no such")
    return g.add("ArgMax", scores, axis=axis % scores.rank, keepdims=0)


@dataclass(frozen=True)
class TopKCategoricalAccuracy(MeanOfValues):
    """How often the class of a one-hot target is among the ``k`` best (Keras ``TopKCategoricalAccuracy``).

    It is if fewer than ``k`` predictions are larger than its own: of equal ones all are among the best.
    Targets and predictions: (batch, ..., classes).

    Args:
        k: how many.
    """

    classes_last: ClassVar[bool] = True

    k: int = 5

    def check(self) -> None:
        check_integer(type(self).__name__, "k", self.k, 1)

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_ranks(g, y_true, y_pred)
        return _among_best(g, largest(g, y_true), y_pred, self.k)


@dataclass(frozen=True)
class SparseTopKCategoricalAccuracy(MeanOfValues):
    """How often the class index is among the ``k`` best (Keras ``SparseTopKCategoricalAccuracy``).

    See :class:`TopKCategoricalAccuracy`. Targets: class indices without the class axis.

    Args:
        k: how many.
        from_sorted_ids: predictions are class indices, the best first, rather than scores.
    """

    classes_last: ClassVar[bool] = True

    k: int = 5
    from_sorted_ids: bool = False

    def check(self) -> None:
        check_integer(type(self).__name__, "k", self.k, 1)

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_ranks(g, y_true, y_pred, class_axis=1)
        if not self.from_sorted_ids:
            return _among_best(g, y_true, y_pred, self.k)
        size = known_size(g, y_pred, -1, "how many classes there are")
        places = g.const(np.arange(size) < self.k, TensorProto.BOOL)
        truth = op.cast(g, op.unsqueeze(g, y_true, y_true.rank), y_pred.dtype)
        hits = op.cast(g, g.add("And", op.equal(g, y_pred, truth), places), TensorProto.FLOAT)
        return op.reduce(g, "ReduceMax", hits, (y_pred.rank - 1,))


def _among_best(g: GraphBuilder, classes: Value, scores: Value, k: int) -> Value:
    last = scores.rank - 1
    own = one_hot(g, classes, known_size(g, scores, -1, "how many classes there are"), scores.dtype)
    score = op.reduce(g, "ReduceSum", g.add("Mul", scores, own), (last,), keepdims=True)
    larger = op.cast(g, g.add("Greater", scores, score), TensorProto.FLOAT)
    return g.add("Less", op.reduce(g, "ReduceSum", larger, (last,)), g.const(float(k)))


def one_hot(g: GraphBuilder, classes: Value, size: int, dtype: int = TensorProto.FLOAT) -> Value:
    """Class indices as ones among zeros along a new last axis; all zeros for an index out of range."""
    whole = op.cast(g, classes, TensorProto.INT64)
    return op.cast(g, g.add("Equal", op.unsqueeze(g, whole, whole.rank), g.ints(*range(size))), dtype)


Task = Literal["binary", "categorical", "sparse"]


def task_of(y_true: Value, y_pred: Value, axis: int = -1) -> Task:
    """What the shapes say: one output along the class axis, one-hot targets, or class indices."""
    if y_true.rank < y_pred.rank:
        return "sparse"
    return "binary" if y_pred.rank < 2 or y_pred.dim(axis) == 1 else "categorical"


_FITTING: dict[Task, type[Metric]] = {
    "binary": BinaryAccuracy,
    "categorical": CategoricalAccuracy,
    "sparse": SparseCategoricalAccuracy,
}


@dataclass(frozen=True)
class FittingAccuracy(Metric):
    """The accuracy that fits the shapes, as the string ``"accuracy"`` means in Keras.

    Binary for one output, sparse for class-index targets, categorical for one-hot targets.
    """

    default_name: ClassVar[str] = "accuracy"
    classes_last: ClassVar[bool] = True

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        return self.fitting(y_true, y_pred).emit(g, y_true, y_pred)

    @staticmethod
    def fitting(y_true: Value, y_pred: Value) -> Metric:
        """The accuracy for these shapes."""
        return _FITTING[task_of(y_true, y_pred)]()
