"""The optimizers on TensorFlow against Keras', and their functions in onnxruntime against numpy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
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
from neuromatic.builder.model import Model
from neuromatic.converters.tensorflow import program
from neuromatic.errors import RecipeError, UnknownNameError
from neuromatic.ir.opsets import NEUROMATIC_DOMAIN
from neuromatic.optimizers import (
    SGD,
    Adam,
    MultiOptimizer,
    Optimizer,
    RMSprop,
    local_function,
)
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
    "rmsprop": (RMSprop(), keras.optimizers.RMSprop),
    "rmsprop with momentum": (
        RMSprop(0.01, momentum=0.8),
        lambda: keras.optimizers.RMSprop(0.01, momentum=0.8),
    ),
    "centered rmsprop": (
        RMSprop(0.01, rho=0.8, centered=True, epsilon=1e-5),
        lambda: keras.optimizers.RMSprop(0.01, rho=0.8, centered=True, epsilon=1e-5),
    ),
    "centered rmsprop with momentum": (
        RMSprop(0.005, rho=0.7, momentum=0.6, centered=True, epsilon=1e-4),
        lambda: keras.optimizers.RMSprop(0.005, rho=0.7, momentum=0.6, centered=True, epsilon=1e-4),
    ),
}
PLAIN = ["sgd", "momentum", "nesterov", "adam", "rmsprop", "centered rmsprop with momentum"]


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
def test_ten_steps_with_a_rate_that_changes(name: str) -> None:
    assert_equals_keras(name, jit=False, rate=changing)


@pytest.mark.parametrize("name", ["momentum", "adam", "centered rmsprop with momentum"])
def test_compiled_with_xla(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "MOST_STEPS", STEPS)  # a compiled call runs exactly so many
    assert_equals_keras(name, jit=True, rate=changing)


@pytest.mark.parametrize("name", PLAIN)
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


STATES = {
    "SGD": "",
    "SGDMomentum": "V",
    "SGDNesterov": "V",
    "RMSprop": "V",
    "RMSpropMomentum": "VM",
    "RMSpropCentered": "VA",
    "RMSpropCenteredMomentum": "VMA",
}
STEPS_OF_ALL = ("ClipByGlobalNorm", "ClipByNorm", "MovingAverage", "SquaredNorm", "WeightDecay")
"""Functions that are no optimizers."""
MOMENTUM, RHO, EPSILON = 0.75, 0.625, 2.0**-10
"""Exact in float32, as attributes are."""


def update(name: str, dtype: int, opset: int) -> onnx.ModelProto:
    """A model that is one call of a local function, on vectors of three."""
    vectors = ["X", "G", *STATES[name]]
    results = ["X_new", *(f"{s}_new" for s in STATES[name])]
    attributes = {"momentum": MOMENTUM, "rho": RHO, "epsilon": EPSILON}
    function = local_function(name, opset)
    used: dict[str, Any] = {a: attributes[a] for a in function.attribute}
    node = helper.make_node(name, ["R", "T", *vectors], results, domain=NEUROMATIC_DOMAIN, **used)
    inputs = [helper.make_tensor_value_info("R", dtype, ())]
    inputs += [helper.make_tensor_value_info("T", TensorProto.INT64, ())]
    inputs += [helper.make_tensor_value_info(v, dtype, (3,)) for v in vectors]
    outputs = [helper.make_tensor_value_info(v, dtype, (3,)) for v in results]
    model = helper.make_model(
        helper.make_graph([node], "update", inputs, outputs),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(NEUROMATIC_DOMAIN, 1)],
        functions=[function],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def by_formula(name: str, rate: Array, x: Array, g: Array, states: dict[str, Array]) -> list[Array]:
    """The new parameter and states as Keras computes them."""
    if name == "SGD":
        return [x - rate * g]
    if name.startswith("SGD"):
        velocity = MOMENTUM * states["V"] - rate * g
        return [x + (MOMENTUM * velocity - rate * g if name == "SGDNesterov" else velocity), velocity]
    new = {"V": RHO * states["V"] + (1 - RHO) * g**2}
    denominator = new["V"] + EPSILON
    if "A" in states:
        new["A"] = RHO * states["A"] + (1 - RHO) * g
        denominator = denominator - new["A"] ** 2
    increment = rate * g / np.sqrt(denominator)
    if "M" in states:
        new["M"] = increment = MOMENTUM * states["M"] + increment
    return [x - increment, *(new[s] for s in states)]


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize(
    ("opset", "dtype"), [(12, "float32"), (14, "float32"), (15, "float64"), (17, "float32"), (21, "float64")]
)
def test_a_function_is_keras_formula(name: str, opset: int, dtype: str) -> None:
    rng = np.random.default_rng(7)
    x, g, v, m, a = (rng.normal(size=3).astype(dtype) for _ in range(5))
    known = {"V": v**2 + a**2 if name.startswith("RMS") else v, "M": m, "A": a}  # a mean square is above
    states = {s: known[s] for s in STATES[name]}
    rate = np.asarray(0.25, dtype)
    feed = {"R": rate, "T": np.asarray(1, np.int64), "X": x, "G": g, **states}
    model = update(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), opset)
    expected = by_formula(name, rate, x, g, states)
    for results in (in_onnxruntime(model, feed), ReferenceEvaluator(model).run(None, feed)):
        for found, wanted in zip(results, expected, strict=True):
            np.testing.assert_allclose(np.asarray(found), wanted, rtol=2e-6)


@pytest.mark.parametrize("name", sorted(set(optimizers.FORMULAS) - {*STATES, *STEPS_OF_ALL}))
def test_a_function_is_the_same_at_every_opset(name: str) -> None:
    """At opset 17, the default, the tests of the catalogue compare each with Keras."""
    rng = np.random.default_rng(7)
    found = []
    for opset in (17, 12, 18, 21):
        function = local_function(name, opset)
        arrays = {n: rng.uniform(0.1, 1.0, (3, 3)).astype(np.float32) for n in function.input[2:]}
        feed = found[0][0] if found else {"R": np.array(0.25, np.float32), "T": np.array(3), **arrays}
        model = one_call(function, opset, {n: a.shape for n, a in feed.items()})
        found.append((feed, in_onnxruntime(model, feed)))
    for _, results in found[1:]:
        for result, expected in zip(results, found[0][1], strict=True):
            np.testing.assert_allclose(result, expected, rtol=1e-6)


def one_call(function: onnx.FunctionProto, opset: int, shapes: dict[str, Any]) -> onnx.ModelProto:
    attributes: dict[str, Any] = dict.fromkeys(function.attribute, 0.5)
    node = helper.make_node(
        function.name, function.input, function.output, domain=NEUROMATIC_DOMAIN, **attributes
    )
    kinds = {n: TensorProto.INT64 if n == "T" else TensorProto.FLOAT for n in function.input}
    inputs = [helper.make_tensor_value_info(n, kinds[n], shapes[n]) for n in function.input]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (3, 3)) for n in function.output]
    model = helper.make_model(
        helper.make_graph([node], "update", inputs, outputs),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(NEUROMATIC_DOMAIN, 1)],
        functions=[function],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def test_states_have_keras_names() -> None:
    model = mlp(RMSprop(momentum=0.5, centered=True))
    assert model.recipe is not None
    ours = [n.removesuffix("/dense/bias") for n in model.recipe.updates if n.endswith("/dense/bias")]
    theirs = keras.optimizers.RMSprop(momentum=0.5, centered=True)
    theirs.build([keras.Variable(np.zeros(3), name="w")])
    assert ours == [v.name.removeprefix("w_") for v in theirs.variables[2:]]


# -- mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(momentum=1.0), r"SGD: momentum must be in \[0, 1\), got 1.0"),
        (lambda: SGD(momentum=-0.1), r"SGD: momentum must be in \[0, 1\), got -0.1"),
        (
            lambda: SGD(learning_rate=-1.0),
            r"SGD: learning_rate must be a finite number of at least 0 or a schedule, got -1",
        ),
        (
            lambda: SGD(learning_rate=float("nan")),
            r"learning_rate must be a finite number of at least 0 or a schedule, got nan",
        ),
        (lambda: Adam(learning_rate=float("inf")), r"Adam: learning_rate must be a finite number .* got inf"),
        (lambda: Adam(learning_rate=1e39), r"Adam: learning_rate must be a finite number .* got 1e\+39"),
        (lambda: Adam(learning_rate="fast"), r"Adam: learning_rate must be a finite number .* got 'fast'"),  # type: ignore[arg-type]
        (lambda: Adam(beta_1=1.0), r"Adam: beta_1 must be in \[0, 1\), got 1.0"),
        (lambda: Adam(beta_2=-1.0), r"Adam: beta_2 must be in \[0, 1\), got -1.0"),
        (lambda: Adam(epsilon=0.0), r"Adam: epsilon must be above 0, got 0.0"),
        (lambda: RMSprop(rho=1.0), r"RMSprop: rho must be in \[0, 1\), got 1.0"),
        (lambda: RMSprop(momentum=-0.5), r"RMSprop: momentum must be in \[0, 1\), got -0.5"),
        (lambda: RMSprop(epsilon=0.0), r"RMSprop: epsilon must be above 0, got 0.0"),
        (lambda: RMSprop(learning_rate=-1.0), r"RMSprop: learning_rate must be a finite number of at least"),
        (
            lambda: SGD(learning_rate=lambda step: 0.1),  # type: ignore[arg-type]
            r"SGD: learning_rate must be .* or a schedule, got <func",
        ),
        (lambda: SGD(nesterov=1), r"SGD: nesterov must be True or False, got 1"),  # type: ignore[arg-type]
        (lambda: SGD(weight_decay=-0.1), r"SGD: weight_decay must be .* of at least 0, or None, got -0.1"),
        (lambda: SGD(clipnorm=0.0), r"SGD: clipnorm must be above 0, or None, got 0.0"),
        (lambda: Adam(ema_momentum=1.0), r"Adam: ema_momentum must be in \[0, 1\), got 1.0"),
        (
            lambda: Adam(gradient_accumulation_steps=0),
            r"gradient_accumulation_steps must be an integer of at",
        ),
        (
            lambda: Adam(ema_overwrite_frequency=1.5),  # type: ignore[arg-type]
            r"ema_overwrite_frequency must be an integer of at least 1",
        ),
        (
            lambda: SGD(clipnorm=1.0, clipvalue=1.0),
            r"SGD: only one of clipnorm, clipvalue and global_clipnorm, got \['clipnorm', 'clipvalue'\]",
        ),
        (
            lambda: SGD(exclude_from_weight_decay="bias"),
            r"SGD: exclude_from_weight_decay must be a list of names, got 'bias'",
        ),
        (
            lambda: SGD(learning_rates={"w": -1.0}),
            r"SGD: learning_rates\['w'\] must be a finite number of at least 0, got -1.0",
        ),
        (lambda: optimizers.Lion(beta_1=0.0), r"Lion: beta_1 must be in \(0, 1\], got 0.0"),
        (lambda: optimizers.Ftrl(learning_rate_power=0.5), r"Ftrl: learning_rate_power must be .* at most 0"),
        (lambda: optimizers.AdamW(weight_decay=None), r"AdamW: weight_decay must be a finite number"),  # type: ignore[arg-type]
        (
            lambda: optimizers.ScheduleFreeAdamW(warmup_steps=-1),
            r"warmup_steps must be an integer of at least 0",
        ),
        (
            lambda: MultiOptimizer(SGD(), {"w": MultiOptimizer(SGD())}),
            r"MultiOptimizer: takes optimizers other than itself, got MultiOptimizer\(",
        ),
        (
            lambda: MultiOptimizer(SGD(), clipnorm=1.0),
            r"MultiOptimizer: give \['clipnorm'\] to its optimizers",
        ),
        (
            lambda: MultiOptimizer(SGD(loss_scale_factor=2.0)),
            r"MultiOptimizer: takes loss_scale_factor itself",
        ),
        (
            lambda: MultiOptimizer(SGD(0.0), {"w": SGD()}),
            r"the learning rate of the default .* must be above 0",
        ),
        (
            lambda: MultiOptimizer(SGD(), {"w": SGD(nm.schedules.CosineDecay(0.1, 5))}),
            r"MultiOptimizer: only the default optimizer can have a schedule, .* 'w' has CosineDecay\(",
        ),
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


def test_numbers_are_inputs_of_functions_before_opset_12() -> None:
    """Then there are no constants that are attributes of a function."""
    for opset, attributes, inputs in ((11, 0, 6), (12, 1, 5)):
        model = Model.from_proto(linear(opset=opset)).loss("mse").optimizer("sgd", momentum=0.5)
        nodes = model.proto.training_info[0].algorithm.node
        update = next(n for n in nodes if n.name == "update/w")
        assert (len(update.attribute), len(update.input)) == (attributes, inputs)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_of_float64_needs_opset_15(nesterov: bool) -> None:
    model = Model.from_proto(linear(opset=14, dtype="double")).loss("mse")
    with pytest.raises(RecipeError, match=r"optimizer SGD\w+ of float64 needs opset 15, the model has 14"):
        model.optimizer("sgd", momentum=0.9, nesterov=nesterov)
    assert model.optimizer("sgd").recipe is not None


@pytest.mark.parametrize("centered", [False, True])
def test_rmsprop_of_float64_needs_opset_15(centered: bool) -> None:
    model = Model.from_proto(linear(opset=14, dtype="double")).loss("mse")
    with pytest.raises(
        RecipeError, match=r"optimizer RMSprop\w* of float64 needs opset 15, the model has 14"
    ):
        model.optimizer("rmsprop", centered=centered)
    lower = Model.from_proto(linear(opset=12)).loss("mse").optimizer("rmsprop", centered=centered)
    assert lower.recipe is not None


def test_a_recorded_rmsprop_is_kept(tmp_path: Path) -> None:
    chosen = {"rho": 0.8, "momentum": 0.5, "centered": True}
    mlp(RMSprop(0.01)).optimizer("rmsprop", **chosen).save(tmp_path / "net.onnx")
    again = nm.load(tmp_path / "net.onnx").loss("mae").proto
    direct = nm.Sequential((4,)).dense(6, "tanh").dense(2).loss("mae").optimizer("rmsprop", **chosen).proto
    assert again.functions == direct.functions
    assert again.training_info == direct.training_info
