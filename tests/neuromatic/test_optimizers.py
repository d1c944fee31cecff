"""The optimizers on TensorFlow against Keras', and their functions in onnxruntime against numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnx.checker
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import neuromatic as nm
from neuromatic import optimizers
from neuromatic.converters.tensorflow import program
from neuromatic.errors import RecipeError, UnknownNameError
from neuromatic.graph import NEUROMATIC_DOMAIN
from neuromatic.model import Model
from neuromatic.optimizers import SGD, Adam, Optimizer, local_function
from tests.neuromatic.graphs import in_onnxruntime, linear

Array = NDArray[Any]
STEPS, BATCH = 10, 8

CASES: dict[str, tuple[Optimizer, Callable[[], Any]]] = {
    "sgd": (SGD(0.1), lambda: keras.optimizers.SGD(0.1)),
    "momentum": (SGD(0.05, 0.9), lambda: keras.optimizers.SGD(0.05, 0.9)),
    "nesterov": (SGD(0.05, 0.8, nesterov=True), lambda: keras.optimizers.SGD(0.05, 0.8, nesterov=True)),
    "nesterov without momentum": (SGD(0.1, nesterov=True), lambda: keras.optimizers.SGD(0.1, nesterov=True)),
    "adam": (Adam(), keras.optimizers.Adam),
    "adam of other numbers": (
        Adam(0.02, beta_1=0.7, beta_2=0.9, epsilon=1e-3),
        lambda: keras.optimizers.Adam(0.02, beta_1=0.7, beta_2=0.9, epsilon=1e-3),
    ),
}


def changing(step: int) -> float:
    return 0.02 * (1.5 + np.sin(step))


def data(dtype: str = "float32") -> tuple[Array, Array]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(STEPS * BATCH, 4))
    return x.astype(dtype), (np.sin(x[:, :2]) + 0.1).astype(dtype)


def mlp(optimizer: Optimizer, dtype: str = "float32") -> Model:
    return nm.Sequential((4,), dtype).dense(6, "tanh").dense(2).loss("mse").optimizer(optimizer)


def keras_weights(
    model: Model, optimizer: Any, rate: Callable[[int], float] | None, dtype: str
) -> list[Array]:
    """Keras' parameters after the same steps from the same weights."""
    twin = keras.Sequential(
        [
            keras.Input((4,), dtype=dtype),
            keras.layers.Dense(6, "tanh", dtype=dtype),
            keras.layers.Dense(2, dtype=dtype),
        ]
    )
    twin.set_weights(list(model.parameters().values()))
    twin.compile(optimizer, loss="mse")
    x, y = data(dtype)
    for i in range(STEPS):
        if rate is not None:
            optimizer.learning_rate = rate(i)
        rows = slice(i * BATCH, (i + 1) * BATCH)
        twin.train_on_batch(x[rows], y[rows])
    return [np.asarray(w) for w in twin.get_weights()]


