"""Focal losses: crossentropies in which what is right already counts less."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.losses._classes import (
    binary_crossentropy,
    class_axis_of,
    log_probabilities,
    smoothed_binary,
    smoothed_categorical,
)
from neuromatic.losses.base import EPSILON, ElementLoss, Loss, class_axis
from neuromatic.losses.class_axis import has_one_channel

__all__ = ["BinaryFocalCrossentropy", "CategoricalFocalCrossentropy"]


@dataclass(frozen=True)
class BinaryFocalCrossentropy(ElementLoss):
    """``(1 - t)^gamma`` times the binary crossentropy (Keras ``BinaryFocalCrossentropy``).

    ``t = y p + (1 - y)(1 - p)`` says how right the prediction is.

    Args:
        apply_class_balancing: whether to multiply by ``alpha y + (1 - alpha)(1 - y)``.
        alpha: weight of class 1; class 0 has ``1 - alpha``.
        gamma: how much less right predictions count; 0 for not at all.
        from_logits: predictions are logits rather than probabilities.
        label_smoothing: how far labels are moved towards one half, from 0 to 1.
        axis: as for :class:`neuromatic.losses.BinaryCrossentropy`.

    Raises:
        ValueError: gamma is below 0, or label_smoothing is not in [0, 1].
    """

    apply_class_balancing: bool = False
    alpha: float = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.gamma >= 0, "gamma", "0 or more")
        self._require(0 <= self.label_smoothing <= 1, "label_smoothing", "from 0 to 1")

    def averaged_axis(self, g: GraphBuilder, prediction: Value) -> int:
        return class_axis(prediction, self.axis)

    def fitted(self, g: GraphBuilder, prediction: Value) -> Loss:
        return replace(self, axis=1) if self.axis == -1 and has_one_channel(prediction) else self

    def classes_along(self, prediction: Value) -> int | None:
        return class_axis(prediction, self.axis) if prediction.rank > 1 else None

    def elements(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        y = smoothed_binary(g, y_true, self.label_smoothing)
        crossentropy = binary_crossentropy(g, y, y_pred, from_logits=self.from_logits)
        p = g.add("Sigmoid", y_pred) if self.from_logits else y_pred
        # 1 - t is y (1 - p) + (1 - y) p.
        wrong = _mixed(g, y, _rest(g, p), p)
        values = g.add("Mul", g.add("Pow", wrong, g.const(self.gamma, y_pred.dtype)), crossentropy)
        if not self.apply_class_balancing:
            return values
        alpha, rest = (g.const(a, y_pred.dtype) for a in (self.alpha, 1 - self.alpha))
        return g.add("Mul", _mixed(g, y, alpha, rest), values)


def _rest(g: GraphBuilder, x: Value) -> Value:
    return g.add("Sub", g.const(1.0, x.dtype), x)


def _mixed(g: GraphBuilder, y: Value, hit: Value, miss: Value) -> Value:
    return g.add("Add", g.add("Mul", y, hit), g.add("Mul", _rest(g, y), miss))


@dataclass(frozen=True)
class CategoricalFocalCrossentropy(Loss):
    """``-sum(alpha (1 - p)^gamma y log p)`` over classes (Keras ``CategoricalFocalCrossentropy``).

    Targets are one-hot or probabilities, of the predictions' shape.

    Args:
        alpha: a factor, or one for each class along the class axis (Keras: along the last).
        gamma: how much less right predictions count; 0 for not at all.
        from_logits: predictions are logits rather than probabilities.
        label_smoothing: as for :class:`neuromatic.losses.CategoricalCrossentropy`.
        axis: as for :class:`neuromatic.losses.CategoricalCrossentropy`.

    Raises:
        ValueError: gamma is below 0, or label_smoothing is not in [0, 1].
    """

    alpha: float | tuple[float, ...] = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.gamma >= 0, "gamma", "0 or more")
        self._require(0 <= self.label_smoothing <= 1, "label_smoothing", "from 0 to 1")

    def fitted(self, g: GraphBuilder, prediction: Value) -> Loss:
        return replace(self, axis=class_axis_of(g, prediction, self.axis))

    def classes_along(self, prediction: Value) -> int | None:
        return class_axis(prediction, self.axis)

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        axis = class_axis(y_pred, self.axis)
        y = smoothed_categorical(g, y_true, axis, self.label_smoothing)
        log_p = log_probabilities(g, y_pred, axis, from_logits=self.from_logits)
        wrong = _rest(g, op.clip(g, g.add("Exp", log_p), EPSILON, 1 - EPSILON))
        factor = g.add("Pow", wrong, g.const(self.gamma, y_pred.dtype))
        factor = g.add("Mul", factor, g.const(self._alphas(y_pred.rank - axis), y_pred.dtype))
        terms = g.add("Mul", factor, g.add("Mul", y, log_p))
        return g.add("Neg", op.reduce(g, "ReduceSum", terms, (axis,)))

    def _alphas(self, rank: int) -> NDArray[np.float64]:
        """The factors, along the first of some axes where there are several."""
        alpha = np.asarray(self.alpha, np.float64)
        return alpha.reshape(-1, *[1] * (rank - 1)) if alpha.size > 1 else alpha
