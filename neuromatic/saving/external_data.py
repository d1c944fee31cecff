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
from pathlib import Path, PurePosixPath

from onnx import ModelProto, TensorProto

from neuromatic.errors import InvalidModelError
from neuromatic.ir.tensors import BASE, BITS, Place, byte_count, is_mapped
from neuromatic.ir.traversal import tensors
from neuromatic.saving.atomic import cached_blob

KEYS = frozenset({"location", "offset", "length", "checksum"})
"""The keys that ONNX defines for a file; onnxruntime refuses a model with others."""
MOST_READ = 256 << 20
"""External data of at most this size are read when a model is loaded."""
LEAST_MAPPED = 64 << 10
"""Of larger external data, initializers of at least this size stay in their files."""


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


def served(place: Place) -> tuple[Path, str]:
    """Folder and name of a file as onnxruntime takes them, which follows no link out of a folder."""
    blob = cached_blob(place.file)
    return (place.folder, place.location) if blob is None else (blob.parent, blob.name)


def set_entry(tensor: TensorProto, key: str, value: str) -> None:
    """Change an entry of a tensor's external data, if there is one of that key."""
    for entry in tensor.external_data:
        if entry.key == key:
            entry.value = value


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
    inside = file.is_relative_to(folder.resolve()) or cached_blob(folder / location) is not None
    if not inside or _has_names_elsewhere(file, found):
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
