"""Loops whose number of trips is computed from constants are counted like those that say it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, helper
from onnx.numpy_helper import from_array

import neuromatic as nm
from neuromatic.errors import InvalidModelError
from neuromatic.ir.repetition import runs
from tests.hostile.files import (
    BOOL,
    INT64,
    branch,
    calling,
    floats,
    function,
    model,
    node,
    number,
)

RUNS = "its loops run nodes more than 1,000,000 times"
SECONDS = 5


def constant(name: str, value: object, dtype: type = np.int64) -> NodeProto:
    return helper.make_node("Constant", [], [name], value=from_array(np.array(value, dtype)))


TRUE = constant("on", True, np.bool_)


def body(*nodes: NodeProto, going: Sequence[NodeProto] = (), carried: Sequence[str] = ()) -> GraphProto:
    """A loop's body of one state, with others of one integer that it hands on."""
    end = list(going) or [node("Identity", "going", "goes_on")]
    return helper.make_graph(
        [
            *end,
            *(nodes or [node("Neg", "before", "after")]),
            *(node("Identity", n, f"{n}_on") for n in carried),
        ],
        "body",
        [
            floats("i", (), INT64),
            floats("going", (), BOOL),
            floats("before", ("P", "Q")),
            *(floats(n, (), INT64) for n in carried),
        ],
        [
            floats("goes_on", (), BOOL),
            floats("after", ("P", "Q")),
            *(floats(f"{n}_on", (), INT64) for n in carried),
        ],
    )


def looping(*steps: NodeProto, start: str = "m on x", inside: GraphProto | None = None) -> ModelProto:
    """A loop of m trips, which some nodes compute."""
    return model([TRUE, *steps, node("Loop", start, body=inside or body())])


def scanning(*steps: NodeProto, axis: int = 0) -> ModelProto:
    """A Scan through s, which some nodes compute; y is x negated in each step."""
    inside = helper.make_graph(
        [node("Neg", "before", "after")],
        "body",
        [floats("before", ("P", "Q")), floats("one", None)],
        [floats("after", ("P", "Q"))],
    )
    return model([*steps, node("Scan", "x s", body=inside, num_scan_inputs=1, scan_input_axes=[axis])])


def in_branch() -> ModelProto:
    steps = [constant("a", 10**6), node("Mul", "a a", "m"), node("Loop", "m on x", "inner", body=body())]
    inner = branch(*steps)
    other = branch(node("Neg", "x", "inner"))
    going = constant("c", True, np.bool_)
    return model([TRUE, going, helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=other)])


def number_from(value: NodeProto, name: str) -> GraphProto:
    return helper.make_graph([value], "branch", [], [floats(name, (), INT64)])


def by_attribute() -> ModelProto:
    """A function whose number of trips is an attribute of the call, times another."""
    trips = helper.make_node("Constant", [], ["a"])
    trips.attribute.add(name="value_int", ref_attr_name="trips", type=AttributeProto.INT)
    made = function("f", TRUE, trips, node("Mul", "a a", "m"), node("Loop", "m on a_in", "b", body=body()))
    made.input[:] = ["a_in"]
    made.attribute.append("trips")
    result = calling(made)
    result.graph.node[0].attribute.append(helper.make_attribute("trips", 10**5))
    return result


def nested() -> ModelProto:
    inner = body(
        constant("a", 10**4), node("Add", "a a", "m2"), node("Loop", "m2 on before", "after", body=renamed())
    )
    return looping(constant("a0", 200), node("Identity", "a0", "m"), inside=inner)


def renamed() -> GraphProto:
    return helper.make_graph(
        [node("Identity", "going2", "goes2"), node("Neg", "before2", "after2")],
        "inner",
        [floats("i2", (), INT64), floats("going2", (), BOOL), floats("before2", ("P", "Q"))],
        [floats("goes2", (), BOOL), floats("after2", ("P", "Q"))],
    )


def handed_on() -> ModelProto:
    """The inner loop's number of trips comes in from outside and is handed from trip to trip."""
    inner = body(node("Loop", "n going before", "after", body=renamed()), carried=["n"])
    steps = [constant("a", 10**6), node("Add", "a a", "n0"), constant("m", 5)]
    return model([TRUE, *steps, node("Loop", "m on x n0", "y n_out", body=inner)])


def branches_decide() -> ModelProto:
    then, otherwise = number_from(constant("t", 3), "t"), number_from(constant("e", 10**9), "e")
    c = node("ReduceSum", "x", "total", keepdims=0)
    chosen = helper.make_node("If", ["c"], ["m"], then_branch=then, else_branch=otherwise)
    zero = constant("zero", 0, np.float32)
    return looping(c, zero, node("Greater", "total zero", "c"), chosen)


