"""What the sums of all batches mean: host functions from an array of sums to a number or an array.

Files carry the name of such a function and its arguments. Everything is computed in float64, whichever
engine made the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["RESULTS", "Result", "Rule", "result_of", "result_text"]

Array = NDArray[np.float64]
Result = float | Array
"""A number, or an array of them where a metric gives one for each class or threshold."""

EPSILON = 1e-7
"""What Keras adds to some denominators."""
NOISE = 2.0**-21
"""Variation in a smaller proportion to the squares is the rounding of float32 sums."""
MOST_SUMS = 2**24
"""Arrays of sums with more elements are refused."""


@dataclass(frozen=True)
class Rule:
    """One way to make a result of sums.

    Attributes:
        function: ``(sums, **arguments)`` to a number or an array.
        shape: of the sums, None for a dimension of any size.
    """

    function: Callable[..., Any]
    shape: tuple[int | None, ...]

    def fits(self, shape: Sequence[object]) -> bool:
        """Whether sums of this shape may be given to the function."""
        sizes = [size for size in shape if isinstance(size, int) and size > 0]
        return (
            len(sizes) == len(shape) == len(self.shape)
            and prod(sizes) <= MOST_SUMS
            and all(want in (None, size) for want, size in zip(self.shape, sizes, strict=True))
        )


RESULTS: dict[str, Rule] = {}
"""What the sums of all batches mean, by the name that files carry."""


def _result(*shape: int | None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        RESULTS[function.__name__] = Rule(function, shape)
        return function

    return register


def result_of(name: str, sums: ArrayLike, arguments: Mapping[str, Any]) -> Result:
    """The result of that name.

    >>> result_of("mean", [3.0, 4.0], {})
    0.75
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = np.asarray(RESULTS[name].function(np.asarray(sums, np.float64), **arguments), np.float64)
    return float(found) if found.ndim == 0 else found


