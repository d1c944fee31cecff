"""Metrics on TensorFlow, at every opset, with masks, and in whole models, against Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import neuromatic as nm
from neuromatic import metrics
from neuromatic.converters.tensorflow.evaluate import run_model
from neuromatic.ir.graph import GraphBuilder
from neuromatic.metrics import Metric, result_of
from tests.catalogue.metrics import EXAMPLES, example, graph, ours, theirs, twin_of
from tests.neuromatic.graphs import FLOAT, in_onnxruntime


@pytest.mark.parametrize("name", EXAMPLES)
def test_tensorflow_has_the_same_sums(name: str) -> None:
    metric, t, p = example(name)
    model = graph(metric, t, p)
    feed = {"y_true": t, "y_pred": p}
    (expected,) = in_onnxruntime(model, feed)
    np.testing.assert_allclose(run_model(model, feed)["result"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("opset", [9, 11, 13, 18, 21])
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_opset_gives_what_keras_gives(name: str, opset: int) -> None:
    metric, t, p = example(name)
    (sums,) = in_onnxruntime(graph(metric, t, p, opset=opset), {"y_true": t, "y_pred": p})
    found, twin = result_of(metric.result, sums, metric.arguments), twin_of(metric)
    expected = ours(metric, [(t, p)]) if twin is None else theirs(twin, [(t, p)])
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_every_metric_has_an_example() -> None:
    known = {type(metric) for metric, *_ in EXAMPLES.values()}
    assert set(metrics.METRICS.values()) - known == {metrics.FittingAccuracy}


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("name", ["BinaryAccuracy", "MeanSquaredError", "BinaryCrossentropy"])
def test_masked_steps_do_not_count(name: str, rank: int) -> None:
    rng = np.random.default_rng(4)
    shape = (6, 5, 3, 2)[: rank + 1]
    t, p = (rng.integers(2, size=shape).astype(np.float32), rng.uniform(size=shape).astype(np.float32))
    mask = np.arange(5) < rng.integers(1, 6, size=(6, 1))
    twin = getattr(keras.metrics, name)()
    predictions = keras.ops.convert_to_tensor(p)
    keras.src.backend.set_keras_mask(predictions, mask)
    twin.update_state(t, predictions)

    g = GraphBuilder()
    y_true, y_pred = (g.input(n, FLOAT, ("batch", *shape[1:])) for n in ("y_true", "y_pred"))
    g.set_mask(y_pred, g.input("mask", 9, ("batch", 5)))
    metric: Metric = getattr(metrics, name)()
    g.output(metric.emit(g, y_true, y_pred), "sums")
    (sums,) = in_onnxruntime(g.finish(), {"y_true": t, "y_pred": p, "mask": mask})
    assert result_of(metric.result, sums, {}) == pytest.approx(float(twin.result()), rel=1e-5)


def test_evaluation_in_uneven_batches_is_keras_evaluation() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(20, 4)).astype(np.float32)
    y = np.eye(3, dtype=np.float32)[rng.integers(3, size=20)]
    chosen = [
        ("AUC", {"name": "roc"}),
        ("AUC", {"curve": "PR", "name": "pr"}),
        ("F1Score", {"average": None}),
        ("Precision", {"thresholds": [0.3, 0.5], "name": "sure"}),
        ("Recall", {"top_k": 2, "name": "likely"}),
        ("R2Score", {}),
        ("PearsonCorrelation", {}),
        ("RootMeanSquaredError", {}),
        ("OneHotMeanIoU", {"num_classes": 3, "name": "overlap"}),
        ("TopKCategoricalAccuracy", {"k": 2}),
    ]
    twin = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    twin.compile(loss="categorical_crossentropy", metrics=[getattr(keras.metrics, n)(**a) for n, a in chosen])
    model = nm.Sequential((4,)).dense(3, "softmax").loss("categorical_crossentropy").optimizer("sgd")
    model = model.metrics(*(getattr(metrics, n)(**a) for n, a in chosen))
    twin.set_weights(list(model.parameters().values()))
    expected = twin.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
    found = model.evaluate(x, y, batch_size=8)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], np.asarray(value), rtol=2e-5, atol=2e-5, err_msg=name)


def test_masked_steps_of_a_model_do_not_count() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(10, 5, 2)).astype(np.float32)
    x[np.arange(5) >= rng.integers(1, 6, size=(10, 1))] = 0.0
    y = rng.integers(2, size=(10, 5, 2)).astype(np.float32)
    names = ["BinaryAccuracy", "MeanSquaredError", "Precision"]
    masked = [keras.layers.Masking(), keras.layers.LayerNormalization(), keras.layers.Activation("sigmoid")]
    twin = keras.Sequential([keras.Input((5, 2)), *masked])
    twin.compile(loss="binary_crossentropy", metrics=["BinaryAccuracy", "MeanSquaredError", "Precision"])
    inputs = nm.Input((5, 2))
    normal = nm.layers.LayerNormalization()(nm.layers.Masking()(inputs))
    model = (
        nm.Model(inputs, nm.layers.Activation("sigmoid")(normal))
        .loss("binary_crossentropy")
        .optimizer("sgd")
        .metrics(*names)
    )
    twin.set_weights(list(model.parameters().values()))
    expected = twin.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
    found = model.evaluate(x, y, batch_size=4)
    reported = [name for name in found if name != "loss"]
    for name, other in zip(reported, names, strict=True):
        assert found[name] == pytest.approx(expected[other], rel=1e-5), name
    history = model.train(x, y, learning_rate=0.0, batch_size=4, verbose=0)
    for name in reported:
        assert history.history[name][0] == pytest.approx(found[name], rel=1e-5), name
