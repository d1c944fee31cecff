"""LSTM, GRU and RNN on CNTK in every form against onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.evaluate import run_model
from neuromatic.errors import UnsupportedFeatureError
from tests.neuromatic.graphs import in_onnxruntime

Array = NDArray[Any]
Attributes = dict[str, Any]
TIME, BATCH, FEATURES, HIDDEN = 5, 4, 3, 2
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
OUTPUTS = {"LSTM": ("Y", "Y_h", "Y_c"), "GRU": ("Y", "Y_h"), "RNN": ("Y", "Y_h")}
BY_ROW = ("X", "initial_h", "initial_c")
BACK = {"Y": (2, 0, 1, 3), "Y_h": (1, 0, 2), "Y_c": (1, 0, 2)}
"""From layout 0 to layout 1."""


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
        return OUTPUTS[self.op] if self.outputs is None else self.outputs

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
        drawn["sequence_lens"] = np.full(BATCH, TIME, np.int32)
        return {n: a for n, a in drawn.items() if n in ("X", "W", "R", *self.more)}

    def model(self, arrays: dict[str, Array], *, layout: int = 0, turned: bool = False) -> ModelProto:
        """A model of this node alone; ``turned``: with its data in batch-first form, transposed before it."""
        names = [name if name in arrays else "" for name in INPUTS[: len(INPUTS) if self.op == "LSTM" else 6]]
        nodes = []
        if turned:
            for name in [n for n in BY_ROW if n in arrays]:
                nodes.append(helper.make_node("Transpose", [name], [f"{name}_t"], perm=[1, 0, 2]))
                names[names.index(name)] += "_t"
        attributes = {**self.attributes, **({"layout": layout} if layout else {})}
        nodes.append(
            helper.make_node(
                self.op, names, self.results, hidden_size=HIDDEN, direction=self.direction, **attributes
            )
        )
        kinds = {n: helper.np_dtype_to_tensor_dtype(a.dtype) for n, a in arrays.items()}
        inputs = [helper.make_tensor_value_info(n, kinds[n], a.shape) for n, a in arrays.items()]
        outputs = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in self.results if o]
        graph = helper.make_graph(nodes, "single", inputs, outputs)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def expected(self, arrays: dict[str, Array]) -> dict[str, Array]:
        found = in_onnxruntime(self.model(arrays), arrays)
        return dict(zip((o for o in self.results if o), found, strict=True))


def batch_first(arrays: dict[str, Array]) -> dict[str, Array]:
    return {n: a.swapaxes(0, 1).copy() if n in BY_ROW else a for n, a in arrays.items()}


def assert_same(found: dict[str, Array], expected: dict[str, Array]) -> None:
    assert found.keys() == expected.keys()
    for name, wanted in expected.items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=2e-6, err_msg=name)


ALL = {
    "LSTM": ("B", "sequence_lens", "initial_h", "initial_c", "P"),
    "GRU": ("B", "sequence_lens", "initial_h"),
    "RNN": ("B", "sequence_lens", "initial_h"),
}
OPTIONS: dict[str, list[Attributes]] = {
    "LSTM": [{"clip": 0.5}, {"input_forget": 1}],
    "GRU": [{"clip": 0.5}, {"linear_before_reset": 1}],
    "RNN": [{"clip": 0.5}],
}
ACTIVATIONS: list[Attributes] = [
    *({"activations": [n]} for n in ("Relu", "Sigmoid", "Softsign", "Softplus")),
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
    *(Case(op, d, ALL[op]) for op in GATES for d in ("forward", "reverse", "bidirectional")),
    *(Case(op, "bidirectional", ALL[op], a) for op in GATES for a in OPTIONS[op]),
    *(Case(op, more=()) for op in GATES),
    Case("GRU", more=(), attributes={"linear_before_reset": 1}),
    Case("LSTM", more=("initial_h",)),
    Case("LSTM", more=("initial_c", "P")),
    *(Case("RNN", attributes=a) for a in ACTIVATIONS),
    Case("LSTM", "bidirectional", attributes=MIXED),
    *(Case(op, opset=opset) for op in GATES for opset in (7, 14, 22)),
    *(Case(op, outputs=("", "Y_h")) for op in GATES),
    Case("LSTM", outputs=("Y",)),
    Case("LSTM", outputs=("", "", "Y_c")),
]
LENGTHS = ("sequence_lens",)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_onnxruntime(case: Case, worker: Worker) -> None:
    """With CNTK's batch in the second axis of X and of the states, and with fixed shapes."""
    arrays = case.arrays()
    expected, turned = case.expected(arrays), batch_first(arrays)
    rows = [n for n in BY_ROW if n in arrays]
    model = case.model(turned, turned=True)
    assert_same(run_model(model, turned, worker, batched=rows, known=LENGTHS), expected)
    assert_same(run_model(case.model(arrays), arrays, worker, known=LENGTHS), expected)


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("op", GATES)
def test_layout_1_is_batch_first(op: str, batched: bool, worker: Worker) -> None:
    """onnxruntime has layout 0 alone."""
    case = Case(op, "bidirectional", ALL[op])
    arrays = case.arrays()
    turned = batch_first(arrays)
    rows = [n for n in BY_ROW if batched and n in arrays]
    found = run_model(case.model(turned, layout=1), turned, worker, batched=rows, known=LENGTHS)
    assert_same(found, {n: a.transpose(BACK[n]) for n, a in case.expected(arrays).items()})


