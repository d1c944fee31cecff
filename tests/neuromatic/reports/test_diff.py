"""What two models differ in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper, numpy_helper

from neuromatic.builder.model import Model
from neuromatic.reports.diff import compare
from tests.neuromatic.graphs import linear
from tests.neuromatic.recipes import set_notes, trained_by_sgd

Change = Callable[[ModelProto], object]


def changed(change: Change, model: ModelProto | None = None) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model or linear())
    change(copy)
    return copy


def test_a_model_equals_itself() -> None:
    for model in (linear(), trained_by_sgd()):
        found = compare(model, changed(lambda m: None, model))
        assert found.equal
        assert all(w.difference == 0 for w in found.weights)


CHANGES: dict[str, tuple[Change, str, tuple[str, ...]]] = {
    "opset": (
        lambda m: setattr(m.opset_import[0], "version", 18),
        "versions",
        ("- opset ai.onnx 17", "+ opset ai.onnx 18"),
    ),
    "IR": (lambda m: setattr(m, "ir_version", 9), "versions", ("- IR version 8", "+ IR version 9")),
    "shape": (
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 4),
        "values",
        ("- input x float32(N, 3)", "+ input x float32(N, 4)"),
    ),
    "attribute": (
        lambda m: m.graph.node[0].attribute.append(helper.make_attribute("transB", 1)),
        "nodes",
        ("- y = Gemm(x, w, b)", "+ y = Gemm(x, w, b) {transB: 1}"),
    ),
    "a node more": (
        lambda m: m.graph.node.append(helper.make_node("Relu", ["y"], ["z"], name="last")),
        "nodes",
        ("+ z = Relu(y) [last]",),
    ),
    "metadata": (
        lambda m: m.metadata_props.add(key="author", value="me"),
        "metadata",
        ("+ author: me",),
    ),
    "producer": (
        lambda m: setattr(m, "producer_name", "them"),
        "metadata",
        ("- producer: ", "+ producer: them"),
    ),
    "function": (
        lambda m: m.functions.add(name="f", domain="d"),
        "functions",
        ("+ f",),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_part_has_its_section(name: str) -> None:
    change, section, lines = CHANGES[name]
    found = compare(linear(), changed(change))
    assert getattr(found, section) == lines
    sections = ("versions", "values", "nodes", "functions", "metadata", "recipe")
    assert [s for s in sections if getattr(found, s)] == [section]
    assert not found.equal


def test_constants_are_told_apart_by_value() -> None:
    def with_constant(values: list[float]) -> ModelProto:
        tensor = numpy_helper.from_array(np.array(values, np.float32))
        node = helper.make_node("Constant", [], ["c"], value=tensor)
        return changed(lambda m: m.graph.node.insert(0, node))

    first, second = with_constant([1.0] * 20), with_constant([1.0] * 19 + [2.0])
    assert len(compare(first, second).nodes) == 2
    assert not compare(first, first).nodes


def test_initializers_by_name_shape_and_value() -> None:
    def change(m: ModelProto) -> None:
        del m.graph.initializer[1]
        array = numpy_helper.to_array(m.graph.initializer[0]).copy()
        array[0, 0] += 0.25
        m.graph.initializer[0].CopyFrom(numpy_helper.from_array(array, "w"))
        m.graph.initializer.append(numpy_helper.from_array(np.ones(3), "c"))

    first, second, third = compare(linear(), changed(change)).weights
    assert (first.name, first.equal, first.difference) == ("w", False, pytest.approx(0.25, rel=1e-6))
    assert (second.name, second.first, second.second) == ("b", "float32(2,)", None)
    assert (third.name, third.first, third.second) == ("c", None, "float64(3,)")


@given(
    offset=st.floats(0, 1, width=32),
    atol=st.floats(0, 1),
    rtol=st.floats(0, 1),
    value=st.floats(0, 4, width=32),
)
@settings(derandomize=True, deadline=None, max_examples=50, database=None)
def test_tolerance_is_numpys(offset: float, atol: float, rtol: float, value: float) -> None:
    def model(number: np.float32) -> ModelProto:
        tensor = numpy_helper.from_array(np.array([number]), "w")
        return changed(lambda m: m.graph.initializer[0].CopyFrom(tensor))

    a = np.float32(value)
    b = np.float32(a + np.float32(offset))
    wanted = bool(np.isclose(np.float64(b), np.float64(a), atol=atol, rtol=rtol))
    assert compare(model(a), model(b), atol=atol, rtol=rtol).weights[0].equal == wanted


def test_nan_and_infinity_equal_themselves_and_nothing_else() -> None:
    def model(*numbers: float) -> ModelProto:
        tensor = numpy_helper.from_array(np.array(numbers, np.float32), "w")
        return changed(lambda m: m.graph.initializer[0].CopyFrom(tensor))

    odd = model(np.nan, np.inf, 1)
    assert compare(odd, model(np.nan, np.inf, 1)).equal
    for other in (model(0, np.inf, 1), model(np.nan, -np.inf, 1)):
        weight = compare(odd, other, atol=1e9).weights[0]
        assert (weight.equal, weight.difference) == (False, np.inf)


def test_recipes_are_compared() -> None:
    plain, first = linear(), trained_by_sgd()
    found = compare(plain, first)
    assert any(line.startswith("+ neuromatic.recipe:") for line in found.recipe)
    assert not found.nodes
    second = (
        Model.from_proto(linear())
        .loss("mae")
        .optimizer("sgd", learning_rate=0.5, momentum=0.9)
        .metrics("mae")
    )
    assert any("Abs" in line for line in compare(first, second.proto).recipe)
    other = changed(lambda m: set_notes(m, step="elsewhere"), first)
    assert len(compare(first, other).recipe) == 2