def assert_equals_keras(
    name: str, *, jit: bool, rate: Callable[[int], float] | None = None, dtype: str = "float32"
) -> None:
    ours, theirs = CASES[name]
    model = mlp(ours, dtype)
    expected = keras_weights(model, theirs(), rate, dtype)
    x, y = data(dtype)
    options = {"jit": jit}
    model.train(x, y, batch_size=BATCH, shuffle=False, learning_rate=rate, verbose=0, engine_options=options)
    for found, wanted in zip(model.parameters().values(), expected, strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_ten_steps(name: str) -> None:
    assert_equals_keras(name, jit=False)


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam"])
def test_ten_steps_with_a_rate_that_changes(name: str) -> None:
    assert_equals_keras(name, jit=False, rate=changing)


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_compiled_with_xla(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "MOST_STEPS", STEPS)  # a compiled call runs exactly so many
    assert_equals_keras(name, jit=True, rate=changing)


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam"])
def test_float64(name: str) -> None:
    assert_equals_keras(name, jit=False, dtype="float64")


def test_training_goes_on_where_it_stopped() -> None:
    x, y = data()
    once, twice = mlp(Adam()), mlp(Adam())
    once.train(x, y, batch_size=BATCH, shuffle=False, epochs=2, verbose=0)
    for _ in range(2):
        twice.train(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    for name, array in once.parameters().items():
        np.testing.assert_array_equal(array, twice.parameters()[name])


# -- the functions as nodes -------------------------------------------------------------------------------


def update(name: str, dtype: int, opset: int, momentum: float) -> onnx.ModelProto:
    """A model that is one call of a local function, on vectors of three."""
    stateful = name != "SGD"
    vectors = ["X", "G", *(["V"] if stateful else [])]
    results = ["X_new", *(["V_new"] if stateful else [])]
    attributes: dict[str, Any] = {"momentum": momentum} if stateful else {}
    node = helper.make_node(name, ["R", "T", *vectors], results, domain=NEUROMATIC_DOMAIN, **attributes)
    inputs = [helper.make_tensor_value_info("R", dtype, ())]
    inputs += [helper.make_tensor_value_info("T", TensorProto.INT64, ())]
    inputs += [helper.make_tensor_value_info(v, dtype, (3,)) for v in vectors]
    outputs = [helper.make_tensor_value_info(v, dtype, (3,)) for v in results]
    model = helper.make_model(
        helper.make_graph([node], "update", inputs, outputs),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(NEUROMATIC_DOMAIN, 1)],
        functions=[local_function(name, opset)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.mark.parametrize("name", sorted(optimizers.FUNCTIONS))
@pytest.mark.parametrize(
    ("opset", "dtype"), [(12, "float32"), (14, "float32"), (15, "float64"), (17, "float32"), (21, "float64")]
)
def test_a_function_is_keras_formula(name: str, opset: int, dtype: str) -> None:
    rng = np.random.default_rng(7)
    x, g, v = (rng.normal(size=3).astype(dtype) for _ in range(3))
    rate, momentum = np.asarray(0.25, dtype), 0.75
    velocity = momentum * v - rate * g
    expected = {
        "SGD": [x - rate * g],
        "SGDMomentum": [x + velocity, velocity],
        "SGDNesterov": [x + momentum * velocity - rate * g, velocity],
    }[name]
    feed = {"R": rate, "T": np.asarray(1, np.int64), "X": x, "G": g}
    feed |= {} if name == "SGD" else {"V": v}
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    model = update(name, kind, opset, momentum)
    for results in (in_onnxruntime(model, feed), ReferenceEvaluator(model).run(None, feed)):
        for found, wanted in zip(results, expected, strict=True):
            np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-6)


# -- mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(momentum=1.0), r"SGD: momentum must be in \[0, 1\), got 1.0"),
        (lambda: SGD(momentum=-0.1), r"SGD: momentum must be in \[0, 1\), got -0.1"),
        (
            lambda: SGD(learning_rate=-1.0),
            r"SGD: learning_rate must be a finite number of at least 0, got -1",
        ),
        (
            lambda: SGD(learning_rate=float("nan")),
            r"learning_rate must be a finite number of at least 0, got nan",
        ),
        (lambda: Adam(learning_rate=float("inf")), r"Adam: learning_rate must be a finite number .* got inf"),
        (lambda: Adam(learning_rate=1e39), r"Adam: learning_rate must be a finite number .* got 1e\+39"),
        (lambda: Adam(learning_rate="fast"), r"Adam: learning_rate must be a finite number .* got 'fast'"),  # type: ignore[arg-type]
        (lambda: Adam(beta_1=1.0), r"Adam: beta_1 must be in \[0, 1\), got 1.0"),
        (lambda: Adam(beta_2=-1.0), r"Adam: beta_2 must be in \[0, 1\), got -1.0"),
        (lambda: Adam(epsilon=0.0), r"Adam: epsilon must be above 0, got 0.0"),
    ],
)
def test_bad_arguments(make: Callable[[], Optimizer], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_names_classes_and_objects() -> None:
    assert optimizers.get("adam") == optimizers.get(Adam) == optimizers.get(Adam()) == Adam(0.001)
    with pytest.raises(UnknownNameError, match="there is no optimizer named 'addam'; did you mean 'adam'"):
        optimizers.get("addam")
    with pytest.raises(TypeError, match=r"give \['momentum'\] to SGD\(...\) itself"):
        optimizers.get(SGD(), momentum=0.5)
    with pytest.raises(TypeError, match="unexpected keyword argument 'rate'"):
        optimizers.get("sgd", rate=1.0)


def test_functions_need_opset_12() -> None:
    model = Model.from_proto(linear(opset=11)).loss("mse")
    with pytest.raises(
        RecipeError,
        match=r"optimizer SGD needs opset 12, the model has 11; raise it with: neuromatic convert",
    ):
        model.optimizer("sgd")
    assert model.optimizer("adam").recipe is not None  # an operator of ONNX itself


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_of_float64_needs_opset_15(nesterov: bool) -> None:
    model = Model.from_proto(linear(opset=14, dtype="double")).loss("mse")
    with pytest.raises(RecipeError, match=r"optimizer SGD\w+ of float64 needs opset 15, the model has 14"):
        model.optimizer("sgd", momentum=0.9, nesterov=nesterov)
    assert model.optimizer("sgd").recipe is not None
