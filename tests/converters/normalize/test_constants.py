"""Constants, and shapes with a batch of unknown size."""

from __future__ import annotations

import numpy as np
import pytest

from neuromatic.converters.normalize.constants import MAX_FOLDED_ELEMENTS, fold_constants
from neuromatic.converters.normalize.structure import drop_unused
from tests.converters.normalize.models import constant, model, normalized, numbers, ops, target


def test_what_depends_on_constants_alone_is_computed() -> None:
    body = "two = Constant<value_float = 2.0>() a = Mul(two, c) b = Neg(a) y = Add(x, b)"
    proto = model(body, "float[N, 3] x", "float[N, 3] y", c=np.ones(3, np.float32))
    result = normalized(fold_constants, proto)
    assert ops(result) == ["Add"]
    assert constant(result, result.graph.node[0].input[1]) == [-2.0] * 3


def test_nothing_is_computed_from_parameters() -> None:
    body = "t = Transpose<perm = [1, 0]>(w) y = MatMul(x, t)"
    proto = model(body, "float[N, 3] x", "float[N, 2] y", w=numbers(2, 3))
    assert ops(normalized(fold_constants, proto, ["w"])) == ["Transpose", "MatMul"]
    assert ops(normalized(fold_constants, proto)) == ["MatMul"]


def test_several_outputs_are_computed() -> None:
    body = "a, b = Split<axis = 0>(c) d = Add(x, a) y = Add(d, b)"
    proto = model(body, "float[N, 2] x", "float[N, 2] y", opset=11, c=numbers(2, 2))
    assert ops(normalized(fold_constants, proto)) == ["Add", "Add"]


def test_a_constant_output_keeps_its_name() -> None:
    proto = model("y = Neg(c)", "float[N] x", "float[2] y", c=numbers(2))
    result = normalized(fold_constants, proto)
    assert ops(result) == ["Identity"]


def test_large_results_are_left() -> None:
    body = "s = Constant<value_ints = [4, 2000000]>() z = ConstantOfShape(s) r = ReduceSum(z) y = Add(x, r)"
    proto = model(body, "float[N, 1] x", "float[N, 1] y")
    assert MAX_FOLDED_ELEMENTS < 8_000_000
    assert "ConstantOfShape" in ops(normalized(fold_constants, proto))


def test_random_numbers_are_left() -> None:
    body = "r = RandomNormal<shape = [3], seed = 1.0>() z = Mul(r, c) y = Add(x, z)"
    proto = model(body, "float[N, 3] x", "float[N, 3] y", c=np.zeros(3, np.float32))
    assert "RandomNormal" in ops(normalized(fold_constants, proto))


FLATTENED = {
    "size and -1": """s = Shape(x) zero = Constant<value_int = 0>() n = Gather(s, zero)
        axis = Constant<value_ints = [0]>() n1 = Unsqueeze(n, axis)
        rest = Constant<value_ints = [-1]>() t = Concat<axis = 0>(n1, rest)
        y = Reshape(x, t)""",
    "slice": """s = Shape(x) from = Constant<value_ints = [0]>() to = Constant<value_ints = [1]>()
        n = Slice(s, from, to) rest = Constant<value_ints = [24]>() t = Concat<axis = 0>(n, rest)
        y = Reshape(x, t)""",
    "part of a shape": """n = Shape<end = 1>(x) rest = Shape<start = 1>(x)
        product = ReduceProd<keepdims = 1>(rest) t = Concat<axis = 0>(n, product) y = Reshape(x, t)""",
    "int32": """s = Shape(x) i = Cast<to = 6>(s) zero = Constant<value_ints = [0]>() n = Gather(i, zero)
        l = Cast<to = 7>(n) rest = Constant<value_ints = [-1]>() t = Concat<axis = 0>(l, rest)
        y = Reshape(x, t)""",
}  # fmt: skip


@pytest.mark.parametrize("name", FLATTENED)
def test_a_target_with_the_size_of_the_batch_becomes_constant(name: str) -> None:
    proto = model(FLATTENED[name], "float[N, 2, 3, 4] x", "float[N, 24] y")
    result = drop_unused(normalized(fold_constants, proto))
    assert ops(result) == ["Reshape"]
    assert target(result)[0] == 0
    assert target(result)[1] in (-1, 24)


def test_a_batch_inside_another_dimension_becomes_minus_one() -> None:
    body = """s = Shape<end = 1>(x) four = Constant<value_ints = [4]>() m = Mul(s, four)
        rest = Constant<value_ints = [5]>() t = Concat<axis = 0>(m, rest) y = Reshape(x, t)"""
    proto = model(body, "float[N, 4, 5] x", "float[M, 5] y")
    assert target(normalized(fold_constants, proto)) == [-1, 5]


def test_shapes_of_reshaped_values_are_followed() -> None:
    body = """s = Shape<end = 1>(x) six = Constant<value_ints = [6]>() t = Concat<axis = 0>(s, six)
        a = Reshape(x, t) b = Relu(a) s2 = Shape(b) two = Constant<value_ints = [2]>() c = Neg(b)
        n = Shape<end = 1>(c) three = Constant<value_ints = [3]>() u = Concat<axis = 0>(n, two, three)
        y = Reshape(c, u)"""
    proto = model(body, "float[N, 2, 3] x", "float[N, 2, 3] y")
    assert ops(normalized(fold_constants, proto)) == ["Reshape", "Relu", "Neg", "Reshape"]


def test_a_target_that_may_be_right_for_large_batches_alone_is_left() -> None:
    body = """n = Shape<end = 1>(x) most = Constant<value_ints = [100]>() m = Min(n, most)
        rest = Constant<value_ints = [-1]>() t = Concat<axis = 0>(m, rest) y = Reshape(x, t)"""
    proto = model(body, "float[N, 2, 3] x", "float[N, M] y")
    assert "Min" in ops(normalized(fold_constants, proto))


def test_the_size_of_the_batch_itself_is_not_guessed() -> None:
    body = "s = Shape<end = 1>(x) f = Cast<to = 1>(s) y = Div(x, f)"
    proto = model(body, "float[N, 3] x", "float[N, 3] y")
    assert ops(normalized(fold_constants, proto)) == ["Shape", "Cast", "Div"]
