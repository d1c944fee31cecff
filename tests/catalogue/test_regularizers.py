"""Regularizers and constraints against Keras': their values, and the training of a net that has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto

import neuromatic as nm
from neuromatic import constraints, regularizers
from neuromatic.builder.model import Model
from neuromatic.errors import ShapeError, UnknownNameError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from tests.catalogue.status import equal

Array = NDArray[Any]
MANY = settings(derandomize=True, deadline=None, max_examples=10, database=None)
FACTORS = st.sampled_from([0.0, 0.01, 0.7])
SHAPES = st.tuples(st.integers(1, 5), st.integers(2, 5))
STEPS, BATCH = 5, 8


def computed(term: Callable[[GraphBuilder, Value], Value], x: Array, opset: int = 17) -> Array:
    """What the nodes of a term give in onnxruntime."""
    g = GraphBuilder(opset=opset)
    g.output(term(g, g.input("x", TensorProto.FLOAT, x.shape)), "y")
    session = onnxruntime.InferenceSession(g.finish().SerializeToString())
    found: Array = session.run(None, {"x": x})[0]
    return found


def values(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@equal("regularizers", "L1", "L2", "L1L2", "OrthogonalRegularizer")
@pytest.mark.parametrize("opset", [13, 17, 18])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("L1", {"l1": FACTORS}),
        ("L2", {"l2": FACTORS}),
        ("L1L2", {"l1": FACTORS, "l2": FACTORS}),
        ("OrthogonalRegularizer", {"factor": FACTORS, "mode": st.sampled_from(["rows", "columns"])}),
    ],
)
@MANY
@given(data=st.data())
def test_penalties(opset: int, name: str, arguments: dict[str, Any], data: st.DataObject) -> None:
    chosen = data.draw(st.fixed_dictionaries(arguments))
    x = values(data.draw(SHAPES))
    expected = float(getattr(keras.regularizers, name)(**chosen)(keras.ops.convert_to_tensor(x)))
    if np.isnan(expected):  # of one row there are no pairs: Keras divides 0 by 0
        expected = 0.0
    found = computed(getattr(regularizers, name)(**chosen), x, opset)
    assert found.shape == ()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@equal("constraints", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm")
@pytest.mark.parametrize("opset", [13, 17, 18])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("MaxNorm", {"max_value": st.sampled_from([0.5, 1, 2.0])}),
        ("NonNeg", None),
        ("UnitNorm", {}),
        (
            "MinMaxNorm",
            {
                "min_value": st.sampled_from([0.0, 1.5]),
                "max_value": st.sampled_from([1.5, 2.0]),
                "rate": st.sampled_from([0.0, 0.3, 1.0]),
            },
        ),
    ],
)
@MANY
@given(data=st.data())
def test_bounds(opset: int, name: str, arguments: dict[str, Any] | None, data: st.DataObject) -> None:
    axis = {"axis": st.sampled_from([0, 1, [0, 1]])}
    chosen = {} if arguments is None else data.draw(st.fixed_dictionaries({**arguments, **axis}))
    w = 2.0 * values(data.draw(SHAPES))
    expected = keras.ops.convert_to_numpy(getattr(keras.constraints, name)(**chosen)(w))
    found = computed(getattr(constraints, name)(**chosen), w, opset)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# -- in training -----------------------------------------------------------------------------------------


def own_penalty(g: GraphBuilder, x: Value) -> Value:
    """A regularizer of one's own: the largest absolute value."""
    return g.add("ReduceMax", g.add("Abs", x), keepdims=0)


def own_bound(g: GraphBuilder, w: Value) -> Value:
    """A constraint of one's own: at most 0.2."""
    return g.add("Min", w, g.const(0.2, w.dtype))


TERMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "names": (
        {"kernel_regularizer": "l2", "bias_regularizer": "l1", "kernel_constraint": "unit_norm"},
        {"kernel_regularizer": "l2", "bias_regularizer": "l1", "kernel_constraint": "unit_norm"},
    ),
    "both, and of activities": (
        {
            "kernel_regularizer": "l1_l2",
            "activity_regularizer": regularizers.L2(0.05),
            "bias_constraint": "non_neg",
        },
        {
            "kernel_regularizer": keras.regularizers.L1L2(0.01, 0.01),
            "activity_regularizer": keras.regularizers.L2(0.05),
            "bias_constraint": "non_neg",
        },
    ),
    "orthogonal, between norms": (
        {
            "kernel_regularizer": regularizers.OrthogonalRegularizer(0.1, "columns"),
            "kernel_constraint": constraints.MinMaxNorm(0.5, 0.9, rate=0.7),
        },
        {
            "kernel_regularizer": keras.regularizers.OrthogonalRegularizer(0.1, "columns"),
            "kernel_constraint": keras.constraints.MinMaxNorm(0.5, 0.9, rate=0.7),
        },
    ),
    "of one's own": (
        {"kernel_regularizer": own_penalty, "kernel_constraint": own_bound},
        {
            "kernel_regularizer": lambda x: keras.ops.max(keras.ops.abs(x)),
            "kernel_constraint": lambda w: keras.ops.minimum(w, 0.2),
        },
    ),
}
DECAYING = {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.1, "use_ema": True, "ema_momentum": 0.8}


def net(terms: dict[str, Any], optimizer: Any) -> Model:
    layers = [nm.layers.Dense(6, "tanh", **terms), nm.layers.Dense(2, **terms)]
    model = nm.Sequential((4,))
    for layer in layers:
        model = model.append(layer)
    return model.loss("mse").optimizer(optimizer)


