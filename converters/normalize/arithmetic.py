"""Passes over operators that compute: powers, products, sums, reductions, softmax, comparisons."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from onnx import ModelProto, TensorProto

from neuromatic.converters.normalize.graph import Node, Results, Rewriter, is_float, rewrite
from neuromatic.converters.normalize.shapes import axes_of_or_none, reshape
from neuromatic.ir.portable_ops import cast, reduce
from neuromatic.ir.values import Value

REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
)  # fmt: skip

EMPTY_IS_IDENTITY = ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum")
"""The reductions that give their input where there is nothing to reduce."""


def simple_powers(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Say ``Pow`` with the constant exponents 1, 2, 3 and 0.5 as nothing, Mul, two Mul and Sqrt."""
    return rewrite(model, {"Pow": _pow}, keep)


def two_operands(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Say Sum and Mean by Add and Mul, and Max and Min of more or fewer than two inputs by those of two."""
    return rewrite(model, dict.fromkeys(("Max", "Min", "Sum", "Mean"), _operands), keep)


def gemm_to_matmul(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Say ``Gemm`` as MatMul and Add, with Transpose and Mul where its attributes ask for them."""
    return rewrite(model, {"Gemm": _gemm}, keep)


def last_axis_softmax(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Take Softmax, LogSoftmax and Hardmax of opset 13 and later along the last axis, between Transposes."""
    return rewrite(model, dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _softmax), keep)


def explicit_reductions(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Write the axes of reductions out; say ``ReduceLogSum`` as ReduceSum and Log, and ``ArgMax`` and
    ``ArgMin`` without ``keepdims`` as one with it and a Reshape; remove reductions of no axes."""
    rules = {**dict.fromkeys(REDUCTIONS, _reduction), "ReduceLogSum": _log_sum}
    return rewrite(model, {**rules, "ArgMax": _arg, "ArgMin": _arg}, keep)


def strict_comparisons(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Say GreaterOrEqual, LessOrEqual and, of floats, Equal by Greater and Less (NaN counts as equal), and
    ``Where`` with a choice of two finite constants by Mul and Add."""
    rules = {"GreaterOrEqual": _or_equal, "LessOrEqual": _or_equal, "Equal": _equal, "Where": _where}
    return rewrite(model, rules, keep)


def _pow(g: Rewriter, node: Node) -> Results:
    x, exponent = node.x, g.array(node.required(1))
    if (
        exponent is None
        or exponent.size != 1
        or not is_float(x)
        or exponent.ndim > (x.rank if x.shape else 0)
    ):
        return None
    power = float(exponent.ravel()[0])
    if power == 1:
        return x
    if power == 0.5:
        return g.add("Sqrt", x)
    if power not in (2, 3):
        return None
    square = g.add("Mul", x, x)
    return square if power == 2 else g.add("Mul", square, x)


def _operands(g: Rewriter, node: Node) -> Results:
    sums = node.op in ("Sum", "Mean")
    given = [x for x in node.inputs if x is not None]
    if not is_float(node.x) or (not sums and len(given) == 2 and given[0] != given[1]):
        return None
    first, *others = given if sums else list(dict.fromkeys(given))
    for other in others:
        first = g.add("Add" if sums else node.op, first, other)
    return g.add("Mul", first, g.like(1 / len(given), first)) if node.op == "Mean" and others else first


def _gemm(g: Rewriter, node: Node) -> Results:
    if not is_float(node.x):
        return None
    a, b, c = node.x, node.required(1), node.input(2)
    alpha, beta = node.attributes["alpha"], node.attributes["beta"]
    if node.attributes["transA"]:
        a = g.add("Transpose", a, perm=[1, 0])
    if node.attributes["transB"]:
        b = g.add("Transpose", b, perm=[1, 0])
    y = g.add("MatMul", a, b)
    if alpha != 1:
        y = g.add("Mul", y, g.like(alpha, y))
    if c is None or beta == 0:
        return y
    return g.add("Add", y, c if beta == 1 else g.add("Mul", c, g.like(beta, c)))


def _softmax(g: Rewriter, node: Node) -> Results:
    if g.opset < 13 or node.x.shape is None:
        return None
    last = node.x.rank - 1
    axis = node.attributes["axis"] % max(node.x.rank, 1)
    if axis == last:
        return g.add(node.op, node.x, axis=last) if node.attributes["axis"] != last else None
    order = [i for i in range(last + 1) if i not in (axis, last)]
    order = [*order[:axis], last, *order[axis:], axis]
    swapped = g.add(node.op, g.add("Transpose", node.x, perm=order), axis=last)
    return g.add("Transpose", swapped, perm=order)


def _reduction(g: Rewriter, node: Node) -> Results:
    axes = axes_of_or_none(g, node)
    if axes is None or node.x.shape is None:
        return None
    if not axes and node.attributes.get("noop_with_empty_axes"):
        return node.x if node.op in EMPTY_IS_IDENTITY else None
    wanted = sorted({a % node.x.rank for a in axes}) if axes else list(range(node.x.rank))
    if not wanted:
        return node.x if node.op in EMPTY_IS_IDENTITY else None
    return reduce(g, node.op, node.x, tuple(wanted), keepdims=bool(node.attributes["keepdims"]))


def _log_sum(g: Rewriter, node: Node) -> Results:
    axes = axes_of_or_none(g, node)
    if axes is None or node.x.shape is None or node.attributes.get("noop_with_empty_axes"):
        return None
    wanted = tuple(sorted({a % node.x.rank for a in axes} or range(node.x.rank)))
    return g.add("Log", reduce(g, "ReduceSum", node.x, wanted, keepdims=bool(node.attributes["keepdims"])))


def _arg(g: Rewriter, node: Node) -> Results:
    if node.attributes["keepdims"] or node.x.shape is None:
        return None
    axis = node.attributes["axis"] % max(node.x.rank, 1)
    found = g.add(node.op, node.x, **{**node.given(), "axis": axis, "keepdims": 1})
    return reshape(g, found, tuple(d for i, d in enumerate(node.x.shape) if i != axis))


def _or_equal(g: Rewriter, node: Node) -> Results:
    opposite = "Less" if node.op == "GreaterOrEqual" else "Greater"
    return g.add("Not", g.add(opposite, *node.inputs))


def _equal(g: Rewriter, node: Node) -> Results:
    if not is_float(node.x):
        return None
    return g.add("Not", g.add("Or", g.add("Less", *node.inputs), g.add("Greater", *node.inputs)))


def _where(g: Rewriter, node: Node) -> Results:
    then, otherwise = (_finite(g, node.required(i)) for i in (1, 2))
    if then is None or otherwise is None:
        return None
    chosen = cast(g, node.x, then.dtype)
    rejected = cast(g, g.add("Not", node.x), then.dtype)
    return g.add("Add", g.add("Mul", chosen, then), g.add("Mul", rejected, otherwise))


def _finite(g: Rewriter, value: Value) -> Value | None:
    array = g.array(value)
    if array is None or value.dtype not in (TensorProto.FLOAT, TensorProto.DOUBLE):
        return None
    return value if bool(np.isfinite(array).all()) else None