def after_a_loop() -> ModelProto:
    """A loop counts the trips of the next: who wants to know has to run it."""
    counting = helper.make_graph(
        [node("Identity", "going", "goes_on"), node("Add", "n n", "twice")],
        "counting",
        [floats("i", (), INT64), floats("going", (), BOOL), floats("n", (), INT64)],
        [floats("goes_on", (), BOOL), floats("twice", (), INT64)],
    )
    first = node("Loop", "few on one", "m", body=counting)
    return looping(constant("few", 40), constant("one", 1), first)


def by_large_weights() -> ModelProto:
    made = looping(node("ReduceSum", "w", "sum", keepdims=0), node("Cast", "sum", "m", to=INT64))
    made.graph.initializer.append(from_array(np.full(5000, 1000, np.float32), "w"))
    return made


def default_of_an_input() -> ModelProto:
    made = looping(node("Mul", "a a", "m"))
    made.graph.input.append(floats("a", (), INT64))
    made.graph.initializer.append(number("a", 10**6))
    return made


MANY: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "Mul": (lambda: looping(constant("a", 10**4), node("Mul", "a a", "m")), RUNS),
    "Pow and Cast": (
        lambda: looping(
            constant("a", 10.0, np.float32),
            constant("b", 8.0, np.float32),
            node("Pow", "a b", "c"),
            node("Cast", "c", "m", to=INT64),
        ),
        RUNS,
    ),
    "Identity": (lambda: looping(constant("a", 10**9), node("Identity", "a", "m")), RUNS),
    "value_int": (lambda: looping(helper.make_node("Constant", [], ["m"], value_int=10**9)), RUNS),
    "value_ints": (
        lambda: looping(
            helper.make_node("Constant", [], ["a"], value_ints=[10**9]), node("Squeeze", "a", "m")
        ),
        RUNS,
    ),
    "ConstantOfShape": (
        lambda: looping(
            ones("s"),
            node("ConstantOfShape", "s", "a", value=from_array(np.array([10**9]))),
            node("Squeeze", "a", "m"),
        ),
        RUNS,
    ),
    "sum of ConstantOfShape": (
        lambda: looping(
            helper.make_node("Constant", [], ["s"], value_ints=[60_000]),
            node("ConstantOfShape", "s", "a", value=from_array(np.array([1000]))),
            node("ReduceSum", "a", "m", keepdims=0),
        ),
        RUNS,
    ),
    "sum of a larger one": (
        lambda: looping(
            helper.make_node("Constant", [], ["s"], value_ints=[10**7]),
            node("ConstantOfShape", "s", "a", value=from_array(np.array([1]))),
            node("ReduceSum", "a", "m", keepdims=0),
        ),
        "has a constant number of trips, 'm', that cannot be worked out",
    ),
    "shape": (
        lambda: looping(node("Size", "x", "a"), constant("b", 10**7), node("Mul", "a b", "m")),
        RUNS,
    ),
    "NonZero": (
        lambda: looping(
            constant("a", [0, 0, 1]),
            node("NonZero", "a", "b"),
            constant("c", 10**8),
            node("Mul", "b c", "d"),
            node("Squeeze", "d", "m"),
        ),
        RUNS,
    ),
    "If": (branches_decide, RUNS),
    "in a branch": (in_branch, RUNS),
    "in a function": (by_attribute, RUNS),
    "nested": (nested, RUNS),
    "handed on": (handed_on, RUNS),
    "after a loop": (after_a_loop, "that cannot be worked out"),
    "weights": (by_large_weights, RUNS),
    "default of an input": (default_of_an_input, RUNS),
    "a condition that is constant": (
        lambda: looping(
            constant("m", 10**9),
            inside=body(going=[constant("no", False, np.bool_), node("Not", "no", "goes_on")]),
        ),
        RUNS,
    ),
    "a condition that counts": (lambda: looping(constant("m", 2**62), inside=counting(10**12)), RUNS),
    "only a condition that counts": (lambda: endless(counting(10**12)), "has neither a number of trips nor"),
    "no end": (lambda: endless(), "the Loop that gives 'y' has neither a number of trips nor an end"),
    "Scan": (
        lambda: scanning(
            helper.make_node("Constant", [], ["n"], value_ints=[10**7]), node("ConstantOfShape", "n", "s")
        ),
        RUNS,
    ),
    "Scan along the last axis": (
        lambda: scanning(
            constant("a", [1, 5000]),
            constant("b", [1, 600]),
            node("Mul", "a b", "n"),
            node("ConstantOfShape", "n", "s"),
            axis=-1,
        ),
        RUNS,
    ),
    "Scan through a Range": (
        lambda: scanning(
            *(constant(name, value) for name, value in {"zero": 0, "end": 10**7, "one": 1}.items()),
            node("Range", "zero end one", "s"),
        ),
        RUNS,
    ),
}


