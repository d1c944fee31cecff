"""Areas under curves, and F scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.metrics._checks import (
    check_choice,
    check_integer,
    check_matrix,
    check_number,
    check_ranks,
    known_size,
)
from neuromatic.metrics._thresholds import ROUNDING, confusion_counts, evenly_spread
from neuromatic.metrics.base import Metric

__all__ = ["AUC", "F1Score", "FBetaScore"]


@dataclass(frozen=True)
class AUC(Metric):
    """The area under a curve that thresholds draw (Keras ``AUC``).

    For ``"ROC"`` it is the true positive rate over the false positive rate, for ``"PR"`` precision over
    recall, for ``"PRGAIN"`` precision gain over recall gain. Targets: of the predictions' shape; what is not
    0 is true. Predictions: from 0 to 1. Sums: (4, labels or 1, thresholds), the numbers of true positives,
    false positives, false negatives and true negatives. A batch is compared with all thresholds at once, in
    an array as many times its size.

    Args:
        num_thresholds: how many thresholds, at even distances from 0 to 1.
        curve: ``"ROC"``, ``"PR"`` or ``"PRGAIN"``; lower case will do.
        summation_method: what the height between two thresholds is: ``"interpolation"`` takes the middle,
            and for ``"PR"`` interpolates the positives; ``"minoring"`` takes the lower end, ``"majoring"``
            the higher.
        thresholds: the thresholds, in place of ``num_thresholds``; one below and one above all predictions
            are added.
        multi_label: the mean of the areas of all labels of (batch, labels), rather than the area of all
            predictions together.
        num_labels: how many labels there are, with ``multi_label``; known from the shape otherwise.
        label_weights: how much each label counts.
        from_logits: predictions are logits, of which the sigmoid is taken.

    Raises:
        ValueError: other arguments.
        ShapeError: other shapes.
    """

    result: ClassVar[str] = "auc"
    classes_last: ClassVar[bool] = True

    num_thresholds: int = 200
    curve: str = "ROC"
    summation_method: str = "interpolation"
    thresholds: Sequence[float] | None = None
    multi_label: bool = False
    num_labels: int | None = None
    label_weights: Sequence[float] | None = None
    from_logits: bool = False

    def check(self) -> None:
        check_choice("AUC", "curve", self.curve, ("ROC", "PR", "PRGAIN", "roc", "pr", "prgain"))
        methods = ("interpolation", "minoring", "majoring")
        check_choice("AUC", "summation_method", str(self.summation_method).lower(), methods)
        check_integer("AUC", "num_thresholds", self.num_thresholds, 2)
        for value in self.thresholds or ():
            check_number("AUC", "thresholds", value, 0, 1)
        for value in self.label_weights or ():
            check_number("AUC", "label_weights", value, 0)
        if self.num_labels is not None:
            check_integer("AUC", "num_labels", self.num_labels, 1)
            if not self.multi_label:
                raise ValueError(f"AUC: num_labels={self.num_labels} needs multi_label=True")

    @property
    def arguments(self) -> Mapping[str, Any]:
        found = {"curve": self.curve.upper(), "summation_method": self.summation_method.lower()}
        if not self.multi_label or self.label_weights is None:
            return found
        return found | {"label_weights": [float(weight) for weight in self.label_weights]}

    def _thresholds(self) -> tuple[list[float], bool]:
        """The thresholds, and whether they are evenly spread."""
        count = self.num_thresholds
        inner = [i / (count - 1) for i in range(1, count - 1)]
        if self.thresholds is not None:
            inner = sorted(self.thresholds)
        even = self.thresholds is None or evenly_spread([0.0, *inner, 1.0])
        return [-ROUNDING, *inner, 1 + ROUNDING], even

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_ranks(g, y_true, y_pred)
        if self.multi_label:
            check_matrix(g, y_pred)
            self._check_labels(g, y_pred, self.num_labels)
        if self.label_weights is not None:
            self._check_labels(g, y_pred, len(self.label_weights))
        if self.from_logits:
            y_pred = g.add("Sigmoid", y_pred)
        thresholds, even = self._thresholds()
        weights = None if self.multi_label else self.label_weights
        counts = confusion_counts(
            g, y_true, y_pred, thresholds, even=even, per_label=self.multi_label, label_weights=weights
        )
        return counts if self.multi_label else op.unsqueeze(g, counts, 1)

    def _check_labels(self, g: GraphBuilder, y_pred: Value, expected: int | None) -> None:
        size = known_size(g, y_pred, -1, "how many labels there are")
        if expected not in (None, size):
            raise ShapeError(f"{g.scope} is for {expected} labels, {y_pred.name!r} has {size}")


@dataclass(frozen=True)
class FBetaScore(Metric):
    """``(1 + β²) precision recall / (β² precision + recall)`` of each class (Keras ``FBetaScore``).

    Targets and predictions: (batch, classes). Sums: (3, classes), true positives, false positives and false
    negatives.

    Args:
        average: None for an array with the score of each class, ``"micro"`` counts all classes together,
            ``"macro"`` is the mean, ``"weighted"`` the mean by how often a class is true.
        beta: how much recall counts in proportion to precision.
        threshold: above which a prediction is positive; if None, the largest of each sample is.

    Raises:
        ValueError: other arguments.
        ShapeError: other shapes, or an unknown number of classes.
    """

    aliases: ClassVar[tuple[str, ...]] = ("fbeta_score",)
    default_name: ClassVar[str] = "fbeta_score"
    result: ClassVar[str] = "f_beta"
    classes_last: ClassVar[bool] = True

    average: str | None = None
    beta: float = 1.0
    threshold: float | None = None

    def check(self) -> None:
        owner = type(self).__name__
        check_choice(owner, "average", self.average, ("micro", "macro", "weighted", None))
        check_number(owner, "beta", self.beta, 0, open_low=True)
        if self.threshold is not None:
            check_number(owner, "threshold", self.threshold, 0, 1, open_low=True)

    @property
    def arguments(self) -> Mapping[str, Any]:
        return {"beta": self.beta, "average": self.average}

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_matrix(g, y_pred)
        check_ranks(g, y_true, y_pred)
        known_size(g, y_pred, -1, "how many classes there are")
        true, score = (op.cast(g, y, TensorProto.FLOAT) for y in (y_true, y_pred))
        positive = op.cast(g, self._positive(g, score), TensorProto.FLOAT)
        one = g.const(1.0)
        products = [
            g.add("Mul", positive, true),
            g.add("Mul", positive, g.add("Sub", one, true)),
            g.add("Mul", g.add("Sub", one, positive), true),
        ]
        rows = [op.reduce(g, "ReduceSum", product, (0,), keepdims=True) for product in products]
        return g.add("Concat", *rows, axis=0)

    def _positive(self, g: GraphBuilder, score: Value) -> Value:
        if self.threshold is not None:
            return g.add("Greater", score, g.const(self.threshold))
        largest = op.reduce(g, "ReduceMax", score, (1,), keepdims=True)
        something = g.add("Greater", g.add("Abs", score), g.const(1e-9))
        return g.add("And", g.add("Not", g.add("Less", score, largest)), something)


@dataclass(frozen=True)
class F1Score(FBetaScore):
    """``2 precision recall / (precision + recall)`` of each class (Keras ``F1Score``).

    Args:
        average: as in :class:`FBetaScore`.
        threshold: as in :class:`FBetaScore`.
    """

    aliases: ClassVar[tuple[str, ...]] = ()
    default_name: ClassVar[str] = "f1_score"

    beta: float = field(default=1.0, init=False)
