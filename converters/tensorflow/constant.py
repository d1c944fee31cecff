"""Constants, copies and casts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from onnx import SparseTensorProto

from neuromatic.converters.constants import constant_value, first_given
from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, element_type, unsupported
from neuromatic.converters.tensorflow.registry import ops

Array = np.ndarray[Any, Any]


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
def constant_of_shape(scope: Scope, input: Tensor, *, value: Array | None) -> Tensor:
    """A tensor of the given shape, filled with one value, by default 0.0.

    https://onnx.ai/onnx/operators/onnx__ConstantOfShape.html.  20: more types.
    """
    fill = np.zeros((), np.float32) if value is None else value.reshape(())
    if isinstance(input, np.ndarray):
        return np.full(tuple(int(n) for n in input), fill, fill.dtype)
    return tf.fill(input, fill)


@ops.lowers("Identity", since=(1, 13, 14, 16, 19, 21, 23, 24, 25), layout="any")
def identity(scope: Scope, input: Tensor) -> Tensor:
    """The input.  https://onnx.ai/onnx/operators/onnx__Identity.html"""
    return input


@ops.lowers("Cast", since=(6, 9, 13, 19, 21, 23, 24, 25, 28), layout="any")
def cast(scope: Scope, input: Tensor, *, round_mode: str, saturate: int, to: int) -> Tensor:
    """The input in another type; floats to integers are cut off.

    https://onnx.ai/onnx/operators/onnx__Cast.html.  9: strings.  19: float8, saturate.  24: round_mode.
    """
    return cast_to(scope, input, element_type(scope, to), bool(saturate))


@ops.lowers("CastLike", since=(15, 19, 21, 23, 24, 25), layout="any")
def cast_like(scope: Scope, input: Tensor, target_type: Tensor, *, round_mode: str, saturate: int) -> Tensor:
    """The input in the type of another.  https://onnx.ai/onnx/operators/onnx__CastLike.html"""
    return cast_to(scope, input, dtype(target_type), bool(saturate))


_LARGEST = {"float8_e4m3fn": 448.0, "float8_e5m2": 57344.0}
_VIA = {"int4": tf.int8, "uint4": tf.uint8}
_PLAIN = (
    *("float16", "bfloat16", "float32", "float64", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)


def cast_to(scope: Scope, x: Tensor, kind: tf.DType, saturate: bool) -> Tensor:
    """A value in another type; floats of eight bits are kept within their range if ``saturate``."""
    source = dtype(x)
    if source == kind:
        return x
    if kind == tf.string:
        return tf.strings.as_string(x)
    if source == tf.string:
        return tf.cast(tf.strings.to_number(x, tf.float64), kind)
    for name in (source.name, kind.name):
        if name not in (*_PLAIN, *_LARGEST, *_VIA):
            raise unsupported(scope, f"TensorFlow does not compute with {name}; use float8_e4m3fn or int8")
    if kind.name in _LARGEST and saturate:
        limit = _LARGEST[kind.name]
        x = tf.clip_by_value(tf.cast(x, tf.float32), -limit, limit)
    for between in (_VIA.get(source.name), _VIA.get(kind.name)):
        x = x if between is None else tf.cast(x, between)
    return tf.cast(x, kind)
