"""Constants, copies and casts.

CNTK computes in float32 alone: integers and truth values travel as float32, which is exact up to 2**24, and
a float of another width is not rounded to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import SparseTensorProto, helper

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.graph import Tensor, Value
from neuromatic.converters.cntk.math import truncated
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.constants import constant_value, first_given
from neuromatic.converters.lowering import Scope

Array = NDArray[Any]


@ops.lowers("Constant", since=(12, 13, 19, 21, 23, 24, 25))
def constant(
    scope: Scope,
    *,
    sparse_value: SparseTensorProto | None,
    value: Array | None,
    value_float: float | None,
    value_floats: Sequence[float] | None,
    value_int: int | None,
    value_ints: Sequence[int] | None,
    value_string: str | None,
    value_strings: Sequence[str] | None,
) -> Array:
    """The one attribute that is given, as a tensor.

    https://onnx.ai/onnx/operators/onnx__Constant.html.  11: sparse_value.  12: numbers and strings.
    """
    return constant_value(
        value,
        sparse_value,
        floats=first_given(value_float, value_floats),
        ints=first_given(value_int, value_ints),
        strings=first_given(value_string, value_strings),
    )


@ops.lowers("Constant", since=(11,))
def constant_11(scope: Scope, *, sparse_value: SparseTensorProto | None, value: Array | None) -> Array:
    """A dense or sparse tensor.  https://onnx.ai/onnx/operators/onnx__Constant.html"""
    return constant_value(value, sparse_value)


@ops.lowers("Constant", since=(1, 9))
def constant_1(scope: Scope, *, value: Array) -> Array:
    """A dense tensor.  https://onnx.ai/onnx/operators/onnx__Constant.html"""
    return value


@ops.lowers("ConstantOfShape", since=(9, 20, 21, 23, 24, 25))
def constant_of_shape(scope: Scope, input: Value, *, value: Array | None) -> Value:
    """A tensor of the given shape, filled with one value, by default 0.0; here of a shape that data say.

    https://onnx.ai/onnx/operators/onnx__ConstantOfShape.html.  20: more types.
    """
    raise ck.CannotRecordError("a shape that depends on data")


@ops.lowers("Range", since=(11,))
def range_(scope: Scope, start: Value, limit: Value, delta: Value) -> Value:
    """start, start + delta, ... before limit; here of a length that data say.

    https://onnx.ai/onnx/operators/onnx__Range.html
    """
    raise ck.CannotRecordError("a range that depends on data")


@ops.lowers("Range", since=(27,))
def range_27(scope: Scope, start: Value, limit: Value, delta: Value, *, stash_type: int) -> Value:
    """Range computed in another precision.  https://onnx.ai/onnx/operators/onnx__Range.html"""
    return range_(scope, start, limit, delta)


@ops.lowers("EyeLike", since=(9, 22))
def eye_like(scope: Scope, input: Tensor, *, dtype: int | None, k: int) -> Array:
    """1 on the k-th diagonal of a matrix of the input's shape, 0 elsewhere.

    https://onnx.ai/onnx/operators/onnx__EyeLike.html.  22: bfloat16.
    """
    if input.batch is not None:
        raise ck.CannotRecordError("a diagonal that runs through the batch")
    kind = input.dtype if dtype is None else np.dtype(helper.tensor_dtype_to_np_dtype(dtype))
    rows, columns = input.static
    return np.eye(rows, columns, k).astype(kind)


@ops.lowers("Identity", since=(1, 13, 14, 16, 19, 21, 23, 24, 25))
def identity(scope: Scope, input: Value) -> Value:
    """The input itself.  https://onnx.ai/onnx/operators/onnx__Identity.html"""
    return input


_TYPES = (
    *("float16", "bfloat16", "float32", "float64", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)


def cast_to(x: Tensor, kind: np.dtype[Any]) -> Tensor:
    """``x`` in another type of ONNX.

    Floats are cut off toward zero, truth is what differs from zero, integers wrap around in narrower ones.
    """
    for name in (x.dtype.name, kind.name):
        if name not in _TYPES:
            raise ck.CannotRecordError(f"the type {name}")
    if kind == x.dtype:
        return x
    if kind.kind == "b":
        return ck.binary("not_equal", x, ck.number(0.0), dtype=np.bool_)
    if kind.kind in "iu" and x.dtype.kind not in "iub":
        return ck.with_dtype(truncated(x), kind)
    if kind.kind in "iu" and x.dtype.kind in "iu" and kind.itemsize < 3:
        return _wrapped(x, kind)
    return ck.with_dtype(x, kind)


def _wrapped(x: Tensor, kind: np.dtype[Any]) -> Tensor:
    """Integers modulo 2**bits, in the range of a narrow type."""
    low, high = np.iinfo(x.dtype).min, np.iinfo(x.dtype).max
    limits = np.iinfo(kind)
    if limits.min <= low and high <= limits.max:
        return ck.with_dtype(x, kind)
    count = float(2**limits.bits)
    turns = ck.unary("floor", ck.scaled(ck.shifted(x, -float(limits.min)), 1 / count))
    return ck.with_dtype(ck.minus(x, ck.scaled(turns, count)), kind)


@ops.lowers("Cast", since=(6, 9, 13, 19, 21, 23, 24, 25, 28))
def cast(scope: Scope, input: Tensor, *, round_mode: str, saturate: int, to: int) -> Tensor:
    """The input in another type; floats to integers are cut off.

    https://onnx.ai/onnx/operators/onnx__Cast.html.  9: strings.  19: float8, saturate.  24: round_mode.
    """
    return cast_to(input, np.dtype(helper.tensor_dtype_to_np_dtype(to)))


@ops.lowers("CastLike", since=(15, 19, 21, 23, 24, 25))
def cast_like(scope: Scope, input: Value, target_type: Value, *, round_mode: str, saturate: int) -> Value:
    """The input in the type of another.  https://onnx.ai/onnx/operators/onnx__CastLike.html"""
    assert isinstance(target_type, (np.ndarray, Tensor))
    if isinstance(input, np.ndarray):
        return input.astype(target_type.dtype)
    assert isinstance(input, Tensor)
    return cast_to(input, target_type.dtype)
