"""What a loss is, and what losses share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Shape, Value, shape_text
from neuromatic.losses._reduction import MEANS, REDUCTIONS, Reduction, reduced
from neuromatic.losses.class_axis import softmax_axis

EPSILON = 1e-7
"""How far Keras keeps probabilities away from 0 and 1 before it takes logarithms."""


@dataclass(frozen=True)
class Loss(ABC):
    """Base of all losses.

    Args:
        reduction: how the values of a batch become one number; ``"sum_over_batch_size"`` and ``"mean"`` are
            their mean, ``"sum"`` their sum, ``"mean_with_sample_weight"`` their sum by that of the sample
            weights. With None or ``"none"`` they stay as they are, for use outside of training.

    Attributes:
        aliases: names for calls and the command line besides the class name in snake case.
        sparse: whether targets are class indices (int64, without the class axis).

    Raises:
        ValueError: there is no such reduction.
    """

    aliases: ClassVar[tuple[str, ...]] = ()
    sparse: ClassVar[bool] = False

    reduction: Reduction = field(default="sum_over_batch_size", kw_only=True)

    def __post_init__(self) -> None:
        if self.reduction not in REDUCTIONS:
            known = ", ".join(map(repr, REDUCTIONS))
            raise ValueError(
                f"{type(self).__name__}: reduction must be one of {known}, got {self.reduction!r}"
            )

    @abstractmethod
    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        """Add nodes for the loss of each sample, of any shape beginning with the batch."""

    def emit(
        self,
        g: GraphBuilder,
        y_true: Value,
        y_pred: Value,
        *,
        weight: str | None = None,
        mask: Value | None = None,
    ) -> Value:
        """Add nodes for the scalar loss of a batch: the reduced :meth:`values`.

        Args:
            weight: name of a new graph input for a weight for each of the values.
            mask: (batch, ...) of booleans, which of the values count.
        """
        values = self.values(g, y_true, y_pred)
        weights = None if weight is None else g.input(weight, values.dtype, _weights_shape(values, y_pred))
        return reduced(g, values, self.reduction, weights, mask, self.counted(g, y_true, values))

    def counted(self, g: GraphBuilder, y_true: Value, values: Value) -> Value | None:
        """Which of the values the loss itself counts, as booleans; None for all of them."""
        return None

    def target_type(self, prediction: Value) -> tuple[int, Shape | None]:
        """Element type and shape of the targets for a prediction."""
        return prediction.dtype, prediction.shape

    def classes(self, prediction: Value) -> int | None:
        """For class-index targets, how many classes there are; None where that is unknown."""
        return None

    def ignored(self) -> int | None:
        """For class-index targets, a label whose samples do not count, in or out of the range of classes."""
        return None

    def computes_in(self, dtype: int) -> int:
        """The type that this loss takes predictions of some type in: float32 for half precision, as Keras."""
        return TensorProto.FLOAT if dtype in (TensorProto.FLOAT16, TensorProto.BFLOAT16) else dtype

    def fitted(self, g: GraphBuilder, prediction: Value) -> Loss:
        """This loss with the class axis that a prediction has, where none was chosen."""
        return self

    def classes_along(self, prediction: Value) -> int | None:
        """The axis of a prediction that classes lie along, from the front; None where the loss has none."""
        return None

    def _require(self, condition: bool, argument: str, wanted: str) -> None:
        """Raise ValueError for an argument that is not as wanted."""
        if not condition:
            found = getattr(self, argument)
            raise ValueError(f"{type(self).__name__}: {argument} must be {wanted}, got {found!r}")


class ElementLoss(Loss):
    """A loss that has a number for each element of the prediction, averaged over one axis.

    This is the last one, or that of the Softmax that made the prediction. A prediction of rank 1 has one
    number for each sample.
    """

    @abstractmethod
    def elements(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        """Add nodes for the numbers, of the prediction's shape."""

    def averaged_axis(self, g: GraphBuilder, prediction: Value) -> int:
        """The axis that numbers are averaged over."""
        return softmax_axis(g, prediction) or prediction.rank - 1

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        numbers = self.elements(g, y_true, y_pred)
        if numbers.rank < 2:
            return numbers
        return op.reduce(g, "ReduceMean", numbers, (self.averaged_axis(g, y_pred),))

    def emit(
        self,
        g: GraphBuilder,
        y_true: Value,
        y_pred: Value,
        *,
        weight: str | None = None,
        mask: Value | None = None,
    ) -> Value:
        if weight is None and mask is None and self.reduction in MEANS:
            # The mean of means of equally many numbers is that of all numbers.
            return op.reduce(g, "ReduceMean", self.elements(g, y_true, y_pred))
        return super().emit(g, y_true, y_pred, weight=weight, mask=mask)


@dataclass(frozen=True)
class FunctionLoss(Loss):
    """A loss from a function ``(builder, y_true, y_pred) -> Value``; its values are averaged."""

    function: Callable[[GraphBuilder, Value, Value], Value]

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        return self.function(g, y_true, y_pred)


def _weights_shape(values: Value, prediction: Value) -> Shape:
    """The shape of weights: that of the values, or (batch,) where there is one for the whole batch.

    Raises:
        ShapeError: the values do not begin with the batch.
    """
    if not values.rank:
        return (prediction.dim(0),)
    if values.dim(0) != prediction.dim(0):
        raise ShapeError(
            f"sample weights need a loss for each sample; this one has {shape_text(values.shape)} values "
            f"for {prediction.name!r} {shape_text(prediction.shape)}"
        )
    return values.shape or ()


def softplus(g: GraphBuilder, x: Value) -> Value:
    """``log(1 + exp(x))``; onnxruntime has no float64 ``Softplus``, so this is written out there."""
    if x.dtype != TensorProto.DOUBLE:
        return g.add("Softplus", x)
    small = g.add("Exp", g.add("Neg", g.add("Abs", x)))
    return g.add("Add", g.add("Relu", x), g.add("Log", g.add("Add", small, g.const(1.0, x.dtype))))


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
    while node is not None and node.op_type in ("Identity", "Cast") and g.knows(node.input[0]):
        node = g.producer(g.value(node.input[0]))
    if node is None or node.op_type != operator or node.domain not in ("", "ai.onnx"):
        return None
    if not g.knows(node.input[0]):
        return None
    if axis is not None:
        default = -1 if g.opset >= 13 else 1
        along = next((a.i for a in node.attribute if a.name == "axis"), default) % y.rank
        flattens_more = g.opset < 13 and along != y.rank - 1
        if along != axis or flattens_more:
            return None
    return op.cast(g, g.value(node.input[0]), y.dtype)
