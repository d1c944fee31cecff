"""A model with a Scan, a branch and a quantised layer is trained, and onnxruntime agrees with the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import neuromatic as nm

rng = np.random.default_rng(0)


def _value(name: str, shape: list[Any] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _model() -> onnx.ModelProto:
    """h = tanh(h R + dequantised(x W)) over time; y = h U, doubled where its mean is positive."""
    node = helper.make_node
    cell = helper.make_graph(
        [node("MatMul", ["h", "R"], ["hr"]), node("Add", ["hr", "row"], ["s"]), node("Tanh", ["s"], ["new"])],
        "cell",
        [_value("h", [None, 4]), _value("row", [None, 4])],
        [_value("new", [None, 4])],
    )
    then = helper.make_graph([node("Add", ["hu", "hu"], ["twice"])], "then", [], [_value("twice", None)])
    other = helper.make_graph([node("Identity", ["hu"], ["once"])], "other", [], [_value("once", None)])
    nodes = [
        node("MatMul", ["x", "W"], ["xw"]),
        node("QuantizeLinear", ["xw", "scale", "zero_point"], ["q"]),
        node("DequantizeLinear", ["q", "scale", "zero_point"], ["xd"]),
        *(node("Shape", ["x"], ["rows"], start=0, end=1), node("Concat", ["rows", "four"], ["size"], axis=0)),
        node("ConstantOfShape", ["size"], ["h0"]),
        node("Scan", ["h0", "xd"], ["last"], body=cell, num_scan_inputs=1, scan_input_axes=[1]),
        node("MatMul", ["last", "U"], ["hu"]),
        *(node("ReduceMean", ["hu"], ["mean"], keepdims=0), node("Greater", ["mean", "zero"], ["positive"])),
        node("If", ["positive"], ["y"], then_branch=then, else_branch=other),
    ]
    weights = {
        name: rng.normal(size=shape).astype(np.float32) / 2
        for name, shape in (("W", (3, 4)), ("R", (4, 4)), ("U", (4, 2)))
    }
    stored = {
        **weights,
        "four": np.array([4]),
        "zero": np.array(0, np.float32),
        "scale": np.array(0.05, np.float32),
        "zero_point": np.array(0, np.int8),
    }
    initializers = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "g", [_value("x", ["N", 6, 3])], [_value("y", ["N", 2])], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_training_reaches_what_a_scan_and_a_branch_take(tmp_path: Path) -> None:
    onnx.save(_model(), tmp_path / "m.onnx")
    model = nm.load(tmp_path / "m.onnx").loss("mse").optimizer("adam", learning_rate=0.02)
    before = model.parameters()
    x = rng.normal(size=(64, 6, 3)).astype(np.float32)
    y = x.sum(1)[:, :2] / 5
    history = model.train(x, y, epochs=8, batch_size=16, engine="tensorflow")
    losses = history.history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert history.difference is not None
    assert history.difference < 1e-4
    after = model.parameters()
    for name in ("R", "U"):
        assert not np.array_equal(before[name], after[name]), name
