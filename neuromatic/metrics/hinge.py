"""Metrics of margins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neuromatic import losses
from neuromatic.metrics.base import MeanOfLoss

__all__ = ["CategoricalHinge", "Hinge", "SquaredHinge"]


@dataclass(frozen=True)
class Hinge(MeanOfLoss):
    """Mean of ``max(1 - y_true y_pred, 0)`` for targets -1 and 1, or 0 and 1 (Keras ``Hinge``)."""

    def loss(self) -> losses.Loss:
        return losses.Hinge()


@dataclass(frozen=True)
class SquaredHinge(MeanOfLoss):
    """Mean of ``max(1 - y_true y_pred, 0)²`` for targets -1 and 1, or 0 and 1 (Keras ``SquaredHinge``)."""

    def loss(self) -> losses.Loss:
        return losses.SquaredHinge()


@dataclass(frozen=True)
class CategoricalHinge(MeanOfLoss):
    """Mean of ``max(max((1 - y_true) y_pred) - Σ y_true y_pred + 1, 0)`` (Keras ``CategoricalHinge``).

    Targets are one-hot, of the predictions' shape (batch, ..., classes).
    """

    classes_last: ClassVar[bool] = True

    def loss(self) -> losses.Loss:
        return losses.CategoricalHinge()