def twin(terms: dict[str, Any], start: list[Array], optimizer: Any, loss: str = "mse") -> Any:
    layers = [keras.layers.Dense(6, "tanh", **terms), keras.layers.Dense(2, **terms)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.set_weights(start)
    model.compile(optimizer, loss=loss)
    return model


def rows() -> tuple[Array, Array]:
    x = values((STEPS * BATCH, 4), 3)
    return x, np.sin(x[:, :2]) + np.float32(0.1)


def losses_of(model: Any) -> list[float]:
    """The loss of each step of one epoch of Keras, before its update."""
    x, y = rows()
    batches = [slice(i, i + BATCH) for i in range(0, len(x), BATCH)]
    return [float(model.train_on_batch(x[b], y[b])) for b in batches]


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("options", [{"learning_rate": 0.05}, DECAYING], ids=["plain", "decaying, averaged"])
def test_training_follows_keras(name: str, options: dict[str, Any]) -> None:
    ours, theirs = TERMS[name]
    model = net(ours, nm.optimizers.SGD(**options))
    by_keras = twin(theirs, list(model.parameters().values()), keras.optimizers.SGD(**options))
    expected = losses_of(by_keras)
    by_keras.optimizer.finalize_variable_values(by_keras.trainable_variables)
    history = model.train(*rows(), batch_size=BATCH, shuffle=False, verbose=0, engine_options={"jit": False})
    np.testing.assert_allclose(history.step_losses, expected, rtol=1e-5)
    for found, wanted in zip(model.parameters().values(), by_keras.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", TERMS)
def test_a_file_keeps_them_with_another_loss(name: str, tmp_path: Path) -> None:
    ours, theirs = TERMS[name]
    net(ours, nm.optimizers.SGD(0.05)).save(tmp_path / "net.onnx")
    model = nm.load(tmp_path / "net.onnx").loss("mae")
    direct = net(ours, nm.optimizers.SGD(0.05)).loss("mae")
    assert model.proto.training_info == direct.proto.training_info
    by_keras = twin(theirs, list(model.parameters().values()), keras.optimizers.SGD(0.05), "mae")
    losses_of(by_keras)
    model.train(*rows(), batch_size=BATCH, shuffle=False, verbose=0, engine_options={"jit": False})
    for found, wanted in zip(model.parameters().values(), by_keras.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_file_trains_on_with_them(tmp_path: Path) -> None:
    ours, _ = TERMS["both, and of activities"]
    whole, parts = (net(ours, nm.optimizers.Adam(0.05)) for _ in range(2))
    options: dict[str, Any] = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    whole.train(*rows(), epochs=2, **options)
    for _ in range(2):
        parts.train(*rows(), **options)
        parts.save(tmp_path / "net.onnx")
        parts = nm.load(tmp_path / "net.onnx")
    for name, value in whole.parameters().items():
        np.testing.assert_allclose(parts.parameters()[name], value, rtol=1e-6, atol=1e-7)


def test_the_same_file_from_the_same_net() -> None:
    ours, _ = TERMS["names"]
    first, second = (net(ours, "sgd").proto.SerializeToString() for _ in range(2))
    assert first == second


def test_frozen_parameters_have_no_penalty() -> None:
    ours, _ = TERMS["names"]
    nodes = net(ours, "sgd").freeze("dense/*").proto.training_info[0].algorithm.node
    penalized = [n.input[0] for n in nodes if n.name.startswith("penalty/") and n.op_type != "Sum"]
    assert penalized == ["dense_1/kernel", "dense_1/bias"]


def test_evaluation_has_the_penalty_as_in_keras() -> None:
    ours, theirs = TERMS["both, and of activities"]
    model = net(ours, "sgd")
    x, y = rows()
    by_keras = twin(theirs, list(model.parameters().values()), "sgd")
    expected = by_keras.evaluate(x, y, batch_size=len(x), verbose=0)
    assert model.evaluate(x, y)["loss"] == pytest.approx(expected, rel=1e-5)


# -- mistakes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: regularizers.L1(-0.1), "L1: l1 must be a finite number of at least 0, got -0.1"),
        (lambda: regularizers.L2(float("inf")), "L2: l2 must be a finite number of at least 0, got inf"),
        (
            lambda: regularizers.L1L2(0.1, "much"),  # type: ignore[arg-type]
            "L1L2: l2 must be a finite number .*, got 'much'",
        ),
        (
            lambda: regularizers.OrthogonalRegularizer(mode="all"),  # type: ignore[arg-type]
            'mode must be "rows" or "columns", got \'all\'',
        ),
        (lambda: constraints.MinMaxNorm(rate=1.5), "MinMaxNorm: rate must be from 0 to 1, got 1.5"),
    ],
)
def test_bad_arguments(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_an_orthogonal_regularizer_takes_matrices() -> None:
    with pytest.raises(ShapeError, match=r"OrthogonalRegularizer takes a matrix, got \(2, 3, 4\)"):
        computed(regularizers.OrthogonalRegularizer(), values((2, 3, 4)))


def test_names() -> None:
    assert regularizers.get("l1_l2", l1=0.5) == regularizers.get(regularizers.get("l1_l2", l1=0.5))
    assert regularizers.get(None) is constraints.get(None) is None
    assert constraints.get("max_norm") == constraints.MaxNorm(2.0, 0)
    with pytest.raises(UnknownNameError, match="there is no regularizer named 'l3'; known: l1, l1_l2, l2"):
        regularizers.get("l3")
    with pytest.raises(UnknownNameError, match="there is no constraint named 'max_nrom'; did you mean"):
        constraints.get("max_nrom")
