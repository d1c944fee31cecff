"""Graphs that nodes carry, with an engine of a few numpy functions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from neuromatic.converters import lowering
from neuromatic.converters.lowering import Body, Context, Scope
from neuromatic.converters.registry import Registry
from neuromatic.errors import ConversionError, UnsupportedOpError

OPSET = 17
ops = Registry("numpy")
seen: list[Scope] = []


@ops.lowers("Add", since=(14,))
def add(scope: Scope, A: Any, B: Any) -> Any:
    seen.append(scope)
    return A + B


@ops.lowers("Mul", since=(14,))
def mul(scope: Scope, A: Any, B: Any) -> Any:
    return A * B


@ops.lowers("LeakyRelu", since=(16,))
def leaky_relu(scope: Scope, X: Any, *, alpha: float) -> Any:
    return np.where(X < 0, alpha * X, X)


@ops.lowers("If", since=(16,))
def if_(scope: Scope, cond: Any, *, else_branch: Body, then_branch: Body) -> Any:
    return then_branch() if cond else else_branch()


@ops.lowers("Loop", since=(16,))
def loop(scope: Scope, M: Any = None, cond: Any = None, *v_initial: Any, body: Body) -> Any:
    state: tuple[Any, ...] = v_initial
    for i in range(int(M)):
        _, *rest = body(i, True, *state)
        state = tuple(rest)
    return state


def _graph(
    nodes: Sequence[NodeProto], outputs: str, inputs: str = "", stored: Sequence[TensorProto] = ()
) -> GraphProto:
    given, results = (
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names.split()]
        for names in (inputs, outputs)
    )
    return helper.make_graph(list(nodes), "g", given, results, list(stored))


def _if(then: GraphProto, other: GraphProto, output: str = "y") -> NodeProto:
    return helper.make_node("If", ["c"], [output], then_branch=then, else_branch=other)


def _model(nodes: Sequence[NodeProto], functions: Sequence[FunctionProto] = ()) -> ModelProto:
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("local", 1)]
    return helper.make_model(_graph(nodes, "y", "x c"), opset_imports=imports, functions=list(functions))


def _run(model: ModelProto, condition: bool = True) -> Any:
    values: dict[str, Any] = {"x": np.array([-1.0, 2.0]), "c": condition}
    lowering.run(lowering.plan(model, ops), values, Context())
    return values["y"].tolist()


_DOUBLE = _graph([helper.make_node("Add", ["x", "x"], ["t"])], "t")
_SQUARE = _graph([helper.make_node("Mul", ["x", "x"], ["e"])], "e")


@pytest.mark.parametrize(("condition", "expected"), [(True, [-2, 4]), (False, [1, 4])])
def test_a_branch_takes_values_from_around_it(condition: bool, expected: list[float]) -> None:
    assert _run(_model([_if(_DOUBLE, _SQUARE)]), condition) == expected


def test_a_plan_names_what_its_graphs_take() -> None:
    inner = _if(_DOUBLE, _SQUARE, "i")
    outer = _graph([inner, helper.make_node("Add", ["i", "w"], ["o"])], "o", stored=[_number("w")])
    (step,) = lowering.plan(_model([_if(outer, _SQUARE)]), ops).steps
    assert step.graphs["then_branch"].captures == ("c", "x")
    assert set(step.reads) == {"c", "x"}
    assert list(step.graphs["then_branch"].constants) == ["w"]
    assert _run(_model([_if(outer, _SQUARE)])) == [0.0, 6.0]


def _number(name: str) -> TensorProto:
    return helper.make_tensor(name, TensorProto.FLOAT, [1], [2.0])


def test_a_branch_may_hand_on_a_value_from_around_it() -> None:
    assert _run(_model([_if(_graph([], "x"), _SQUARE)])) == [-1.0, 2.0]


def test_names_inside_a_graph_hide_those_around_it() -> None:
    body = _graph([helper.make_node("Mul", ["x", "x"], ["n"])], "g n", "i g x")
    stored = helper.make_node("Constant", [], ["m"], value_int=2)
    node = helper.make_node("Loop", ["m", "", "x"], ["y"], body=body)
    plan = lowering.plan(_model([node]), ops)
    values: dict[str, Any] = {"x": np.array([-1.0, 2.0]), "m": np.array(stored.attribute[0].i)}
    lowering.run(plan, values, Context())
    assert values["y"].tolist() == [1.0, 16.0]
    assert values["x"].tolist() == [-1.0, 2.0]


def test_a_graph_inside_a_function_sees_the_functions_values_and_attributes() -> None:
    leaky = helper.make_node("LeakyRelu", ["x"], ["t"])
    reference = leaky.attribute.add()
    reference.name, reference.ref_attr_name, reference.type = "alpha", "slope", AttributeProto.FLOAT
    body = [_if(_graph([leaky], "t"), _SQUARE)]
    imports = [helper.make_opsetid("", OPSET)]
    function = helper.make_function("local", "f", ["x", "c"], ["y"], body, imports, ["slope"])
    call = helper.make_node("f", ["x", "c"], ["y"], domain="local", slope=0.5)
    assert _run(_model([call], [function])) == [-0.5, 2.0]


def test_a_node_in_a_graph_has_a_name_of_its_own() -> None:
    """What is drawn at random is named by it: two branches with the same names must differ."""
    seen.clear()
    nodes = [_if(_DOUBLE, _SQUARE, "a"), _if(_DOUBLE, _SQUARE, "y")]
    _run(_model(nodes))
    assert [scope.within for scope in seen] == ["a/then_branch/", "y/then_branch/"]


def test_a_graph_with_other_inputs_than_its_node_gives_is_refused() -> None:
    node = helper.make_node("Loop", ["c", "", "x"], ["y"], body=_graph([], "i", "i"))
    with pytest.raises(ConversionError, match=r"y/body/: a graph with inputs \['i'\] was given 3 values"):
        _run(_model([node]))


def test_nodes_without_a_lowering_are_found_in_graphs() -> None:
    other = _graph([helper.make_node("Sin", ["x"], ["e"]), helper.make_node("Cos", ["e"], ["f"])], "f")
    with pytest.raises(UnsupportedOpError) as caught:
        lowering.plan(_model([_if(_DOUBLE, other)]), ops)
    assert caught.value.problems == (
        "numpy has no lowering for Sin-7 (the node of output 'e', opset 17)",
        "numpy has no lowering for Cos-7 (the node of output 'f', opset 17)",
    )


def _calls_in_branches(functions: int, calls: int) -> ModelProto:
    """Functions that call the one before from both branches of an If."""
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("local", 1)]
    made = []
    for i in range(functions):
        op, domain, inputs = (f"f{i - 1}", "local", ["x", "c"]) if i else ("LeakyRelu", "", ["x"])
        then = _graph([helper.make_node(op, inputs, [f"t{n}"], domain=domain) for n in range(calls)], "t0")
        node = _if(then, _SQUARE if calls == 1 else then)
        made.append(helper.make_function("local", f"f{i}", ["x", "c"], ["y"], [node], imports))
    call = helper.make_node(f"f{functions - 1}", ["x", "c"], ["y"], domain="local")
    return _model([call], made)


def test_graphs_and_functions_within_each_other_have_a_bound() -> None:
    """Protobuf itself reads no file with a hundred graphs in each other; functions go deeper."""
    assert _run(_calls_in_branches(45, 1)) == pytest.approx([-0.01, 2.0])
    started = time.perf_counter()
    with pytest.raises(UnsupportedOpError, match="stand in each other, more than 100 deep"):
        lowering.plan(_calls_in_branches(60, 1), ops)
    assert time.perf_counter() - started < 2


def test_functions_called_in_graphs_count() -> None:
    started = time.perf_counter()
    with pytest.raises(UnsupportedOpError, match="expand to more than 1,000,000 nodes"):
        lowering.plan(_calls_in_branches(30, 2), ops)
    assert time.perf_counter() - started < 2
