"""Every loss of Keras: values for each reduction, with and without sample weights, and one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic import losses
from neuromatic.converters.cntk.recorder import Recorder
from neuromatic.errors import NeuromaticError, ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Shape, Value
from neuromatic.losses import Loss
from tests.catalogue.status import equal
from tests.converters.cntk.cntk_environment import environment_or_skip
from tests.neuromatic.graphs import FLOAT, INT64, in_onnxruntime, set_parameters

Array = NDArray[Any]
REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", None)
few = settings(derandomize=True, deadline=None, max_examples=8, database=None)

# -- data ----------------------------------------------------------------------------------------------

Data = Callable[[np.random.Generator, tuple[int, ...]], tuple[Array, Array]]


def numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    return rng.normal(size=shape), 2 * rng.normal(size=shape)


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    return rng.uniform(0, 4, shape), rng.uniform(0.1, 4, shape)


def binary(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    return rng.integers(2, size=shape).astype(float), rng.uniform(0.02, 0.98, shape)


def binary_logits(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    return rng.integers(2, size=shape).astype(float), 3 * rng.normal(size=shape)


def signs(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    return rng.choice([-1.0, 1.0], shape), rng.normal(size=shape)


def softmax(z: Array, axis: int = -1) -> Array:
    scores = np.exp(z - z.max(axis, keepdims=True))
    return np.asarray(scores / scores.sum(axis, keepdims=True))


def sparse(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    return rng.integers(shape[-1], size=shape[:-1]), softmax(rng.normal(size=shape))


def sparse_logits(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    return rng.integers(shape[-1], size=shape[:-1]), 3 * rng.normal(size=shape)


def one_hot(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    labels, p = sparse(rng, shape)
    return np.eye(shape[-1])[labels], p


def one_hot_logits(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    labels, z = sparse_logits(rng, shape)
    return np.eye(shape[-1])[labels], z


def soft_logits(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Probabilities and logits along the first axis after the batch."""
    return softmax(rng.normal(size=shape), 1), 3 * rng.normal(size=shape)


