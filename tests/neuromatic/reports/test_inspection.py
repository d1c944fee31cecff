"""What is told of a model before training."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, helper, numpy_helper

import neuromatic as nm
from neuromatic.builder.model import Model
from neuromatic.ir.types import value_types
from neuromatic.reports import inspection
from tests.neuromatic.graphs import FLOAT, linear, parsed
from tests.neuromatic.transfer.test_lift_constants import HIDDEN


def convolutions(count: int, *, bias: bool = True, follower: str = "Relu") -> ModelProto:
    nodes, arrays = [], {}
    for i in range(count):
        names = [f"w{i}", *([f"b{i}"] if bias else [])]
        nodes.append(helper.make_node("Conv", [f"x{i}", *names], [f"c{i}"]))
        nodes.append(helper.make_node(follower, [f"c{i}"], [f"x{i + 1}"]))
        arrays |= {f"w{i}": np.ones((1, 1, 1, 1), np.float32), f"b{i}": np.ones(1, np.float32)}
    shape = ["N", 1, 4, 4]
    values = [helper.make_tensor_value_info(name, FLOAT, shape) for name in ("x0", f"x{count}")]
    stored = [numpy_helper.from_array(a, n) for n, a in arrays.items() if bias or n[0] == "w"]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def told(model: ModelProto, what: str) -> bool:
    return any(what in line for line in inspection.traces(model))


def test_folded_batch_normalization_is_noticed() -> None:
    assert told(convolutions(4), "probably folded")
    assert not told(convolutions(2), "probably folded")
    assert not told(convolutions(4, bias=False), "probably folded")
    assert not told(convolutions(4, follower="Floor"), "probably folded")
    ours = nm.Sequential((1, 8, 8))
    for _ in range(4):
        ours = ours.conv2d(2, 2, activation="relu")
    assert not told(ours.onnx(), "folded")


def test_removed_dropout_and_hidden_weights_are_noticed() -> None:
    assert told(convolutions(4), "no Dropout")
    assert not told(linear(), "no Dropout")
    assert told(parsed(HIDDEN), "2 weights are Constant nodes (w, b)")
    assert not told(linear(), "Constant")


def test_axes_and_integers() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> net (int64[4, 2] i, float[N, s] x) => (float[N, s] y) {
        y = Relu (x) }"""
    model = parsed(text)
    assert [(a["name"], a["dynamic"]) for a in inspection.axes(model)] == [("i", []), ("x", [0, 1])]
    assert told(model, "input 'i' (4, 2) has no rows: it is given whole")
    assert told(model, "input 'i' is int64")
    fixed = parsed(text.replace("[N, s]", "[4, 3]"))
    assert told(fixed, "input 'i' (4, 2) has a fixed batch: it is trained and run 4 rows at a time; ")


def test_runtimes_by_opset() -> None:
    counts = [len(inspection.runtime_notes(linear(opset=opset))) for opset in (17, 21, 22, 26, 27)]
    assert counts == [0, 0, 1, 2, 3]


def test_memory_is_counted_from_shapes() -> None:
    model = Model.from_proto(linear())
    types = value_types(model.proto)
    found = inspection.memory(model.proto, None, types)
    assert found == inspection.Memory(4 * 8, 2 * 4 * 8, 4 * 8, 4 * 32 * 2)
    assert found.as_data() == {
        "parameters": 32,
        "optimizer": 64,
        "gradients": 32,
        "activations": 256,
        "total": 384,
        "batch": 32,
    }
    trained = model.freeze("b").loss("mse").optimizer("sgd", momentum=0.9)
    found = inspection.memory(trained.proto, trained.recipe, types)
    assert (found.gradients, found.optimizer) == (4 * 6, 4 * 6 + 4 + 8)


def test_normalizations_and_dropouts_are_counted() -> None:
    model = nm.Sequential((3,)).batch_normalization().dropout(0.5).batch_normalization().onnx()
    frozen = frozenset({"batch_normalization_1/moving_mean"})
    assert inspection.normalizations(model, frozen) == {
        "batch_normalizations": 2,
        "frozen": 1,
        "dropouts": 1,
    }
