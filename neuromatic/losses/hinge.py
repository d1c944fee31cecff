"""Losses of margins."""

from __future__ import annotations

from dataclasses import dataclass

from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.losses.base import ElementLoss, Loss, class_axis

__all__ = ["CategoricalHinge", "Hinge", "SquaredHinge"]


@dataclass(frozen=True)
class Hinge(ElementLoss):
    """Mean of ``max(1 - y_true * y_pred, 0)`` over the last axis (Keras ``Hinge``).

    Targets are -1 and 1. A batch whose targets are all 0 or 1 is taken as -1 and 1.
    """

    def elements(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        one = g.const(1.0, y_pred.dtype)
        binary = op.cast(g, _are(g, y_true, 0.0), y_pred.dtype)
        binary = g.add("Add", binary, op.cast(g, _are(g, y_true, 1.0), y_pred.dtype))
        # 2y - 1 is y + (y - 1), of which a batch with other targets takes the first part alone.
        all_binary = op.reduce(g, "ReduceMin", binary)
        signs = g.add("Add", y_true, g.add("Mul", all_binary, g.add("Sub", y_true, one)))
        return g.add("Relu", g.add("Sub", one, g.add("Mul", signs, y_pred)))


def _are(g: GraphBuilder, y: Value, number: float) -> Value:
    return op.equal(g, y, g.const(number, y.dtype))


@dataclass(frozen=True)
class SquaredHinge(Hinge):
    """Mean of ``max(1 - y_true * y_pred, 0)²`` over the last axis (Keras ``SquaredHinge``).

    Targets are as for :class:`Hinge`.
    """

    def elements(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        margin = super().elements(g, y_true, y_pred)
        return g.add("Mul", margin, margin)


@dataclass(frozen=True)
class CategoricalHinge(Loss):
    """``max(0, 1 + best wrong score - right score)`` along the last axis (Keras ``CategoricalHinge``).

    With one-hot targets y these are ``max((1 - y) * y_pred)`` and ``sum(y * y_pred)``.
    """

    def classes_along(self, prediction: Value) -> int | None:
        return class_axis(prediction, -1)

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        axes, one = (class_axis(y_pred, -1),), g.const(1.0, y_pred.dtype)
        right = op.reduce(g, "ReduceSum", g.add("Mul", y_true, y_pred), axes)
        wrong = op.reduce(g, "ReduceMax", g.add("Mul", g.add("Sub", one, y_true), y_pred), axes)
        return g.add("Relu", g.add("Add", g.add("Sub", wrong, right), one))
