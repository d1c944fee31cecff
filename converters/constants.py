"""The value of a Constant node, the same for every engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import SparseTensorProto, numpy_helper

Array = NDArray[Any]


def constant_value(
    value: Array | None = None,
    sparse_value: SparseTensorProto | None = None,
    *,
    floats: float | Sequence[float] | None = None,
    ints: int | Sequence[int] | None = None,
    strings: str | Sequence[str] | None = None,
) -> Array:
    """The one attribute that is given, as a tensor.

    Raises:
        ValueError: none is given.
    """
    if value is not None:
        return value
    if sparse_value is not None:
        return dense(sparse_value)
    for given, kind in ((floats, np.float32), (ints, np.int64), (strings, object)):
        if given is not None:
            return np.array(given, kind)
    raise ValueError("a Constant node has no value")


def dense(sparse: SparseTensorProto) -> Array:
    """A sparse tensor as an array with its zeros."""
    values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    array = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 1:
        array.reshape(-1)[indices] = values
    else:
        array[tuple(indices.T)] = values
    return array


def first_given(*values: Any) -> Any:
    """The first of some attributes that is not None, or None."""
    return next((value for value in values if value is not None), None)