def ones(name: str) -> NodeProto:
    return helper.make_node("Constant", [], [name], value_ints=[1])


def endless(inside: GraphProto | None = None) -> ModelProto:
    made = looping(inside=inside)
    made.graph.node[-1].input[:] = ["", "on", "x"]
    return made


def while_it_grows() -> ModelProto:
    """As many trips as there are numbers, but a condition ends them."""
    growing = helper.make_graph(
        [
            node("Add", "before before", "after"),
            node("ReduceMax", "after", "largest", keepdims=0),
            node("Less", "largest limit", "goes_on"),
        ],
        "body",
        [floats("i", (), INT64), floats("going", (), BOOL), floats("before", ("P", "Q"))],
        [floats("goes_on", (), BOOL), floats("after", ("P", "Q"))],
    )
    steps = [constant("a", 2**31 - 1), node("Mul", "a a", "m"), constant("limit", 100, np.float32)]
    return looping(*steps, inside=growing)


def ends_at_once() -> ModelProto:
    ends = [constant("yes", True, np.bool_), node("Not", "yes", "goes_on")]
    return looping(constant("m", 10**12), inside=body(going=ends))


def counting(limit: int) -> GraphProto:
    """A body that counts up to a limit."""
    return body(going=[constant("limit", limit), node("Less", "i limit", "goes_on")])


def never_begins() -> ModelProto:
    return looping(constant("m", 10**12), constant("off", False, np.bool_), start="m off x")


def by_rows() -> ModelProto:
    """As many trips as the data have rows."""
    return looping(node("Shape", "x", "s"), constant("zero", 0), node("Gather", "s zero", "m"))


FEW: dict[str, tuple[Callable[[], ModelProto], int]] = {
    "a computed number": (lambda: looping(constant("a", 30), node("Mul", "a a", "m")), 1),
    "a condition": (while_it_grows, 128),
    "ends at once": (ends_at_once, -1),
    "never begins": (never_begins, 1),
    "counts": (lambda: looping(constant("m", 2**62), inside=counting(10)), -1),
    "counts without a number of trips": (lambda: endless(counting(10)), -1),
    "rows": (by_rows, 1),
    "Scan": (
        lambda: scanning(
            helper.make_node("Constant", [], ["n"], value_ints=[100]), node("ConstantOfShape", "n", "s")
        ),
        1,
    ),
}


@pytest.mark.parametrize("kind", MANY)
def test_hidden_trips_are_counted(kind: str, tmp_path: Path) -> None:
    build, message = MANY[kind]
    (tmp_path / "model.onnx").write_bytes(build().SerializeToString())
    started = time.perf_counter()
    with pytest.raises(InvalidModelError) as caught:
        nm.load(tmp_path / "model.onnx")
    assert time.perf_counter() - started < SECONDS
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", FEW)
def test_what_runs_seldom_is_taken(kind: str, tmp_path: Path) -> None:
    build, factor = FEW[kind]
    (tmp_path / "model.onnx").write_bytes(build().SerializeToString())
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(nm.load(tmp_path / "model.onnx").predict(x), x * factor)


def test_runs_are_counted_exactly() -> None:
    made = looping(constant("a", 7), node("Mul", "a a", "m"))
    assert runs(made, []) == 4 + 49 * 2
    assert runs(nested(), []) == 4 + 200 * (4 + 20_000 * 2)
    assert runs(model([node("Neg", "x")]), []) == 0


def test_branches_in_each_other_are_looked_at_once(tmp_path: Path) -> None:
    """Twice in each would be 2^28."""
    inner = branch(constant("m", 3), node("Loop", "m on x", "inner", body=body()))
    for _ in range(26):
        other = branch(node("Neg", "x", "inner"))
        inner = branch(helper.make_node("If", ["on"], ["inner"], then_branch=inner, else_branch=other))
    other = branch(node("Neg", "x", "inner"))
    made = model([TRUE, helper.make_node("If", ["on"], ["y"], then_branch=inner, else_branch=other)])
    started = time.perf_counter()
    assert 27 < runs(made, []) < 100
    assert time.perf_counter() - started < SECONDS
