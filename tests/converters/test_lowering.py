"""The walk over a graph, with an engine of a few numpy functions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, helper

from neuromatic.converters import lowering
from neuromatic.converters.lowering import Context, Scope
from neuromatic.converters.registry import Registry
from neuromatic.errors import UnsupportedOpError

OPSET = 21
ops = Registry("numpy")
seen: list[tuple[Scope, dict[str, Any]]] = []


@ops.lowers("Add", since=(7, 13, 14))
def add(scope: Scope, A: Any, B: Any) -> Any:
    return A + B


@ops.lowers("Mul", since=(7, 13, 14))
def mul(scope: Scope, A: Any, B: Any) -> Any:
    return A * B


@ops.lowers("LeakyRelu", since=(6, 16))
def leaky_relu(scope: Scope, X: Any, *, alpha: float) -> Any:
    seen.append((scope, {"alpha": alpha}))
    return np.where(X < 0, alpha * X, X)


@ops.lowers("Clip", since=(13,))
def clip(scope: Scope, input: Any, min: Any = None, max: Any = None) -> Any:
    return np.clip(input, min, max)


@ops.lowers("Split", since=(18,))
def split(scope: Scope, input: Any, split: Any = None, *, axis: int, num_outputs: int | None) -> Any:
    seen.append((scope, {"axis": axis, "num_outputs": num_outputs}))
    return tuple(np.split(input, num_outputs or len(scope.outputs), axis))


@ops.lowers("Constant", since=(13, 19, 21, 23))
def constant(
    scope: Scope,
    *,
    sparse_value: Any,
    value: Any,
    value_float: Any,
    value_floats: Any,
    value_int: Any,
    value_ints: Any,
    value_string: Any,
    value_strings: Any,
) -> Any:
    given = [value, value_float, value_floats, value_int, value_ints, value_string, value_strings]
    return next(np.asarray(v) for v in given if v is not None)


def model_of(
    nodes: Sequence[NodeProto],
    *,
    opset: int = OPSET,
    functions: Sequence[FunctionProto] = (),
    initializers: Sequence[TensorProto] = (),
) -> ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(list(nodes), "g", [x], [y], list(initializers))
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions))


def function_of(name: str, nodes: Sequence[NodeProto], attributes: Sequence[str] = ()) -> FunctionProto:
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("local", 1)]
    return helper.make_function("local", name, ["x"], ["y"], list(nodes), imports, list(attributes))


def run(model: ModelProto, x: Sequence[float] = (-1.0, 2.0)) -> Any:
    values: dict[str, Any] = {**lowering.initial_values(model), "x": np.array(x, np.float32)}
    lowering.run(lowering.plan(model, ops), values, Context())
    return values["y"].tolist()


def test_runs_nodes_in_order() -> None:
    model = model_of([helper.make_node("Add", ["x", "x"], ["a"]), helper.make_node("Mul", ["a", "x"], ["y"])])
    assert run(model) == [2.0, 8.0]


def test_an_initializer_used_twice_is_one_value() -> None:
    tied = helper.make_tensor("w", TensorProto.FLOAT, [1], [3.0])
    nodes = [helper.make_node("Mul", ["x", "w"], ["a"]), helper.make_node("Add", ["a", "w"], ["y"])]
    model = model_of(nodes, initializers=[tied])
    values = lowering.initial_values(model)
    assert list(values) == ["w"]
    assert run(model) == [0.0, 9.0]


def test_all_unsupported_nodes_are_reported_at_once() -> None:
    nodes = [
        helper.make_node("Clip", ["x"], ["a"], name="clip_1"),
        helper.make_node("Sin", ["a"], ["b"]),
        helper.make_node("Mystery", ["b"], ["y"], domain="local"),
    ]
    with pytest.raises(UnsupportedOpError) as caught:
        lowering.plan(model_of(nodes, opset=12), ops)
    assert caught.value.engine == "numpy"
    assert caught.value.problems == (
        "numpy has no lowering for Clip-12 (node 'clip_1', opset 12); versions it has: [13]",
        "numpy has no lowering for Sin-7 (the node of output 'b', opset 12)",
        "numpy has no lowering for local.Mystery (the node of output 'y', opset 1)",
    )
    assert str(caught.value) == "; ".join(caught.value.problems)


def test_an_attribute_of_zero_is_not_the_default() -> None:
    zero = helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.0)
    assert run(model_of([zero])) == [0.0, 2.0]
    default = helper.make_node("LeakyRelu", ["x"], ["y"])
    np.testing.assert_allclose(run(model_of([default])), [-0.01, 2.0], rtol=1e-6)


def test_absent_attributes_and_inputs_are_none() -> None:
    seen.clear()
    model = model_of([helper.make_node("Split", ["x"], ["y", ""])])
    assert run(model) == [-1.0]
    scope, attributes = seen[-1]
    assert attributes == {"axis": 0, "num_outputs": None}
    assert scope.wants(0)
    assert not scope.wants(1)
    assert not scope.wants(2)
    assert run(model_of([helper.make_node("Clip", ["x", "", "x"], ["y"])])) == [-1.0, 2.0]


def test_nodes_are_named_as_errors_name_them() -> None:
    seen.clear()
    run(model_of([helper.make_node("LeakyRelu", ["x"], ["y"], name="leaky")]))
    run(model_of([helper.make_node("LeakyRelu", ["x"], ["y"])]))
    assert [scope.node for scope, _ in seen] == [
        "node 'leaky' (LeakyRelu-16)",
        "the node of output 'y' (LeakyRelu-16)",
    ]


def test_a_schema_function_stands_in_for_a_lowering() -> None:
    """ONNX defines LessOrEqual as Or(Less, Equal)."""
    registry = Registry("logic")

    @registry.lowers("Less", since=(13,))
    def less(scope: Scope, A: Any, B: Any) -> Any:
        return A < B

    @registry.lowers("Equal", since=(13, 19))
    def equal(scope: Scope, A: Any, B: Any) -> Any:
        return A == B

    model = model_of([helper.make_node("LessOrEqual", ["x", "w"], ["y"])])
    with pytest.raises(UnsupportedOpError, match="logic has no lowering for Or-7"):
        lowering.plan(model, registry)

    @registry.lowers("Or", since=(7,))
    def either(scope: Scope, A: Any, B: Any) -> Any:
        return A | B

    values: dict[str, Any] = {"x": np.array([1, 2, 3]), "w": np.array(2)}
    lowering.run(lowering.plan(model, registry), values, Context())
    assert values["y"].tolist() == [True, True, False]


def test_a_local_function_takes_attributes() -> None:
    inner = helper.make_node("LeakyRelu", ["x"], ["y"])
    reference = inner.attribute.add()
    reference.name, reference.ref_attr_name, reference.type = "alpha", "slope", onnx.AttributeProto.FLOAT
    function = function_of("leak", [inner], ["slope"])
    given = helper.make_node("leak", ["x"], ["y"], domain="local", slope=0.5)
    assert run(model_of([given], functions=[function])) == [-0.5, 2.0]
    absent = helper.make_node("leak", ["x"], ["y"], domain="local")
    np.testing.assert_allclose(run(model_of([absent], functions=[function])), [-0.01, 2.0], rtol=1e-6)


def test_names_inside_a_function_are_its_own() -> None:
    body = [helper.make_node("Add", ["x", "x"], ["t"]), helper.make_node("Mul", ["t", "x"], ["y"])]
    nodes = [
        helper.make_node("Add", ["x", "x"], ["t"]),
        helper.make_node("f", ["x"], ["u"], domain="local"),
        helper.make_node("Add", ["t", "u"], ["y"]),
    ]
    assert run(model_of(nodes, functions=[function_of("f", body)])) == [0.0, 12.0]


def test_a_function_that_calls_itself_is_refused() -> None:
    function = function_of("f", [helper.make_node("f", ["x"], ["y"], domain="local")])
    model = model_of([helper.make_node("f", ["x"], ["y"], domain="local")], functions=[function])
    with pytest.raises(UnsupportedOpError, match="function 'f' calls itself"):
        lowering.plan(model, ops)


def _chain(count: int, calls: int) -> ModelProto:
    """Functions that call the one before ``calls`` times."""
    functions = []
    for i in range(count):
        op, domain = (f"f{i - 1}", "local") if i else ("LeakyRelu", "")
        names = ["x", *(f"v{j}" for j in range(calls - 1)), "y"]
        body = [helper.make_node(op, [a], [b], domain=domain) for a, b in pairwise(names)]
        functions.append(function_of(f"f{i}", body))
    last = helper.make_node(f"f{count - 1}", ["x"], ["y"], domain="local")
    return model_of([last], functions=functions)


@pytest.mark.parametrize(
    ("count", "calls", "message"),
    [
        (34, 2, "the graph's functions expand to more than 1,000,000 nodes"),
        (2000, 1, "the graph's functions call each other, or .*, more than 100 deep"),
    ],
)
def test_functions_that_explode_are_refused_at_once(count: int, calls: int, message: str) -> None:
    model = _chain(count, calls)
    started = time.perf_counter()
    with pytest.raises(UnsupportedOpError, match=message):
        lowering.plan(model, ops)
    assert time.perf_counter() - started < 1


def test_deep_functions_within_the_limit_run() -> None:
    np.testing.assert_allclose(run(_chain(100, 1)), [-0.01, 2], rtol=1e-6)


def test_attributes_come_as_python_values() -> None:
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [2], [1.0, 2.0])
    cases: tuple[tuple[dict[str, Any], Any], ...] = (
        ({"value": tensor}, [1.0, 2.0]),
        ({"value_ints": [1, 2]}, [1, 2]),
        ({"value_string": "text"}, "text"),
        ({"value_strings": ["a", "b"]}, ["a", "b"]),
    )
    for attributes, expected in cases:
        assert run(model_of([helper.make_node("Constant", [], ["y"], **attributes)])) == expected
