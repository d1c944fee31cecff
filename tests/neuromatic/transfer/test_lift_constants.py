"""Weights that exporters write as Constant nodes: which are lifted, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

import neuromatic as nm
from neuromatic.builder.model import Model
from neuromatic.transfer import lift_constants as lifting
from tests.neuromatic.graphs import in_onnxruntime, listing, parsed

Array = NDArray[Any]
OPTIONS = {"jit": False}
HIDDEN = """<ir_version: 8, opset_import: ["": 17]>
    net (float[N, 3] x) => (float[N, 2] y) {
        w = Constant <value = float[3, 2] {0.1, 0.2, 0.3, -0.4, 0.5, -0.6}> ()
        b = Constant <value_floats = [0.5, -0.5]> ()
        low = Constant <value = float {0.0}> ()
        two = Constant <value = float[1] {2.0}> ()
        shape = Constant <value = int64[2] {-1, 2}> ()
        product = MatMul (x, w)
        sum = Add (product, b)
        clipped = Clip (sum, low)
        scaled = Mul (clipped, two)
        y = Reshape (scaled, shape)
    }"""


def x(rows: int = 5) -> Array:
    return np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)


def test_weights_are_lifted_under_their_names_and_nothing_else_changes() -> None:
    model = parsed(HIDDEN)
    lifted = lifting.lift(model)
    onnx.checker.check_model(lifted, full_check=True)
    assert [t.name for t in lifted.graph.initializer] == ["w", "b"]
    kept = [n for n in model.graph.node if n.output[0] not in ("w", "b")]
    assert list(lifted.graph.node) == kept
    assert (lifted.graph.input, lifted.graph.output) == (model.graph.input, model.graph.output)
    np.testing.assert_array_equal(in_onnxruntime(lifted, {"x": x()})[0], in_onnxruntime(model, {"x": x()})[0])


def test_a_loss_lifts_the_weights_of_a_file_of_others(tmp_path: Path) -> None:
    onnx.save(parsed(HIDDEN), tmp_path / "hidden.onnx")
    model = nm.load(tmp_path / "hidden.onnx").loss("mse").optimizer("sgd", learning_rate=0.1)
    assert model.recipe is not None
    assert model.recipe.trainable == ("w", "b")
    before = model.parameters()
    model.train(x(), np.zeros((5, 2)), engine_options=OPTIONS, verbose=0)
    assert all((model.parameters()[name] != before[name]).any() for name in ("w", "b"))
    model.save(tmp_path / "trained.onnx")
    again = nm.load(tmp_path / "trained.onnx").loss("mae")
    assert again.recipe is not None
    assert again.recipe.trainable == ("w", "b")


def test_what_our_layers_write_as_constants_stays(tmp_path: Path) -> None:
    chain = nm.Sequential((5, 4)).append(nm.layers.SinePositionEncoding()).dense(2)
    chain.save(tmp_path / "ours.onnx")
    model = nm.load(tmp_path / "ours.onnx").loss("mse").optimizer("sgd")
    assert model.recipe is not None
    assert model.recipe.trainable == ("dense/kernel", "dense/bias")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("t = Transpose (c) y = MatMul (x, t)", ["c"]),
        ("y = Mul (x, c)", []),
        ("m = MatMul (c, c) y = Add (x, m)", []),
        ("i = Constant <value = int64[3] {0, 1, 0}> () g = Gather (c, i) y = MatMul (x, g)", []),
        ("i = ArgMax <keepdims = 0> (x) y = Gather (c, i)", ["c"]),
        ("y = Where (q, x, c)", []),
    ],
)
def test_by_where_a_constant_goes(text: str, expected: list[str]) -> None:
    q = "q = Constant <value = int32[1] {1}> () " if "Where" in text else ""
    values = ", ".join(["0.5"] * 9)
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17]> net (float[N, 3] x) => (float[N, 3] y) {{
            c = Constant <value = float[3, 3] {{{values}}}> () {q} {text} }}"""
    )
    assert lifting.liftable(model.graph) == expected


@pytest.mark.parametrize("value", [-1e9, -1e4, float("-inf"), float("nan")])
def test_masks_are_no_weights(value: float) -> None:
    model = parsed(HIDDEN)
    b = next(n for n in model.graph.node if n.output[0] == "b")
    b.attribute[0].floats[0] = value
    assert lifting.liftable(model.graph) == ["w"]


def test_an_output_stays_a_constant() -> None:
    model = parsed(HIDDEN)
    model.graph.output.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 2]))
    assert lifting.liftable(model.graph) == ["b"]


def test_before_ir_4_initializers_are_inputs_too() -> None:
    text = """<ir_version: 3, opset_import: ["": 9]> net (float[N, 2] x) => (float[N, 1] y) {
        w = Constant <value = float[2, 1] {0.1, 0.2}> () y = MatMul (x, w) }"""
    lifted = lifting.lift(parsed(text))
    onnx.checker.check_model(lifted, full_check=True)
    assert [i.name for i in lifted.graph.input] == ["x", "w"]


@given(
    shape=st.lists(st.integers(1, 4), min_size=0, max_size=3),
    dtype=st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.bool_]),
)
@settings(derandomize=True, deadline=None, max_examples=30, database=None)
def test_by_type_and_shape(shape: list[int], dtype: Any) -> None:
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.ones(shape, dtype)))
    nodes = [constant, helper.make_node("Add", ["x", "c"], ["y"])]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    values = [helper.make_tensor_value_info(name, kind, None) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:])
    wanted = np.dtype(dtype).kind == "f" and len(shape) > 0 and np.prod(shape) > 1
    assert lifting.liftable(graph) == (["c"] if wanted else [])


def tied() -> ModelProto:
    """An embedding whose table, transposed, is the last product, too."""
    text = """<ir_version: 8, opset_import: ["": 17]>
        net (int64[N, 4] tokens) => (float[N, 4, 6] y) {
            h = Gather (table, tokens)
            t = Transpose <perm = [1, 0]> (table)
            y = MatMul (h, t)
        }"""
    table = np.random.default_rng(3).normal(size=(6, 5)).astype(np.float32)
    return parsed(text, table=table)


def test_tied_weights_stay_tied() -> None:
    model = Model.from_proto(tied()).loss("mse").optimizer("sgd", learning_rate=0.5)
    tokens = np.random.default_rng(0).integers(0, 6, (3, 4))
    target = np.random.default_rng(1).normal(size=(3, 4, 6)).astype(np.float32)
    table = model.parameters()["table"].astype(np.float64)
    model.train(tokens, target, engine_options=OPTIONS, verbose=0, shuffle=False)
    assert listing(model.proto.graph.node) == listing(tied().graph.node)
    assert list(model.parameters()) == ["table"]
    h = table[tokens]
    slope = 2 * (h @ table.T - target) / target.size
    gradient = np.einsum("ntv,ntd->vd", slope, h)
    np.add.at(gradient, tokens, slope @ table)
    np.testing.assert_allclose(model.parameters()["table"], table - 0.5 * gradient, rtol=1e-4, atol=1e-6)
