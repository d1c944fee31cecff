"""Metrics, each once, as ONNX nodes from (target, prediction) to a few sums.

Sums of batches add up, whatever their sizes; a host function makes what a user sees of them, a number or an
array. In the file, a metric is its sums, the name of that function and its arguments, see :data:`RESULTS`.
Names, arguments and values are those of Keras 3; arguments that say how the result is called (``name``)
are given by keyword.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from neuromatic._names import by_name, from_name, snake_case
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.losses import Loss
from neuromatic.metrics import (
    accuracy,
    auc,
    confusion,
    correlation,
    hinge,
    iou,
    probabilistic,
    reduction,
    regression,
)
from neuromatic.metrics.accuracy import *
from neuromatic.metrics.auc import *
from neuromatic.metrics.base import Metric
from neuromatic.metrics.confusion import *
from neuromatic.metrics.correlation import *
from neuromatic.metrics.hinge import *
from neuromatic.metrics.iou import *
from neuromatic.metrics.probabilistic import *
from neuromatic.metrics.reduction import *
from neuromatic.metrics.regression import *
from neuromatic.metrics.results import RESULTS, Result, result_of, result_text

__all__ = ["METRICS", "RESULTS", "Metric", "MetricLike", "Result", "get", "result_of", "result_text"]
__all__ += accuracy.__all__
__all__ += auc.__all__
__all__ += confusion.__all__
__all__ += correlation.__all__
__all__ += hinge.__all__
__all__ += iou.__all__
__all__ += probabilistic.__all__
__all__ += reduction.__all__
__all__ += regression.__all__

METRICS = by_name(
    Metric, accuracy, auc, confusion, correlation, hinge, iou, probabilistic, reduction, regression
)
# As in Keras, the word means what fits the shapes, and the class of that name exact equality.
METRICS |= {"accuracy": FittingAccuracy, "acc": FittingAccuracy}

MetricLike = str | type[Metric] | Metric | Loss | Callable[[GraphBuilder, Value, Value], Value]


def get(metric: MetricLike, **arguments: Any) -> Metric:
    """A metric from its Keras name, its class, itself, a loss, or a function that adds ONNX nodes.

    The mean is taken of the values of losses and functions.

    >>> get("accuracy")
    FittingAccuracy()
    >>> get("auc", curve="PR").name
    'auc'

    Raises:
        UnknownNameError: there is none of that name.
        ValueError: it cannot do without arguments that are not given.
    """
    if isinstance(metric, Loss) or (callable(metric) and not isinstance(metric, (type, Metric))):
        return MeanMetricWrapper(metric, **arguments)
    if isinstance(metric, str):
        metric = METRICS.get(metric) or METRICS.get(snake_case(metric)) or metric
    if isinstance(metric, type):
        _check_complete(metric, arguments)
    return from_name("metric", metric, METRICS, Metric, **arguments)


def _check_complete(metric: type[Metric], arguments: Mapping[str, Any]) -> None:
    required = [f.name for f in fields(metric) if f.init and f.default is MISSING is f.default_factory]
    missing = [name for name in required if name not in arguments]
    if missing:
        given = ", ".join(f"{name}=..." for name in missing)
        raise ValueError(f"{metric.__name__} has no default for this: give {metric.__name__}({given}) itself")
