"""Every loss in onnxruntime and on TensorFlow, against Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from neuromatic import losses
from neuromatic.errors import ShapeError, UnknownNameError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Shape, Value
from neuromatic.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
)
from tests.neuromatic.graphs import DOUBLE, FLOAT, INT64, emitted, in_both, in_onnxruntime

Array = NDArray[Any]
TOLERANCE = 1e-6


def symbolic(shape: tuple[int, ...]) -> Shape:
    return ("batch", *shape[1:])


def probabilities(shape: tuple[int, ...], axis: int = -1, seed: int = 0) -> Array:
    scores = np.exp(np.random.default_rng(seed).normal(size=shape))
    return (scores / scores.sum(axis, keepdims=True)).astype(np.float32)


def normal(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def labels(shape: tuple[int, ...], classes: int) -> Array:
    return np.random.default_rng(2).integers(classes, size=shape)


def one_hot(shape: tuple[int, ...], axis: int = -1) -> Array:
    rest = list(shape)
    classes = rest.pop(axis)
    hot = np.eye(classes, dtype=np.float32)[labels(tuple(rest), classes)]
    return np.moveaxis(hot, -1, axis)


def assert_is(loss: Loss, twin: Any, y_true: Array, y_pred: Array, opset: int = 17) -> None:
    """The loss is what a Keras loss computes in float64."""
    true_type = INT64 if y_true.dtype == np.int64 else FLOAT
    model = emitted(
        loss.emit, (true_type, symbolic(y_true.shape)), (FLOAT, symbolic(y_pred.shape)), opset=opset
    )
    expected = float(keras.ops.convert_to_numpy(twin(y_true, y_pred.astype(np.float64))))
    for found in in_both(model, {"y_true": y_true, "y_pred": y_pred}):
        assert found.shape == ()
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE)


SHAPES = [(7,), (5, 1), (6, 3), (4, 3, 5), (3, 2, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_squared_and_absolute_errors(shape: tuple[int, ...]) -> None:
    y_true, y_pred = normal(shape, 1), normal(shape, 2)
    assert_is(MeanSquaredError(), keras.losses.MeanSquaredError(dtype="float64"), y_true, y_pred)
    assert_is(MeanAbsoluteError(), keras.losses.MeanAbsoluteError(dtype="float64"), y_true, y_pred)
    rmse = keras.metrics.RootMeanSquaredError(dtype="float64")
    assert_is(RootMeanSquaredError(), rmse, y_true, y_pred)


@pytest.mark.parametrize("opset", [9, 11, 13, 18, 21])
def test_the_loss_of_every_opset_is_the_same(opset: int) -> None:
    y_true, y_pred = one_hot((5, 4)), probabilities((5, 4))
    for name, twin in (
        ("mse", keras.losses.MeanSquaredError),
        ("binary_crossentropy", keras.losses.BinaryCrossentropy),
        ("categorical_crossentropy", keras.losses.CategoricalCrossentropy),
    ):
        assert_is(losses.get(name), twin(dtype="float64"), y_true, y_pred, opset)


@pytest.mark.parametrize("shape", SHAPES)
def test_binary_crossentropy(shape: tuple[int, ...]) -> None:
    y_true = labels(shape, 2).astype(np.float32)
    p = np.random.default_rng(3).uniform(0.01, 0.99, shape).astype(np.float32)
    assert_is(BinaryCrossentropy(), keras.losses.BinaryCrossentropy(dtype="float64"), y_true, p)
    soft = np.random.default_rng(4).uniform(size=shape).astype(np.float32)
    twin = keras.losses.BinaryCrossentropy(from_logits=True, dtype="float64")
    assert_is(BinaryCrossentropy(from_logits=True), twin, soft, 5 * normal(shape))


@pytest.mark.parametrize(
    ("shape", "axis"), [((6, 4), -1), ((6, 4), 1), ((3, 5, 4), -1), ((3, 4, 5), 1), ((2, 4, 3, 5), 1)]
)
@pytest.mark.parametrize("opset", [12, 17])
def test_categorical_crossentropies(shape: tuple[int, ...], axis: int, opset: int) -> None:
    y_true, p, z = one_hot(shape, axis), probabilities(shape, axis), 3 * normal(shape)
    twin: Callable[..., Any] = keras.losses.CategoricalCrossentropy
    assert_is(CategoricalCrossentropy(axis=axis), twin(axis=axis, dtype="float64"), y_true, p, opset)
    logits = twin(axis=axis, from_logits=True, dtype="float64")
    assert_is(CategoricalCrossentropy(True, axis=axis), logits, y_true, z, opset)


@pytest.mark.parametrize(
    ("shape", "axis"), [((6, 4), -1), ((6, 4), 1), ((3, 5, 4), -1), ((3, 4, 5), 1), ((2, 3, 5, 4), 3)]
)
@pytest.mark.parametrize("opset", [9, 11, 12, 17])
def test_sparse_categorical_crossentropy(shape: tuple[int, ...], axis: int, opset: int) -> None:
    rest = list(shape)
    classes = rest.pop(axis)
    y_true, p, z = labels(tuple(rest), classes), probabilities(shape, axis), 3 * normal(shape)
    for predictions, from_logits in ((p, False), (z, True)):
        last = np.moveaxis(predictions, axis, -1)  # Keras on TensorFlow has no other class axis
        twin = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits, dtype="float64")
        loss = SparseCategoricalCrossentropy(from_logits, axis=axis)
        assert_is(loss, lambda t, _, last=last, twin=twin: twin(t, last), y_true, predictions, opset)


def test_unnormalized_probabilities_are_normalized_as_in_keras() -> None:
    p = probabilities((5, 3)) * np.float32(0.5)
    twin = keras.losses.CategoricalCrossentropy(dtype="float64")
    assert_is(CategoricalCrossentropy(), twin, one_hot((5, 3)), p)
    sparse = keras.losses.SparseCategoricalCrossentropy(dtype="float64")
    assert_is(SparseCategoricalCrossentropy(), sparse, labels((5,), 3), p)


@pytest.mark.parametrize("loss", ["binary_crossentropy", "categorical_crossentropy"])
def test_probabilities_of_0_and_1_give_a_finite_loss(loss: str) -> None:
    y_true = np.eye(2, dtype=np.float32)
    p = y_true[::-1].copy()
    model = emitted(losses.get(loss).emit, (FLOAT, ("batch", 2)), (FLOAT, ("batch", 2)))
    twin = keras.losses.get(loss)
    expected = np.mean(keras.ops.convert_to_numpy(twin(y_true, p)))
    for found in in_both(model, {"y_true": y_true, "y_pred": p}):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(losses.LOSSES.keys() - {"ctc"}))
def test_float64(name: str) -> None:
    loss = losses.get(name)
    y_true = labels((5,), 3) if loss.sparse else one_hot((5, 3)).astype(np.float64)
    y_pred = probabilities((5, 3)).astype(np.float64)
    kind = (INT64, ("batch",)) if loss.sparse else (DOUBLE, ("batch", 3))
    model = emitted(loss.emit, kind, (DOUBLE, ("batch", 3)))
    if isinstance(loss, RootMeanSquaredError):
        expected = np.sqrt(np.mean((y_true - y_pred) ** 2))
    else:
        expected = float(getattr(keras.losses, type(loss).__name__)(dtype="float64")(y_true, y_pred))
    for found in in_both(model, {"y_true": y_true, "y_pred": y_pred}):
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=1e-6)


# -- a final Softmax or Sigmoid ------------------------------------------------------------------------


def fused(loss: Loss, operator: str, *, opset: int = 17, identities: int = 0, axis: int | None = None) -> Any:
    """The operators of a loss on ``operator``'s output for logits (batch, 4, 5)."""

    def emit(g: GraphBuilder, y_true: Value, z: Value) -> Value:
        y = g.add(operator, z, axis=axis)
        for _ in range(identities):
            y = g.add("Identity", y)
        return loss.emit(g, y_true, y)

    shape: Shape = ("batch", 4, 5)
    true = (INT64, ("batch", 4)) if loss.sparse else (FLOAT, shape)
    return emitted(emit, true, (FLOAT, shape), opset=opset)


