"""GraphBuilder: names, types, constants, parameters and what it refuses."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from neuromatic.errors import ModelError, ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.opsets import OpsetTooLowError, ir_version_for
from neuromatic.ir.values import Shape, Value, dtype_name, shape_text
from neuromatic.layers.base import at_lowest_opset

FLOAT = TensorProto.FLOAT


def builder(*shape: int | str | None, opset: int = 17) -> tuple[GraphBuilder, Value]:
    g = GraphBuilder(opset=opset)
    return g, g.input("x", FLOAT, shape or ("batch", 3))


def ones(
    rng: np.random.Generator, shape: tuple[int, ...]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.ones(shape)


# -- names -------------------------------------------------------------------------------------------


def test_nodes_are_named_after_layer_and_operator_and_numbered() -> None:
    g, x = builder()
    assert g.add("Relu", x).name == "Relu"
    with g.layer("hidden"):
        assert [g.add("Relu", x).name, g.add("Relu", x).name] == ["hidden/Relu", "hidden/Relu_1"]
        with g.layer("inner"):
            assert g.add("Relu", x).name == "inner/Relu"
        assert g.scope == "hidden"
    assert g.scope == ""


def test_a_node_never_takes_the_name_of_a_value() -> None:
    g, _ = builder()
    x = g.input("Relu", FLOAT, ("batch",))
    assert g.add("Relu", x).name == "Relu_1"


def test_two_values_of_one_name_are_refused() -> None:
    g, _ = builder()
    with pytest.raises(ModelError, match="two values are named 'x'; names in a graph are unique"):
        g.input("x", FLOAT, (1,))


def test_several_outputs_get_names_of_their_own() -> None:
    g, x = builder("batch", 4)
    first, second = g.add_many("Split", x, outputs=2, axis=1)
    assert (first.name, second.name) == ("Split", "Split:1")
    assert (first.shape, second.shape) == (("batch", 2), ("batch", 2))


def test_an_output_is_renamed_at_its_producer() -> None:
    g, x = builder()
    y = g.add("Relu", x)
    z = g.add("Tanh", y)
    assert g.output(y, "y").name == "y"
    g.output(z, "z")
    model = g.finish()
    assert [(n.op_type, *n.input, *n.output) for n in model.graph.node] == [
        ("Relu", "x", "y"),
        ("Tanh", "y", "z"),
    ]


def test_an_output_that_is_an_input_or_given_twice_passes_an_identity() -> None:
    g, x = builder()
    g.output(x, "same")
    y = g.output(g.add("Relu", x), "y")
    g.output(y, "again")
    model = g.finish()
    assert [v.name for v in model.graph.output] == ["same", "y", "again"]
    assert [n.op_type for n in model.graph.node] == ["Identity", "Relu", "Identity"]


# -- types -------------------------------------------------------------------------------------------


def test_types_are_inferred_at_once() -> None:
    g, x = builder("batch", 3, None)
    assert g.add("Transpose", x, perm=[0, 2, 1]).shape == ("batch", None, 3)
    assert g.add("Reshape", x, g.ints(0, -1)).rank == 2
    assert g.add("Cast", x, to=TensorProto.INT64).dtype == TensorProto.INT64
    assert g.add("Shape", x).shape == (3,)


def test_types_can_be_given() -> None:
    g, x = builder()
    (y,) = g.add_many(
        "Gradient", x, domain="ai.onnx.preview.training", types=[(FLOAT, (2,))], xs=["x"], y="x"
    )
    assert (y.dtype, y.shape) == (FLOAT, (2,))


def test_a_shape_error_names_layer_operator_and_shapes() -> None:
    g, x = builder("batch", 3, 8)
    w = g.input("w", FLOAT, (4, 5))
    with (
        g.layer("dense"),
        pytest.raises(ShapeError, match=r"^dense: MatMul cannot take x \(batch, 3, 8\), w \(4, 5\): "),
    ):
        g.add("MatMul", x, w)
    assert not g.graph.node


@pytest.mark.parametrize(
    ("shape", "text"),
    [(None, "(unknown rank)"), ((), "()"), ((3,), "(3,)"), (("batch", None, 8), "(batch, ?, 8)")],
)
def test_shapes_as_messages_show_them(shape: Shape | None, text: str) -> None:
    assert shape_text(shape) == text


def test_values_keep_their_types() -> None:
    value = Value("v", FLOAT, ("batch", None, 3))
    assert Value.of("v", value.type_proto()) == value
    assert Value.of("u", Value("u", FLOAT, None).type_proto()).shape is None
    assert (dtype_name(FLOAT), dtype_name(0)) == ("float32", "unknown type")
    with pytest.raises(ShapeError, match="the rank of 'u' is unknown"):
        _ = Value("u", FLOAT, None).rank


# -- parameters and constants ------------------------------------------------------------------------


def test_a_parameter_is_made_once_and_named_after_its_layer() -> None:
    g, _ = builder()
    with g.layer("dense"):
        kernel = g.param("kernel", ones, (2, 3))
        assert g.param("kernel", ones, (2, 3)) is kernel
    assert (kernel.name, kernel.shape) == ("dense/kernel", (2, 3))
    assert [t.name for t in g.graph.initializer] == ["dense/kernel"]
    assert numpy_helper.to_array(g.graph.initializer[0]).dtype == np.float32


def test_a_parameter_depends_on_seed_and_name_alone() -> None:
    def draw(name: str, seed: int) -> list[float]:
        g = GraphBuilder(seed=seed)
        g.param("other", lambda rng, shape: rng.normal(size=shape), (5,))
        g.param(name, lambda rng, shape: rng.normal(size=shape), (3,))
        return [float(v) for v in numpy_helper.to_array(g.graph.initializer[1])]

    assert draw("a", 0) == draw("a", 0)
    assert draw("a", 0) != draw("a", 1)
    assert draw("a", 0) != draw("b", 0)


def test_an_initializer_must_give_the_shape_it_was_asked_for() -> None:
    g, _ = builder()
    with pytest.raises(ShapeError, match=r"w: the initializer gave shape \(2,\), expected \(3,\)"):
        g.param("w", lambda rng, shape: np.ones(2), (3,))


def test_a_dry_builder_draws_nothing() -> None:
    g = GraphBuilder(dry=True)
    assert g.param("w", ones, (10**6, 10**6)).shape == (10**6, 10**6)
    assert not g.graph.initializer


def test_constants_are_nodes_shared_within_a_layer() -> None:
    g, _ = builder()
    with g.layer("a"):
        one = g.const(1.0)
        assert g.const(1.0) is one
        assert g.const([1.0]) is not one
        assert g.const(1, TensorProto.INT64).dtype == TensorProto.INT64
    with g.layer("b"):
        assert g.const(1.0).name == "b/Constant"
    assert g.ints(0, -1).shape == (2,)
    assert not g.graph.initializer
    assert {n.op_type for n in g.graph.node} == {"Constant"}


# -- opsets and the model ----------------------------------------------------------------------------


def test_an_operator_that_is_newer_than_the_opset_says_what_it_needs() -> None:
    g, x = builder()
    with pytest.raises(
        OpsetTooLowError, match="Gelu needs opset 20; the model is built for opset 17"
    ) as caught:
        g.add("Gelu", x)
    assert caught.value.needed == 20


def test_the_opset_is_raised_as_far_as_needed() -> None:
    def build(opset: int) -> ModelProto:
        g, x = builder(opset=opset)
        g.output(g.add("Mish", g.add("Gelu", x)), "y")
        return g.finish()

    model = at_lowest_opset(build)
    assert (model.opset_import[0].version, model.ir_version) == (20, ir_version_for(20))
    assert at_lowest_opset(lambda opset: opset) == 17


def test_unknown_operators_are_refused() -> None:
    g, x = builder()
    with pytest.raises(ModelError, match="ONNX has no operator 'Reluu' in domain ''"):
        g.add("Reluu", x)


def test_ir_versions_are_the_lowest_from_eight_on() -> None:
    assert [ir_version_for(opset) for opset in (13, 17, 21, 23)] == [8, 8, 10, 11]


def test_an_invalid_graph_is_refused_at_the_end() -> None:
    g, x = builder()
    y = g.add("Relu", x)
    g.output(y, "y")
    g.graph.node.append(helper.make_node("Relu", ["nowhere"], ["z"]))
    with pytest.raises(ModelError, match=r"the graph is not valid ONNX: .*nowhere"):
        g.finish()


def test_functions_come_with_their_domain() -> None:
    g, x = builder()
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    g.add_function(
        helper.make_function("neuromatic", "Double", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    )
    (y,) = g.add_many("Double", x, domain="neuromatic", types=[(x.dtype, x.shape)])
    g.output(y, "y")
    model = g.finish()
    onnx.checker.check_model(model, full_check=True)
    assert {(o.domain, o.version) for o in model.opset_import} == {("", 17), ("neuromatic", 1)}
