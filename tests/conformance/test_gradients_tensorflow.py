"""Gradients of every TensorFlow lowering that has them, against central differences in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromatic.converters.support import expanded_versions, lowered_versions, operators
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.errors import UnsupportedFeatureError
from neuromatic.recipe.differentiable import DIFFERENTIABLE
from neuromatic.recipe.gradients import FIXED
from tests.conformance.differentiable import label
from tests.conformance.gradient_cases import ALL, NOT_DIFFERENTIABLE
from tests.conformance.gradients import Graph, Node, R, Random, check, functions, ints

_CROPPED = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}
few = settings(max_examples=12, derandomize=True, deadline=None, database=None)


@pytest.mark.parametrize("node", ALL, ids=str)
def test_gradients(node: Node) -> None:
    check(node)


def test_every_input_that_carries_a_gradient_is_checked() -> None:
    """Of every operator that OPERATORS.md lists for TensorFlow, lowered or by its function."""
    checked = {
        (label(node.domain, node.op), node.formal(i))
        for node in ALL
        for i, x in enumerate(node.inputs)
        if isinstance(x, Random)
    }
    trained = (o for o in operators() if lowered_versions(o, ops) or expanded_versions(o, ops))
    names = [label(o.domain, o.name) for o in trained]
    carrying = {(n, x) for n in names for x in DIFFERENTIABLE.get(n, set()) - FIXED.get(n, set())}
    assert {(n, x) for n, x in carrying - checked if n.split(".")[-1] not in NOT_DIFFERENTIABLE} == set()


def test_what_no_engine_differentiates_is_refused() -> None:
    """A gradient is never silently zero: what decides sizes has to be known, and a ratio is no parameter."""
    assert {op for op in FIXED if op not in DIFFERENTIABLE} == set()
    scales = R(2, low=1.1, high=1.4)
    for node in (
        Node("Resize", (R(2, 3), None, scales), {"mode": "linear"}),
        Node("Resize", (R(2, 3), R(4, low=0.1, high=0.9), None, ints(2, 4)), _CROPPED),
        Node("Upsample", (R(2, 3), scales), {"mode": "linear"}, opset=9),
    ):
        with pytest.raises(UnsupportedFeatureError, match="make it an initializer"):
            Graph(node).gradients(traced=True)


def test_every_function_has_its_gradients_checked() -> None:
    checked = {id(node.lowering.function) for node in ALL if node.lowering is not None}
    missing = {
        name
        for identity, name in functions().items()
        if identity not in checked and name.split(".")[-1].split("-")[0] not in NOT_DIFFERENTIABLE
    }
    assert missing == set()


def test_what_is_not_differentiable_is_registered() -> None:
    assert set(NOT_DIFFERENTIABLE) <= {lowering.key.op for lowering in ops} | {o.name for o in operators()}
    assert not set(NOT_DIFFERENTIABLE) & {node.op for node in ALL}


def test_the_gradient_of_a_norm_at_zero_is_zero() -> None:
    graph = Graph(Node("ReduceL2", (R(2, 3, low=0.0, high=1e-300),)))
    graph.inputs["x0"][:] = 0
    np.testing.assert_array_equal(graph.gradients()["x0"], np.zeros((2, 3)))


@st.composite
def broadcastable(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that broadcast with each other, of ranks 0 to 3."""
    full = draw(st.lists(st.integers(1, 3), max_size=3))

    def part() -> tuple[int, ...]:
        kept = full[draw(st.integers(0, len(full))) :]
        return tuple(1 if draw(st.booleans()) else n for n in kept)

    return part(), part()


@few
@given(st.sampled_from(["Add", "Sub", "Mul", "Max", "Div", "Where"]), broadcastable())
def test_broadcasting(op: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    first, second = R(*shapes[0]), R(*shapes[1], low=0.5)
    check(Node(op, (np.array([True]), first, second) if op == "Where" else (first, second)))


@st.composite
def convolutions(draw: st.DrawFn) -> Node:
    """A Conv of one or two axes with any kernel, padding, stride, dilation and grouping that fits."""
    axes, group = draw(st.integers(1, 2)), draw(st.sampled_from([1, 2]))
    kernel = [draw(st.integers(1, 3)) for _ in range(axes)]
    gaps = [draw(st.integers(1, 2)) for _ in range(axes)]
    strides = [draw(st.integers(1, 2)) for _ in range(axes)]
    pads = [draw(st.integers(0, 2)) for _ in range(2 * axes)]
    sizes = [(k - 1) * d + draw(st.integers(1, 3)) for k, d in zip(kernel, gaps, strict=True)]
    attributes = {"group": group, "pads": pads, "strides": strides, "dilations": gaps}
    return Node("Conv", (R(1, 2, *sizes), R(2, 2 // group, *kernel), R(2)), attributes)


@few
@given(convolutions())
def test_convolutions(node: Node) -> None:
    check(node)


@st.composite
def pools(draw: st.DrawFn) -> Node:
    """A pool of one or two axes, padded less than its kernel is wide."""
    axes = draw(st.integers(1, 2))
    kernel = [draw(st.integers(1, 3)) for _ in range(axes)]
    pads = [draw(st.integers(0, (k - 1) // 2)) for k in kernel * 2]
    attributes = {
        "kernel_shape": kernel,
        "pads": pads,
        "strides": [draw(st.integers(1, 3)) for _ in range(axes)],
        "ceil_mode": draw(st.integers(0, 1)),
    }
    sizes = [k + draw(st.integers(0, 3)) for k in kernel]
    return Node(draw(st.sampled_from(["MaxPool", "AveragePool"])), (R(1, 2, *sizes),), attributes)


@few
@given(pools())
def test_pools(node: Node) -> None:
    check(node)


@few
@given(
    st.sampled_from(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2", "ReduceLogSumExp"]),
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.data(),
)
def test_reductions(op: str, shape: list[int], data: st.DataObject) -> None:
    axes = data.draw(st.lists(st.integers(-len(shape), -1), unique=True, min_size=1))
    check(Node(op, (R(*shape), np.array(axes, np.int64)), {"keepdims": data.draw(st.integers(0, 1))}))