def uses(model: Any, operator: str) -> bool:
    """Whether the result of a model depends on a node of that operator."""
    needed = {model.graph.output[0].name}
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            if node.op_type == operator:
                return True
            needed.update(node.input)
    return False


CROSSENTROPIES = [
    (BinaryCrossentropy(), "Sigmoid"),
    (CategoricalCrossentropy(), "Softmax"),
    (SparseCategoricalCrossentropy(), "Softmax"),
]


@pytest.mark.parametrize(("loss", "operator"), CROSSENTROPIES)
@pytest.mark.parametrize("identities", [0, 1, 3])
def test_a_final_activation_is_recognised(loss: Loss, operator: str, identities: int) -> None:
    model = fused(loss, operator, identities=identities)
    assert not uses(model, operator)
    z = 4 * normal((6, 4, 5))
    y_true = labels((6, 4), 5) if loss.sparse else one_hot((6, 4, 5))
    name = type(loss).__name__
    twin = getattr(keras.losses, name)(from_logits=True, dtype="float64")
    for found in in_both(model, {"y_true": y_true, "y_pred": z}):
        np.testing.assert_allclose(found, float(twin(y_true, z.astype(np.float64))), rtol=TOLERANCE)


@pytest.mark.parametrize("loss", [CategoricalCrossentropy(), SparseCategoricalCrossentropy()])
@pytest.mark.parametrize(
    ("opset", "axis", "recognised"),
    [
        (17, None, True),
        (17, -1, True),
        (17, 2, True),
        (17, 1, False),
        (13, 1, False),
        (12, 2, True),
        (12, -1, True),
        (12, None, False),  # before opset 13 the default is 1 and takes all later axes together
        (12, 1, False),
    ],
)
def test_softmax_counts_only_along_the_classes(
    loss: Loss, opset: int, axis: int | None, recognised: bool
) -> None:
    assert uses(fused(loss, "Softmax", opset=opset, axis=axis), "Softmax") is not recognised


