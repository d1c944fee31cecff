"""Metrics of a confusion matrix: which class is taken for which."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from onnx import TensorProto

from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.metrics._checks import check_integer, check_number, check_ranks, known_size
from neuromatic.metrics.accuracy import largest, one_hot, task_of
from neuromatic.metrics.base import Metric

__all__ = [
    "BinaryIoU",
    "ConfusionMatrix",
    "IoU",
    "MatthewsCorrelation",
    "MeanIoU",
    "OneHotIoU",
    "OneHotMeanIoU",
]


def confusion_matrix(
    g: GraphBuilder, true: Value, predicted: Value, size: int, ignore_class: int | None = None
) -> Value:
    """How often class ``i`` is taken for class ``j``, (classes, classes) float32.

    Pairs with a class out of range, or with the true class ``ignore_class``, do not count.
    """
    truth, guess = (one_hot(g, classes, size) for classes in (true, predicted))
    if ignore_class is not None:
        kept = np.arange(size) != ignore_class
        truth = g.add("Mul", truth, g.const(kept.astype(np.float32)))
    if truth.rank == 2:
        truth, guess = (op.unsqueeze(g, hot, 1) for hot in (truth, guess))
    elif truth.rank > 3:
        truth, guess = (g.add("Reshape", hot, g.ints(0, -1, size)) for hot in (truth, guess))
    pairs = g.add("MatMul", g.add("Transpose", truth, perm=[0, 2, 1]), guess)  # of each sample
    return op.reduce(g, "ReduceSum", pairs, (0,))


@dataclass(frozen=True)
class _IoUOfClasses(Metric):
    result: ClassVar[str] = "iou"

    num_classes: int

    @property
    @abstractmethod
    def _targets(self) -> Sequence[int]:
        """The classes whose mean is taken."""

    def check(self) -> None:
        owner = type(self).__name__
        check_integer(owner, "num_classes", self.num_classes, 1)
        if not isinstance(self._targets, Sequence) or not self._targets:
            raise ValueError(f"{owner}: target_class_ids must be a list of classes, got {self._targets!r}")
        for one in self._targets:
            check_integer(owner, "target_class_ids", one, 0)
            if one >= self.num_classes:
                raise ValueError(
                    f"{owner}: target_class_ids must be below num_classes={self.num_classes}, got {one}"
                )

    @property
    def arguments(self) -> Mapping[str, Any]:
        return {"target_class_ids": list(self._targets)}


@dataclass(frozen=True)
class _IoUByArgMax(_IoUOfClasses):
    ignore_class: int | None = field(default=None, kw_only=True)
    sparse_y_true: bool = field(default=True, kw_only=True)
    sparse_y_pred: bool = field(default=True, kw_only=True)
    axis: int = field(default=-1, kw_only=True)

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_ranks(g, y_true, y_pred, class_axis=int(self.sparse_y_true) - int(self.sparse_y_pred))
        true = y_true if self.sparse_y_true else largest(g, y_true, self.axis)
        predicted = y_pred if self.sparse_y_pred else largest(g, y_pred, self.axis)
        return confusion_matrix(g, true, predicted, self.num_classes, self.ignore_class)


@dataclass(frozen=True)
class IoU(_IoUByArgMax):
    """Mean of ``tp / (tp + fp + fn)`` over some classes (Keras ``IoU``).

    Classes that occur neither in targets nor in predictions do not count. Sums: (classes, classes), the
    confusion matrix.

    Args:
        num_classes: how many classes there are; pairs with others are left out.
        target_class_ids: the classes to report.
        ignore_class: a true class that is left out.
        sparse_y_true: targets are class indices rather than scores.
        sparse_y_pred: predictions are class indices rather than scores.
        axis: of the classes, where there are scores; left at -1, that of the loss beside it.

    Raises:
        ValueError: other arguments.
        ShapeError: targets and predictions do not fit.

    >>> import neuromatic as nm
    >>> nm.metrics.IoU(num_classes=3, target_class_ids=(0, 1))
    IoU(...)
    """

    aliases: ClassVar[tuple[str, ...]] = ("iou",)

    target_class_ids: Sequence[int]

    @property
    def _targets(self) -> Sequence[int]:
        return self.target_class_ids


@dataclass(frozen=True)
class MeanIoU(_IoUByArgMax):
    """Mean of ``tp / (tp + fp + fn)`` over all classes (Keras ``MeanIoU``).

    Args:
        num_classes: as in :class:`IoU`, like all others.

    >>> import neuromatic as nm
    >>> nm.metrics.MeanIoU(num_classes=3)
    MeanIoU(...)
    """

    aliases: ClassVar[tuple[str, ...]] = ("mean_iou",)

    @property
    def _targets(self) -> Sequence[int]:
        return range(self.num_classes)


@dataclass(frozen=True)
class OneHotIoU(IoU):
    """:class:`IoU` of one-hot targets and scores (Keras ``OneHotIoU``).

    Args:
        num_classes: as in :class:`IoU`, like all others.

    >>> import neuromatic as nm
    >>> nm.metrics.OneHotIoU(num_classes=3, target_class_ids=(0, 1))
    OneHotIoU(...)
    """

    aliases: ClassVar[tuple[str, ...]] = ("one_hot_iou",)

    sparse_y_true: bool = field(default=False, init=False)
    sparse_y_pred: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class OneHotMeanIoU(MeanIoU):
    """:class:`MeanIoU` of one-hot targets and scores (Keras ``OneHotMeanIoU``).

    Args:
        num_classes: as in :class:`IoU`, like all others.

    >>> import neuromatic as nm
    >>> nm.metrics.OneHotMeanIoU(num_classes=3)
    OneHotMeanIoU(...)
    """

    aliases: ClassVar[tuple[str, ...]] = ("one_hot_mean_iou",)

    sparse_y_true: bool = field(default=False, init=False)
    sparse_y_pred: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class BinaryIoU(_IoUOfClasses):
    """Mean of ``tp / (tp + fp + fn)`` over no and yes, or one of them (Keras ``BinaryIoU``).

    Targets: 0 and 1, of the predictions' shape. Sums: (2, 2), the confusion matrix.

    Args:
        target_class_ids: 0, 1 or both.
        threshold: from which on a prediction means 1.

    Raises:
        ValueError: other arguments.
    """

    aliases: ClassVar[tuple[str, ...]] = ("binary_iou",)

    num_classes: int = field(default=2, init=False)
    target_class_ids: Sequence[int] = (0, 1)
    threshold: float = 0.5

    @property
    def _targets(self) -> Sequence[int]:
        return self.target_class_ids

    def check(self) -> None:
        super().check()
        check_number("BinaryIoU", "threshold", self.threshold, float("-inf"))

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_ranks(g, y_true, y_pred)
        score = op.cast(g, y_pred, TensorProto.FLOAT)
        return confusion_matrix(g, y_true, g.add("Not", g.add("Less", score, g.const(self.threshold))), 2)


@dataclass(frozen=True)
class ConfusionMatrix(Metric):
    """How often each class is taken for each other: an array, true classes down, predicted ones across.

    Keras has no such metric. Predictions: scores, (batch, ..., classes), or (batch, ..., 1) for two classes.
    Targets: one-hot or, where they have one axis less, class indices.

    Args:
        threshold: above which a single output means the second class.

    Raises:
        ShapeError: the number of classes is unknown.
    """

    result: ClassVar[str] = "confusion"
    classes_last: ClassVar[bool] = True

    threshold: float = 0.5

    def check(self) -> None:
        check_number(type(self).__name__, "threshold", self.threshold, float("-inf"))

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        task = task_of(y_true, y_pred)
        check_ranks(g, y_true, y_pred, class_axis=int(task == "sparse"))
        if task == "binary":
            above = g.add("Greater", y_pred, g.const(self.threshold, y_pred.dtype))
            return confusion_matrix(g, y_true, above, 2)
        size = known_size(g, y_pred, -1, "how many classes there are")
        true = y_true if task == "sparse" else largest(g, y_true)
        return confusion_matrix(g, true, largest(g, y_pred), size)


@dataclass(frozen=True)
class MatthewsCorrelation(ConfusionMatrix):
    """The correlation of true and predicted class, from -1 to 1. Keras has no such metric.

    For two classes ``(tp tn - fp fn) / √((tp + fp)(tp + fn)(tn + fp)(tn + fn))``, for more Gorodkin's
    generalisation; 0 where all targets or all predictions are one class. Shapes: as in
    :class:`ConfusionMatrix`.

    Args:
        threshold: above which a single output means the second class.
    """

    aliases: ClassVar[tuple[str, ...]] = ("mcc",)
    result: ClassVar[str] = "matthews"
