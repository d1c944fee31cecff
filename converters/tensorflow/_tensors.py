"""What the lowerings share: shapes that may be partly known, and values that have to be known.

A value is a numpy array where it is known while the graph is traced, else a tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.errors import UnsupportedFeatureError

Tensor = Any
"""A numpy array or a ``tf.Tensor``; None where an optional input is left out."""


def rank(x: Tensor) -> int:
    """The number of dimensions of an array or a tensor."""
    return len(x.shape)


def shape(x: Tensor) -> list[Any]:
    """The dimensions of a value: an ``int`` where known, else a scalar tensor."""
    static = list(x.shape)
    if None not in static:
        return static
    dynamic = tf.shape(x)
    return [dynamic[i] if d is None else d for i, d in enumerate(static)]


def static_shape(x: Tensor) -> list[int] | None:
    """The dimensions of a value if all of them are known."""
    static = list(x.shape)
    return None if None in static else static


def dtype(x: Tensor) -> tf.DType:
    """The TensorFlow type of an array or a tensor."""
    return tf.as_dtype(x.dtype) if x.dtype != object else tf.string


def unsupported(scope: Scope, what: str) -> UnsupportedFeatureError:
    """The error for a form of an operator that is not handled; ``what`` names it and the way out."""
    return UnsupportedFeatureError(f"tensorflow: {scope.node}: {what}")


def integers(scope: Scope, value: Tensor, name: str) -> list[int]:
    """The integers of an input that shapes depend on, such as axes."""
    if not isinstance(value, np.ndarray):
        raise unsupported(
            scope,
            f"its input {name!r} depends on what the graph computes; make it an initializer or a constant",
        )
    return [int(v) for v in value.reshape(-1)]


def known_dimension(scope: Scope, x: Tensor, axis: int) -> int:
    """A dimension that has to be known while the graph is traced."""
    size = x.shape[axis]
    if size is None:
        raise unsupported(scope, f"dimension {axis} of {scope.inputs[0]!r} is not fixed; give it a size")
    return int(size)


def normalized(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    return axis + rank if axis < 0 else axis


def move_axis_last(x: Tensor, axis: int) -> tuple[Tensor, list[int]]:
    """The value with one axis moved to the end, and the permutation that moves it back."""
    n = rank(x)
    axis = normalized(axis, n)
    order = [*range(axis), *range(axis + 1, n), axis]
    back = [*range(axis), n - 1, *range(axis, n - 1)]
    return (x if axis == n - 1 else tf.transpose(x, order)), back


def element_type(scope: Scope, number: int) -> tf.DType:
    """The TensorFlow type of an ONNX element type, as attributes give it."""
    if number == onnx.TensorProto.STRING:
        return tf.string
    try:
        return tf.as_dtype(onnx.helper.tensor_dtype_to_np_dtype(number))
    except TypeError as error:
        name = onnx.TensorProto.DataType.Name(number)
        raise unsupported(scope, f"TensorFlow has no type for {name}; use FLOAT8E4M3FN or INT8") from error