def embeddings(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    vectors = rng.normal(size=shape)
    return rng.integers(3, size=shape[0]), vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def speech(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Labels with repeats, of any length that the steps allow, filled up with 0; logits of 2 classes more."""
    batch, steps, classes = shape
    most = max(1, steps // 2)
    labels = rng.integers(1, classes, size=(batch, most))
    labels[np.arange(most) >= rng.integers(0, most + 1, size=(batch, 1))] = 0
    return labels, 2 * rng.normal(size=shape)


# -- cases ---------------------------------------------------------------------------------------------

ANY = st.lists(st.integers(2, 4), min_size=2, max_size=4).map(tuple)
FLAT = st.tuples(st.integers(2, 6), st.integers(2, 5))
SEQUENCES = st.tuples(st.integers(2, 4), st.integers(2, 7), st.integers(2, 5))


@dataclass(frozen=True)
class Case:
    """A loss with data for it.

    Attributes:
        name: the class.
        data: targets and predictions of a shape.
        shapes: of the predictions.
        arguments: strategies of arguments that both sides take.
        trained: the shape that training is tested with.
    """

    name: str
    data: Data
    shapes: st.SearchStrategy[tuple[int, ...]] = ANY
    arguments: Mapping[str, st.SearchStrategy[Any]] = field(default_factory=dict)
    trained: tuple[int, ...] = (6, 4)

    def __str__(self) -> str:
        return f"{self.name}-{self.data.__name__}"


smoothing = st.sampled_from([0.0, 0.1, 0.5])
true = st.just(True)
focusing = {"gamma": st.sampled_from([0.0, 1.5, 2.0, 3.0]), "label_smoothing": smoothing}
balancing = {"apply_class_balancing": st.booleans(), "alpha": st.sampled_from([0.25, 0.7])}
ignoring = {"ignore_class": st.sampled_from([None, 0, 1])}
margins = {"gamma": st.sampled_from([2.0, 80.0]), "margin": st.sampled_from([0.2, 0.4])}

CASES = [
    Case("MeanSquaredError", numbers),
    Case("MeanAbsoluteError", numbers),
    Case("MeanAbsolutePercentageError", numbers),
    Case("MeanSquaredLogarithmicError", positive),
    Case("CosineSimilarity", numbers, arguments={"axis": st.sampled_from([-1, 1])}),
    Case("Huber", numbers, arguments={"delta": st.sampled_from([0.3, 1.0, 2.5])}),
    Case("LogCosh", numbers),
    Case("Hinge", signs),
    Case("Hinge", binary),
    Case("SquaredHinge", signs),
    Case("SquaredHinge", binary),
    Case("CategoricalHinge", one_hot_logits),
    Case("KLDivergence", one_hot),
    Case("Poisson", positive),
    Case("BinaryCrossentropy", binary, arguments={"label_smoothing": smoothing, "axis": st.just(1)}),
    Case("BinaryCrossentropy", binary_logits, arguments={"from_logits": true, "label_smoothing": smoothing}),
    Case("BinaryFocalCrossentropy", binary, arguments={**focusing, **balancing}),
    Case("BinaryFocalCrossentropy", binary_logits, arguments={**focusing, **balancing, "from_logits": true}),
    Case("CategoricalCrossentropy", one_hot, arguments={"label_smoothing": smoothing}),
    Case("CategoricalCrossentropy", soft_logits, arguments={"from_logits": true, "axis": st.just(1)}),
    Case("CategoricalFocalCrossentropy", one_hot, arguments={**focusing, "alpha": st.just(0.4)}),
    Case("CategoricalFocalCrossentropy", one_hot_logits, arguments={**focusing, "from_logits": true}),
    Case("SparseCategoricalCrossentropy", sparse, arguments=ignoring),
    Case("SparseCategoricalCrossentropy", sparse_logits, arguments={**ignoring, "from_logits": true}),
    Case("CategoricalGeneralizedCrossEntropy", sparse, arguments={"q": st.sampled_from([0.1, 0.5, 0.9])}),
    Case("Dice", binary, arguments={"axis": st.sampled_from([None, -1, 1])}),
    Case("Tversky", binary, arguments={"axis": st.sampled_from([None, -1]), "alpha": st.just(0.3)}),
    Case("Circle", embeddings, FLAT, {**margins, "remove_diagonal": st.booleans()}),
    Case("CTC", speech, SEQUENCES, trained=(4, 6, 3)),
]


def twin_of(name: str, **arguments: Any) -> Any:
    return getattr(keras.losses, name)(**arguments)


def computed(loss: Loss, y_true: Array, y_pred: Array, weights: Array | None, opset: int = 17) -> Array:
    """What a loss emits, in onnxruntime."""
    g = GraphBuilder(opset=opset)
    kind = INT64 if y_true.dtype == np.int64 else FLOAT
    true, pred = (
        g.input(name, dtype, ("batch", *y.shape[1:]))
        for name, dtype, y in (("y_true", kind, y_true), ("y_pred", FLOAT, y_pred))
    )
    g.output(loss.emit(g, true, pred, weight=None if weights is None else "weight"), "result")
    feed = {"y_true": y_true, "y_pred": y_pred} | ({} if weights is None else {"weight": weights})
    return in_onnxruntime(g.finish(), feed)[0]


def drawn(case: Case, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    y_true, y_pred = case.data(rng, shape)
    return y_true if y_true.dtype == np.int64 else y_true.astype(np.float32), y_pred.astype(np.float32)


@equal("losses", *{case.name: None for case in CASES})
@pytest.mark.parametrize("case", CASES, ids=str)
@given(st.data())
@few
def test_values_are_those_of_keras(case: Case, data: st.DataObject) -> None:
    shape = data.draw(case.shapes)
    arguments = {name: data.draw(strategy) for name, strategy in case.arguments.items()}
    reduction = data.draw(st.sampled_from(REDUCTIONS))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    y_true, y_pred = drawn(case, rng, shape)
    dtype = "float32" if case.name == "CTC" else "float64"
    values = twin_of(case.name, reduction=None, dtype=dtype, **arguments)(y_true, y_pred)
    weights = rng.uniform(0, 3, tuple(values.shape) or shape[:1]) if data.draw(st.booleans()) else None
    expected = twin_of(case.name, reduction=reduction, dtype=dtype, **arguments)(y_true, y_pred, weights)
    loss = losses.get(case.name, reduction=reduction, **arguments)
    given_weights = None if weights is None else weights.astype(np.float32)
    found = computed(loss, y_true, y_pred, given_weights)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# -- one step ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A model whose prediction is its input times one trained matrix, with data for one step."""

    loss: Loss
    twin: Any
    x: Array
    y: Array
    kernel: Array
    activation: str | None = None

    @property
    def model(self) -> nm.Model:
        net = nm.Sequential(self.x.shape[1:]).dense(self.x.shape[-1], self.activation, use_bias=False)
        model = net.build().loss(self.loss).optimizer("sgd", learning_rate=1.0)
        set_parameters(model, **{"dense/kernel": self.kernel})
        return model

    def expected(self) -> tuple[float, Array]:
        """Loss and gradient, by Keras."""
        kernel: Any = tf.Variable(tf.constant(self.kernel))
        with tf.GradientTape() as tape:
            y_pred = tf.linalg.matmul(self.x, kernel)
            y_pred = getattr(tf.nn, self.activation)(y_pred) if self.activation else y_pred
            loss = self.twin(self.y, y_pred)
        return float(loss), np.asarray(tape.gradient(loss, kernel))


ACTIVATIONS = {"binary": "sigmoid", "one_hot": "softmax", "sparse": "softmax", "positive": "relu"}


def step_of(case: Case) -> Step:
    rng = np.random.default_rng(7)
    y_true, y_pred = drawn(case, rng, case.trained)
    size = case.trained[-1]
    kernel = (np.eye(size) + 0.1 * rng.uniform(size=(size, size))).astype(np.float32)
    logits = {"from_logits": True} if case.arguments.get("from_logits") is true else {}
    activation = ACTIVATIONS.get(case.data.__name__)
    x = np.log(y_pred) if activation == "softmax" else y_pred
    return Step(losses.get(case.name, **logits), twin_of(case.name, **logits), x, y_true, kernel, activation)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_training_step_takes_the_gradient_of_keras(case: Case) -> None:
    step = step_of(case)
    model = step.model
    history = model.train(
        step.x, step.y, batch_size=len(step.x), verbose=0, engine_options={"jit": False}, verify_atol=1e-3
    )
    value, gradient = step.expected()
    np.testing.assert_allclose(history.history["loss"][0], value, rtol=1e-5, atol=1e-6)
    found = step.kernel - model.parameters()["dense/kernel"]
    np.testing.assert_allclose(found, gradient, rtol=1e-4, atol=1e-4 * np.abs(gradient).max())


REFUSED_BY_CNTK = {"Circle": "a matrix product of the batch with the batch"}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cntk_records_a_step_or_says_why_not(case: Case) -> None:
    step = step_of(case)
    spec = tuple((n, a.shape[1:], str(a.dtype)) for n, a in step.model.arrays(step.x, step.y).items())
    reason = REFUSED_BY_CNTK.get(case.name)
    if reason is None:
        Recorder(step.model.proto).record("train", spec)
    else:
        with pytest.raises(NeuromaticError, match=reason):
            Recorder(step.model.proto).record("train", spec)


@pytest.mark.parametrize("name", ["CTC", "SparseCategoricalCrossentropy", "Tversky"])
def test_cntk_takes_the_same_step(name: str) -> None:
    environment_or_skip()
    case = next(c for c in CASES if c.name == name)
    step, model = step_of(case), step_of(case).model
    weights = np.random.default_rng(1).uniform(0, 2, len(step.x)).astype(np.float32)
    settings: dict[str, Any] = {"batch_size": len(step.x), "verbose": 0, "sample_weight": weights}
    model.train(step.x, step.y, engine="cntk", engine_options={"threads": 1}, **settings)
    other = step.model
    other.train(step.x, step.y, engine_options={"jit": False}, **settings)
    found, expected = (m.parameters()["dense/kernel"] for m in (model, other))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


# -- arguments and shapes that are wrong ---------------------------------------------------------------

WRONG_ARGUMENTS = [
    ("Huber", {"delta": 0.0}, "Huber: delta must be above 0, got 0.0"),
    ("BinaryCrossentropy", {"label_smoothing": 1.5}, "label_smoothing must be from 0 to 1, got 1.5"),
    ("CategoricalCrossentropy", {"label_smoothing": -1}, "label_smoothing must be from 0 to 1, got -1"),
    ("BinaryFocalCrossentropy", {"gamma": -1.0}, "gamma must be 0 or more, got -1.0"),
    ("CategoricalFocalCrossentropy", {"label_smoothing": 2}, "must be from 0 to 1, got 2"),
    ("CategoricalGeneralizedCrossEntropy", {"q": 1.0}, "q must be above 0 and below 1, got 1.0"),
    (
        "Poisson",
        {"reduction": "average"},
        "Poisson: reduction must be one of 'sum_over_batch_size', ",
    ),
]


@pytest.mark.parametrize(("name", "arguments", "message"), WRONG_ARGUMENTS)
def test_wrong_arguments(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        losses.get(name, **arguments)


WRONG_SHAPES = [
    (
        "ctc",
        ("batch", 4),
        r"ctc takes \(batch, steps, classes\) of known steps and classes, got",
    ),
    ("ctc", ("batch", "steps", 4), r"of known steps and classes, got \(batch, steps, 4\) from 'p'"),
    ("circle", ("batch", 4, 2), r"circle takes \(batch, features\), got \(batch, 4, 2\) from 'p'"),
    ("categorical_generalized_cross_entropy", ("batch",), r"takes \(batch, ..., classes\), got \(batch,\)"),
]


@pytest.mark.parametrize(("name", "shape", "message"), WRONG_SHAPES)
def test_wrong_predictions(name: str, shape: Shape, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        losses.get(name).target_type(Value("p", FLOAT, shape))


@pytest.mark.parametrize("axis", [5, (1, 1), (), -4])
def test_wrong_axes_of_overlap(axis: Any) -> None:
    g = GraphBuilder()
    y = g.input("y", FLOAT, ("batch", 4, 2))
    with pytest.raises(ShapeError, match=r"expected different axes of 'y' \(batch, 4, 2\)"):
        losses.get("dice", axis=axis).emit(g, y, y)


def test_smoothing_needs_the_number_of_classes() -> None:
    g = GraphBuilder()
    y = g.input("y", FLOAT, ("batch", "classes"))
    with pytest.raises(ShapeError, match=r"number of classes, axis 1 of 'y' \(batch, classes\)"):
        losses.get("categorical_crossentropy", label_smoothing=0.1).emit(g, y, y)


# -- what Keras' values do not show --------------------------------------------------------------------


@pytest.mark.parametrize("opset", [9, 11, 17])
@pytest.mark.parametrize("ignored", [-1, 255, 1])
def test_an_ignored_label_may_be_out_of_range(opset: int, ignored: int) -> None:
    labels, p = drawn(next(c for c in CASES if c.data is sparse), np.random.default_rng(0), (8, 3))
    labels[::3] = ignored
    loss = losses.get("sparse_categorical_crossentropy", ignore_class=ignored)
    expected = keras.losses.SparseCategoricalCrossentropy(ignore_class=ignored)(labels, p)
    np.testing.assert_allclose(computed(loss, labels, p, None, opset), expected, rtol=1e-5)


def test_data_may_hold_the_ignored_label() -> None:
    model = nm.Sequential((2,)).dense(3, "softmax").build()
    model = model.loss("sparse_categorical_crossentropy", ignore_class=255).optimizer("sgd")
    x = np.eye(4, 2, dtype=np.float32)
    model.train(x, [0, 255, 2, 255], verbose=0, engine_options={"jit": False})
    with pytest.raises(NeuromaticError, match="label 4 in row 1"):
        model.evaluate(x, [0, 4, 2, 255])


@pytest.mark.parametrize("opset", [9, 13, 18])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_other_opsets_mean_the_same(case: Case, opset: int) -> None:
    y_true, y_pred = drawn(case, np.random.default_rng(1), case.trained)
    loss = losses.get(case.name)
    expected = computed(loss, y_true, y_pred, None)
    np.testing.assert_allclose(computed(loss, y_true, y_pred, None, opset), expected, rtol=1e-5, atol=1e-6)
