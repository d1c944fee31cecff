"""Every metric on CNTK, with its batch axis, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

import neuromatic as nm
from neuromatic import metrics
from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.evaluate import run_model
from tests.catalogue.metrics import EXAMPLES, example, graph
from tests.neuromatic.graphs import in_onnxruntime


@pytest.mark.parametrize("name", EXAMPLES)
def test_sums_are_those_of_onnxruntime(worker: Worker, name: str) -> None:
    metric, t, p = example(name)
    model = graph(metric, t, p)
    feed = {"y_true": t, "y_pred": p}
    (expected,) = in_onnxruntime(model, feed)
    found = run_model(model, feed, worker, batched=["y_true", "y_pred"])["result"]
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.usefixtures("cntk_environment")
def test_training_reports_them_as_evaluation_does() -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(22, 4)).astype(np.float32)
    y = np.eye(3, dtype=np.float32)[rng.integers(3, size=22)]
    model = nm.Sequential((4,), seed=1).dense(3, "softmax").loss("categorical_crossentropy").optimizer("sgd")
    chosen = [metrics.AUC(), metrics.F1Score(), metrics.ConfusionMatrix(), metrics.Precision(top_k=2)]
    model = model.metrics(*chosen, "r2_score", "pearson_correlation")
    expected = model.evaluate(x, y)
    options = {"threads": 1}
    history = model.train(
        x, y, batch_size=8, learning_rate=0.0, verbose=0, engine="cntk", engine_options=options
    )
    for name, value in expected.items():
        np.testing.assert_allclose(history.history[name][0], value, rtol=2e-5, err_msg=name)
