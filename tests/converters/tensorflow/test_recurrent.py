"""LSTM, GRU and RNN in every form against onnxruntime, and their training against Keras.

Gradients are compared with differences in ``tests/conformance/gradient_cases.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

import neuromatic as nm
from neuromatic.converters import lowering
from neuromatic.converters.tensorflow import _recurrence, execution, program
from neuromatic.converters.tensorflow.context import TensorFlowContext
from neuromatic.converters.tensorflow.evaluate import run_model
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.converters.tensorflow.module import OnnxModule
from neuromatic.data import Field
from neuromatic.errors import UnsupportedFeatureError
from neuromatic.recipe.compose import algorithm_builder
from neuromatic.recipe.trainable import trainable_names
from tests.neuromatic.graphs import in_onnxruntime
from tests.neuromatic.recurrent import bidirectional_gru_classifier, lstm_classifier

Array = NDArray[Any]
Attributes = dict[str, Any]
TIME, BATCH, FEATURES, HIDDEN = 5, 4, 3, 2
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
INPUTS = {
    "LSTM": ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"),
    "GRU": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "RNN": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
}
OUTPUTS = {"LSTM": ("Y", "Y_h", "Y_c"), "GRU": ("Y", "Y_h"), "RNN": ("Y", "Y_h")}
LENGTHS = np.array([3, 0, TIME, 1], np.int32)


@dataclass(frozen=True)
class Case:
    """A node with the inputs of these names, besides X, W and R, in that direction."""

    op: str
    direction: str = "forward"
    more: tuple[str, ...] = ("B",)
    attributes: Attributes = field(default_factory=dict)
    outputs: tuple[str, ...] | None = None
    opset: int = 17

    def __str__(self) -> str:
        attributes = ",".join(f"{k}={v}" for k, v in self.attributes.items())
        return f"{self.op}-{self.opset}-{self.direction}-{'+'.join(self.more)}-{attributes}".replace(" ", "")

    @property
    def results(self) -> tuple[str, ...]:
        return self.outputs if self.outputs is not None else OUTPUTS[self.op]

    def arrays(self) -> dict[str, Array]:
        """Its inputs by name, as layout 0 has them."""
        rng = np.random.default_rng(5)
        directions, gates = 2 if self.direction == "bidirectional" else 1, GATES[self.op] * HIDDEN
        state = (directions, BATCH, HIDDEN)
        shapes = {
            "X": (TIME, BATCH, FEATURES),
            "W": (directions, gates, FEATURES),
            "R": (directions, gates, HIDDEN),
            "B": (directions, 2 * gates),
            "initial_h": state,
            "initial_c": state,
            "P": (directions, 3 * HIDDEN),
        }
        drawn: dict[str, Array] = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
        drawn["sequence_lens"] = LENGTHS
        return {n: a for n, a in drawn.items() if n in ("X", "W", "R", *self.more)}

    def model(self, arrays: dict[str, Array], layout: int = 0) -> ModelProto:
        """A model of this node alone, for arrays of these types and shapes."""
        names = [name if name in arrays else "" for name in INPUTS[self.op]]
        attributes = {**self.attributes, **({"layout": layout} if layout else {})}
        node = helper.make_node(
            self.op, names, self.results, hidden_size=HIDDEN, direction=self.direction, **attributes
        )
        return single(node, arrays, self.opset)


def single(node: NodeProto, arrays: dict[str, Array], opset: int = 17) -> ModelProto:
    kinds = {n: helper.np_dtype_to_tensor_dtype(a.dtype) for n, a in arrays.items()}
    inputs = [helper.make_tensor_value_info(n, kinds[n], a.shape) for n, a in arrays.items()]
    outputs = [helper.make_tensor_value_info(o, kinds["X"], None) for o in node.output if o]
    graph = helper.make_graph([node], "single", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


DIRECTIONS = ("forward", "reverse", "bidirectional")
EXTRAS: dict[str, list[tuple[str, ...]]] = {
    "GRU": [(), ("B",), ("B", "initial_h"), ("sequence_lens",), ("B", "sequence_lens", "initial_h")],
    "LSTM": [
        *((), ("B",), ("B", "initial_h"), ("initial_c", "P"), ("sequence_lens",)),
        ("B", "sequence_lens", "initial_h", "initial_c", "P"),
    ],
}
EXTRAS["RNN"] = EXTRAS["GRU"]
OPTIONS: dict[str, list[Attributes]] = {
    "LSTM": [{"input_forget": 1}, {"clip": 0.5}, {"clip": 0.5, "input_forget": 1}],
    "GRU": [{"linear_before_reset": 1}, {"clip": 0.5}, {"linear_before_reset": 1, "clip": 0.5}],
    "RNN": [{"clip": 0.5}],
}
ACTIVATIONS: list[Attributes] = [
    *({"activations": [n]} for n in ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus")),
    *({"activations": [n]} for n in ("LeakyRelu", "Elu", "HardSigmoid")),
    *({"activations": [n], "activation_alpha": [0.3]} for n in ("LeakyRelu", "ThresholdedRelu", "Elu")),
    *(
        {"activations": [n], "activation_alpha": [0.3], "activation_beta": [0.7]}
        for n in ("HardSigmoid", "Affine", "ScaledTanh")
    ),
]
MIXED = {  # alpha and beta go to those that have a use for them, in order
    "activations": ["HardSigmoid", "Tanh", "LeakyRelu", "Sigmoid", "ScaledTanh", "Elu"],
    "activation_alpha": [0.3, 0.2, 0.8, 0.5],
    "activation_beta": [0.4, 0.6],
}
CASES = [
    *(Case(op, d, more) for op in GATES for d in DIRECTIONS for more in EXTRAS[op]),
    *(Case(op, d, EXTRAS[op][-1], a) for op in GATES for d in DIRECTIONS for a in OPTIONS[op]),
    *(Case("GRU", "forward", more, {"linear_before_reset": 1}) for more in EXTRAS["GRU"]),
    *(Case("RNN", "forward", ("B",), a) for a in ACTIVATIONS),
    Case("LSTM", "bidirectional", ("B",), MIXED),
    Case("GRU", "bidirectional", ("B",), {**MIXED, "activations": MIXED["activations"][:4]}),  # type: ignore[index]
    *(Case(op, "bidirectional", opset=opset) for op in GATES for opset in (7, 13, 14, 22)),
    *(Case(op, outputs=("", "Y_h")) for op in GATES),
    *(Case(op, more=("sequence_lens",), outputs=("Y",)) for op in GATES),
    Case("LSTM", outputs=("", "", "Y_c")),
]


def by_name(case: Case, results: list[Array]) -> dict[str, Array]:
    return dict(zip((o for o in case.results if o), results, strict=True))


def assert_same(found: dict[str, Array], expected: dict[str, Array]) -> None:
    assert found.keys() == expected.keys()
    for name, wanted in expected.items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("unrolled", [True, False], ids=["unrolled", "loop"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_onnxruntime(case: Case, unrolled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_recurrence, "MOST_UNROLLED", TIME if unrolled else 0)
    arrays = case.arrays()
    model = case.model(arrays)
    assert_same(run_model(model, arrays), by_name(case, in_onnxruntime(model, arrays)))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("op", GATES)
def test_layout_1_is_batch_first(op: str, direction: str) -> None:
    """onnxruntime has layout 0 alone."""
    case = Case(op, direction, EXTRAS[op][-1])
    arrays = case.arrays()
    expected = by_name(case, in_onnxruntime(case.model(arrays), arrays))
    turned = {n: a.swapaxes(0, 1) if n in ("X", "initial_h", "initial_c") else a for n, a in arrays.items()}
    order = {"Y": (2, 0, 1, 3), "Y_h": (1, 0, 2), "Y_c": (1, 0, 2)}
    found = run_model(case.model(turned, layout=1), turned)
    assert_same(found, {n: a.transpose(order[n]) for n, a in expected.items()})


@pytest.mark.parametrize("known", [("W", "R", "B"), ("sequence_lens",), tuple(INPUTS["LSTM"])], ids=str)
def test_inputs_may_be_constants(known: tuple[str, ...]) -> None:
    case = Case("LSTM", "reverse", EXTRAS["LSTM"][-1])
    arrays = case.arrays()
    model = case.model(arrays)
    expected = by_name(case, in_onnxruntime(model, arrays))
    assert_same(run_model(model, arrays, known=known), expected)
    assert_same(run_model(model, arrays, known=known, eager=True), expected)


def test_the_threshold_is_1_by_default_as_onnx_says() -> None:
    """onnxruntime takes 0."""
    case = Case("RNN", more=(), attributes={"activations": ["ThresholdedRelu"]})
    arrays = case.arrays()
    arrays["X"] = arrays["X"][:1]
    x = arrays["X"][0] @ arrays["W"][0].T
    assert ((x > 0) & (x < 1)).any()
    np.testing.assert_allclose(run_model(case.model(arrays), arrays)["Y_h"][0], np.where(x >= 1, x, 0), 1e-5)


def test_lengths_that_are_known_to_be_full_cost_nothing() -> None:
    case = Case("GRU", more=("sequence_lens",))
    arrays = {**case.arrays(), "sequence_lens": np.full(BATCH, TIME, np.int32)}
    model = case.model(arrays)
    found = run_model(model, arrays, known=["sequence_lens"])
    assert_same(found, by_name(case, in_onnxruntime(model, arrays)))
    plan = lowering.plan(model, ops)

    def results(x: Any) -> Any:
        values = {**arrays, "X": x}
        lowering.run(plan, values, TensorFlowContext(values=values), execution.call)
        return values["Y"]

    graph = tf.function(results, autograph=False).get_concrete_function(tf.constant(arrays["X"])).graph
    assert not [op for op in graph.get_operations() if op.type.startswith("Select")]


@pytest.mark.parametrize("unrolled", [True, False], ids=["unrolled", "loop"])
@pytest.mark.parametrize("op", GATES)
def test_compiled_with_xla(op: str, unrolled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_recurrence, "MOST_UNROLLED", TIME if unrolled else 0)
    case = Case(op, "bidirectional", EXTRAS[op][-1])
    arrays = case.arrays()
    model = case.model(arrays)
    assert_same(run_model(model, arrays, jit=True), by_name(case, in_onnxruntime(model, arrays)))


@pytest.mark.parametrize("time", [1, 7, 40])
@pytest.mark.parametrize("build", [lstm_classifier, bidirectional_gru_classifier])
def test_any_number_of_steps_in_one_graph(build: Any, time: int) -> None:
    model = build("time")
    kind = Field("x", np.dtype(np.float32), (None, None, 3))
    module = OnnxModule(model, [t.name for t in model.graph.initializer], [kind], {"x": "x"})
    x = np.random.default_rng(time).normal(size=(2, time, 3)).astype(np.float32)
    found = module.serve(tf.constant(x))["probabilities"]
    np.testing.assert_allclose(found, in_onnxruntime(model, {"x": x})[0], rtol=1e-5)


@pytest.mark.parametrize("layout", [0, 1])
def test_a_sequence_of_no_steps_keeps_its_state(layout: int) -> None:
    case = Case("LSTM", more=("initial_h", "initial_c"))
    arrays = case.arrays()
    arrays["X"] = arrays["X"][:0]
    if layout:
        arrays = {n: a.swapaxes(0, 1) if n not in ("W", "R") else a for n, a in arrays.items()}
    found = run_model(case.model(arrays, layout), arrays)
    assert found["Y"].shape == ((BATCH, 0, 1, HIDDEN) if layout else (0, 1, BATCH, HIDDEN))
    np.testing.assert_array_equal(found["Y_h"], arrays["initial_h"])
    np.testing.assert_array_equal(found["Y_c"], arrays["initial_c"])


@pytest.mark.parametrize("op", GATES)
def test_narrow_floats_stay_narrow(op: str) -> None:
    case = Case(op, "bidirectional", EXTRAS[op][-1], opset=22)
    arrays = case.arrays()
    expected = run_model(case.model(arrays), arrays)
    narrow = {n: a.astype(np.float16) if a.dtype.kind == "f" else a for n, a in arrays.items()}
    for name, value in run_model(case.model(narrow), narrow).items():
        assert value.dtype == np.float16
        np.testing.assert_allclose(value.astype(np.float32), expected[name], atol=2e-2)


@pytest.mark.parametrize(
    ("op", "attributes", "message"),
    [
        ("RNN", {"direction": "back"}, "direction 'back' is none of forward, reverse, bidirectional"),
        (
            "RNN",
            {"activations": ["tanh"]},
            "activation 'tanh' is none of Affine, Elu, HardSigmoid, LeakyRelu",
        ),
        (
            "GRU",
            {"activations": ["Sigmoid"]},
            r"direction 'forward' needs 2 activations, it has \['Sigmoid'\]",
        ),
        (
            "RNN",
            {"activations": ["ScaledTanh"], "activation_alpha": [0.5]},
            "activation ScaledTanh needs a value in activation_alpha and activation_beta",
        ),
    ],
)
def test_what_is_refused(op: str, attributes: Attributes, message: str) -> None:
    arrays = Case(op).arrays()
    node = helper.make_node(op, ["X", "W", "R"], ["Y"], name="layer", hidden_size=HIDDEN, **attributes)
    with pytest.raises(UnsupportedFeatureError, match=rf"tensorflow: node 'layer' \({op}-14\): {message}"):
        run_model(single(node, arrays), arrays)


# -- what is trained ---------------------------------------------------------------------------------------


def _with_initializers(opset: int) -> ModelProto:
    arrays = Case("LSTM", more=INPUTS["LSTM"]).arrays()
    model = Case("LSTM", more=INPUTS["LSTM"], opset=opset).model(arrays)
    for info in [i for i in model.graph.input if i.name != "X"]:
        model.graph.input.remove(info)
        tensor = helper.make_tensor(
            info.name,
            info.type.tensor_type.elem_type,
            arrays[info.name].shape,
            arrays[info.name].tobytes(),
            raw=True,
        )
        model.graph.initializer.append(tensor)
    return model


@pytest.mark.parametrize("opset", [7, 13, 14, 17, 22])
def test_weights_and_initial_states_are_trained(opset: int) -> None:
    """From version 14 on the schema calls initial states not differentiable, which they are."""
    model = _with_initializers(opset)
    found = trainable_names(model, model.graph.node, "Y", algorithm_builder(model))
    assert set(found) == {"W", "R", "B", "P", "initial_h", "initial_c"}


CLASSIFIERS = {"lstm": lstm_classifier, "gru": bidirectional_gru_classifier}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_all_parameters_of_a_classifier_are_trained(name: str) -> None:
    model = CLASSIFIERS[name]()
    names = trainable_names(model, model.graph.node, "probabilities", algorithm_builder(model))
    expected = [f"{name}/kernel", f"{name}/recurrent_kernel", f"{name}/bias", "dense/kernel", "dense/bias"]
    assert names == expected
    assert [t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT] == expected


# -- training ----------------------------------------------------------------------------------------------

STEPS, ROWS, UNITS, CLASSES = 10, 8, 5, 4


def keras_gates(array: Array, op: str) -> Array:
    """ONNX' rows of gates (i o f c; z r h) as Keras' columns (i f c o; z r h)."""
    parts = np.split(array, GATES[op])
    return np.concatenate([parts[i] for i in ((0, 2, 3, 1) if op == "LSTM" else (0, 1, 2))]).T


def keras_weights(parameters: dict[str, Array], name: str, direction: int, reset_after: bool) -> list[Array]:
    """Kernel, recurrent kernel and bias of one direction.

    ONNX has two biases, Keras one unless a GRU resets after its product: else the second one is the kernel's
    row of a feature that is always 1.
    """
    bias, recurrent_bias, kernel, recurrent_kernel = (
        keras_gates(array, name.upper())
        for array in (
            *np.split(parameters[f"{name}/bias"][direction], 2),
            parameters[f"{name}/kernel"][direction],
            parameters[f"{name}/recurrent_kernel"][direction],
        )
    )
    if reset_after:
        return [kernel, recurrent_kernel, np.stack([bias, recurrent_bias])]
    return [np.concatenate([kernel, recurrent_bias[None]]), recurrent_kernel, bias]


def twin_of(parameters: dict[str, Array], name: str, reset_after: bool) -> keras.Model:
    """Keras' layers with the same weights."""
    layers = keras.layers
    x = keras.Input((None, FEATURES if reset_after else FEATURES + 1))
    gru = layers.Bidirectional(layers.GRU(UNITS, reset_after=reset_after))
    recurrent = layers.LSTM(UNITS) if name == "lstm" else gru
    dense = layers.Dense(CLASSES, "softmax")
    twin = keras.Model(x, dense(recurrent(x)))
    directions = range(len(parameters[f"{name}/bias"]))
    recurrent.set_weights([w for d in directions for w in keras_weights(parameters, name, d, reset_after)])
    dense.set_weights([parameters["dense/kernel"], parameters["dense/bias"]])
    return twin


