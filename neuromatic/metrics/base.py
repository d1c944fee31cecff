"""What a metric is, and what metrics share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from neuromatic.errors import ShapeError
from neuromatic.graph import GraphBuilder
from neuromatic.values import Value, shape_text

Sums = NDArray[np.float64]


def mean(sums: Sums) -> float:
    """Of [total, count] the mean; NaN where nothing was counted.

    >>> mean(np.array([3.0, 4.0]))
    0.75
    """
    return float(sums[0] / sums[1]) if sums[1] else float("nan")


RESULTS: dict[str, Callable[[Sums], float]] = {"mean": mean}
"""What the summed vectors of all batches mean, by the name that files carry."""


class Metric(ABC):
    """Base of all metrics.

    Attributes:
        aliases: names for calls and the command line besides the class name in snake case.
        name: under which results are reported.
        result: which function of :data:`RESULTS` makes the number of the sums.
    """

    aliases: ClassVar[tuple[str, ...]] = ()
    name: ClassVar[str]
    result: ClassVar[str] = "mean"

    @abstractmethod
    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        """Add nodes for the vector of sums of a batch, float32."""


def check_ranks(g: GraphBuilder, y_true: Value, y_pred: Value, *, class_axis: int = 0) -> None:
    """Refuse targets that broadcasting would compare with the wrong predictions.

    Args:
        class_axis: 1 where targets are class indices, which have no class axis.
    """
    if y_true.rank != y_pred.rank - class_axis:
        kind = "class indices" if class_axis else "targets of the predictions' shape"
        raise ShapeError(
            f"{g.scope} takes {kind}, got targets {shape_text(y_true.shape)} "
            f"for predictions {shape_text(y_pred.shape)}; choose another metric"
        )
