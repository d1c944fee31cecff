"""Losses of probabilities and logits: the crossentropies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnx import TensorProto

from neuromatic import operators as op
from neuromatic.errors import ShapeError
from neuromatic.graph import GraphBuilder
from neuromatic.losses.base import EPSILON, Loss, class_axis, input_of
from neuromatic.values import Shape, Value, shape_text

__all__ = ["BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy"]


@dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    """``-(y log p + (1 - y) log(1 - p))``, averaged (Keras ``BinaryCrossentropy``).

    Args:
        from_logits: predictions are logits rather than probabilities.
    """

    from_logits: bool = False

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        logits = y_pred if self.from_logits else input_of(g, "Sigmoid", y_pred)
        one = g.const(1.0, y_pred.dtype)
        if logits is not None:
            # -log p is softplus(-z), which is exact at both ends and smooth at 0.
            hit = g.add("Mul", y_true, g.add("Softplus", g.add("Neg", logits)))
            miss = g.add("Mul", g.add("Sub", one, y_true), g.add("Softplus", logits))
            return g.add("Add", hit, miss)
        p = op.clip(g, y_pred, EPSILON, 1 - EPSILON)
        hit = g.add("Mul", y_true, g.add("Log", p))
        miss = g.add("Mul", g.add("Sub", one, y_true), g.add("Log", g.add("Sub", one, p)))
        return g.add("Neg", g.add("Add", hit, miss))


@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """``-sum(y_true * log(y_pred))`` over the classes (Keras ``CategoricalCrossentropy``).

    Targets are one-hot or probabilities, of the predictions' shape.

    Args:
        from_logits: predictions are logits rather than probabilities.
        axis: the class axis.
    """

    from_logits: bool = False
    axis: int = -1

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        axis = class_axis(y_pred, self.axis)
        logits = y_pred if self.from_logits else input_of(g, "Softmax", y_pred, axis)
        if logits is not None:
            log_p = op.log_softmax(g, logits, axis)
        else:
            total = op.reduce(g, "ReduceSum", y_pred, (axis,), keepdims=True)
            p = g.add("Div", y_pred, total)
            log_p = g.add("Log", op.clip(g, p, EPSILON, 1 - EPSILON))
        return g.add("Neg", op.reduce(g, "ReduceSum", g.add("Mul", y_true, log_p), (axis,)))


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Loss):
    """``-log(y_pred[class])`` (Keras ``SparseCategoricalCrossentropy``; ONNX ``SoftmaxCrossEntropyLoss``).

    Targets are class indices, int64, of the predictions' shape without the class axis.

    Args:
        from_logits: predictions are logits rather than probabilities.
        axis: the class axis.
    """

    from_logits: bool = False
    axis: int = -1
    sparse: ClassVar[bool] = True

    def target_type(self, prediction: Value) -> tuple[int, Shape | None]:
        if prediction.rank < 2:
            raise ShapeError(
                f"sparse_categorical_crossentropy takes (batch, ..., classes), "
                f"got {shape_text(prediction.shape)} from {prediction.name!r}"
            )
        shape = list(prediction.shape or ())
        del shape[class_axis(prediction, self.axis)]
        return TensorProto.INT64, tuple(shape)

    def classes(self, prediction: Value) -> int | None:
        size = prediction.dim(class_axis(prediction, self.axis))
        return size if isinstance(size, int) else None

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
        return g.add("SoftmaxCrossEntropyLoss", scores, y_true, reduction="none")

    def _by_one_hot(self, g: GraphBuilder, y_true: Value, scores: Value, axis: int) -> Value:
        classes = self.classes(scores)
        if classes is None:
            raise ShapeError(
                f"the number of classes of {scores.name!r} {shape_text(scores.shape)} is unknown"
            )
        truth = g.add("OneHot", y_true, g.ints(classes), g.const([0.0, 1.0], scores.dtype), axis=axis)
        hits = g.add("Mul", truth, op.log_softmax(g, scores, axis))
        return g.add("Neg", op.reduce(g, "ReduceSum", hits, (axis,)))
