"""Losses of probabilities and logits: the crossentropies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from neuromatic._names import snake_case
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Shape, Value
from neuromatic.losses._classes import (
    binary_crossentropy,
    class_axis_of,
    class_count,
    index_targets,
    log_probabilities,
    one_hot,
    smoothed_binary,
    smoothed_categorical,
)
from neuromatic.losses.base import EPSILON, ElementLoss, Loss, class_axis, input_of
from neuromatic.losses.class_axis import has_one_channel

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "KLDivergence",
    "Poisson",
    "SparseCategoricalCrossentropy",
]


@dataclass(frozen=True)
class BinaryCrossentropy(ElementLoss):
    """``-(y log p + (1 - y) log(1 - p))``, averaged over an axis (Keras ``BinaryCrossentropy``).

    Args:
        from_logits: predictions are logits rather than probabilities.
        label_smoothing: how far labels are moved towards one half, from 0 to 1.
        axis: the axis that is averaged over; left at -1, in training that of the channels for images of one
            channel, (batch, 1, height, width).

    Raises:
        ValueError: label_smoothing is not in [0, 1].
    """

    aliases: ClassVar[tuple[str, ...]] = ("bce",)

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(0 <= self.label_smoothing <= 1, "label_smoothing", "from 0 to 1")

    def averaged_axis(self, g: GraphBuilder, prediction: Value) -> int:
        return class_axis(prediction, self.axis)

    def fitted(self, g: GraphBuilder, prediction: Value) -> Loss:
        return replace(self, axis=1) if self.axis == -1 and has_one_channel(prediction) else self

    def classes_along(self, prediction: Value) -> int | None:
        return class_axis(prediction, self.axis) if prediction.rank > 1 else None

    def elements(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        y_true = smoothed_binary(g, y_true, self.label_smoothing)
        return binary_crossentropy(g, y_true, y_pred, from_logits=self.from_logits)


@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """``-sum(y_true * log(y_pred))`` over the classes (Keras ``CategoricalCrossentropy``).

    Targets are one-hot or probabilities, of the predictions' shape.

    Args:
        from_logits: predictions are logits rather than probabilities.
        label_smoothing: how far labels are moved towards equal probabilities, from 0 to 1; by the size of
            the class axis, where Keras takes that of the last one.
        axis: the class axis; left at -1, in training that of the Softmax that made the predictions.

    Raises:
        ValueError: label_smoothing is not in [0, 1].
    """

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(0 <= self.label_smoothing <= 1, "label_smoothing", "from 0 to 1")

    def fitted(self, g: GraphBuilder, prediction: Value) -> Loss:
        return replace(self, axis=class_axis_of(g, prediction, self.axis))

    def classes_along(self, prediction: Value) -> int | None:
        return class_axis(prediction, self.axis)

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        axis = class_axis(y_pred, self.axis)
        log_p = log_probabilities(g, y_pred, axis, from_logits=self.from_logits)
        y_true = smoothed_categorical(g, y_true, axis, self.label_smoothing)
        return g.add("Neg", op.reduce(g, "ReduceSum", g.add("Mul", y_true, log_p), (axis,)))


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Loss):
    """``-log(y_pred[class])`` (Keras ``SparseCategoricalCrossentropy``; ONNX ``SoftmaxCrossEntropyLoss``).

    Targets are class indices, int64, of the predictions' shape without the class axis.

    Args:
        from_logits: predictions are logits rather than probabilities.
        ignore_class: a label, in or out of the range of classes, whose samples do not count.
        axis: the class axis; left at -1, in training that of the Softmax that made the predictions.
    """

    sparse: ClassVar[bool] = True

    from_logits: bool = False
    ignore_class: int | None = None
    axis: int = -1

    def target_type(self, prediction: Value) -> tuple[int, Shape | None]:
        return index_targets(snake_case(type(self).__name__), prediction, self.axis)

    def classes(self, prediction: Value) -> int | None:
        return class_count(prediction, self.axis)

    def ignored(self) -> int | None:
        return self.ignore_class

    def fitted(self, g: GraphBuilder, prediction: Value) -> Loss:
        return replace(self, axis=class_axis_of(g, prediction, self.axis))

    def classes_along(self, prediction: Value) -> int | None:
        return class_axis(prediction, self.axis)

    def counted(self, g: GraphBuilder, y_true: Value, values: Value) -> Value | None:
        if self.ignore_class is None:
            return None
        return g.add("Not", op.equal(g, y_true, g.const(self.ignore_class, y_true.dtype)))

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        axis = class_axis(y_pred, self.axis)
        scores = y_pred if self.from_logits else input_of(g, "Softmax", y_pred, axis)
        if scores is None:
            scores = g.add("Log", op.clip(g, y_pred, EPSILON, 1 - EPSILON))
        if g.opset < 12:  # there is no SoftmaxCrossEntropyLoss yet
            return self._by_one_hot(g, y_true, scores, axis)
        if axis != 1:
            rest = [i for i in range(1, scores.rank) if i != axis]
            scores = g.add("Transpose", scores, perm=[0, axis, *rest])
        return g.add(
            "SoftmaxCrossEntropyLoss", scores, y_true, reduction="none", ignore_index=self.ignore_class
        )

    def _by_one_hot(self, g: GraphBuilder, y_true: Value, scores: Value, axis: int) -> Value:
        hits = g.add("Mul", one_hot(g, y_true, scores, axis), op.log_softmax(g, scores, axis))
        values = g.add("Neg", op.reduce(g, "ReduceSum", hits, (axis,)))
        counted = self.counted(g, y_true, values)
        return values if counted is None else g.add("Mul", values, op.cast(g, counted, values.dtype))


@dataclass(frozen=True)
class CategoricalGeneralizedCrossEntropy(Loss):
    """``(1 - p^q) / q`` with p the class's probability (Keras ``CategoricalGeneralizedCrossEntropy``).

    For labels that may be wrong. Targets are class indices, int64, of the predictions' shape without the
    last axis, the classes.

    Args:
        q: between crossentropy (towards 0) and the mean absolute error (towards 1).

    Raises:
        ValueError: q is not between 0 and 1.
    """

    sparse: ClassVar[bool] = True

    q: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(0 < self.q < 1, "q", "above 0 and below 1")

    def target_type(self, prediction: Value) -> tuple[int, Shape | None]:
        return index_targets(snake_case(type(self).__name__), prediction, -1)

    def classes(self, prediction: Value) -> int | None:
        return class_count(prediction, -1)

    def classes_along(self, prediction: Value) -> int | None:
        return class_axis(prediction, -1)

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        axis = class_axis(y_pred, -1)
        truth, q = one_hot(g, y_true, y_pred, axis), g.const(self.q, y_pred.dtype)
        logits = input_of(g, "Softmax", y_pred, axis)
        if logits is not None:  # p^q is exp(q log p), whose slope is finite where p rounds to 0
            log_p = g.add("Mul", truth, op.log_softmax(g, logits, axis))
            power = g.add("Exp", g.add("Mul", q, op.reduce(g, "ReduceSum", log_p, (axis,))))
        else:
            power = g.add("Pow", op.reduce(g, "ReduceSum", g.add("Mul", truth, y_pred), (axis,)), q)
        return g.add("Div", g.add("Sub", g.const(1.0, y_pred.dtype), power), q)


@dataclass(frozen=True)
class KLDivergence(Loss):
    """``sum(y_true * log(y_true / y_pred))`` over the last axis (Keras ``KLDivergence``).

    Both are limited to [1e-7, 1].
    """

    aliases: ClassVar[tuple[str, ...]] = ("kld",)

    def classes_along(self, prediction: Value) -> int | None:
        return class_axis(prediction, -1)

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        truth, p = (op.clip(g, y, EPSILON, 1.0) for y in (y_true, y_pred))
        terms = g.add("Mul", truth, g.add("Log", g.add("Div", truth, p)))
        return op.reduce(g, "ReduceSum", terms, (class_axis(y_pred, -1),))


@dataclass(frozen=True)
class Poisson(ElementLoss):
    """Mean of ``y_pred - y_true * log(y_pred)`` over the last axis (Keras ``Poisson``).

    1e-7 is added to the prediction before the logarithm.
    """

    def elements(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        log = g.add("Log", g.add("Add", y_pred, g.const(EPSILON, y_pred.dtype)))
        return g.add("Sub", y_pred, g.add("Mul", y_true, log))