def test_all_but_the_data_may_be_constant(worker: Worker) -> None:
    case = Case("LSTM", "reverse", ALL["LSTM"])
    arrays = case.arrays()
    known = [name for name in arrays if name != "X"]
    assert_same(run_model(case.model(arrays), arrays, worker, known=known), case.expected(arrays))


def test_a_stack_of_layers(worker: Worker) -> None:
    """What leaves one recurrence is an ordinary batch: it can be sliced, joined, and go into another one."""
    rng = np.random.default_rng(1)
    arrays = {"X": (BATCH, TIME, FEATURES), "W": (1, 8, FEATURES), "R": (1, 8, 2), "V": (1, 8, 5)}
    drawn = {n: rng.normal(size=s).astype(np.float32) for n, s in arrays.items()}
    nodes = [
        helper.make_node("Transpose", ["X"], ["x"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["x", "W", "R"], ["y"], hidden_size=2),
        helper.make_node("Squeeze", ["y", "one"], ["z"]),
        helper.make_node("Concat", ["z", "x"], ["both"], axis=-1),
        helper.make_node("LSTM", ["both", "V", "R"], ["", "h"], hidden_size=2, direction="reverse"),
        helper.make_node("Slice", ["both", "one", "two", "zero"], ["second"]),
    ]
    numbers = {"zero": [0], "one": [1], "two": [2]}
    stored = [helper.make_tensor(n, TensorProto.INT64, [1], v) for n, v in numbers.items()]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in drawn.items()]
    outputs = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in ("h", "second")]
    graph = helper.make_graph(nodes, "stack", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    names: list[str] = [o.name for o in outputs]
    expected = dict(zip(names, in_onnxruntime(model, drawn), strict=True))
    assert_same(run_model(model, drawn, worker, batched=["X"]), expected)


def test_initial_states_and_lengths_made_for_any_batch(worker: Worker) -> None:
    """As exporters write them: of a shape that depends on how many rows there are."""
    arrays = {n: a for n, a in Case("RNN").arrays().items() if n != "B"}
    arrays["X"] = arrays["X"].swapaxes(0, 1).copy()
    half = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.5])
    nodes = [
        helper.make_node("Transpose", ["X"], ["x"], perm=[1, 0, 2]),
        helper.make_node("Shape", ["X"], ["rows"], end=1),
        helper.make_node("Concat", ["one", "rows", "hidden"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["initial"], value=half),
        helper.make_node("Expand", ["time", "rows"], ["lengths"]),
        helper.make_node("RNN", ["x", "W", "R", "", "lengths", "initial"], ["Y"], hidden_size=HIDDEN),
    ]
    stored = [
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("hidden", TensorProto.INT64, [1], [HIDDEN]),
        helper.make_tensor("time", TensorProto.INT32, [1], [TIME]),
    ]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in arrays.items()]
    outputs = [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "any", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (expected,) = in_onnxruntime(model, arrays)
    assert_same(run_model(model, arrays, worker, batched=["X"]), {"Y": expected})


@pytest.mark.parametrize(
    ("attributes", "more", "known", "message"),
    [
        ({"direction": "back"}, (), (), "direction 'back', which is none of forward, reverse, bidirectional"),
        ({"activations": ["tanh"]}, (), (), "activation 'tanh', which is none of Affine, Elu"),
        ({"activations": ["Affine"]}, (), (), "activation Affine without values in activation_alpha"),
        ({}, ("sequence_lens",), (), "sequence_lens must be constant"),
        ({}, ("sequence_lens",), ("sequence_lens",), "sequences of fewer than all 5 steps"),
        ({}, ("initial_h",), ("initial_h",), r"initial states of shape \(1, 4, 2\) for a batch of any size"),
    ],
)
def test_what_is_refused(
    attributes: Attributes, more: tuple[str, ...], known: tuple[str, ...], message: str, worker: Worker
) -> None:
    arrays = Case("RNN", more=more).arrays()
    if "sequence_lens" in arrays:
        arrays["sequence_lens"] = np.array([5, 3, 5, 5], np.int32)
    arrays["X"] = arrays["X"].swapaxes(0, 1).copy()
    names = [name if name in arrays else "" for name in INPUTS[:6]]
    names[0] = "x"
    nodes = [
        helper.make_node("Transpose", ["X"], ["x"], perm=[1, 0, 2]),
        helper.make_node("RNN", names, ["Y"], name="layer", hidden_size=HIDDEN, **attributes),
    ]
    kinds = {n: helper.np_dtype_to_tensor_dtype(a.dtype) for n, a in arrays.items()}
    inputs = [helper.make_tensor_value_info(n, kinds[n], a.shape) for n, a in arrays.items()]
    outputs = [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "single", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(UnsupportedFeatureError, match=rf"cntk cannot do node 'layer' \(RNN-14\): {message}"):
        run_model(model, arrays, worker, batched=["X"], known=known)
