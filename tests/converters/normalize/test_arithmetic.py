"""Powers, products, sums, reductions, softmax, comparisons."""

from __future__ import annotations

import numpy as np
import pytest

from neuromatic.converters.normalize.arithmetic import (
    REDUCTIONS,
    explicit_reductions,
    gemm_to_matmul,
    last_axis_softmax,
    simple_powers,
    strict_comparisons,
    two_operands,
)
from tests.converters.normalize.models import Array, attribute, constant, model, normalized, numbers, ops


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (1.0, ["Neg"]),
        (2.0, ["Mul", "Neg"]),
        (3.0, ["Mul", "Mul", "Neg"]),
        (0.5, ["Sqrt", "Neg"]),
        (4.0, ["Pow", "Neg"]),
    ],
)
@pytest.mark.parametrize("opset", [7, 17])
def test_powers(power: float, expected: list[str], opset: int) -> None:
    body = "a = Pow(x, p) y = Neg(a)"
    proto = model(body, "float[N, 3] x", "float[N, 3] y", opset=opset, p=np.array(power, np.float32))
    assert ops(normalized(simple_powers, proto)) == expected


def test_a_power_by_an_integer() -> None:
    proto = model("y = Pow(x, p)", "float[N, 3] x", "float[N, 3] y", p=np.array([2]))
    assert ops(normalized(simple_powers, proto)) == ["Mul"]


def test_a_trained_exponent_stays() -> None:
    proto = model("y = Pow(x, p)", "float[N, 3] x", "float[N, 3] y", p=np.array(2, np.float32))
    assert ops(normalized(simple_powers, proto, ["p"])) == ["Pow"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = Mean(x, a)", ["Add", "Mul"]),
        ("y = Mean(x, a, x)", ["Add", "Add", "Mul"]),
        ("y = Sum(x, w, x)", ["Add", "Add"]),
        ("y = Sum(x, x)", ["Add"]),
        ("y = Max(x, w, a)", ["Max", "Max"]),
        ("y = Min(x, w)", ["Min"]),
        ("y = Max(x, w, x)", ["Max"]),
    ],
)
def test_operands_come_in_twos(body: str, expected: list[str]) -> None:
    proto = model(body.replace("a", "x", 0), "float[N, 3] x, float[N, 3] a", "float[N, 3] y", w=numbers(3))
    assert ops(normalized(two_operands, proto, ["w"])) == expected


@pytest.mark.parametrize("op", ["Mean", "Sum", "Max", "Min"])
@pytest.mark.parametrize("opset", [8, 17])
def test_one_operand_is_itself(op: str, opset: int) -> None:
    proto = model(f"a = {op}(x) y = Neg(a)", "float[N, 3] x", "float[N, 3] y", opset=opset)
    assert ops(normalized(two_operands, proto)) == ["Neg"]


def test_one_operand_that_is_an_output() -> None:
    proto = model("y = Max(x)", "float[N, 3] x", "float[N, 3] y")
    assert ops(normalized(two_operands, proto)) == ["Identity"]


@pytest.mark.parametrize("alpha", [1.0, 0.5])
@pytest.mark.parametrize("beta", [1.0, 2.0, 0.0])
@pytest.mark.parametrize("across", [0, 1])
@pytest.mark.parametrize("bias", [None, numbers(2), numbers(1, 2), numbers(1), np.array(2, np.float32)])
def test_gemm(alpha: float, beta: float, across: int, bias: Array | None) -> None:
    options = f"alpha = {alpha}, beta = {beta}, transA = {across}, transB = {across}"
    first = "a = Transpose<perm = [1, 0]>(x)" if across else "a = Identity(x)"
    given = {"w": numbers(2, 3) if across else numbers(3, 2)} | ({} if bias is None else {"b": bias})
    body = f"{first} y = Gemm<{options}>(a, {', '.join(given)})"
    proto = model(body, "float[N, 3] x", "float[N, 2] y", opset=17, **given)
    result = normalized(gemm_to_matmul, proto, list(given), rtol=1e-5)
    assert "Gemm" not in ops(result)
    assert ("Add" in ops(result)) == (bias is not None and beta != 0)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -3])
def test_softmax_takes_the_last_axis(op: str, axis: int) -> None:
    proto = model(f"y = {op}<axis = {axis}>(x)", "float[N, 3, 4, 2] x", "float[N, 3, 4, 2] y")
    result = normalized(last_axis_softmax, proto)
    assert attribute(result, op, "axis") == 3
    assert ops(result).count("Transpose") == (0 if axis in (3, -1) else 2)


