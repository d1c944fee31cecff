"""Metrics, each once, as ONNX nodes from (target, prediction) to a small vector of sums.

Sums of batches add up, whatever their sizes; a host function makes the number a user sees of them. In the
file, a metric is its sums and the name of that function, see :data:`RESULTS`.
"""

from __future__ import annotations

from typing import Any

from neuromatic._lookup import by_name, from_name
from neuromatic.metrics import accuracy, regression
from neuromatic.metrics.accuracy import *
from neuromatic.metrics.base import RESULTS, Metric
from neuromatic.metrics.regression import *

__all__ = ["METRICS", "RESULTS", "Metric", "MetricLike", "get"]
__all__ += accuracy.__all__
__all__ += regression.__all__

METRICS = by_name(Metric, accuracy, regression)

MetricLike = str | type[Metric] | Metric


def get(metric: MetricLike, **arguments: Any) -> Metric:
    """A metric from its Keras name, its class or itself.

    >>> get("accuracy")
    Accuracy()

    Raises:
        UnknownNameError: there is none of that name.
    """
    return from_name("metric", metric, METRICS, Metric, **arguments)
