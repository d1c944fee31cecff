"""Comparing metrics with Keras' over batches of several sizes, and one example of each for all engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import keras
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuromatic import losses, metrics
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Shape, Value
from neuromatic.metrics import Metric, Result
from tests.neuromatic.graphs import FLOAT, INT64, emitted, in_onnxruntime

Array = NDArray[Any]
TYPES = {np.dtype(np.float32): FLOAT, np.dtype(np.int64): INT64}
quick = settings(derandomize=True, deadline=None, max_examples=20, database=None)


def graph(metric: Metric, y_true: Array, y_pred: Array, *, opset: int = 17) -> Any:
    """The model that computes a metric's sums, for arrays of these shapes."""
    shapes: list[tuple[int, Shape]] = [(TYPES[a.dtype], ("batch", *a.shape[1:])) for a in (y_true, y_pred)]
    return emitted(metric.emit, *shapes, opset=opset)


def ours(metric: Metric, batches: Sequence[tuple[Array, Array]]) -> Result:
    """The metric over all batches, in onnxruntime."""
    model = graph(metric, *batches[0])
    sums = [in_onnxruntime(model, {"y_true": t, "y_pred": p})[0] for t, p in batches]
    assert all(s.dtype == np.float32 for s in sums)
    return metrics.result_of(metric.result, np.sum(sums, 0, dtype=np.float64), metric.arguments)


def theirs(twin: Any, batches: Sequence[tuple[Array, Array]]) -> Array:
    """The Keras metric over all batches."""
    for t, p in batches:
        twin.update_state(t, p)
    return np.asarray(keras.ops.convert_to_numpy(twin.result()), np.float64)


def assert_equal(
    name: str,
    batches: Sequence[tuple[Array, Array]],
    *arguments: Any,
    tolerance: float = 1e-5,
    **options: Any,
) -> None:
    """Our metric of a name and Keras' with the same arguments are equal, and report under one name."""
    metric = getattr(metrics, name)(*arguments, **options)
    twin = getattr(keras.metrics, name)(*arguments, **options)
    assert twin.name.startswith(metric.name)  # Keras numbers the second one of its class
    found = ours(metric, batches)
    np.testing.assert_allclose(found, theirs(twin, batches), rtol=tolerance, atol=tolerance)


def twin_of(metric: Metric) -> Any:
    """The Keras metric with a metric's arguments; None where it has none that takes (target, prediction)."""
    name = type(metric).__name__
    if isinstance(metric, (metrics.Mean, metrics.MeanMetricWrapper)) or not hasattr(keras.metrics, name):
        return None
    options = {field.name: getattr(metric, field.name) for field in fields(metric) if field.init}
    return getattr(keras.metrics, name)(**options)


# -- data ----------------------------------------------------------------------------------------------


@st.composite
def batch_sizes(draw: st.DrawFn) -> list[int]:
    return draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))


@st.composite
def pairs(
    draw: st.DrawFn, target: str, prediction: str, shape: Sequence[int] | None = None
) -> list[tuple[Array, Array]]:
    """Batches of targets and predictions of the kinds in :data:`KINDS`."""
    sizes = draw(batch_sizes())
    inner = tuple(draw(st.lists(st.integers(2, 5), min_size=1, max_size=3)) if shape is None else shape)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = (sum(sizes), *inner)
    cuts = np.cumsum(sizes)[:-1]
    both = (np.split(KINDS[kind](rng, rows), cuts) for kind in (target, prediction))
    return list(zip(*both, strict=True))


def _hot(rng: np.random.Generator, rows: tuple[int, ...]) -> Array:
    return np.eye(rows[-1], dtype=np.float32)[rng.integers(rows[-1], size=rows[:-1])]


def _softmax(rng: np.random.Generator, rows: tuple[int, ...]) -> Array:
    raised = np.exp(rng.normal(size=rows))
    return (raised / raised.sum(-1, keepdims=True)).astype(np.float32)


KINDS: dict[str, Any] = {
    "number": lambda rng, rows: rng.normal(size=rows).astype(np.float32),
    "positive": lambda rng, rows: rng.uniform(0.1, 3, size=rows).astype(np.float32),
    "probability": lambda rng, rows: rng.uniform(size=rows).astype(np.float32),
    "step": lambda rng, rows: (rng.integers(11, size=rows) / 10).astype(np.float32),
    "label": lambda rng, rows: rng.integers(2, size=rows).astype(np.float32),
    "sign": lambda rng, rows: rng.choice([-1.0, 1.0], size=rows).astype(np.float32),
    "digit": lambda rng, rows: rng.integers(-1, 5, size=rows).astype(np.float32),
    "hot": _hot,
    "softmax": _softmax,
    "class": lambda rng, rows: rng.integers(rows[-1], size=rows[:-1]),
}
"""Steps of a tenth meet thresholds exactly; digits leave the range of four classes at both ends."""


# -- one example of each, for the engines --------------------------------------------------------------


