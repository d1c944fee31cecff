"""Reshaping, slicing and the numbers of axes."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from neuromatic.converters.normalize.shapes import (
    plain_moves,
    positive_axes,
    relative_reshapes,
    reshaped,
    shape_only,
    split_to_slices,
    target_for,
)
from neuromatic.ir.values import Shape
from tests.converters.normalize.models import attribute, constant, model, normalized, numbers, ops, target


def axes(name: str, *values: int) -> str:
    return f"{name} = Constant<value_ints = {list(values)}>() "


@pytest.mark.parametrize(
    ("body", "opset", "shape"),
    [
        ("y = Squeeze<axes = [2]>(x)", 11, "float[N, 4]"),
        (axes("a", -1) + "y = Squeeze(x, a)", 13, "float[N, 4]"),
        ("y = Unsqueeze<axes = [1, 3]>(x)", 9, "float[N, 1, 4, 1, 1]"),
        (axes("a", -1, 1) + "y = Unsqueeze(x, a)", 13, "float[N, 1, 4, 1, 1]"),
        ("y = Flatten(x)", 9, "float[N, 4]"),
        ("y = Flatten<axis = -2>(x)", 13, "float[N, 4]"),
        ("y = Flatten<axis = 0>(x)", 13, "float[1, M]"),
    ],
)
def test_shapes_change_by_reshape_alone(body: str, opset: int, shape: str) -> None:
    result = normalized(shape_only, model(body, "float[N, 4, 1] x", f"{shape} y", opset=opset))
    assert ops(result)[-1] == "Reshape"
    assert target(result)[0] == (1 if "M" in shape else 0)


def test_a_squeeze_of_unknown_axes_is_left() -> None:
    result = normalized(shape_only, model("y = Squeeze(x)", "float[N, 4, 1] x", "float[N, 4] y"))
    assert ops(result) == ["Squeeze"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([-1, 24], [0, 24]),
        ([0, -1], [0, 24]),
        ([0, 0, -1], [0, 2, 12]),
        ([0, 0, 0, 2, 2], [0, 2, 3, 2, 2]),
    ],
)
def test_targets_become_relative(given: list[int], expected: list[int]) -> None:
    dims = ", ".join(["N", *map(str, expected[1:])])
    proto = model("y = Reshape(x, t)", "float[N, 2, 3, 4] x", f"float[{dims}] y", t=np.array(given))
    assert target(normalized(relative_reshapes, proto)) == expected


def test_a_fixed_batch_becomes_relative() -> None:
    proto = model("y = Reshape(x, t)", "float[3, 2, 4] x", "float[3, 8] y", t=np.array([3, -1]))
    result = relative_reshapes(proto)
    assert target(result) == [0, 8]


def test_a_reshape_that_changes_nothing_goes() -> None:
    proto = model(
        "a = Reshape(x, t) y = Neg(a)", "float[N, 2, 4] x", "float[N, 2, 4] y", t=np.array([0, 2, -1])
    )
    assert ops(normalized(relative_reshapes, proto)) == ["Neg"]


def test_a_batch_that_merges_stays_minus_one() -> None:
    proto = model("y = Reshape(x, t)", "float[N, 2, 4] x", "float[M, 4] y", t=np.array([-1, 4]))
    assert target(normalized(relative_reshapes, proto)) == [-1, 4]


@pytest.mark.parametrize(
    ("x", "wanted", "expected"),
    [
        (("N", 2, 3), ("N", 6), [0, 6]),
        ((4, 2, 3), (4, 6), [0, 6]),
        (("N", "T", 3), ("N", "T", 1, 3), [0, 0, 1, 3]),
        ((None, 3, 1), (None, 3), [-1, 3]),
        ((None, None), (None, None), None),
        (("N", 0), ("N", 0, 1), None),
    ],
)
def test_target_for(x: Shape, wanted: Shape, expected: list[int] | None) -> None:
    assert target_for(x, wanted) == expected


@pytest.mark.parametrize(
    ("x", "given", "expected"),
    [
        (("N", 2, 3), [-1, 6], ("N", 6)),
        (("N", 2, 3), [-1, 3], (None, 3)),
        (("N", "T", 3), [0, 0, -1], ("N", "T", 3)),
        ((2, 3), [3, -1], (3, 2)),
        ((2, 3), [1, 1, 0], None),
    ],
)
def test_reshaped(x: Shape, given: list[int], expected: Shape | None) -> None:
    assert reshaped(x, given) == expected


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        ("a, b = Split<axis = -1, split = [1, 3]>(x) y = Mul(b, a)", 11),
        ("a, b = Split<axis = 2>(x) y = Concat<axis = 2>(b, a)", 9),
        (axes("s", 1, 3) + "a, b = Split<axis = -1>(x, s) y = Mul(b, a)", 13),
        ("a, b = Split<axis = 2>(x) y = Concat<axis = 2>(b, a)", 13),
        ("a, b, c = Split<axis = 1, num_outputs = 3>(x) y = Concat<axis = 1>(c, b, a)", 18),
    ],
)
def test_split_becomes_slices(body: str, opset: int) -> None:
    proto = model(body, "float[N, 5, 4] x", "float[N, A, B] y", opset=opset)
    result = normalized(split_to_slices, proto)
    assert "Split" not in ops(result)
    assert ops(result).count("Slice") in (2, 3)


NEGATIVE = [
    ("y = Softmax<axis = -1>(x)", 13, "axis"),
    ("y = Concat<axis = -2>(x, x)", 11, "axis"),
    ("y = ReduceMean<axes = [-1, -2]>(x)", 13, "axes"),
    ("y = LogSoftmax<axis = -3>(x)", 11, "axis"),
    ("y = Gather<axis = -1>(x, index)", 13, "axis"),
    ("y = Unsqueeze<axes = [-1]>(x)", 11, "axes"),
    ("y = ArgMax<axis = -1, keepdims = 0>(x)", 12, "axis"),
]


@pytest.mark.parametrize(("body", "opset", "name"), NEGATIVE)
def test_axes_in_attributes_count_from_the_front(body: str, opset: int, name: str) -> None:
    kind = "int64" if "ArgMax" in body else "float"
    dims = {"Unsqueeze": "N, 5, 4, 1", "ArgMax": "N, 5"}.get(body.split("<")[0][4:], "N, A, B")
    index = {"index": np.array([2, 0])} if "Gather" in body else {}
    proto = model(body, "float[N, 5, 4] x", f"{kind}[{dims}] y", opset=opset, **index)
    result = normalized(positive_axes, proto)
    found = helper.get_attribute_value(next(a for a in result.graph.node[0].attribute if a.name == name))
    assert min(found if name == "axes" else [found]) >= 0


@pytest.mark.parametrize(
    ("body", "opset", "index"),
    [
        (axes("a", -1) + "y = ReduceSum<keepdims = 1>(x, a)", 13, 1),
        (axes("a", -1, -2) + "y = ReduceMax<keepdims = 1>(x, a)", 18, 1),
        (axes("s", 1) + axes("e", 3) + axes("a", -1) + "y = Slice(x, s, e, a)", 13, 3),
    ],
)
def test_axes_in_inputs_count_from_the_front(body: str, opset: int, index: int) -> None:
    result = normalized(positive_axes, model(body, "float[N, 5, 4] x", "float[N, A, B] y", opset=opset))
    assert min(constant(result, result.graph.node[-1].input[index])) >= 0


def test_permutations_are_written() -> None:
    proto = model("y = Transpose(x)", "float[N, 3, 4] x", "float[4, 3, N] y")
    assert attribute(normalized(plain_moves, proto), "Transpose", "perm") == [2, 1, 0]


def test_cast_like_becomes_cast_or_nothing() -> None:
    body = "a = CastLike(x, w) b = CastLike(a, i) y = CastLike(b, a)"
    proto = model(body, "float[N, 3] x", "float[N, 3] y", w=numbers(1), i=np.array([1]))
    assert ops(normalized(plain_moves, proto)) == ["Cast", "Cast"]
