"""Metrics of yes and no: counts, precision, recall and their like at one or several thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.metrics._checks import check_integer, check_number, check_ranks
from neuromatic.metrics._thresholds import LOWEST, confusion_counts, evenly_spread, only_best, only_class
from neuromatic.metrics.base import Metric

__all__ = [
    "FalseNegatives",
    "FalsePositives",
    "Precision",
    "PrecisionAtRecall",
    "Recall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "Specificity",
    "SpecificityAtSensitivity",
    "TrueNegatives",
    "TruePositives",
]

Thresholds = float | Sequence[float] | None


@dataclass(frozen=True)
class _AtThresholds(Metric):
    """What is counted at given thresholds: a number for one, an array for several."""

    of: ClassVar[str]

    thresholds: Thresholds = None

    def check(self) -> None:
        for value in self._values(0.5):
            check_number(type(self).__name__, "thresholds", value, 0, 1)

    def _values(self, default: float) -> list[float]:
        if self.thresholds is None:
            return [default]
        if isinstance(self.thresholds, (int, float)):
            return [self.thresholds]
        if (
            not isinstance(self.thresholds, Sequence)
            or isinstance(self.thresholds, str)
            or not self.thresholds
        ):
            raise ValueError(
                f"{type(self).__name__}: thresholds must be a number or a list of numbers, "
                f"got {self.thresholds!r}"
            )
        return list(self.thresholds)

    @property
    def arguments(self) -> Mapping[str, Any]:
        return {"of": self.of}

    def _counts(self, g: GraphBuilder, y_true: Value, y_pred: Value, default: float = 0.5) -> Value:
        thresholds = self._values(default)
        return confusion_counts(g, y_true, y_pred, thresholds, even=evenly_spread(thresholds))


@dataclass(frozen=True)
class _Count(_AtThresholds):
    result: ClassVar[str] = "count"

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_ranks(g, y_true, y_pred)
        return self._counts(g, y_true, y_pred)


@dataclass(frozen=True)
class TruePositives(_Count):
    """How many predictions are above the threshold, and rightly so (Keras ``TruePositives``).

    Targets: of the predictions' shape; what is not 0 is true. Sums: (4, thresholds), see
    :class:`Precision`.

    Args:
        thresholds: a number from 0 to 1, 0.5 if None, or a list of them for an array of results.
    """

    of: ClassVar[str] = "true_positives"


@dataclass(frozen=True)
class FalsePositives(_Count):
    """How many predictions are above the threshold, but wrongly (Keras ``FalsePositives``).

    Args:
        thresholds: as in :class:`TruePositives`.
    """

    of: ClassVar[str] = "false_positives"


@dataclass(frozen=True)
class FalseNegatives(_Count):
    """How many predictions are not above the threshold, but should be (Keras ``FalseNegatives``).

    Args:
        thresholds: as in :class:`TruePositives`.
    """

    of: ClassVar[str] = "false_negatives"


@dataclass(frozen=True)
class TrueNegatives(_Count):
    """How many predictions are not above the threshold, and rightly so (Keras ``TrueNegatives``).

    Args:
        thresholds: as in :class:`TruePositives`.
    """

    of: ClassVar[str] = "true_negatives"


@dataclass(frozen=True)
class _Rate(_AtThresholds):
    result: ClassVar[str] = "rate"
    classes_last: ClassVar[bool] = True

    top_k: int | None = None
    class_id: int | None = None

    def check(self) -> None:
        super().check()
        if self.top_k is not None:
            check_integer(type(self).__name__, "top_k", self.top_k, 1)
        if self.class_id is not None:
            check_integer(type(self).__name__, "class_id", self.class_id, 0)

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_ranks(g, y_true, y_pred)
        if self.top_k is not None:
            y_pred = only_best(g, y_pred, self.top_k)
        if self.class_id is not None:
            y_true, y_pred = (only_class(g, y, self.class_id) for y in (y_true, y_pred))
        return self._counts(g, y_true, y_pred, 0.5 if self.top_k is None else LOWEST)


@dataclass(frozen=True)
class Precision(_Rate):
    """Of the predictions above the threshold, the part that is right: ``tp / (tp + fp)``.

    Keras ``Precision``. 0 where there are none. Targets: of the predictions' shape; what is not 0 is true.
    Sums: (4, thresholds), true positives, false positives, false negatives and true negatives.

    Args:
        thresholds: a number from 0 to 1, 0.5 if None, or a list of them for an array of results.
        top_k: only the best ``k`` classes of a sample, (batch, ..., classes), may be positive; without
            ``thresholds`` all of them are.
        class_id: count this class alone.

    Raises:
        ValueError: other arguments.
        ShapeError: the predictions have fewer classes.
    """

    of: ClassVar[str] = "precision"


@dataclass(frozen=True)
class Recall(_Rate):
    """Of what is true, the part above the threshold: ``tp / (tp + fn)`` (Keras ``Recall``).

    0 where nothing is true.

    Args:
        thresholds: as in :class:`Precision`.
        top_k: as in :class:`Precision`.
        class_id: as in :class:`Precision`.
    """

    of: ClassVar[str] = "recall"


@dataclass(frozen=True)
class Specificity(_Rate):
    """Of what is false, the part not above the threshold: ``tn / (tn + fp)``. Keras has no such metric.

    0 where nothing is false.

    Args:
        thresholds: as in :class:`Precision`.
        top_k: as in :class:`Precision`.
        class_id: as in :class:`Precision`.
    """

    of: ClassVar[str] = "specificity"


@dataclass(frozen=True)
class _BestRate(Metric):
    """The best one rate can be while another is at least a given value, over evenly spread thresholds."""

    result: ClassVar[str] = "best_rate"
    classes_last: ClassVar[bool] = True
    of: ClassVar[str]
    where: ClassVar[str]
    argument: ClassVar[str]

    num_thresholds: int = field(default=200, kw_only=True)
    class_id: int | None = field(default=None, kw_only=True)

    @property
    def _least(self) -> float:
        value: float = getattr(self, self.argument)
        return value

    def check(self) -> None:
        check_number(type(self).__name__, self.argument, self._least, 0, 1)
        check_integer(type(self).__name__, "num_thresholds", self.num_thresholds, 1)
        if self.class_id is not None:
            check_integer(type(self).__name__, "class_id", self.class_id, 0)

    @property
    def arguments(self) -> Mapping[str, Any]:
        return {"of": self.of, "where": self.where, "least": self._least}

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_ranks(g, y_true, y_pred)
        if self.class_id is not None:
            y_true, y_pred = (only_class(g, y, self.class_id) for y in (y_true, y_pred))
        count = self.num_thresholds
        thresholds = [i / (count - 1) for i in range(count)] if count > 1 else [0.5]
        return confusion_counts(g, y_true, y_pred, thresholds, even=count > 1)


@dataclass(frozen=True)
class SensitivityAtSpecificity(_BestRate):
    """The best ``tp / (tp + fn)`` where ``tn / (tn + fp)`` is large enough.

    Keras ``SensitivityAtSpecificity``. 0 where it never is. Targets: of the predictions' shape; what is not 0
    is true. Predictions: from 0 to 1. Sums: (4, num_thresholds), true positives, false positives, false
    negatives and true negatives.

    Args:
        specificity: what the specificity has to be at least, from 0 to 1.
        num_thresholds: how many thresholds to try, at even distances from 0 to 1; 0.5 if only one.
        class_id: count this class of (batch, ..., classes) alone.

    Raises:
        ValueError: other arguments.

    >>> import neuromatic as nm
    >>> nm.metrics.SensitivityAtSpecificity(specificity=0.5)
    SensitivityAtSpecificity(...)
    """

    of: ClassVar[str] = "recall"
    where: ClassVar[str] = "specificity"
    argument: ClassVar[str] = "specificity"

    specificity: float


@dataclass(frozen=True)
class SpecificityAtSensitivity(_BestRate):
    """The best ``tn / (tn + fp)`` where ``tp / (tp + fn)`` is large enough.

    Keras ``SpecificityAtSensitivity``.

    Args:
        sensitivity: what the sensitivity, also called recall, has to be at least, from 0 to 1.
        num_thresholds: as in :class:`SensitivityAtSpecificity`.
        class_id: as in :class:`SensitivityAtSpecificity`.

    >>> import neuromatic as nm
    >>> nm.metrics.SpecificityAtSensitivity(sensitivity=0.5)
    SpecificityAtSensitivity(...)
    """

    of: ClassVar[str] = "specificity"
    where: ClassVar[str] = "recall"
    argument: ClassVar[str] = "sensitivity"

    sensitivity: float


@dataclass(frozen=True)
class PrecisionAtRecall(_BestRate):
    """The best ``tp / (tp + fp)`` where ``tp / (tp + fn)`` is large enough (Keras ``PrecisionAtRecall``).

    Args:
        recall: what the recall has to be at least, from 0 to 1.
        num_thresholds: as in :class:`SensitivityAtSpecificity`.
        class_id: as in :class:`SensitivityAtSpecificity`.

    >>> import neuromatic as nm
    >>> nm.metrics.PrecisionAtRecall(recall=0.5)
    PrecisionAtRecall(...)
    """

    of: ClassVar[str] = "precision"
    where: ClassVar[str] = "recall"
    argument: ClassVar[str] = "recall"

    recall: float


@dataclass(frozen=True)
class RecallAtPrecision(_BestRate):
    """The best ``tp / (tp + fn)`` where ``tp / (tp + fp)`` is large enough (Keras ``RecallAtPrecision``).

    Args:
        precision: what the precision has to be at least, from 0 to 1.
        num_thresholds: as in :class:`SensitivityAtSpecificity`.
        class_id: as in :class:`SensitivityAtSpecificity`.

    >>> import neuromatic as nm
    >>> nm.metrics.RecallAtPrecision(precision=0.5)
    RecallAtPrecision(...)
    """

    of: ClassVar[str] = "recall"
    where: ClassVar[str] = "precision"
    argument: ClassVar[str] = "precision"

    precision: float
