"""Metrics of probabilities: crossentropies and divergences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neuromatic import losses
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.metrics.accuracy import Task, task_of
from neuromatic.metrics.base import MeanOfLoss, MeanOfValues

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "KLDivergence",
    "LogLoss",
    "Poisson",
    "SparseCategoricalCrossentropy",
]


@dataclass(frozen=True)
class KLDivergence(MeanOfLoss):
    """Mean over samples of ``Σ y_true log(y_true / y_pred)`` (Keras ``KLDivergence``)."""

    aliases: ClassVar[tuple[str, ...]] = ("kld",)
    classes_last: ClassVar[bool] = True

    def loss(self) -> losses.Loss:
        return losses.KLDivergence()


@dataclass(frozen=True)
class Poisson(MeanOfLoss):
    """Mean of ``y_pred - y_true log(y_pred)`` (Keras ``Poisson``)."""

    def loss(self) -> losses.Loss:
        return losses.Poisson()


@dataclass(frozen=True)
class BinaryCrossentropy(MeanOfLoss):
    """Mean of ``-(y log p + (1 - y) log(1 - p))`` (Keras ``BinaryCrossentropy``).

    Args:
        from_logits: predictions are logits rather than probabilities.
        label_smoothing: how far targets are moved towards 0.5, from 0 to 1.

    Raises:
        ValueError: another ``label_smoothing``.
    """

    aliases: ClassVar[tuple[str, ...]] = ("bce",)

    from_logits: bool = False
    label_smoothing: float = 0.0

    def check(self) -> None:
        self.loss()

    def loss(self) -> losses.Loss:
        return losses.BinaryCrossentropy(self.from_logits, self.label_smoothing)


@dataclass(frozen=True)
class CategoricalCrossentropy(MeanOfLoss):
    """Mean over samples of ``-Σ y_true log(y_pred)`` (Keras ``CategoricalCrossentropy``).

    Args:
        from_logits: predictions are logits rather than probabilities.
        label_smoothing: how far targets are moved towards equal probabilities, from 0 to 1.
        axis: of the classes; left at -1, that of the loss beside it.

    Raises:
        ValueError: another ``label_smoothing``.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1

    def check(self) -> None:
        self.loss()

    def loss(self) -> losses.Loss:
        return losses.CategoricalCrossentropy(self.from_logits, self.label_smoothing, self.axis)


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(MeanOfLoss):
    """Mean over samples of ``-log(y_pred[class])`` (Keras ``SparseCategoricalCrossentropy``).

    Args:
        from_logits: predictions are logits rather than probabilities.
        ignore_class: a label whose samples count with 0, as in Keras.
        axis: of the classes; left at -1, that of the loss beside it.
    """

    from_logits: bool = False
    ignore_class: int | None = None
    axis: int = -1

    def loss(self) -> losses.Loss:
        return losses.SparseCategoricalCrossentropy(self.from_logits, self.ignore_class, self.axis)


_FITTING: dict[Task, type[MeanOfLoss]] = {
    "binary": BinaryCrossentropy,
    "categorical": CategoricalCrossentropy,
    "sparse": SparseCategoricalCrossentropy,
}


@dataclass(frozen=True)
class LogLoss(MeanOfValues):
    """The crossentropy that fits the shapes, as ``"crossentropy"`` does among Keras' losses.

    Binary for one output, sparse for class-index targets, categorical for one-hot targets. Keras has no such
    metric.
    """

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        return _FITTING[task_of(y_true, y_pred)]().values(g, y_true, y_pred)

    def emit_along(self, g: GraphBuilder, y_true: Value, y_pred: Value, axis: int | None) -> Value:
        fitting = _FITTING[task_of(y_true, y_pred, -1 if axis is None else axis)]()
        return fitting.emit_along(g, y_true, y_pred, axis)
