"""Weights of samples, classes and losses, and masks, against Keras' ``fit`` and ``evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic import layers
from neuromatic.data import training_arrays
from neuromatic.errors import DataError, RecipeError, ShapeError, UnknownNameError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.terms import Terms
from neuromatic.ir.values import Value
from neuromatic.losses import MeanSquaredError
from tests.neuromatic.graphs import set_parameters

Array = NDArray[Any]
QUIET: dict[str, Any] = {"verbose": 0, "shuffle": False}
JIT: dict[str, Any] = {"engine_options": {"jit": False}}
ROWS, FEATURES, CLASSES = 13, 4, 3
RNG = np.random.default_rng(3)
X = RNG.normal(size=(ROWS, FEATURES)).astype(np.float32)
LABELS = RNG.integers(CLASSES, size=ROWS)
HOT = np.eye(CLASSES, dtype=np.float32)[LABELS]
KERNEL = RNG.normal(size=(FEATURES, CLASSES)).astype(np.float32)
WEIGHTS = RNG.uniform(0, 3, ROWS)
CLASS_WEIGHT = {0: 0.2, 2: 3.0}


def classifier(
    loss: Any, activation: str | None = "softmax", optimizer: str = "sgd", **more: Any
) -> nm.Model:
    model = nm.Sequential((FEATURES,)).dense(CLASSES, activation, name="a").build()
    set_parameters(model, **{"a/kernel": KERNEL})
    return model.loss(loss, **more).optimizer(optimizer, learning_rate=0.1)


def twin_of(
    loss: Any, activation: str | None = "softmax", optimizer: str = "sgd", **more: Any
) -> keras.Model:
    x = keras.Input((FEATURES,))
    twin = keras.Model(x, keras.layers.Dense(CLASSES, activation, name="a")(x))
    twin.layers[1].set_weights([KERNEL, np.zeros(CLASSES)])
    twin.compile({"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[optimizer](0.1), loss, **more)
    return twin


def assert_trains_alike(model: nm.Model, twin: keras.Model, x: Any, y: Any, **settings: Any) -> None:
    ours = model.train(x, y, epochs=3, batch_size=5, **settings, **QUIET, **JIT)
    theirs = twin.fit(x, y, epochs=3, batch_size=5, **settings, **QUIET)
    for name in ours.history.keys() & theirs.history.keys():
        np.testing.assert_allclose(ours.history[name], theirs.history[name], rtol=2e-5)
    assert "loss" in ours.history
    found = model.parameters()
    for layer in twin.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            np.testing.assert_allclose(found[f"{layer.name}/kernel"], kernel, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(found[f"{layer.name}/bias"], bias, rtol=1e-4, atol=1e-5)


# -- one output ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 1)])
@pytest.mark.parametrize("loss", ["mse", "categorical_crossentropy"])
def test_sample_weights(loss: str, shape: tuple[int, ...]) -> None:
    weights = WEIGHTS.reshape(shape)
    assert_trains_alike(classifier(loss), twin_of(loss), X, HOT, sample_weight=weights)


@pytest.mark.parametrize("reduction", ["sum", "mean_with_sample_weight"])
def test_sample_weights_with_other_reductions(reduction: str) -> None:
    twin = twin_of(keras.losses.SparseCategoricalCrossentropy(reduction=reduction))
    model = classifier("sparse_categorical_crossentropy", reduction=reduction)
    assert_trains_alike(model, twin, X, LABELS, sample_weight=WEIGHTS)


@pytest.mark.parametrize(
    ("loss", "y"), [("sparse_categorical_crossentropy", LABELS), ("categorical_crossentropy", HOT)]
)
def test_class_weights_of_indices_and_of_one_hot_targets(loss: str, y: Array) -> None:
    assert_trains_alike(classifier(loss), twin_of(loss), X, y, class_weight=CLASS_WEIGHT)


def test_class_weights_of_binary_targets() -> None:
    x = keras.Input((FEATURES,))
    twin = keras.Model(x, keras.layers.Dense(1, "sigmoid", name="a")(x))
    twin.layers[1].set_weights([KERNEL[:, :1], np.zeros(1)])
    twin.compile(keras.optimizers.SGD(0.1), "binary_crossentropy")
    model = nm.Sequential((FEATURES,)).dense(1, "sigmoid", name="a").build()
    set_parameters(model, **{"a/kernel": KERNEL[:, :1]})
    model = model.loss("binary_crossentropy").optimizer("sgd", learning_rate=0.1)
    y = (LABELS[:, None] > 0).astype(np.float32)
    assert_trains_alike(model, twin, X, y, class_weight={0: 4.0, 1: 0.5})


def test_validation_data_have_weights_of_their_own() -> None:
    held_out = (X[::2] + 1, HOT[::2], WEIGHTS[::2])
    assert_trains_alike(classifier("mse"), twin_of("mse"), X, HOT, validation_data=held_out)


@pytest.mark.parametrize("kind", [{"sample_weight": WEIGHTS}, {"class_weight": CLASS_WEIGHT}])
def test_a_validation_split_keeps_sample_weights_and_has_no_class_weights(kind: dict[str, Any]) -> None:
    twin = twin_of("categorical_crossentropy")
    assert_trains_alike(classifier("categorical_crossentropy"), twin, X, HOT, validation_split=0.3, **kind)


def test_evaluate() -> None:
    model, twin = classifier("mse"), twin_of("mse")
    expected = twin.evaluate(X, HOT, sample_weight=WEIGHTS, verbose=0)
    np.testing.assert_allclose(model.evaluate(X, HOT, sample_weight=WEIGHTS)["loss"], expected, rtol=1e-5)
    assert model.recipe is not None
    assert model.recipe.targets[0].weights is None


def test_weights_in_the_middle_keep_the_state_of_the_optimizer() -> None:
    model, twin = classifier("mse", optimizer="adam"), twin_of("mse", optimizer="adam")
    assert_trains_alike(model, twin, X, HOT)
    assert_trains_alike(model, twin, X, HOT, sample_weight=WEIGHTS)
    assert_trains_alike(model, twin, X, HOT)


def test_weights_for_each_step_of_a_sequence() -> None:
    x = RNG.normal(size=(6, 5, FEATURES)).astype(np.float32)
    y = np.eye(CLASSES, dtype=np.float32)[RNG.integers(CLASSES, size=(6, 5))]
    weights = RNG.uniform(0, 2, (6, 5))
    given = keras.Input((5, FEATURES))
    twin = keras.Model(given, keras.layers.Dense(CLASSES, "softmax", name="a")(given))
    twin.layers[1].set_weights([KERNEL, np.zeros(CLASSES)])
    twin.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy")
    model = nm.Sequential((5, FEATURES)).dense(CLASSES, "softmax", name="a").build()
    set_parameters(model, **{"a/kernel": KERNEL})
    model = model.loss("categorical_crossentropy").optimizer("sgd", learning_rate=0.1)
    assert_trains_alike(model, twin, x, y, sample_weight=weights)
    assert model.recipe is not None
    of_rows = training_arrays(model.proto, model.recipe, x, y, weights[:, 0])
    np.testing.assert_array_equal(of_rows["weight"], np.tile(weights[:, :1], 5).astype(np.float32))


# -- several outputs -----------------------------------------------------------------------------------


def pair(**more: Any) -> tuple[nm.Model, keras.Model]:
    """A model of two outputs and its twin, whose losses are mse for a and mae for b."""
    x = nm.Input((FEATURES,))
    model = nm.Model(x, [layers.Dense(CLASSES, name="a")(x), layers.Dense(1, name="b")(x)])
    set_parameters(model, **{"a/kernel": KERNEL, "b/kernel": KERNEL[:, :1]})
    given = keras.Input((FEATURES,))
    made = [keras.layers.Dense(CLASSES, name="a")(given), keras.layers.Dense(1, name="b")(given)]
    twin = keras.Model(given, made)
    for layer in twin.layers[1:]:
        layer.set_weights([KERNEL[:, : layer.units], np.zeros(layer.units)])
    twin.compile(keras.optimizers.SGD(0.1), ["mse", "mae"], loss_weights=more.get("weights"))
    weights = more.get("weights")
    named = dict(zip("ab", weights, strict=True)) if weights else None
    model = model.loss({"a": "mse", "b": "mae"}, weights=named)
    return model.optimizer("sgd", learning_rate=0.1), twin


Y = [HOT, X[:, :1].copy()]


def test_loss_weights() -> None:
    assert_trains_alike(*pair(weights=[0.5, 2.0]), X, Y)


def test_loss_weights_as_a_list() -> None:
    model, _ = pair(weights=[0.5, 2.0])
    listed = model.loss(["mse", "mae"], weights=[0.5, 2.0])
    assert listed.evaluate(X, Y) == model.evaluate(X, Y)
    only = model.loss(["mse", None], weights={"a": 2.0})
    assert only.evaluate(X, HOT)["loss"] == pytest.approx(
        2 * model.loss({"a": "mse"}).evaluate(X, HOT)["loss"]
    )


def test_weights_for_each_output() -> None:
    other = WEIGHTS[::-1].copy()
    model, twin = pair(weights=[0.5, 2.0])
    assert_trains_alike(model, twin, X, Y, sample_weight=[WEIGHTS, other])
    by_name = model.evaluate(X, dict(zip("ab", Y, strict=True)), sample_weight={"a": WEIGHTS, "b": other})
    assert by_name == model.evaluate(X, Y, sample_weight=[WEIGHTS, other])
    assert model.evaluate(X, Y, sample_weight={"a": WEIGHTS}) == model.evaluate(
        X, Y, sample_weight=[WEIGHTS, None]
    )


def test_weights_for_all_outputs() -> None:
    model, twin = pair()
    expected = twin.evaluate(X, Y, sample_weight=[WEIGHTS, WEIGHTS], verbose=0)
    np.testing.assert_allclose(model.evaluate(X, Y, sample_weight=WEIGHTS)["loss"], expected[0], rtol=1e-5)


def test_class_weights_by_output() -> None:
    model, twin = pair()
    table = np.array([0.2, 1.0, 3.0])[LABELS]
    ours = model.train(X, Y, class_weight={"a": CLASS_WEIGHT}, **QUIET, **JIT)
    theirs = twin.fit(X, Y, sample_weight=[table, np.ones(ROWS)], **QUIET)
    np.testing.assert_allclose(ours.history["loss"], theirs.history["loss"], rtol=1e-5)


# -- files ---------------------------------------------------------------------------------------------


def test_a_file_knows_its_weights(tmp_path: Path) -> None:
    model = classifier("mse", sample_weights=True)
    model.save(tmp_path / "model.onnx")
    loaded, twin = nm.load(tmp_path / "model.onnx"), twin_of("mse")
    assert loaded.recipe is not None
    assert loaded.recipe.targets[0].weights == "weight"
    assert_trains_alike(loaded, twin, X, HOT, sample_weight=WEIGHTS)
    assert_trains_alike(loaded, twin, X, HOT)
    again = loaded.optimizer("sgd", learning_rate=0.1)
    assert_trains_alike(again, twin, X, HOT, sample_weight=WEIGHTS)


def test_a_file_without_weights_cannot_take_them(tmp_path: Path) -> None:
    classifier("mse").save(tmp_path / "model.onnx")
    with pytest.raises(RecipeError, match=r"takes no sample weights; choose it anew: \.loss\(\.\.\., sample"):
        nm.load(tmp_path / "model.onnx").train(X, HOT, sample_weight=WEIGHTS)


# -- masks ---------------------------------------------------------------------------------------------


def masked(reduction: str | None, loss: Any = MeanSquaredError) -> tuple[nm.Model, Array]:
    """A model (batch, 3, 2) -> the same times one parameter, of whose steps those above 0 count."""
    g = GraphBuilder()
    x = g.input("x", 1, ("batch", 3, 2))
    w = g.param("w", lambda _, shape: np.ones(shape), (2,))
    mask = g.add("Greater", g.add("ReduceMax", x, axes=[2], keepdims=0), g.const(0.0), name="mask")
    y = g.output(g.add("Mul", x, w), "y")
    model = nm.Model.from_proto(g.finish(), Terms(masks={y.name: mask.name}))
    x_data = np.random.default_rng(1).normal(size=(7, 3, 2)).astype(np.float32)
    return model.loss(loss(reduction=reduction)).optimizer("sgd", learning_rate=1.0), x_data


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_mask_says_which_steps_count(reduction: str, weighted: bool) -> None:
    model, x = masked(reduction)
    y = np.random.default_rng(2).normal(size=x.shape).astype(np.float32)
    weights = np.random.default_rng(3).uniform(0, 2, x.shape[:2]).astype(np.float32) if weighted else None
    prediction = keras.ops.convert_to_tensor(x)
    prediction._keras_mask = keras.ops.convert_to_tensor(x.max(-1) > 0)
    expected = keras.losses.MeanSquaredError(reduction=reduction)(y, prediction, weights)
    np.testing.assert_allclose(model.evaluate(x, y, sample_weight=weights)["loss"], expected, rtol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_mask_of_layers_trains_as_in_keras(weighted: bool) -> None:
    x = RNG.normal(size=(8, 5, FEATURES)).astype(np.float32)
    y = RNG.normal(size=(8, 5, CLASSES)).astype(np.float32)
    given = keras.Input((5, FEATURES))
    kept = keras.layers.Masking(0.0)(keras.layers.Dense(CLASSES, "relu", name="a")(given))
    twin = keras.Model(given, keras.layers.Activation("tanh")(kept))
    twin.layers[1].set_weights([KERNEL, np.zeros(CLASSES)])
    twin.compile(keras.optimizers.SGD(0.1), "mse")
    model = (
        nm.Sequential((5, FEATURES)).dense(CLASSES, "relu", name="a").masking(0.0).activation("tanh").build()
    )
    set_parameters(model, **{"a/kernel": KERNEL})
    model = model.loss("mse").optimizer("sgd", learning_rate=0.1)
    weights = {"sample_weight": RNG.uniform(0, 2, (8, 5))} if weighted else {}
    assert_trains_alike(model, twin, x, y, **weights)


def test_a_mask_of_nothing_gives_0() -> None:
    model, x = masked("sum_over_batch_size")
    assert model.evaluate(-np.abs(x), x) == {"loss": 0.0}


def test_a_mask_needs_a_loss_for_each_step() -> None:
    def per_sample(g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        return g.add("ReduceSum", g.add("Sub", y_true, y_pred), g.ints(1, 2), keepdims=0)

    with pytest.raises(ShapeError, match=r"for each of \(batch,\), which the mask 'mask' \(batch, 3\) does"):
        masked(None, lambda reduction: per_sample)


# -- mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(4), r"sample_weight for 'weight' has shape \(4,\), expected \(13,\) or its first axes"),
        (np.ones((13, 2)), r"has shape \(13, 2\), expected \(13,\)"),
        (np.full(13, np.nan), "has to be finite numbers, got type float64"),
        (["a"] * 13, "has to be finite numbers, got type <U1"),
        ({"c": np.ones(13)}, "there is no output with sample weights named 'c'"),
    ],
)
def test_weights_that_do_not_fit(weights: Any, message: str) -> None:
    with pytest.raises((DataError, UnknownNameError), match=message):
        classifier("mse").train(X, HOT, sample_weight=weights)


def test_weights_that_contradict_each_other_or_the_outputs() -> None:
    with pytest.raises(ValueError, match="give sample_weight or class_weight, not both"):
        classifier("mse").train(X, HOT, sample_weight=WEIGHTS, class_weight=CLASS_WEIGHT)
    model, _ = pair()
    with pytest.raises(ValueError, match=r"outputs \['a', 'b'\]; give class weights by output name"):
        model.train(X, Y, class_weight=CLASS_WEIGHT)
    with pytest.raises(UnknownNameError, match="no output with class weights named 'c'"):
        model.train(X, Y, class_weight={"c": CLASS_WEIGHT})
    with pytest.raises(DataError, match=r"sample_weight has 3 arrays, expected one for each of \['a', 'b'\]"):
        model.train(X, Y, sample_weight=[WEIGHTS] * 3)


def test_a_loss_over_the_whole_batch_is_weighted_as_in_keras() -> None:
    model, twin = classifier("dice"), twin_of("dice")
    assert_trains_alike(model, twin, X, HOT, sample_weight=WEIGHTS)


def test_a_loss_without_samples_takes_no_weights() -> None:
    with pytest.raises(ShapeError, match=r"sample weights need a loss for each sample; this one has \(3,\)"):
        classifier("dice", axis=0).train(X, HOT, sample_weight=WEIGHTS)


@pytest.mark.parametrize("reduction", [None, "none"])
def test_training_needs_one_number(reduction: str | None) -> None:
    with pytest.raises(
        ValueError, match=f"MeanSquaredError: training needs one number .*reduction={reduction!r}"
    ):
        classifier("mse", reduction=reduction)