def test_old_softmax_stays() -> None:
    proto = model("y = Softmax<axis = 1>(x)", "float[N, 3, 4] x", "float[N, 3, 4] y", opset=11)
    assert ops(normalized(last_axis_softmax, proto)) == ["Softmax"]


def reduction(op: str, axes: list[int] | None, keepdims: int, opset: int, noop: int = 0) -> tuple[str, str]:
    """A reduction of (N, 3, 4) in the form of the opset, and the type of its output."""
    as_input = opset >= (13 if op == "ReduceSum" else 18)
    options = [f"keepdims = {keepdims}"] + (["noop_with_empty_axes = 1"] if noop else [])
    inputs, before = "p", "p = Abs(x) "
    if axes is not None and as_input:
        inputs, before = "p, a", before + f"a = Constant<value_ints = {axes}>() "
    elif axes is not None:
        options.append(f"axes = {axes}")
    rank = 3 if keepdims or noop else 3 - len({a % 3 for a in axes or range(3)})
    kind = f"float[{', '.join('ABC'[:rank])}]" if rank else "float"
    return f"{before} y = {op}<{', '.join(options)}>({inputs})", kind


@pytest.mark.parametrize("op", [*REDUCTIONS, "ReduceLogSum"])
@pytest.mark.parametrize("axes", [None, [-1], [2, 1]])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("opset", [11, 13, 18])
def test_reductions_write_their_axes(op: str, axes: list[int] | None, keepdims: int, opset: int) -> None:
    if opset < 11 and axes and min(axes) < 0:
        pytest.skip("negative axes are newer")
    body, kind = reduction(op, axes, keepdims, opset)
    result = normalized(
        explicit_reductions, model(body, "float[N, 3, 4] x", f"{kind} y", opset=opset), rtol=1e-5
    )
    node = next(n for n in result.graph.node if n.op_type.startswith("Reduce"))
    found = attribute(result, node.op_type, "axes") or constant(result, node.input[1])
    assert found == sorted(a % 3 for a in (axes or range(3)))
    assert "ReduceLogSum" not in ops(result)


@pytest.mark.parametrize(
    ("op", "opset"), [("ReduceSum", 13), ("ReduceSum", 18), ("ReduceMean", 18), ("ReduceMax", 18)]
)
def test_a_reduction_of_nothing_goes(op: str, opset: int) -> None:
    body, kind = reduction(op, None, 1, opset, noop=1)
    result = normalized(explicit_reductions, model(body, "float[N, 3, 4] x", f"{kind} y", opset=opset))
    assert op not in ops(result)


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("axis", [1, -1])
def test_arg_keeps_its_dimension(op: str, axis: int) -> None:
    proto = model(f"y = {op}<axis = {axis}, keepdims = 0>(x)", "float[N, 3, 4] x", "int64[N, A] y")
    result = normalized(explicit_reductions, proto)
    assert ops(result) == [op, "Reshape"]
    assert attribute(result, op, "keepdims") == 1


@pytest.mark.parametrize(
    ("op", "opset"), [("GreaterOrEqual", 12), ("LessOrEqual", 16), ("Equal", 11), ("Equal", 19)]
)
def test_comparisons(op: str, opset: int) -> None:
    proto = model(
        f"r = Relu(x) y = {op}(r, w)", "float[N, 3] x", "bool[N, 3] y", opset=opset, w=np.zeros(3, np.float32)
    )
    result = normalized(strict_comparisons, proto)
    assert op not in ops(result)
    assert ops(result)[-1] == "Not"


def test_a_choice_of_constants() -> None:
    body = "zero = Constant<value_float = 0.0>() c = Less(x, zero) y = Where(c, a, b)"
    given = {"a": np.array([1e30, 2, 3], np.float32), "b": np.array([0.1, -1e30, 0], np.float32)}
    proto = model(body, "float[N, 3] x", "float[N, 3] y", opset=17, **given)
    assert "Where" not in ops(normalized(strict_comparisons, proto, rtol=0))


def test_a_choice_of_an_infinite_constant_stays() -> None:
    body = "zero = Constant<value_float = 0.0>() c = Less(x, zero) y = Where(c, a, b)"
    proto = model(
        body, "float[N, 1] x", "float[N, 1] y", a=np.array([-np.inf], np.float32), b=np.zeros(1, np.float32)
    )
    assert "Where" in ops(normalized(strict_comparisons, proto))