def _ratio(a: Array, b: Array) -> Array:
    """``a / b``, 0 where ``b`` is 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast_shapes(np.shape(a), np.shape(b))), where=b != 0)


def result_text(result: Any, form: str) -> str:
    """A result as a person reads it, each number formatted by ``form``.

    >>> result_text(0.5, ".2f"), result_text(np.array([0.5, 1.0]), "g")
    ('0.50', '[0.5 1]')
    """
    if np.ndim(result) == 0:
        return f"{result:{form}}"
    return f"[{' '.join(result_text(one, form) for one in result)}]"


# -- sums of values ------------------------------------------------------------------------------------


@_result(2)
def mean(sums: Array) -> Any:
    """Of [total, count] the mean; NaN where nothing was counted."""
    total, count = sums
    return total / count


@_result(2)
def root_mean(sums: Array) -> Any:
    """The square root of the mean."""
    return np.sqrt(mean(sums))


@_result(2)
def total(sums: Array) -> Any:
    """Of [total, count] the total."""
    return sums[0]


@_result(4, None)
def r2(sums: Array, *, class_aggregation: str | None, num_regressors: int) -> Any:
    """The coefficient of determination, from Σy, Σy², Σ(y - p)² and the count, of each output."""
    y, squares, residual, count = sums
    variation = squares - y * y / count
    variation = np.where(variation > NOISE * squares, variation, 0.0)
    scores = 1 - residual / variation
    scores = np.where(np.isinf(scores), 0.0, scores)
    if class_aggregation is not None:
        weights = {"uniform_average": np.ones_like(y), "variance_weighted_average": variation}
        chosen = weights[class_aggregation]
        scores = (chosen * scores).sum() / chosen.sum()
    samples = count.sum()
    if num_regressors and num_regressors < samples - 1:
        return 1 - (1 - scores) * (samples - 1) / (samples - num_regressors - 1)
    return scores


# -- counts at thresholds: rows of true positives, false positives, false negatives, true negatives -----

_COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")


def _rates(sums: Array) -> dict[str, Array]:
    tp, fp, fn, tn = sums
    return {
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
    }


def _one_or_all(values: Array) -> Any:
    return values[0] if len(values) == 1 else values


@_result(4, None)
def count(sums: Array, *, of: str) -> Any:
    """How many there are of one kind, at each threshold."""
    return _one_or_all(sums[_COUNTS.index(of)])


@_result(4, None)
def rate(sums: Array, *, of: str) -> Any:
    """Precision, recall or specificity, at each threshold."""
    return _one_or_all(_rates(sums)[of])


@_result(4, None)
def best_rate(sums: Array, *, of: str, where: str, least: float) -> Any:
    """The largest rate at thresholds where another rate is at least ``least``; 0 if there are none."""
    rates = _rates(sums)
    return np.max(np.where(rates[where] >= least, rates[of], 0.0), initial=0.0)


@_result(4, None, None)
def auc(
    sums: Array, *, curve: str, summation_method: str, label_weights: Sequence[float] | None = None
) -> Any:
    """The area under a curve, averaged over labels; the last axis of the sums has rising thresholds."""
    if (curve, summation_method) == ("PR", "interpolation"):
        areas = _interpolated_pr(sums)
    else:
        x, y = _CURVES[curve](sums)
        heights = _HEIGHTS[summation_method](y[:, :-1], y[:, 1:])
        areas = ((x[:, :-1] - x[:, 1:]) * heights).sum(-1)
    weights = np.ones(len(areas)) if label_weights is None else np.asarray(label_weights, np.float64)
    if weights.shape != areas.shape:
        raise ValueError(f"{weights.size} label weights for {areas.size} labels")
    return _ratio((areas * weights).sum(), weights.sum())


def _roc(sums: Array) -> tuple[Array, Array]:
    rates = _rates(sums)
    _, fp, _, tn = sums
    return _ratio(fp, fp + tn), rates["recall"]


def _pr(sums: Array) -> tuple[Array, Array]:
    rates = _rates(sums)
    return rates["recall"], rates["precision"]


def _pr_gain(sums: Array) -> tuple[Array, Array]:
    """Flach and Kull 2015: precision and recall on the scale where always-positive gives 0."""
    tp, fp, fn, tn = sums
    odds = _ratio(tp + fn, tn + fp)
    recall = np.where(tp == 0, 0.0, 1 - odds * _ratio(fn, tp))
    precision = np.where(tp == 0, 1.0, 1 - odds * _ratio(fp, tp))
    return np.maximum(recall, 0.0), precision


_CURVES = {"ROC": _roc, "PR": _pr, "PRGAIN": _pr_gain}
_HEIGHTS: dict[str, Callable[[Array, Array], Array]] = {
    "interpolation": lambda a, b: (a + b) / 2,
    "minoring": np.minimum,
    "majoring": np.maximum,
}


def _interpolated_pr(sums: Array) -> Array:
    """Davis and Goadrich 2006: between two thresholds, true positives grow linearly with all positives.

    With slope ``s`` and intercept ``c`` of that line, an interval has the area ``s (Δtp + c log(p₀/p₁))``
    over all that are truly positive.
    """
    tp, fp, fn, _ = sums
    p = tp + fp
    more, fewer = p[:, :-1], p[:, 1:]
    gained = tp[:, :-1] - tp[:, 1:]
    slope = _ratio(gained, np.maximum(more - fewer, 0.0))
    intercept = tp[:, 1:] - slope * fewer
    both = (more > 0) & (fewer > 0)
    logs = np.log(np.divide(more, fewer, out=np.ones_like(more), where=both))
    truly = np.maximum(tp[:, 1:] + fn[:, 1:], 0.0)
    areas: Array = _ratio(slope * (gained + intercept * logs), truly).sum(-1)
    return areas


@_result(3, None)
def f_beta(sums: Array, *, beta: float, average: str | None) -> Any:
    """F-beta of each class or their average, from true positives, false positives and false negatives."""
    if average == "micro":
        sums = sums.sum(1, keepdims=True)
    tp, fp, fn = sums
    precision, recall = tp / (tp + fp + EPSILON), tp / (tp + fn + EPSILON)
    scores = (1 + beta**2) * precision * recall / (beta**2 * precision + recall + EPSILON)
    if average is None:
        return scores
    if average == "weighted":
        return (scores * (tp + fn)).sum() / ((tp + fn).sum() + EPSILON)
    return {"micro": scores, "macro": scores}[average].mean()


# -- confusion matrices: the truth down, the prediction across -----------------------------------------


@_result(None, None)
def confusion(sums: Array) -> Any:
    """The matrix itself."""
    return sums


@_result(None, None)
def iou(sums: Array, *, target_class_ids: Sequence[int]) -> Any:
    """Mean over some classes of intersection over union; classes that never occur do not count."""
    hits = np.diag(sums)
    union = sums.sum(0) + sums.sum(1) - hits
    hits, union = hits[list(target_class_ids)], union[list(target_class_ids)]
    return (hits / (union + EPSILON)).sum() / (np.count_nonzero(union) + EPSILON)


@_result(None, None)
def matthews(sums: Array) -> Any:
    """Gorodkin's correlation of truth and prediction; 0 where either is always the same class."""
    everything, true, predicted = sums.sum(), sums.sum(1), sums.sum(0)
    covariance = np.trace(sums) * everything - true @ predicted
    spread = np.sqrt(everything**2 - true @ true) * np.sqrt(everything**2 - predicted @ predicted)
    return _ratio(covariance, spread)
