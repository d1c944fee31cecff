"""External data: tensors whose values lie in files beside the model's.

In memory such a tensor keeps its ``external_data``, with the folder of its model as ``basepath`` (ONNX' own
key), so that it can be written back to where it came from. Its values are either in ``raw_data``, or, where
they are large, still in the file: then its ``data_location`` is ``EXTERNAL`` and :func:`array_of` maps the
file into memory, which reads no more of it than is used. The files have to stay while the model is in use.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from neuromatic._walk import tensors
from neuromatic.errors import InvalidModelError

Array = NDArray[Any]

BASE = "basepath"
"""The key of ``external_data`` that holds the folder; only in memory, never in a file."""
KEYS = frozenset({"location", "offset", "length", "checksum"})
"""The keys that ONNX defines for a file; onnxruntime refuses a model with others."""
MOST_READ = 256 << 20
"""External data of at most this size are read when a model is loaded."""
LEAST_MAPPED = 64 << 10
"""Of larger external data, initializers of at least this size stay in their files."""
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


def attach(model: ModelProto, folder: Path) -> bool:
    """Check the external data of a model that was read from a folder, and read what is not large.

    Returns:
        Whether there are external data.

    Raises:
        InvalidModelError: they are missing, too short, or not in that folder.
    """
    found: list[tuple[TensorProto, Place]] = []
    files: dict[str, int] = {}
    for tensor in tensors(model):
        _check_keys(tensor)
        if is_mapped(tensor):
            found.append((tensor, _checked(tensor, folder, files)))
    large = sum(place.length for _, place in found) > MOST_READ
    mappable = {id(t): t for t in model.graph.initializer}
    for tensor, place in found:
        tensor.external_data.add(key=BASE, value=str(folder))
        packed = TensorProto.DataType.Name(tensor.data_type) in BITS
        if not large or packed or place.length < LEAST_MAPPED or id(tensor) not in mappable:
            tensor.raw_data = place.read()
            tensor.ClearField("data_location")
    return bool(found)


def _check_keys(tensor: TensorProto) -> None:
    """Every entry is known and there once, also where the values are not in another file after all."""
    where, seen = f"external data of {tensor.name!r}", set[str]()
    for entry in tensor.external_data:
        if entry.key not in KEYS:
            raise InvalidModelError(
                f"{where} have an entry {entry.key[:40]!r}, expected only {', '.join(sorted(KEYS))}"
            )
        if entry.key in seen:
            raise InvalidModelError(f"{where} have an entry twice: {entry.key!r}")
        seen.add(entry.key)


def _drop(tensor: TensorProto, key: str) -> None:
    for entry in [entry for entry in tensor.external_data if entry.key == key]:
        tensor.external_data.remove(entry)


def detach(tensor: TensorProto) -> None:
    """Make a tensor of a loaded model as its file has it: a reference without the folder, and no values."""
    _drop(tensor, BASE)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL


def _checked(tensor: TensorProto, folder: Path, files: dict[str, int]) -> Place:
    """Where an external tensor lies; ``files`` are the sizes of those that were looked at."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    where = f"external data of {tensor.name!r}"
    location, length = entries.get("location", ""), byte_count(tensor)
    if location not in files:
        files[location] = _size_of(location, folder, where)
    offset = _number(entries.get("offset", "0"), f"the offset of {where}")
    if "length" in entries and (given := _number(entries["length"], f"the length of {where}")) != length:
        raise InvalidModelError(
            f"{where} have a length of {given} bytes; shape {tuple(tensor.dims)} needs {length}"
        )
    if offset + length > files[location]:
        raise InvalidModelError(
            f"{where} end at byte {offset + length} of {location!r}, which has {files[location]}"
        )
    return Place(folder, location, offset, length)


def _number(text: str, what: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII):
        raise InvalidModelError(f"{what} is {text[:40]!r}, expected a number of bytes")
    return int(text)


def _size_of(location: str, folder: Path, where: str) -> int:
    """The size of a data file, which has to be an ordinary file inside the model's folder."""
    parts = PurePosixPath(location).parts
    if (
        not parts
        or ".." in parts
        or location.startswith("/")
        or re.search(r"[\\\x00-\x1f\x7f]|^\w:", location)
    ):
        raise InvalidModelError(
            f"{where} have location {location[:80]!r}, expected a file in the model's folder"
        )
    try:
        file = (folder / location).resolve(strict=True)
        found = file.stat()
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidModelError(f"{where}: cannot read {location[:80]!r}: {reason}") from error
    if not file.is_relative_to(folder.resolve()) or _has_names_elsewhere(file, found):
        raise InvalidModelError(f"{where}: {location!r} is a link that leads out of the model's folder")
    if not stat.S_ISREG(found.st_mode):
        raise InvalidModelError(f"{where}: {location!r} is not an ordinary file")
    return found.st_size


def _has_names_elsewhere(file: Path, found: os.stat_result) -> bool:
    """Whether a file has hard links in other folders; it may have several names in its own."""
    if found.st_nlink < 2 or not stat.S_ISREG(found.st_mode):
        return False
    with os.scandir(file.parent) as entries:
        return sum(e.inode() == found.st_ino and not e.is_symlink() for e in entries) < found.st_nlink