def squared(g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
    return g.add("Mul", y_pred, y_pred)


EXAMPLES: dict[str, tuple[Metric, str, str, tuple[int, ...]]] = {
    "AUC": (metrics.AUC(), "label", "probability", (3,)),
    "AUC by label": (
        metrics.AUC(20, "PR", multi_label=True, label_weights=[1, 2, 0.5]),
        "label",
        "probability",
        (3,),
    ),
    "Accuracy": (metrics.Accuracy(), "digit", "digit", (3,)),
    "BinaryAccuracy": (metrics.BinaryAccuracy(0.4), "label", "step", (3,)),
    "BinaryCrossentropy": (metrics.BinaryCrossentropy(), "label", "probability", (3,)),
    "BinaryIoU": (metrics.BinaryIoU(threshold=0.3), "label", "step", (2, 3)),
    "CategoricalAccuracy": (metrics.CategoricalAccuracy(), "hot", "softmax", (4,)),
    "CategoricalCrossentropy": (metrics.CategoricalCrossentropy(), "hot", "softmax", (4,)),
    "CategoricalHinge": (metrics.CategoricalHinge(), "hot", "softmax", (4,)),
    "ConcordanceCorrelation": (metrics.ConcordanceCorrelation(), "number", "number", (2, 5)),
    "ConfusionMatrix": (metrics.ConfusionMatrix(), "class", "softmax", (4,)),
    "CosineSimilarity": (metrics.CosineSimilarity(), "number", "number", (4,)),
    "F1Score": (metrics.F1Score(), "label", "step", (4,)),
    "FBetaScore": (metrics.FBetaScore("macro", 2.0, 0.5), "label", "step", (4,)),
    "FalseNegatives": (metrics.FalseNegatives([0.2, 0.6]), "label", "step", (4,)),
    "FalsePositives": (metrics.FalsePositives(), "label", "step", (2, 2)),
    "Hinge": (metrics.Hinge(), "label", "number", (4,)),
    "IoU": (metrics.IoU(4, [1, 2], ignore_class=3), "digit", "digit", (5,)),
    "KLDivergence": (metrics.KLDivergence(), "softmax", "softmax", (4,)),
    "LogCoshError": (metrics.LogCoshError(), "number", "number", (4,)),
    "LogLoss": (metrics.LogLoss(), "hot", "softmax", (4,)),
    "MatthewsCorrelation": (metrics.MatthewsCorrelation(), "label", "probability", (1,)),
    "Mean": (metrics.Mean(), "number", "number", (4,)),
    "MeanAbsoluteError": (metrics.MeanAbsoluteError(), "number", "number", (4,)),
    "MeanAbsolutePercentageError": (metrics.MeanAbsolutePercentageError(), "positive", "number", (4,)),
    "MeanIoU": (metrics.MeanIoU(4, sparse_y_pred=False), "class", "softmax", (2, 3, 4)),
    "MeanMetricWrapper": (metrics.MeanMetricWrapper(squared), "number", "number", (4,)),
    "MeanMetricWrapper of a loss": (
        metrics.MeanMetricWrapper(losses.Huber(0.5)),
        "number",
        "number",
        (4,),
    ),
    "MeanSquaredError": (metrics.MeanSquaredError(), "number", "number", (4,)),
    "MeanSquaredLogarithmicError": (metrics.MeanSquaredLogarithmicError(), "positive", "positive", (4,)),
    "OneHotIoU": (metrics.OneHotIoU(4, [0]), "hot", "softmax", (4,)),
    "OneHotMeanIoU": (metrics.OneHotMeanIoU(4), "hot", "softmax", (2, 4)),
    "PearsonCorrelation": (metrics.PearsonCorrelation(), "number", "number", (5,)),
    "Poisson": (metrics.Poisson(), "positive", "positive", (4,)),
    "Precision": (metrics.Precision(top_k=2, class_id=1), "label", "step", (4,)),
    "PrecisionAtRecall": (metrics.PrecisionAtRecall(0.5), "label", "step", (4,)),
    "R2Score": (metrics.R2Score(None), "number", "number", (3,)),
    "Recall": (metrics.Recall([0.1, 0.7]), "label", "step", (2, 4)),
    "RecallAtPrecision": (metrics.RecallAtPrecision(0.4, class_id=0), "label", "step", (4,)),
    "RootMeanSquaredError": (metrics.RootMeanSquaredError(), "number", "number", (4,)),
    "SensitivityAtSpecificity": (metrics.SensitivityAtSpecificity(0.4), "label", "step", (4,)),
    "SparseCategoricalAccuracy": (metrics.SparseCategoricalAccuracy(), "class", "softmax", (4,)),
    "SparseCategoricalCrossentropy": (metrics.SparseCategoricalCrossentropy(), "class", "softmax", (4,)),
    "SparseTopKCategoricalAccuracy": (metrics.SparseTopKCategoricalAccuracy(2), "class", "step", (5,)),
    "Specificity": (metrics.Specificity(), "label", "step", (4,)),
    "SpecificityAtSensitivity": (metrics.SpecificityAtSensitivity(0.4), "label", "step", (4,)),
    "SquaredHinge": (metrics.SquaredHinge(), "sign", "number", (4,)),
    "Sum": (metrics.Sum(), "number", "number", (4,)),
    "TopKCategoricalAccuracy": (metrics.TopKCategoricalAccuracy(2), "hot", "step", (5,)),
    "TrueNegatives": (metrics.TrueNegatives(), "label", "step", (4,)),
    "TruePositives": (metrics.TruePositives(), "label", "step", (4,)),
}


def example(name: str, rows: int = 9) -> tuple[Metric, Array, Array]:
    """A metric with targets and predictions for it."""
    metric, target, prediction, shape = EXAMPLES[name]
    rng = np.random.default_rng(len(name))
    return metric, *(KINDS[kind](rng, (rows, *shape)) for kind in (target, prediction))
