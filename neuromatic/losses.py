"""Losses, each once, as ONNX nodes from (target, prediction) to the numbers that training makes small.

Names, arguments and values are those of Keras 3. A final ``Softmax`` or ``Sigmoid`` of the model is
recognised: the crossentropies then start from its input, which is exact where probabilities round to 0 or 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from onnx import TensorProto

from neuromatic import operators as op
from neuromatic._lookup import from_name
from neuromatic.errors import ShapeError
from neuromatic.graph import GraphBuilder, Shape, Value, shape_text

EPSILON = 1e-7
"""How far Keras keeps probabilities away from 0 and 1 before it takes logarithms."""


class Loss(ABC):
    """Base of all losses.

    Attributes:
        sparse: whether targets are class indices (int64, without the class axis).
    """

    sparse: ClassVar[bool] = False

    @abstractmethod
    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        """Add nodes for the loss of each sample, of any shape beginning with the batch."""

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        """Add nodes for the scalar loss of a batch: by default the mean of :meth:`values`."""
        return op.reduce(g, "ReduceMean", self.values(g, y_true, y_pred))

    def target_type(self, prediction: Value) -> tuple[int, Shape | None]:
        """Element type and shape of the targets for a prediction."""
        return prediction.dtype, prediction.shape

    def classes(self, prediction: Value) -> int | None:
        """For class-index targets, how many classes there are; None where that is unknown."""
        return None


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """Mean of ``(y_true - y_pred)²`` (Keras ``MeanSquaredError``)."""

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        error = g.add("Sub", y_pred, y_true)
        return g.add("Mul", error, error)


@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """Mean of ``|y_true - y_pred|`` (Keras ``MeanAbsoluteError``)."""

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        return g.add("Abs", g.add("Sub", y_pred, y_true))


@dataclass(frozen=True)
class RootMeanSquaredError(MeanSquaredError):
    """Square root of the batch's mean squared error; Keras has it as a metric only.

    Below 1e-7 it is 1e-7 with gradient zero, since the root has no finite slope at zero.
    """

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        mean = super().emit(g, y_true, y_pred)
        return g.add("Sqrt", g.add("Max", mean, g.const(EPSILON**2, y_pred.dtype)))


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


@dataclass(frozen=True)
class FunctionLoss(Loss):
    """A loss from a function ``(builder, y_true, y_pred) -> Value``; its values are averaged."""

    function: Callable[[GraphBuilder, Value, Value], Value]

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        return self.function(g, y_true, y_pred)


def class_axis(prediction: Value, axis: int) -> int:
    """The class axis counted from the front.

    Raises:
        ShapeError: the prediction has no such axis besides the batch.
    """
    found = axis + prediction.rank if axis < 0 else axis
    if not 0 < found < prediction.rank:
        raise ShapeError(
            f"the loss takes classes along axis {axis}, which {prediction.name!r} of shape "
            f"{shape_text(prediction.shape)} lacks or needs for the batch"
        )
    return found


def input_of(g: GraphBuilder, operator: str, y: Value, axis: int | None = None) -> Value | None:
    """What ``operator`` (``Softmax`` along ``axis``, ``Sigmoid``) was applied to, if it made ``y``."""
    node = g.producer(y)
    while node is not None and node.op_type == "Identity":
        node = g.producer(g.value(node.input[0]))
    if node is None or node.op_type != operator or node.domain not in ("", "ai.onnx"):
        return None
    if axis is not None:
        default = -1 if g.opset >= 13 else 1
        along = next((a.i for a in node.attribute if a.name == "axis"), default) % y.rank
        flattens_more = g.opset < 13 and along != y.rank - 1
        if along != axis or flattens_more:
            return None
    return g.value(node.input[0])


LOSSES: dict[str, type[Loss]] = {
    "mse": MeanSquaredError,
    "mean_squared_error": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mean_absolute_error": MeanAbsoluteError,
    "rmse": RootMeanSquaredError,
    "root_mean_squared_error": RootMeanSquaredError,
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}

LossLike = str | type[Loss] | Loss | Callable[[GraphBuilder, Value, Value], Value]


def get(loss: LossLike, **arguments: Any) -> Loss:
    """A loss from its Keras name, its class, itself, or a function that adds ONNX nodes.

    >>> get("mse")
    MeanSquaredError()

    Raises:
        UnknownNameError: there is none of that name.
    """
    if callable(loss) and not isinstance(loss, (type, Loss)):
        return FunctionLoss(loss, **arguments)
    return from_name("loss", loss, LOSSES, Loss, **arguments)
