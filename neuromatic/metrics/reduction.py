"""Sums and means of what a function of ONNX nodes computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from neuromatic._names import snake_case
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.losses import Loss
from neuromatic.metrics.base import MeanOfValues, loss_values

__all__ = ["Mean", "Sum", "MeanMetricWrapper"]

Function = Callable[[GraphBuilder, Value, Value], Value]


@dataclass(frozen=True)
class Mean(MeanOfValues):
    """Mean of the predictions, whatever the targets (Keras ``Mean``, updated with the predictions)."""

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        return y_pred


@dataclass(frozen=True)
class Sum(Mean):
    """Sum of the predictions, whatever the targets (Keras ``Sum``, updated with the predictions)."""

    result: ClassVar[str] = "total"


@dataclass(frozen=True)
class MeanMetricWrapper(MeanOfValues):
    """Mean of the values of a function or a loss (Keras ``MeanMetricWrapper``).

    ``metrics.get`` and ``Model.metrics`` make one of a function, too.

    Args:
        fn: ``(builder, y_true, y_pred) -> values`` that adds ONNX nodes, or an object of
            ``neuromatic.losses``. The values may have any shape.

    Raises:
        TypeError: ``fn`` is neither.

    >>> import neuromatic as nm
    >>> nm.metrics.MeanMetricWrapper(nm.losses.Huber())
    MeanMetricWrapper(...)
    """

    fn: Function | Loss

    def __post_init__(self) -> None:
        if not isinstance(self.fn, Loss) and (isinstance(self.fn, type) or not callable(self.fn)):
            raise TypeError(
                f"MeanMetricWrapper: fn must be a function (builder, y_true, y_pred) or a loss, "
                f"got {self.fn!r}"
            )
        if not self.name:
            named = getattr(self.fn, "__name__", snake_case(type(self.fn).__name__))
            object.__setattr__(self, "name", named)
        super().__post_init__()

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        if isinstance(self.fn, Loss):
            return loss_values(g, self.fn, y_true, y_pred)
        return self.fn(g, y_true, y_pred)
