"""The class axis of a loss is that of all beside it: Keras with channels last, numpy in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx.parser
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

import neuromatic as nm
from neuromatic.errors import DataError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.losses import Loss
from neuromatic.metrics import Metric
from neuromatic.recipe import schema as recipe
from neuromatic.recipe.objective import Losses

Array = NDArray[Any]
ROWS, CLASSES, HEIGHT, WIDTH = 12, 3, 4, 5
RNG = np.random.default_rng(5)
X = RNG.normal(size=(ROWS, 2, HEIGHT, WIDTH)).astype(np.float32)
LABELS = RNG.integers(CLASSES, size=(ROWS, HEIGHT, WIDTH))
HOT = np.eye(CLASSES, dtype=np.float32)[LABELS]
FIRST = np.moveaxis(HOT, -1, 1).copy()
CLASS_WEIGHT = {0: 0.3, 1: 5.0, 2: 1.5}
OF_LABELS = np.vectorize(CLASS_WEIGHT.__getitem__)(LABELS)
QUIET: dict[str, Any] = {"verbose": 0, "engine_options": {"jit": False}}


def segmentation(classes: int = CLASSES, activation: str | None = "softmax", width: int = WIDTH) -> nm.Model:
    """A net of images whose classes are its channels, axis 1."""
    x = nm.Input((2, HEIGHT, width))
    y = nm.layers.Conv2D(classes, 1, name="scores")(x)
    if activation == "softmax":
        y = nm.layers.Softmax(axis=1, name="classes")(y)
    elif activation:
        y = nm.layers.Activation(activation, name="classes")(y)
    return nm.Model(x, y)


def standing(model: nm.Model) -> nm.Model:
    return model.optimizer("sgd", learning_rate=0.0)


def expected_loss(p: Array, weights: Array | float = 1.0) -> float:
    true = (p.astype(np.float64) * FIRST).sum(1)
    return float((-np.log(true) * weights).mean())


CROSSENTROPIES: dict[str, tuple[Any, Array]] = {
    "categorical": (nm.losses.CategoricalCrossentropy(axis=1), FIRST),
    "sparse": (nm.losses.SparseCategoricalCrossentropy(axis=1), LABELS),
    "axis of the softmax": (nm.losses.SparseCategoricalCrossentropy(), LABELS),
    "one-hot, axis of the softmax": (nm.losses.CategoricalCrossentropy(), FIRST),
    "labels with an axis of size 1": (nm.losses.SparseCategoricalCrossentropy(axis=1), LABELS[:, None]),
    "focal without focus": (nm.losses.CategoricalFocalCrossentropy(alpha=1, gamma=0, axis=1), FIRST),
}


@pytest.mark.parametrize("kind", CROSSENTROPIES)
def test_class_weights_and_sample_weights(kind: str) -> None:
    loss, y = CROSSENTROPIES[kind]
    model = standing(segmentation().loss(loss).metrics("accuracy"))
    p = model.predict(X)
    history = model.train(X, y, class_weight=CLASS_WEIGHT, batch_size=ROWS, **QUIET).history
    np.testing.assert_allclose(history["loss"], expected_loss(p, OF_LABELS), rtol=1e-5)
    np.testing.assert_allclose(history["accuracy"], (p.argmax(1) == LABELS).mean(), rtol=1e-6)
    weights = RNG.uniform(0, 2, (ROWS, HEIGHT, WIDTH))
    for given, whole in [(weights, weights), (weights[:, None], weights), (weights[:, 0, 0], None)]:
        whole = given[:, None, None] if whole is None else whole
        found = model.evaluate(X, y, sample_weight=given)["loss"]
        np.testing.assert_allclose(found, expected_loss(p, whole), rtol=1e-5)


@pytest.mark.parametrize("kind", ["class_weight", "sample_weight"])
def test_weights_train_as_keras_does_with_channels_last(kind: str) -> None:
    model = segmentation().loss("categorical_crossentropy", axis=1).optimizer("sgd", learning_rate=0.5)
    model, parameters = model.metrics("accuracy"), model.parameters()
    x = keras.Input((HEIGHT, WIDTH, 2))
    twin = keras.Model(x, keras.layers.Conv2D(CLASSES, 1, activation="softmax")(x))
    twin.set_weights([parameters["scores/kernel"].transpose(2, 3, 1, 0), parameters["scores/bias"]])
    twin.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy", metrics=["accuracy"])
    given: dict[str, Any] = {kind: CLASS_WEIGHT if kind == "class_weight" else OF_LABELS}
    steps: dict[str, Any] = {"epochs": 3, "batch_size": 5, "shuffle": False}
    ours = model.train(X, FIRST, **given, **steps, **QUIET)
    theirs = twin.fit(X.transpose(0, 2, 3, 1), HOT, sample_weight=OF_LABELS, verbose=0, **steps)
    np.testing.assert_allclose(ours.history["loss"], theirs.history["loss"], rtol=2e-5)
    np.testing.assert_allclose(ours.history["accuracy"], theirs.history["accuracy"], rtol=1e-6)
    kernel = model.parameters()["scores/kernel"].transpose(2, 3, 1, 0)
    np.testing.assert_allclose(kernel, twin.get_weights()[0], rtol=1e-4, atol=1e-6)


DENSE: list[tuple[Any, Any]] = [
    ("accuracy", keras.metrics.CategoricalAccuracy()),
    ("categorical_accuracy", keras.metrics.CategoricalAccuracy()),
    (nm.metrics.TopKCategoricalAccuracy(k=2), keras.metrics.TopKCategoricalAccuracy(k=2)),
    ("categorical_crossentropy", keras.metrics.CategoricalCrossentropy()),
    ("log_loss", keras.metrics.CategoricalCrossentropy()),
    ("kl_divergence", keras.metrics.KLDivergence()),
    ("categorical_hinge", keras.metrics.CategoricalHinge()),
    ("cosine_similarity", keras.metrics.CosineSimilarity()),
    ("pearson_correlation", keras.metrics.PearsonCorrelation()),
    (nm.metrics.Precision(top_k=2), keras.metrics.Precision(top_k=2)),
    (nm.metrics.Recall(class_id=1), keras.metrics.Recall(class_id=1)),
    ("precision", keras.metrics.Precision()),
    ("mse", keras.metrics.MeanSquaredError()),
    (nm.metrics.OneHotMeanIoU(num_classes=3), keras.metrics.OneHotMeanIoU(num_classes=3)),
    (
        nm.metrics.PrecisionAtRecall(recall=0.4, class_id=2),
        keras.metrics.PrecisionAtRecall(recall=0.4, class_id=2),
    ),
]
SPARSE: list[tuple[Any, Any]] = [
    ("accuracy", keras.metrics.SparseCategoricalAccuracy()),
    ("sparse_categorical_accuracy", keras.metrics.SparseCategoricalAccuracy()),
    (nm.metrics.SparseTopKCategoricalAccuracy(k=2), keras.metrics.SparseTopKCategoricalAccuracy(k=2)),
    ("sparse_categorical_crossentropy", keras.metrics.SparseCategoricalCrossentropy()),
    ("log_loss", keras.metrics.SparseCategoricalCrossentropy()),
    (
        nm.metrics.MeanIoU(num_classes=3, sparse_y_pred=False),
        keras.metrics.MeanIoU(num_classes=3, sparse_y_pred=False),
    ),
]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("width", [WIDTH, CLASSES, 1])
def test_metrics_are_those_of_keras_with_channels_last(sparse: bool, width: int) -> None:
    """Also where the last axis has as many elements as there are classes, or only one."""
    cases, y = (SPARSE, LABELS) if sparse else (DENSE, FIRST)
    y = y[..., :width]
    loss = "sparse_categorical_crossentropy" if sparse else "categorical_crossentropy"
    model = standing(segmentation(width=width).loss(loss, axis=1)).metrics(*(ours for ours, _ in cases))
    x = X[..., :width]
    p, reported = model.predict(x), model.evaluate(x, y, batch_size=5)
    truth = y if sparse else y.transpose(0, 2, 3, 1)
    for (ours, theirs), value in zip(cases, list(reported.values())[1:], strict=True):
        theirs.reset_state()
        theirs.update_state(truth, p.transpose(0, 2, 3, 1))
        np.testing.assert_allclose(value, theirs.result(), rtol=2e-4, err_msg=str(ours))


def test_confusion_of_classes_along_another_axis() -> None:
    model = standing(segmentation().loss("sparse_categorical_crossentropy", axis=1))
    model = model.metrics("confusion_matrix")
    guess, counts = model.predict(X).argmax(1), np.zeros((CLASSES, CLASSES))
    np.add.at(counts, (LABELS.ravel(), guess.ravel()), 1)
    np.testing.assert_array_equal(model.evaluate(X, LABELS)["confusion_matrix"], counts)


ONE = (LABELS > 0).astype(np.float32)[:, None]


@pytest.mark.parametrize("loss", ["binary_crossentropy", "binary_focal_crossentropy", "dice", "mse"])
def test_images_of_one_channel_are_yes_and_no(loss: str) -> None:
    model = standing(segmentation(1, "sigmoid").loss(loss).metrics("accuracy"))
    p = model.predict(X)
    assert model.evaluate(X, ONE)["accuracy"] == pytest.approx(((p > 0.5) == ONE).mean())


def test_weights_of_images_of_one_channel() -> None:
    model = standing(segmentation(1, "sigmoid").loss("binary_crossentropy"))
    p = model.predict(X).astype(np.float64)
    values = -np.log(np.where(ONE > 0, p, 1 - p))[:, 0]
    weights = RNG.uniform(0, 2, (ROWS, HEIGHT, WIDTH))
    found = model.evaluate(X, ONE, sample_weight=weights)["loss"]
    np.testing.assert_allclose(found, (values * weights).mean(), rtol=1e-5)
    history = model.train(X, ONE, class_weight={0: 3.0, 1: 0.5}, batch_size=ROWS, **QUIET).history
    np.testing.assert_allclose(
        history["loss"], (values * np.where(ONE[:, 0] > 0, 0.5, 3.0)).mean(), rtol=1e-5
    )


def test_class_weights_of_squared_errors_of_a_softmax() -> None:
    model = standing(segmentation().loss("mse"))
    squares = ((model.predict(X).astype(np.float64) - FIRST) ** 2).mean(1)
    history = model.train(X, FIRST, class_weight=CLASS_WEIGHT, batch_size=ROWS, **QUIET).history
    np.testing.assert_allclose(history["loss"], (squares * OF_LABELS).mean(), rtol=1e-5)


def test_focal_factors_lie_along_the_class_axis() -> None:
    alpha = (0.2, 0.5, 2.0)
    model = standing(segmentation().loss(nm.losses.CategoricalFocalCrossentropy(alpha=alpha, axis=1)))
    p = model.predict(X)
    theirs = keras.losses.CategoricalFocalCrossentropy(alpha=list(alpha))(HOT, p.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(model.evaluate(X, FIRST)["loss"], theirs, rtol=1e-5)


# -- losses of one's own, and files --------------------------------------------------------------


def own_crossentropy(g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
    log_p = g.add("LogSoftmax", y_pred, axis=1)
    return g.add("Neg", g.add("ReduceSum", g.add("Mul", y_true, log_p), g.ints(1), keepdims=0))


def by_onnx(loss: str) -> ModelProto:
    text = f"""<ir_version: 8, opset_import: ["": 17]>
        own (int64[N, H, W] y_true, float[N, C, H, W] y_pred) => (float[N, H, W] value) {{ {loss} }}"""
    return onnx.parser.parse_model(text)


LOSS_OF_ONNX = """value = SoftmaxCrossEntropyLoss <reduction = "none", ignore_index = 255> (y_pred, y_true)"""
LAST = "moved = Transpose <perm = [0, 3, 1, 2]> (y_pred)  " + LOSS_OF_ONNX.replace("y_pred", "moved")


def test_a_function_tells_its_axis_by_its_nodes() -> None:
    model = standing(segmentation(activation=None).loss(own_crossentropy).metrics("accuracy"))
    assert model.evaluate(X, FIRST)["accuracy"] == pytest.approx(
        (model.predict(X).argmax(1) == LABELS).mean()
    )


def test_a_loss_of_onnx_has_its_classes_along_axis_1() -> None:
    model = standing(segmentation(activation=None).loss(by_onnx(LOSS_OF_ONNX)).metrics("accuracy"))
    target = model.recipe.targets[0] if model.recipe else None
    assert target is not None
    assert (target.axis, target.classes, target.ignored) == (1, 3, 255)
    assert model.evaluate(X, LABELS)["accuracy"] == pytest.approx(
        (model.predict(X).argmax(1) == LABELS).mean()
    )
    wrong = LABELS.copy()
    wrong[3, 2, 1] = CLASSES
    with pytest.raises(DataError, match=r"y .*has label 3 in row 3, expected 0 to 2 for 3 classes"):
        model.evaluate(X, wrong)


def test_a_transposed_loss_of_onnx_has_them_where_the_transpose_took_them_from() -> None:
    x = nm.Input((HEIGHT, WIDTH, 2))
    model = nm.Model(x, nm.layers.Dense(CLASSES)(x)).loss(by_onnx(LAST))
    found = standing(model).recipe
    assert found is not None
    assert (found.targets[0].axis, found.targets[0].classes) == (None, CLASSES)


def test_a_saved_recipe_keeps_its_class_axis(tmp_path: Path) -> None:
    model = standing(segmentation().loss("categorical_crossentropy", axis=1, sample_weights=True))
    model.save(tmp_path / "m.onnx")
    for old in (False, True):
        loaded = nm.load(tmp_path / "m.onnx")
        if old:  # a file from before the axis was noted
            note = next(p for p in loaded.proto.metadata_props if p.key == recipe.METADATA_KEY)
            assert '"axis": 1' in note.value
            note.value = note.value.replace(', "axis": 1', "")
        loaded = loaded.metrics("accuracy")
        p = loaded.predict(X)
        assert loaded.evaluate(X, FIRST)["accuracy"] == pytest.approx((p.argmax(1) == LABELS).mean())
        history = loaded.train(X, FIRST, class_weight=CLASS_WEIGHT, batch_size=ROWS, **QUIET).history
        np.testing.assert_allclose(history["loss"], expected_loss(p, OF_LABELS), rtol=1e-5)


def test_each_output_has_its_own_axis() -> None:
    x = nm.Input((2, HEIGHT, WIDTH))
    first = nm.layers.Conv2D(CLASSES, 1, activation=None, name="first")(x)
    last = nm.layers.Permute((2, 3, 1), name="last")(nm.layers.Conv2D(CLASSES, 1)(x))
    logits: dict[str, Any] = {"from_logits": True}
    model = nm.Model(x, [first, last]).loss(
        {
            "first": nm.losses.SparseCategoricalCrossentropy(axis=1, **logits),
            "last": nm.losses.SparseCategoricalCrossentropy(**logits),
        }
    )
    model = standing(model).metrics({"first": "accuracy", "last": "accuracy"})
    p, found = model.predict(X), model.evaluate(X, [LABELS, LABELS])
    assert found["first_accuracy"] == pytest.approx((p["first"].argmax(1) == LABELS).mean())
    assert found["last_accuracy"] == pytest.approx((p["last"].argmax(-1) == LABELS).mean())
    weights = {name: CLASS_WEIGHT for name in ("first", "last")}
    history = model.train(X, [LABELS, LABELS], class_weight=weights, batch_size=ROWS, **QUIET).history
    z = {"first": p["first"].astype(np.float64), "last": np.moveaxis(p["last"], -1, 1).astype(np.float64)}
    sums = [np.log(np.exp(v).sum(1)) - (v * FIRST).sum(1) for v in z.values()]
    np.testing.assert_allclose(history["loss"], sum((s * OF_LABELS).mean() for s in sums), rtol=1e-5)


def test_channels_last_labels_for_the_last_axis_are_told_of_the_axis() -> None:
    model = standing(segmentation(activation=None, width=CLASSES).loss("sparse_categorical_crossentropy"))
    with pytest.raises(DataError, match=r"takes the last axis for the classes, choose it with .*axis=1\)"):
        model.evaluate(X[..., :CLASSES], LABELS[..., :CLASSES])


class Own(Metric):
    """A metric of one's own sees predictions as they are."""

    def emit(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        assert y_pred.shape == ("batch", CLASSES, HEIGHT, WIDTH)
        return g.const([1.0, 1.0])


def test_losses_and_metrics_of_ones_own_see_what_the_model_gives() -> None:
    class Mean(Loss):
        def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
            assert y_pred.shape == ("batch", CLASSES, HEIGHT, WIDTH)
            return g.add("ReduceMean", y_pred, axes=[1, 2, 3], keepdims=0)

    model = standing(segmentation().loss(Mean()).metrics(Own()))
    assert isinstance(model._known_parts().objective, Losses)