def examples(time: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(2)
    labels = rng.integers(CLASSES, size=STEPS * ROWS)
    x = rng.normal(size=(STEPS * ROWS, time, FEATURES)) + labels[:, None, None] / 2 - 0.75
    return x.astype(np.float32), labels


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("unrolled", [True, False], ids=["unrolled", "loop"])
@pytest.mark.parametrize(("name", "reset_after"), [("lstm", False), ("gru", False), ("gru", True)])
def test_it_trains_as_in_keras(
    name: str, reset_after: bool, unrolled: bool, jit: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_recurrence, "MOST_UNROLLED", TIME if unrolled else 0)
    monkeypatch.setattr(program, "MOST_STEPS", STEPS // 2)  # a call compiled with XLA runs exactly so many
    options = {"linear_before_reset": reset_after} if name == "gru" else {}
    onnx.save(CLASSIFIERS[name](TIME, **options), tmp_path / "net.onnx")
    model = nm.load(tmp_path / "net.onnx").loss("sparse_categorical_crossentropy")
    model = model.optimizer("sgd", learning_rate=0.5, momentum=0.5)
    twin = twin_of(model.parameters(), name, reset_after)
    twin.compile(keras.optimizers.SGD(0.5, 0.5), loss="sparse_categorical_crossentropy")
    x, y = examples(TIME)
    for_keras = x if reset_after else np.concatenate([x, np.ones_like(x[..., :1])], axis=-1)
    history = model.train(x, y, batch_size=ROWS, shuffle=False, verbose=0, engine_options={"jit": jit})
    losses = []
    for i in range(STEPS):
        rows = slice(i * ROWS, (i + 1) * ROWS)
        twin.reset_metrics()
        losses.append(float(twin.train_on_batch(for_keras[rows], y[rows])))
    np.testing.assert_allclose(history.step_losses, losses, rtol=1e-4, atol=1e-4)
    assert losses[-1] < losses[0] - 0.05
    np.testing.assert_allclose(model.predict(x), np.asarray(twin(for_keras)), rtol=1e-3, atol=1e-4)
