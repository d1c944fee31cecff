"""Counting right and wrong answers where a prediction above a threshold means yes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.metrics._checks import known_size

LOWEST = -1e10
"""What Keras makes of scores that are not among the best, and the threshold that the best are above."""
ROUNDING = 1e-7
"""How far from even the distances of thresholds may be."""


def evenly_spread(thresholds: Sequence[float]) -> bool:
    """Whether these are at least three numbers at equal distances from 0 to 1."""
    count = len(thresholds)
    if count < 3:
        return False
    even = np.arange(count, dtype=np.float32) / (count - 1)
    return bool(np.allclose(thresholds, even, atol=ROUNDING))


def confusion_counts(
    g: GraphBuilder,
    y_true: Value,
    y_pred: Value,
    thresholds: Sequence[float],
    *,
    even: bool,
    per_label: bool = False,
    label_weights: Sequence[float] | None = None,
) -> Value:
    """True positives, false positives, false negatives and true negatives at each threshold, float32.

    Args:
        y_true: of the predictions' shape; what is not 0 is true.
        thresholds: rising.
        even: they are ``i / (n - 1)``. Predictions are then scaled by ``n - 1`` and compared with ``i``,
            because Keras does so and the two may round differently.
        per_label: count each label, (batch, labels), for itself.
        label_weights: how much each label counts, along the last axis.

    Returns:
        (4, thresholds), or (4, labels, thresholds) with ``per_label``.
    """
    p, levels = op.cast(g, y_pred, TensorProto.FLOAT), np.asarray(thresholds, np.float32)
    if even:
        p = g.add("Mul", op.clip(g, p, 0.0, 1.0), g.const(float(len(levels) - 1)))
        levels = _even_levels(thresholds)
    above = g.add("Greater", op.unsqueeze(g, p, p.rank), g.const(levels))
    yes = op.cast(g, op.cast(g, y_true, TensorProto.BOOL), TensorProto.FLOAT)
    no = g.add("Sub", g.const(1.0), yes)
    truths = (yes, no)
    if label_weights is not None:
        weights = g.const(np.asarray(label_weights, np.float32))
        truths = (g.add("Mul", yes, weights), g.add("Mul", no, weights))
    axes = (0,) if per_label else tuple(range(y_pred.rank))
    positive = op.cast(g, above, TensorProto.FLOAT)
    counted, all_of = [], []
    for truth in truths:
        one = op.unsqueeze(g, truth, truth.rank)
        counted.append(op.reduce(g, "ReduceSum", g.add("Mul", positive, one), axes))
        all_of.append(op.reduce(g, "ReduceSum", one, axes))
    missed, passed = (g.add("Sub", a, c) for a, c in zip(all_of, counted, strict=True))
    return g.add("Concat", *(op.unsqueeze(g, row, 0) for row in (*counted, missed, passed)), axis=0)


def _even_levels(thresholds: Sequence[float]) -> NDArray[np.float32]:
    levels = np.arange(len(thresholds), dtype=np.float32)
    if thresholds[0] < 0 or thresholds[-1] > 1:  # then the first one is below every prediction
        levels[0] = -1.0
    return levels


def only_class(g: GraphBuilder, y: Value, class_id: int) -> Value:
    """One class of (batch, ..., classes), as (batch, ..., 1)."""
    if y.rank < 2:
        raise ShapeError(f"{g.scope} takes (batch, ..., classes) for a class_id, got {shape_text(y.shape)}")
    size = y.dim(-1)
    if isinstance(size, int) and class_id >= size:
        raise ShapeError(f"{g.scope} counts class {class_id}, {y.name!r} {shape_text(y.shape)} has {size}")
    return g.add("Gather", y, g.ints(class_id), axis=y.rank - 1)


def only_best(g: GraphBuilder, scores: Value, k: int) -> Value:
    """The scores of the ``k`` best classes, :data:`LOWEST` for the others; of equal ones the first are best.

    A class is among the best if fewer than ``k`` are better, which is one comparison for each pair of
    classes.
    """
    size = known_size(g, scores, -1, "how many classes there are")
    if k > size:
        raise ShapeError(f"{g.scope} takes the best {k} classes, {shape_text(scores.shape)} has {size}")
    x, last = op.cast(g, scores, TensorProto.FLOAT), scores.rank
    own, other = op.unsqueeze(g, x, last), op.unsqueeze(g, x, last - 1)
    first = g.const(np.tri(size, k=-1, dtype=bool), TensorProto.BOOL)  # the other class has a lower index
    equal_but_first = g.add("And", op.equal(g, other, own), first)
    better = op.cast(g, g.add("Or", g.add("Greater", other, own), equal_but_first), TensorProto.FLOAT)
    rank = op.reduce(g, "ReduceSum", better, (last,))
    best = op.cast(g, g.add("Less", rank, g.const(float(k))), TensorProto.FLOAT)
    rest = g.add("Mul", g.add("Sub", g.const(1.0), best), g.const(LOWEST))
    return g.add("Add", g.add("Mul", x, best), rest)
