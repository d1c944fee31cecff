"""What metrics are called, what they refuse, and how their results are reported.

That their numbers are Keras' is tested in ``tests/catalogue/test_metrics.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic import metrics
from neuromatic.cli._shared import numbers, print_json
from neuromatic.errors import RecipeError, ShapeError, UnknownNameError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Shape, Value
from neuromatic.metrics import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    FittingAccuracy,
    MeanAbsoluteError,
    Metric,
    SparseCategoricalAccuracy,
    result_of,
)
from neuromatic.recipe.schema import METADATA_KEY
from neuromatic.training.progress import describe
from tests.catalogue.metrics import EXAMPLES, example, theirs, twin_of
from tests.neuromatic.graphs import DOUBLE, FLOAT, INT64, emitted, in_both

Array = NDArray[Any]


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize("name", [n for n in EXAMPLES if twin_of(EXAMPLES[n][0]) is not None])
def test_float64(name: str) -> None:
    metric, t, p = example(name)
    p = p.astype(np.float64)
    t = t if t.dtype == np.int64 else t.astype(np.float64)
    types = {np.dtype(np.float64): DOUBLE, np.dtype(np.int64): INT64}
    shapes: list[tuple[int, Shape]] = [(types[a.dtype], ("batch", *a.shape[1:])) for a in (t, p)]
    expected = theirs(twin_of(metric), [(t, p.astype(np.float32) if "TopK" in name else p)])
    for sums in in_both(emitted(metric.emit, *shapes), {"y_true": t, "y_pred": p}):
        assert sums.dtype == np.float32
        found = result_of(metric.result, sums, metric.arguments)
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_ties_go_to_the_first_class_as_in_keras() -> None:
    t = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    for found in in_both(
        emitted(CategoricalAccuracy().emit, *[(FLOAT, ("batch", 3))] * 2),
        {"y_true": t, "y_pred": np.ones((4, 3), np.float32)},
    ):
        np.testing.assert_array_equal(found, [2, 4])


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
    assert FittingAccuracy.fitting(Value("t", FLOAT, y_true), Value("p", FLOAT, y_pred)) == expected


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
    assert np.isnan(result_of("mean", np.zeros(2), {}))


# -- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mae", "mse", "binary_accuracy", "categorical_accuracy"])
def test_class_indices_are_refused_where_broadcasting_would_take_them(name: str) -> None:
    model = nm.Sequential((2,)).dense(3, "softmax").loss("sparse_categorical_crossentropy").optimizer("sgd")
    with pytest.raises(ShapeError) as caught:
        model.metrics(name)
    full = metrics.get(name).name
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
        default_name: ClassVar[str] = "loss"

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
    assert metrics.get("acc") == metrics.get("Accuracy") == FittingAccuracy()
    assert metrics.get(Accuracy) == metrics.get(Accuracy()) == Accuracy()
    assert metrics.get("MSE") == metrics.get("mean_squared_error") == metrics.MeanSquaredError()
    assert metrics.get("bce") == metrics.BinaryCrossentropy()
    assert metrics.get("KLDivergence") == metrics.KLDivergence()
    with pytest.raises(UnknownNameError, match="there is no metric named 'accurracy'; did you mean 'acc"):
        metrics.get("accurracy")
    with pytest.raises(TypeError, match="a metric is a name, a class or an object of Metric, got None"):
        metrics.get(None)  # type: ignore[arg-type]


def test_a_metric_of_ones_own() -> None:
    @dataclass(frozen=True)
    class ShareAbove(Metric):
        limit: float = 0.0

        def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
            return op.sum_and_count(g, g.add("Greater", y_pred, g.const(self.limit, y_pred.dtype)))

    p = rng().normal(size=(9, 2)).astype(np.float32)
    model = emitted(ShareAbove(0.5).emit, *[(FLOAT, ("batch", 2))] * 2)
    for sums in in_both(model, {"y_true": p, "y_pred": p}):
        assert result_of("mean", sums, {}) == pytest.approx((p > 0.5).mean())
    assert ShareAbove().name == "share_above"
    assert ShareAbove(name="positive").name == "positive"


def test_a_function_is_a_metric() -> None:
    def spread(g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        return g.add("Abs", g.add("Sub", y_pred, y_true))

    model = (
        nm.Sequential((2,)).dense(1).loss("mse").optimizer("sgd").metrics(spread, nm.losses.LogCosh(), "mae")
    )
    found = model.evaluate(np.ones((4, 2), np.float32), np.full((4, 1), 9.0, np.float32))
    assert list(found) == ["loss", "spread", "log_cosh", "mean_absolute_error"]
    assert found["spread"] == found["mean_absolute_error"]
    with pytest.raises(TypeError, match=r"MeanMetricWrapper: fn must be a function .* got 'mse'"):
        metrics.MeanMetricWrapper("mse")  # type: ignore[arg-type]


# -- arguments and shapes that are wrong ---------------------------------------------------------------

WRONG: list[tuple[type[Metric], dict[str, Any], str]] = [
    (metrics.BinaryAccuracy, {"threshold": "x"}, "threshold must be a number of -inf or more, got 'x'"),
    (
        metrics.TruePositives,
        {"thresholds": 1.5},
        "thresholds must be a number of 0 or more and at most 1, got 1",
    ),
    (metrics.Recall, {"thresholds": []}, r"thresholds must be a number or a list of numbers, got \[\]"),
    (metrics.Recall, {"thresholds": [0.1, None]}, "thresholds must be a number of .*, got None"),
    (metrics.Precision, {"top_k": 0}, "top_k must be an integer of 1 or more, got 0"),
    (metrics.Precision, {"class_id": -1}, "class_id must be an integer of 0 or more, got -1"),
    (metrics.PrecisionAtRecall, {"recall": 2}, "recall must be a number of .*, got 2"),
    (
        metrics.PrecisionAtRecall,
        {"recall": 0.5, "num_thresholds": 0},
        "num_thresholds must be an integer of 1",
    ),
    (
        metrics.RecallAtPrecision,
        {"precision": 0.5, "class_id": 0.5},
        "class_id must be an integer of 0 or more",
    ),
    (metrics.AUC, {"num_thresholds": 1}, "num_thresholds must be an integer of 2 or more, got 1"),
    (metrics.AUC, {"curve": "RCO"}, r"curve must be one of \['ROC', .*\], got 'RCO'"),
    (metrics.AUC, {"summation_method": "sum"}, r"summation_method must be one of .*, got 'sum'"),
    (metrics.AUC, {"thresholds": [2.0]}, "thresholds must be a number of .*, got 2.0"),
    (metrics.AUC, {"label_weights": [-1.0]}, "label_weights must be a number of 0 or more, got -1.0"),
    (metrics.AUC, {"num_labels": 3}, "num_labels=3 needs multi_label=True"),
    (metrics.F1Score, {"average": "mean"}, r"average must be one of \['micro', .*\], got 'mean'"),
    (metrics.FBetaScore, {"beta": 0.0}, "beta must be a number above 0, got 0.0"),
    (metrics.F1Score, {"threshold": 0.0}, "threshold must be a number above 0 and at most 1, got 0.0"),
    (metrics.R2Score, {"class_aggregation": "mean"}, "class_aggregation must be one of .*, got 'mean'"),
    (metrics.R2Score, {"num_regressors": -1}, "num_regressors must be an integer of 0 or more, got -1"),
    (metrics.IoU, {"num_classes": 0, "target_class_ids": [0]}, "num_classes must be an integer of 1 or more"),
    (metrics.IoU, {"num_classes": 3, "target_class_ids": []}, "target_class_ids must be a list of classes"),
    (metrics.IoU, {"num_classes": 3, "target_class_ids": [3]}, "must be below num_classes=3, got 3"),
    (metrics.BinaryIoU, {"threshold": None}, "threshold must be a number of -inf or more, got None"),
    (metrics.TopKCategoricalAccuracy, {"k": 0}, "k must be an integer of 1 or more, got 0"),
    (metrics.SparseTopKCategoricalAccuracy, {"k": 2.5}, "k must be an integer of 1 or more, got 2.5"),
    (metrics.PearsonCorrelation, {"axis": "x"}, "axis must be an integer, got 'x'"),
    (metrics.BinaryCrossentropy, {"label_smoothing": 2}, "label_smoothing must be from 0 to 1, got 2"),
]


@pytest.mark.parametrize(("kind", "arguments", "message"), WRONG)
def test_wrong_arguments(kind: type[Metric], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{kind.__name__}: .*{message}"):
        kind(**arguments)


def test_a_word_that_is_not_enough() -> None:
    with pytest.raises(
        ValueError, match=r"^MeanIoU has no default for this: give MeanIoU\(num_classes=...\) itself$"
    ):
        metrics.get("mean_iou")
    assert metrics.get("mean_iou", num_classes=3) == metrics.MeanIoU(3)
    with pytest.raises(ValueError, match=r"IoU\(num_classes=..., target_class_ids=...\) itself"):
        metrics.get(metrics.IoU)


def test_a_name_is_a_text() -> None:
    with pytest.raises(TypeError, match="AUC: name must be a text, got 3"):
        metrics.AUC(name=3)  # type: ignore[arg-type]


UNFIT: list[tuple[Metric, Shape, Shape, str]] = [
    (metrics.R2Score(), (None, 2, 3), (None, 2, 3), r"takes \(batch, outputs\), got 'y_pred' \(\?, 2, 3\)"),
    (
        metrics.F1Score(),
        (None, None),
        (None, None),
        "needs to know how many classes there are, axis -1 of 'y_pred'",
    ),
    (metrics.AUC(multi_label=True), (None, 2, 3), (None, 2, 3), r"takes \(batch, outputs\)"),
    (metrics.AUC(label_weights=[1.0, 2.0]), (None, 3), (None, 3), "is for 2 labels, 'y_pred' has 3"),
    (metrics.Precision(class_id=3), (None, 3), (None, 3), r"counts class 3, 'y_true' \(\?, 3\) has 3"),
    (
        metrics.Precision(class_id=0),
        (None,),
        (None,),
        r"takes \(batch, ..., classes\) for a class_id, got \(\?,\)",
    ),
    (metrics.Recall(top_k=4), (None, 3), (None, 3), r"takes the best 4 classes, \(\?, 3\) has 3"),
    (metrics.Recall(), (None,), (None, 3), "takes targets of the predictions' shape"),
    (metrics.IoU(3, [0]), (None,), (None, 3), "takes targets of the predictions' shape"),
    (metrics.MeanIoU(3, sparse_y_pred=False), (None, 3), (None, 3), "takes class indices"),
    (metrics.OneHotIoU(3, [0], axis=2), (None, 3), (None, 3), "takes classes along axis 2"),
    (metrics.PearsonCorrelation(axis=2), (None, 3), (None, 3), r"has axis 2, predictions \(\?, 3\) have not"),
    (metrics.SparseTopKCategoricalAccuracy(), (None, 3), (None, 3), "takes class indices"),
]


@pytest.mark.parametrize(("metric", "y_true", "y_pred", "message"), UNFIT)
def test_shapes_that_do_not_fit(metric: Metric, y_true: Shape, y_pred: Shape, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        emitted(metric.emit, (FLOAT, y_true), (FLOAT, y_pred))


def test_a_mask_of_steps_needs_a_value_for_each_step() -> None:
    g = GraphBuilder()
    y_true, y_pred = (g.input(name, FLOAT, ("batch", 5)) for name in ("y_true", "y_pred"))
    g.set_mask(y_pred, g.input("mask", 9, ("batch", 5)))
    with pytest.raises(
        ShapeError, match=r"but the predictions a mask .* choose a metric with a value for each"
    ):
        metrics.PearsonCorrelation().emit(g, y_true, y_pred)


# -- results that are not one number -------------------------------------------------------------------


def with_arrays() -> nm.Model:
    model = nm.Sequential((2,), seed=3).dense(3, "sigmoid").loss("binary_crossentropy").optimizer("sgd")
    return model.metrics(metrics.Recall([0.2, 0.6]), metrics.ConfusionMatrix(), metrics.AUC(curve="pr"))


def rows() -> tuple[Array, Array]:
    x = rng().normal(size=(10, 2)).astype(np.float32)
    return x, np.eye(3, dtype=np.float32)[rng().integers(3, size=10)]


def test_arrays_in_evaluation_history_and_validation() -> None:
    (x, y), model = rows(), with_arrays()
    before = model.evaluate(x, y, batch_size=4)
    assert before["recall"].shape == (2,)
    assert before["confusion_matrix"].sum() == 10
    assert isinstance(before["auc"], float)
    history = model.train(x, y, learning_rate=0.0, epochs=2, batch_size=4, validation_data=(x, y), verbose=2)
    for name, expected in before.items():
        for found in (*history.history[name], *history.history[f"val_{name}"]):
            np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=name)


def test_arrays_as_text_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs = {"loss": 0.25, "recall": np.array([0.5, np.nan]), "matrix": np.eye(2)}
    assert describe(logs) == "loss 0.2500  recall [0.5000 nan]  matrix [[1.0000 0.0000] [0.0000 1.0000]]"
    assert numbers(logs) == "loss 0.25  recall [0.5 nan]  matrix [[1 0] [0 1]]"
    print_json(logs)
    expected = {"loss": 0.25, "recall": [0.5, None], "matrix": [[1.0, 0.0], [0.0, 1.0]]}
    assert json.loads(capsys.readouterr().out) == expected


def test_the_file_says_what_the_sums_mean(tmp_path: Path) -> None:
    (x, y), model = rows(), with_arrays()
    model.save(tmp_path / "model.onnx")
    loaded = nm.load(tmp_path / "model.onnx")
    again = loaded.evaluate(x, y)
    for name, expected in model.evaluate(x, y).items():
        np.testing.assert_array_equal(again[name], expected)
    (notes,) = [json.loads(p.value) for p in loaded.proto.metadata_props if p.key == METADATA_KEY]
    assert [m.get("arguments") for m in notes["metrics"]] == [
        {"of": "recall"},
        None,  # files without arguments are those of older versions
        {"curve": "PR", "summation_method": "interpolation"},
    ]
