"""Tensors of a file: their values, sizes, and where external ones lie."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from neuromatic.errors import InvalidModelError

Array = NDArray[Any]
BASE = "basepath"
"""The key of ``external_data`` that holds the folder; only in memory, never in a file."""
BITS = {"UINT2": 2, "INT2": 2, "UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4}
"""The element types of which several share a byte."""


@dataclass(frozen=True)
class Place:
    """Where the values of a tensor lie.

    Attributes:
        folder: the folder of the model.
        location: the file's name in it, with ``/`` between folders.
        offset: where in the file they begin.
        length: how many bytes they are.
    """

    folder: Path
    location: str
    offset: int
    length: int

    @property
    def file(self) -> Path:
        """The file."""
        return self.folder / self.location

    def read(self) -> bytes:
        """The bytes.

        Raises:
            OSError: the file cannot be read.
        """
        with self.file.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


def place_of(tensor: TensorProto) -> Place | None:
    """Where a tensor of a loaded model came from; None where its values were in the model's own file."""
    entries = {e.key: e.value for e in tensor.external_data}
    if BASE not in entries:
        return None
    return Place(Path(entries[BASE]), entries["location"], int(entries.get("offset", 0)), byte_count(tensor))


def is_mapped(tensor: TensorProto) -> bool:
    """Whether a tensor's values are still in another file."""
    return tensor.data_location == TensorProto.EXTERNAL


def array_of(tensor: TensorProto) -> Array:
    """A tensor as an array. Where it maps a file, writing to the array does not change the file.

    Raises:
        InvalidModelError: that file is gone.
    """
    place = place_of(tensor) if is_mapped(tensor) else None
    if place is None:
        array: Array = numpy_helper.to_array(tensor)
        return array
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    try:
        mapped = np.memmap(place.file, dtype, "c", place.offset, tuple(tensor.dims))
    except (OSError, ValueError) as error:
        raise InvalidModelError(f"cannot read {tensor.name!r} from {place.file}: {error}") from error
    return mapped.view(np.ndarray)


def byte_count(tensor: TensorProto) -> int:
    """How many bytes the values of a tensor are, from type and shape.

    Raises:
        InvalidModelError: the type is none that has a size, or a dimension is negative.
    """
    if any(size < 0 for size in tensor.dims):
        raise InvalidModelError(f"tensor {tensor.name!r} has shape {tuple(tensor.dims)}")
    try:
        kind = TensorProto.DataType.Name(tensor.data_type)
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except (KeyError, ValueError) as error:
        raise InvalidModelError(f"tensor {tensor.name!r} has unknown type {tensor.data_type}") from error
    return -(-int(prod(tensor.dims)) * BITS.get(kind, 8 * int(dtype.itemsize)) // 8)
