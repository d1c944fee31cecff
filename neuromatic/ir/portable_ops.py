"""ONNX operators whose form changed between opsets, written once for all of them."""

from __future__ import annotations

from typing import Any

from onnx import TensorProto

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.types import FLOATS
from neuromatic.ir.values import Value

_AXES_AS_INPUT = {"ReduceSum": 13, "Squeeze": 13, "Unsqueeze": 13}
"""The opset from which these take ``axes`` as an input; the other reductions do from 18 on."""


def _with_axes(g: GraphBuilder, op: str, x: Value, axes: tuple[int, ...] | None, **attributes: int) -> Value:
    if axes is None:
        return g.add(op, x, **attributes)
    if g.opset >= _AXES_AS_INPUT.get(op, 18):
        return g.add(op, x, g.ints(*axes), **attributes)
    return g.add(op, x, axes=list(axes), **attributes)


def reduce(
    g: GraphBuilder, op: str, x: Value, axes: tuple[int, ...] | None = None, *, keepdims: bool = False
) -> Value:
    """``ReduceMean``, ``ReduceSum`` ... over ``axes``, or over all of them if None."""
    return _with_axes(g, op, x, axes, keepdims=int(keepdims))


def squeeze(g: GraphBuilder, x: Value, *axes: int) -> Value:
    """Remove axes of size 1."""
    return _with_axes(g, "Squeeze", x, axes)


def unsqueeze(g: GraphBuilder, x: Value, *axes: int) -> Value:
    """Insert axes of size 1."""
    return _with_axes(g, "Unsqueeze", x, axes)


def clip(g: GraphBuilder, x: Value, low: float, high: float) -> Value:
    """Limit to [low, high]."""
    if g.opset >= 11:
        return g.add("Clip", x, g.const(low, x.dtype), g.const(high, x.dtype))
    return g.add("Clip", x, min=low, max=high)


def log_softmax(g: GraphBuilder, x: Value, axis: int) -> Value:
    """The logarithm of softmax along one axis; before opset 13 ``LogSoftmax`` takes the later ones too."""
    if g.opset >= 13 or axis == x.rank - 1:
        return g.add("LogSoftmax", x, axis=axis)
    order = [*(i for i in range(x.rank) if i != axis), axis]
    y = g.add("LogSoftmax", g.add("Transpose", x, perm=order), axis=x.rank - 1)
    return g.add("Transpose", y, perm=[order.index(i) for i in range(x.rank)])


def equal(g: GraphBuilder, a: Value, b: Value) -> Value:
    """Whether elements are equal; before opset 11 ``Equal`` takes no floats."""
    if g.opset >= 11 or a.dtype in (TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64):
        return g.add("Equal", a, b)
    return g.add("Not", g.add("Or", g.add("Less", a, b), g.add("Greater", a, b)))


def greater(g: GraphBuilder, a: Value, b: Value, **options: Any) -> Value:
    """Whether elements of ``a`` are greater; before opset 9 ``Greater`` takes only floats."""
    if g.opset < 9 and a.dtype not in FLOATS:
        a, b = (cast(g, x, TensorProto.DOUBLE) for x in (a, b))
    return g.add("Greater", a, b, **options)


def where(g: GraphBuilder, condition: Value, yes: Value, no: Value, **options: Any) -> Value:
    """``yes`` where the condition holds, else ``no``, both finite; there is no ``Where`` before opset 9."""
    if g.opset >= 9:
        return g.add("Where", condition, yes, no, **options)
    chosen = cast(g, condition, yes.dtype)
    rest = g.add("Sub", g.const(1.0, yes.dtype), chosen)
    return g.add("Add", g.add("Mul", chosen, yes), g.add("Mul", rest, no), **options)


def maximum(g: GraphBuilder, a: Value, b: Value) -> Value:
    """The larger elements of finite values; before opset 8 ``Max`` does not broadcast."""
    return g.add("Max", *_of_one_shape(g, a, b))


def minimum(g: GraphBuilder, a: Value, b: Value) -> Value:
    """The smaller elements of finite values; before opset 8 ``Min`` does not broadcast."""
    return g.add("Min", *_of_one_shape(g, a, b))


def total(g: GraphBuilder, *values: Value, **options: Any) -> Value:
    """The sum of values; before opset 8 ``Sum`` does not broadcast."""
    if g.opset >= 8 or len({value.shape for value in values}) == 1:
        return g.add("Sum", *values, **options)
    result, *others = values
    for other in others[:-1]:
        result = g.add("Add", result, other)
    return g.add("Add", result, others[-1], **options)


def sign(g: GraphBuilder, x: Value) -> Value:
    """-1, 0 or 1; there is no ``Sign`` before opset 9."""
    if g.opset >= 9:
        return g.add("Sign", x)
    zero = g.const(0.0, x.dtype)
    above, below = (cast(g, g.add(op, x, zero), x.dtype) for op in ("Greater", "Less"))
    return g.add("Sub", above, below)


def _of_one_shape(g: GraphBuilder, a: Value, b: Value) -> tuple[Value, Value]:
    if g.opset >= 8 or (a.shape is not None and a.shape == b.shape):
        return a, b
    zero = g.const(0.0, a.dtype)
    return g.add("Add", a, g.add("Mul", b, zero)), g.add("Add", b, g.add("Mul", a, zero))


def cast(g: GraphBuilder, x: Value, dtype: int) -> Value:
    """The value as another element type; itself if it has it already."""
    return x if x.dtype == dtype else g.add("Cast", x, to=dtype)


def sum_and_count(g: GraphBuilder, values: Value) -> Value:
    """The vector [sum of the values, how many they are] in float32: what a mean over all batches needs."""
    total = reduce(g, "ReduceSum", cast(g, values, TensorProto.FLOAT))
    count = cast(g, g.add("Size", values), TensorProto.FLOAT)
    parts = [g.add("Reshape", part, g.ints(1)) for part in (total, count)]
    return g.add("Concat", *parts, axis=0)
