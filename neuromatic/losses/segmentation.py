"""Losses of overlap, for segmentation."""

from __future__ import annotations

from dataclasses import dataclass

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.losses.base import EPSILON, Loss

__all__ = ["Dice", "Tversky"]

Axes = int | tuple[int, ...] | None


@dataclass(frozen=True)
class Dice(Loss):
    """``1 - 2 sum(y_true * y_pred) / (sum(y_true) + sum(y_pred))`` (Keras ``Dice``).

    Args:
        axis: the axes that are summed over; None for all, the batch included. ``axis=(1, 2, 3)`` gives a
            loss for each image.
    """

    axis: Axes = None

    def classes_along(self, prediction: Value) -> int | None:
        return _remaining(prediction, self.axis)

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        axes = _axes(y_pred, self.axis)
        common = op.reduce(g, "ReduceSum", g.add("Mul", y_true, y_pred), axes)
        sizes = [op.reduce(g, "ReduceSum", y, axes) for y in (y_true, y_pred)]
        total = g.add("Add", g.add("Add", *sizes), g.const(EPSILON, y_pred.dtype))
        overlap = g.add("Div", g.add("Mul", g.const(2.0, y_pred.dtype), common), total)
        return g.add("Sub", g.const(1.0, y_pred.dtype), overlap)


@dataclass(frozen=True)
class Tversky(Loss):
    """``1 - c / (c + alpha * a + beta * b)`` with c the overlap (Keras ``Tversky``).

    ``c = sum(y_true * y_pred)``, ``a = sum(y_true * (1 - y_pred))``, ``b = sum((1 - y_true) * y_pred)``. With
    ``alpha = beta = 0.5`` it is :class:`Dice`.

    Args:
        alpha: weight of what the prediction lacks.
        beta: weight of what it has too much.
        axis: as for :class:`Dice`.
    """

    alpha: float = 0.5
    beta: float = 0.5
    axis: Axes = None

    def classes_along(self, prediction: Value) -> int | None:
        return _remaining(prediction, self.axis)

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        axes, one = _axes(y_pred, self.axis), g.const(1.0, y_pred.dtype)
        common = op.reduce(g, "ReduceSum", g.add("Mul", y_true, y_pred), axes)
        missing = op.reduce(g, "ReduceSum", g.add("Mul", y_true, g.add("Sub", one, y_pred)), axes)
        surplus = op.reduce(g, "ReduceSum", g.add("Mul", g.add("Sub", one, y_true), y_pred), axes)
        wrong = g.add(
            "Add",
            g.add("Mul", missing, g.const(self.alpha, y_pred.dtype)),
            g.add("Mul", surplus, g.const(self.beta, y_pred.dtype)),
        )
        total = g.add("Add", g.add("Add", common, wrong), g.const(EPSILON, y_pred.dtype))
        return g.add("Sub", one, g.add("Div", common, total))


def _axes(prediction: Value, axis: Axes) -> tuple[int, ...] | None:
    """The axes counted from the front.

    Raises:
        ShapeError: the prediction lacks one, or one is named twice.
    """
    if axis is None:
        return None
    rank = prediction.rank
    axes = [a + rank if a < 0 else a for a in ([axis] if isinstance(axis, int) else axis)]
    if not axes or len(set(axes)) != len(axes) or not all(0 <= a < rank for a in axes):
        raise ShapeError(
            f"the loss sums over the axes {axis}, expected different axes of {prediction.name!r} "
            f"{shape_text(prediction.shape)}"
        )
    return tuple(sorted(axes))


def _remaining(prediction: Value, axis: Axes) -> int | None:
    """The one axis besides the batch that is not summed over, if there is one: that of the classes."""
    axes = _axes(prediction, axis)
    rest = [] if axes is None else sorted({*range(1, prediction.rank)} - {*axes})
    return rest[0] if len(rest) == 1 else None