def test_softmax_11_of_rank_2_has_the_classes_by_default() -> None:
    def emit(g: GraphBuilder, y_true: Value, z: Value) -> Value:
        return CategoricalCrossentropy().emit(g, y_true, g.add("Softmax", z))

    model = emitted(emit, (FLOAT, ("batch", 3)), (FLOAT, ("batch", 3)), opset=11)
    assert not uses(model, "Softmax")


def test_other_activations_are_taken_as_probabilities() -> None:
    assert uses(fused(CategoricalCrossentropy(), "Sigmoid"), "Sigmoid")
    assert uses(fused(BinaryCrossentropy(), "Softmax"), "Softmax")


@pytest.mark.parametrize(("loss", "operator"), CROSSENTROPIES)
def test_logits_of_200_give_a_finite_loss(loss: Loss, operator: str) -> None:
    model = fused(loss, operator)
    z = np.zeros((2, 4, 5), np.float32)
    z[0], z[1, :, 0], z[1, :, 1] = 200, -200, 200
    hot = np.zeros_like(z)
    hot[:, :, 0] = 1
    y_true = np.zeros((2, 4), np.int64) if loss.sparse else hot
    wide = z.astype(np.float64)
    expected = {
        "Sigmoid": np.mean(np.logaddexp(0, wide) - wide * hot),
        "Softmax": (np.log(5) + 400) / 2,
    }[operator]
    for found in in_both(model, {"y_true": y_true, "y_pred": z}):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


# -- functions and mistakes ----------------------------------------------------------------------------


def test_a_function_is_a_loss() -> None:
    def cubic(g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        error = g.add("Abs", g.add("Sub", y_pred, y_true))
        return g.add("Mul", error, g.add("Mul", error, error))

    y_true, y_pred = normal((5, 3), 1), normal((5, 3), 2)
    model = emitted(losses.get(cubic).emit, (FLOAT, ("batch", 3)), (FLOAT, ("batch", 3)))
    for found in in_both(model, {"y_true": y_true, "y_pred": y_pred}):
        np.testing.assert_allclose(found, np.mean(np.abs(y_pred - y_true) ** 3.0), rtol=TOLERANCE)


def test_an_overflow_stays_visible() -> None:
    model = emitted(RootMeanSquaredError().emit, (FLOAT, ("batch", 1)), (FLOAT, ("batch", 1)))
    feed = {"y_true": np.zeros((1, 1), np.float32), "y_pred": np.full((1, 1), 1e30, np.float32)}
    assert np.isinf(in_onnxruntime(model, feed)[0])


@pytest.mark.parametrize("loss", [CategoricalCrossentropy, SparseCategoricalCrossentropy])
@pytest.mark.parametrize("axis", [0, -2, 2, 5])
def test_an_axis_that_is_not_there(loss: type[Loss], axis: int) -> None:
    wanted = rf"along axis {axis}, which 'y_pred' of shape \(batch, 4\) lacks or needs for the batch"
    with pytest.raises(ShapeError, match=wanted):
        emitted(loss(axis=axis).emit, (FLOAT, ("batch", 4)), (FLOAT, ("batch", 4)))  # type: ignore[call-arg]


def test_sparse_targets_need_a_class_axis() -> None:
    with pytest.raises(
        ShapeError,
        match=r"sparse_categorical_crossentropy takes \(batch, ..., classes\), got \(batch,\) from 'p'",
    ):
        SparseCategoricalCrossentropy().target_type(Value("p", FLOAT, ("batch",)))


def test_sparse_before_opset_12_needs_the_number_of_classes() -> None:
    types = [(INT64, ("batch",)), (FLOAT, ("batch", "classes"))]
    loss = SparseCategoricalCrossentropy(from_logits=True)
    with pytest.raises(ShapeError, match=r"number of classes of 'y_pred' \(batch, classes\) is unknown"):
        emitted(loss.emit, *types, opset=11)


def test_names_classes_and_objects() -> None:
    assert losses.get("mae") == losses.get(MeanAbsoluteError) == losses.get(MeanAbsoluteError())
    assert losses.get("binary_crossentropy", from_logits=True) == BinaryCrossentropy(True)
    with pytest.raises(UnknownNameError, match="there is no loss named 'msee'; did you mean 'mse'"):
        losses.get("msee")
    with pytest.raises(TypeError, match=r"give \['axis'\] to CategoricalCrossentropy\(...\) itself"):
        losses.get(CategoricalCrossentropy(), axis=1)
    with pytest.raises(TypeError, match="a loss is a name, a class or an object of Loss, got 5"):
        losses.get(5)  # type: ignore[arg-type]
