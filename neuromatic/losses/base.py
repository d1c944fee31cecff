"""What a loss is, and what losses share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from neuromatic import operators as op
from neuromatic.errors import ShapeError
from neuromatic.graph import GraphBuilder
from neuromatic.values import Shape, Value, shape_text

EPSILON = 1e-7
"""How far Keras keeps probabilities away from 0 and 1 before it takes logarithms."""


class Loss(ABC):
    """Base of all losses.

    Attributes:
        aliases: names for calls and the command line besides the class name in snake case.
        sparse: whether targets are class indices (int64, without the class axis).
    """

    aliases: ClassVar[tuple[str, ...]] = ()
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
