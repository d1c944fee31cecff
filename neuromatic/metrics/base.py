"""What a metric is, and the metrics that are the mean of a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from onnx import TensorProto

from neuromatic._names import snake_case
from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.losses import ElementLoss, Loss
from neuromatic.metrics._checks import check_ranks


@dataclass(frozen=True)
class Metric(ABC):
    """Base of all metrics.

    Args:
        name: under which results are reported; by default ``default_name``, else the class name in snake
            case, as in Keras. Only by keyword.

    Attributes:
        aliases: names for calls and the command line besides the class name in snake case.
        result: which function of :data:`~neuromatic.metrics.RESULTS` makes the result of the sums.
        classes_last: whether it takes the last axis for that of classes, so that a loss with another class
            axis gives it transposed values.

    Raises:
        ValueError: an argument that the metric cannot take.
    """

    aliases: ClassVar[tuple[str, ...]] = ()
    default_name: ClassVar[str] = ""
    result: ClassVar[str] = "mean"
    classes_last: ClassVar[bool] = False

    name: str = field(default="", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"{type(self).__name__}: name must be a text, got {self.name!r}")
        if not self.name:
            object.__setattr__(self, "name", self.default_name or snake_case(type(self).__name__))
        self.check()

    def check(self) -> None:  # noqa: B027 - most metrics have nothing to refuse
        """Refuse arguments that are wrong; called once the object is made."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """More arguments of the result's function: texts, numbers, None and lists of these."""
        return {}

    @abstractmethod
    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        """Add nodes for the sums of a batch, float32, of a fixed shape."""

    def emit_along(self, g: GraphBuilder, y_true: Value, y_pred: Value, axis: int | None) -> Value:
        """The sums for predictions whose classes lie along an axis, None for the last one.

        A metric that has an argument ``axis`` takes this one where its own was left at -1.
        """
        if axis is None:
            return self.emit(g, y_true, y_pred)
        if getattr(self, "axis", None) == -1:
            return replace(self, axis=axis).emit(g, y_true, y_pred)  # type: ignore[call-arg]
        if not self.classes_last:
            return self.emit(g, y_true, y_pred)
        truth = _axis_last(g, y_true, axis) if y_true.rank == y_pred.rank else y_true
        return self.emit(g, truth, _axis_last(g, y_pred, axis))


def _axis_last(g: GraphBuilder, y: Value, axis: int) -> Value:
    """A value with one of its axes moved to the end; its mask, which is of the first axes, stays."""
    moved = g.add("Transpose", y, perm=[*(i for i in range(y.rank) if i != axis), axis])
    mask = g.mask(y)
    if mask is not None:
        g.set_mask(moved, mask)
    return moved


@dataclass(frozen=True)
class MeanOfValues(Metric):
    """Base of the metrics that are the mean of values, of which a sample may have one or many.

    Sums: their total and how many they are. Where the predictions have a mask, (batch, steps), only steps
    that it keeps count.
    """

    @abstractmethod
    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        """Add nodes for the values, numbers or booleans, of any shape that begins with the batch."""

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        values, mask = self.values(g, y_true, y_pred), g.mask(y_pred)
        if mask is None:
            return op.sum_and_count(g, values)
        if values.rank < mask.rank:
            raise ShapeError(
                f"{g.scope} has values {shape_text(values.shape)}, but the predictions a mask "
                f"{shape_text(mask.shape)}; choose a metric with a value for each step"
            )
        numbers = op.cast(g, values, TensorProto.FLOAT)
        if values.rank > mask.rank:
            numbers = op.reduce(g, "ReduceMean", numbers, tuple(range(mask.rank, values.rank)))
        kept = op.where(g, mask, numbers, g.const(0.0))
        parts = [op.reduce(g, "ReduceSum", part) for part in (kept, op.cast(g, mask, TensorProto.FLOAT))]
        return g.add("Concat", *(op.unsqueeze(g, part, 0) for part in parts), axis=0)


@dataclass(frozen=True)
class MeanOfLoss(MeanOfValues):
    """Base of the metrics that are the mean of a loss over all samples."""

    @abstractmethod
    def loss(self) -> Loss:
        """The loss."""

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        return loss_values(g, self.loss(), y_true, y_pred)


def loss_values(g: GraphBuilder, loss: Loss, y_true: Value, y_pred: Value) -> Value:
    """What a loss averages, for targets of another element type too."""
    check_ranks(g, y_true, y_pred, class_axis=int(loss.sparse))
    dtype, _ = loss.target_type(y_pred)
    numbers = loss.elements if isinstance(loss, ElementLoss) else loss.values
    return numbers(g, op.cast(g, y_true, dtype), y_pred)
