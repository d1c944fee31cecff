"""Every metric in onnxruntime and on TensorFlow, against Keras, over batches of several sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic import metrics
from neuromatic.errors import RecipeError, ShapeError, UnknownNameError
from neuromatic.graph import GraphBuilder
from neuromatic.metrics import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    MeanAbsoluteError,
    Metric,
    SparseCategoricalAccuracy,
)
from neuromatic.metrics.base import mean
from neuromatic.values import Shape, Value
from tests.neuromatic.graphs import DOUBLE, FLOAT, INT64, emitted, in_both

Array = NDArray[Any]
BATCHES = (5, 1, 7, 2)
OPSETS = [9, 11, 13, 18, 21]


def result(metric: Metric, y_true: Array, y_pred: Array, *, opset: int = 17) -> list[float]:
    """The metric over uneven batches, in onnxruntime and on TensorFlow."""
    types = {np.dtype(np.float32): FLOAT, np.dtype(np.float64): DOUBLE, np.dtype(np.int64): INT64}
    shapes: list[tuple[int, Shape]] = [(types[a.dtype], ("batch", *a.shape[1:])) for a in (y_true, y_pred)]
    model = emitted(metric.emit, *shapes, opset=opset)
    cuts = np.cumsum(BATCHES)[:-1]
    sums = np.zeros((2, 2))
    for t, p in zip(np.split(y_true, cuts), np.split(y_pred, cuts), strict=True):
        batch = list(in_both(model, {"y_true": t, "y_pred": p}))
        assert all(s.dtype == np.float32 and s.shape == (2,) for s in batch)
        sums += batch
    assert sums[0, 1] == sums[1, 1]
    return [metrics.RESULTS[metric.result](s) for s in sums]


def assert_is(metric: Metric, twin: Any, y_true: Array, y_pred: Array, opset: int = 17) -> None:
    """The metric over uneven batches is what the Keras metric is."""
    cuts = np.cumsum(BATCHES)[:-1]
    for t, p in zip(np.split(y_true, cuts), np.split(y_pred, cuts), strict=True):
        twin.update_state(t, p)
    expected = float(keras.ops.convert_to_numpy(twin.result()))
    for found in result(metric, y_true, y_pred, opset=opset):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def scores(*shape: int) -> Array:
    return rng().uniform(size=(sum(BATCHES), *shape)).astype(np.float32)


def hot(*shape: int) -> Array:
    classes = rng().integers(shape[-1], size=(sum(BATCHES), *shape[:-1]))
    return np.eye(shape[-1], dtype=np.float32)[classes]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("shape", [(4,), (2, 3)])
def test_errors(shape: tuple[int, ...], opset: int) -> None:
    t, p = scores(*shape), -scores(*shape)
    assert_is(metrics.get("mse"), keras.metrics.MeanSquaredError(), t, p, opset)
    assert_is(metrics.get("mae"), keras.metrics.MeanAbsoluteError(), t, p, opset)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_binary_accuracy(opset: int, threshold: float) -> None:
    t, p = (scores(3) > 0.5).astype(np.float32), scores(3)[::-1].copy()
    p[0], t[1] = threshold, 0.5  # on the threshold is not above it; a soft target is never hit
    twin = keras.metrics.BinaryAccuracy(threshold=threshold)
    assert_is(BinaryAccuracy(threshold), twin, t, p, opset)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("shape", [(4,), (2, 3)])
def test_categorical_accuracies(shape: tuple[int, ...], opset: int) -> None:
    t, p = hot(*shape), scores(*shape)
    assert_is(CategoricalAccuracy(), keras.metrics.CategoricalAccuracy(), t, p, opset)
    twin = keras.metrics.SparseCategoricalAccuracy()
    assert_is(SparseCategoricalAccuracy(), twin, t.argmax(-1), p, opset)


@pytest.mark.parametrize("name", sorted(set(metrics.METRICS) - {"acc"}))
def test_float64(name: str) -> None:
    t, p = hot(3), scores(3)
    sparse = name.startswith("sparse")
    target = t.argmax(-1) if sparse else t.astype(np.float64)
    twin = keras.metrics.CategoricalAccuracy() if name == "accuracy" else keras.metrics.get(name)
    if not isinstance(twin, keras.metrics.Metric):
        twin = keras.metrics.MeanMetricWrapper(twin)
    assert_is(metrics.get(name), twin, target, p.astype(np.float64))


def test_ties_go_to_the_first_class_as_in_keras() -> None:
    t, p = hot(3), np.ones((sum(BATCHES), 3), np.float32)
    assert_is(CategoricalAccuracy(), keras.metrics.CategoricalAccuracy(), t, p)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "expected"),
    [
        (("batch", 1), ("batch", 1), BinaryAccuracy()),
        (("batch",), ("batch",), BinaryAccuracy()),
        (("batch", 3), ("batch", 3), CategoricalAccuracy()),
        (("batch", 2, 3), ("batch", 2, 3), CategoricalAccuracy()),
        (("batch", "n"), ("batch", "n"), CategoricalAccuracy()),
        (("batch",), ("batch", 3), SparseCategoricalAccuracy()),
        (("batch", 2), ("batch", 2, 3), SparseCategoricalAccuracy()),
    ],
)
def test_accuracy_is_the_one_that_fits(y_true: Shape, y_pred: Shape, expected: Metric) -> None:
    assert Accuracy.fitting(Value("t", FLOAT, y_true), Value("p", FLOAT, y_pred)) == expected


@pytest.mark.parametrize(
    ("units", "activation", "loss"),
    [
        (1, "sigmoid", "binary_crossentropy"),
        (3, "softmax", "categorical_crossentropy"),
        (3, "softmax", "sparse_categorical_crossentropy"),
    ],
)
def test_accuracy_is_what_keras_makes_of_the_word(units: int, activation: str, loss: str) -> None:
    x = rng().normal(size=(20, 4)).astype(np.float32)
    classes = rng().integers(max(units, 2), size=20)
    y = np.eye(units, dtype=np.float32)[classes] if loss.startswith("cat") else classes
    twin = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation)])
    twin.compile(loss=loss, metrics=["accuracy"])
    model = nm.Sequential((4,)).dense(units, activation).loss(loss).optimizer("sgd").metrics("accuracy")
    twin.set_weights(list(model.parameters().values()))
    expected = twin.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
    found = model.evaluate(x, y, batch_size=8)
    assert list(found) == ["loss", "accuracy"]
    assert found == pytest.approx(expected, rel=1e-5)


def test_nothing_counted_is_not_a_number() -> None:
    assert np.isnan(mean(np.zeros(2)))


# -- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mae", "mse", "binary_accuracy", "categorical_accuracy"])
def test_class_indices_are_refused_where_broadcasting_would_take_them(name: str) -> None:
    model = nm.Sequential((2,)).dense(3, "softmax").loss("sparse_categorical_crossentropy").optimizer("sgd")
    with pytest.raises(ShapeError) as caught:
        model.metrics(name)
    full = metrics.METRICS[name].name
    assert str(caught.value) == (
        f"metric/{full} takes targets of the predictions' shape, got targets (batch,) "
        f"for predictions (batch, 3); choose another metric"
    )


def test_one_hot_targets_are_no_class_indices() -> None:
    model = nm.Sequential((2,)).dense(3, "softmax").loss("categorical_crossentropy").optimizer("sgd")
    with pytest.raises(ShapeError, match=r"takes class indices, got targets \(batch, 3\)"):
        model.metrics("sparse_categorical_accuracy")


def test_two_metrics_of_one_name_are_kept_apart() -> None:
    model = nm.Sequential((2,)).dense(1, "sigmoid").loss("mse").optimizer("sgd")
    model = model.metrics(BinaryAccuracy(0.0), BinaryAccuracy(1.0))
    y = np.ones((4, 1), np.float32)
    found = model.evaluate(np.ones((4, 2), np.float32), y)
    assert found["binary_accuracy"] == 1.0
    assert found["binary_accuracy_1"] == 0.0


def test_a_metric_named_loss_does_not_replace_the_loss() -> None:
    @dataclass(frozen=True)
    class Renamed(MeanAbsoluteError):  # noqa: N818 - a metric, not an exception
        name: ClassVar[str] = "loss"

    model = nm.Sequential((2,)).dense(1).loss("mse").optimizer("sgd").metrics(Renamed())
    found = model.evaluate(np.ones((4, 2), np.float32), np.full((4, 1), 9.0, np.float32))
    assert found["loss"] == pytest.approx(found["loss_1"] ** 2, rel=1e-5)


def test_a_metric_needs_a_target() -> None:
    x = nm.Input((2,))
    one, two = nm.layers.Dense(1, name="one")(x), nm.layers.Dense(1, name="two")(x)
    model = nm.Model(x, [one, two]).loss({"one": "mse"}).optimizer("sgd")
    with pytest.raises(RecipeError, match="output 'two' has metrics but no loss, so it has no target"):
        model.metrics({"two": "mae"})


def test_names_classes_and_objects() -> None:
    assert metrics.get("acc") == metrics.get(Accuracy) == metrics.get(Accuracy()) == Accuracy()
    with pytest.raises(UnknownNameError, match="there is no metric named 'accurracy'; did you mean 'acc"):
        metrics.get("accurracy")
    with pytest.raises(TypeError, match="a metric is a name, a class or an object of Metric, got None"):
        metrics.get(None)  # type: ignore[arg-type]


def test_a_metric_of_ones_own() -> None:
    @dataclass(frozen=True)
    class Largest(Metric):
        name: ClassVar[str] = "share_above_zero"

        def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
            above = g.add("Greater", y_pred, g.const(0.0, y_pred.dtype))
            return op.sum_and_count(g, above)

    p = rng().normal(size=(sum(BATCHES), 2)).astype(np.float32)
    for found in result(Largest(), p, p):
        assert found == pytest.approx((p > 0).mean())
