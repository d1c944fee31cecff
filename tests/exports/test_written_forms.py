"""Small files as exporters write them: what is taken for a constant, and what gets its inference form."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto

import neuromatic as nm
from neuromatic.converters.lowering import plan_outputs
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.errors import UnsupportedOpError
from neuromatic.transfer import imported_models as preparing
from tests.neuromatic.graphs import listing, parsed

W = np.ones((3, 2), np.float32)
SCALED = """<ir_version: 8, opset_import: ["": 17], producer_name: "PRODUCER">
    net (float[N, 3] x) => (float[N, 2] y) { h = MatMul(x, w)  y = Mul(h, scale) }"""
NORMALIZED = """<ir_version: 8, opset_import: ["": 17], producer_name: "others">
    net (float[N, 3] x) => (float[N, 2] y) <bool on = {1}, float ratio = {0.5}> {
        h = MatMul(x, w)
        n, mean, var = BatchNormalization <training_mode = 1> (h, gamma, beta, m, v)
        BODY
    }"""
STATISTICS = {name: np.ones(2, np.float32) for name in ("gamma", "beta", "m", "v")}


def trainable(model: ModelProto) -> set[str]:
    recipe = nm.Model.from_proto(model).loss("mse").optimizer("sgd").recipe
    assert recipe is not None
    return set(recipe.trainable)


@pytest.mark.parametrize(
    ("producer", "trained"), [("", False), ("neuromatic", True), ("pytorch", True), ("tf2onnx", False)]
)
def test_single_numbers_are_parameters_where_the_producer_says_so(producer: str, trained: bool) -> None:
    model = parsed(SCALED.replace("PRODUCER", producer), w=W, scale=np.array(2, np.float32))
    assert trainable(model) == ({"w", "scale"} if trained else {"w"})


def test_a_number_with_a_name_that_no_module_gives_is_a_constant() -> None:
    model = parsed(SCALED.replace("PRODUCER", "pytorch"), w=W, scale=np.array(2, np.float32))
    model.graph.initializer[1].name = model.graph.node[1].input[1] = "/Constant_1_output_0"
    assert trainable(model) == {"w"}


def test_nodes_in_training_form_get_their_inference_form() -> None:
    body = "y = Dropout(n, ratio, on)"
    model = parsed(NORMALIZED.replace("BODY", body), w=W, **STATISTICS)
    ready = preparing.for_training(model)
    assert listing(ready.graph.node) == [
        "h = MatMul(x, w)",
        "n = BatchNormalization(h, gamma, beta, m, v)",
        "y = Dropout(n, ratio)",
    ]
    assert not [a for node in ready.graph.node for a in node.attribute if a.name == "training_mode"]


def test_statistics_that_the_graph_uses_stay() -> None:
    model = parsed(NORMALIZED.replace("BODY", "y = Add(n, mean)"), w=W, **STATISTICS)
    assert preparing.for_training(model) is model


def test_a_model_with_a_recipe_or_by_neuromatic_stays() -> None:
    model = parsed(NORMALIZED.replace("BODY", "y = Dropout(n, ratio, on)"), w=W, **STATISTICS)
    model.producer_name = "neuromatic"
    assert preparing.for_training(model) is model


def test_outputs_without_lowering_are_left_out_unless_they_are_all() -> None:
    text = """<ir_version: 8, opset_import: ["": 17, "ai.onnx.ml": 3]>
        net (float[N, 3] x) => (float[N, 2] y, float[M, 3] z) {
            y = MatMul(x, w)  z = ai.onnx.ml.SVMRegressor (x)
        }"""
    model = parsed(text, w=W)
    assert plan_outputs(model, ops)[1] == ("y",)
    del model.graph.output[0]
    with pytest.raises(UnsupportedOpError, match=r"SVMRegressor"):
        plan_outputs(model, ops)
