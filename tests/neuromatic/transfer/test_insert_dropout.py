"""Dropout put back: where, that inference stays, and that training drops."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import neuromatic as nm
from neuromatic.builder.model import Model
from neuromatic.errors import UnknownNameError
from tests.neuromatic.graphs import listing, parsed
from tests.neuromatic.transfer.test_replace_head import images, vision

OPTIONS = {"jit": False}


@pytest.mark.parametrize("opset", [9, 11, 13, 17])
def test_inference_stays(opset: int) -> None:
    proto = vision()
    proto.opset_import[0].version = opset
    model = Model.from_proto(proto).insert_dropout("fl*", "act*", rate=0.4)
    onnx.checker.check_model(model.proto, full_check=True)
    dropouts = [n for n in model.proto.graph.node if n.op_type == "Dropout"]
    assert [n.input[0] for n in dropouts] == ["active", "flat"]
    assert [n.input[0] for n in model.proto.graph.node if n.op_type in ("Gemm", "GlobalAveragePool")] == [
        n.output[0] for n in dropouts
    ]
    np.testing.assert_array_equal(model.predict(images()), Model.from_proto(vision()).predict(images()))


def test_training_drops_what_it_says() -> None:
    """With a weight of 1 and a target of 0, the loss of a step is the mean of the squares of what is left."""
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[N, 1] x) => (float[N, 1] y) {
        h = Relu (x) y = MatMul (h, w) }"""
    proto = parsed(text, w=np.ones((1, 1), np.float32))
    model = Model.from_proto(proto).insert_dropout("h", rate=0.75).loss("mse").optimizer("sgd")
    history = model.train(
        np.ones((4096, 1)), np.zeros((4096, 1)), batch_size=4096, engine_options=OPTIONS, verbose=0
    )
    assert history.step_losses[0] == pytest.approx(4.0, rel=0.15)


def test_a_pattern_may_name_nodes_and_inputs_and_a_value_is_taken_once() -> None:
    model = nm.Sequential((3,)).dense(2, activation="relu").dense(1).build()
    changed = model.insert_dropout("*Relu", "dense/Relu", "input", rate=0.5)
    taken = [n.input[0] for n in changed.proto.graph.node if n.op_type == "Dropout"]
    assert taken == ["input", "dense/Relu"]
    assert changed.proto.graph.node[1].input[0] == "input"


def test_the_recipe_and_the_state_of_its_optimizer_stay() -> None:
    model = nm.Sequential((3,)).dense(2).dense(1).loss("mse").optimizer("sgd", momentum=0.9).metrics("mae")
    model.train(np.ones((4, 3)), np.ones((4, 1)), engine_options=OPTIONS, verbose=0)
    changed = model.insert_dropout("dense/Gemm", rate=0.3)
    assert changed.recipe is not None
    assert [m.name for m in changed.recipe.metrics] == ["mean_absolute_error"]
    stored = [{t.name: t for t in m.proto.training_info[0].algorithm.initializer} for m in (model, changed)]
    assert stored[0] == stored[1]
    assert any(name.endswith("dense/kernel") for name in stored[0])


def test_graphs_inside_nodes_take_it_too() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[N, 2] x, bool c) => (float[N, 2] y) {
        h = Relu (x)
        y = If (c) <then_branch = a () => (float[N, 2] p) { p = MatMul (h, w) },
                    else_branch = b () => (float[N, 2] q) { q = Identity (h) }>
    }"""
    proto = parsed(text, w=np.ones((2, 2), np.float32))
    changed = Model.from_proto(proto).insert_dropout("h").proto
    branches = [a.g.node[0].input[0] for a in changed.graph.node[-1].attribute]
    assert branches == ["h/dropout/Dropout"] * 2


def test_what_is_refused() -> None:
    model = Model.from_proto(vision())
    with pytest.raises(UnknownNameError, match="there is no value or node of floats named 'conv_weight'"):
        model.insert_dropout("conv_weight")
    with pytest.raises(ValueError, match="no node takes 'logits'"):
        model.insert_dropout("logits")
    with pytest.raises(ValueError, match="rate must be a number from 0 to 1, got 2"):
        model.insert_dropout("flat", rate=2)
    with pytest.raises(ValueError, match="name the values to put it behind"):
        model.insert_dropout()
    assert listing(model.proto.graph.node) == listing(vision().graph.node)
