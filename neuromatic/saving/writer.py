"""Writing a model with its external data, in the layout they had when the model was loaded.

A crash leaves the old model or the new one, whole:

- a data file that does not exist yet takes its name before the model's file does;
- one that belongs to the model that is replaced is first written beside it under a new name, then the model's
  file is replaced by one that refers to that name; this is the moment from which the new model counts. Then
  the data file takes the old name and the model's file is written again, with the usual references.

Data files that stay as they are are not written. One that some other model has beside the new file is never
touched: the new model's data get another name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from google.protobuf.message import DecodeError, EncodeError
from onnx import ModelProto, TensorProto

from neuromatic.errors import ModelError
from neuromatic.ir.tensors import Place, is_mapped, place_of
from neuromatic.ir.traversal import tensors
from neuromatic.saving import atomic as files
from neuromatic.saving import external_data as external
from neuromatic.saving.external_data import set_entry

MOST_INLINE = 3 << 29
"""Models of more bytes (1.5 GiB) get external data; one protobuf message may have at most 2 GiB."""
LEAST_SPILLED = 1 << 10
ALIGNMENT = 4096
"""Where in their file tensors begin that had no place before: at multiples of a page, to be mapped."""
CHUNK = 64 << 20


@dataclass
class DataFile:
    """A file of external data that a model refers to.

    Attributes:
        name: what its location is to be.
        references: the tensors of the model to be written that lie in it, with the location as they have it.
        source: the file it was loaded from; None for a new one.
        changed: what differs from the source: places in the file, and the bytes for them.
    """

    name: str
    references: list[tuple[TensorProto, str]] = field(default_factory=list)
    source: Path | None = None
    changed: list[tuple[int, bytes]] = field(default_factory=list)

    def refer(self, name: str | None = None) -> None:
        """Make the tensors refer to the file under another name, or again as they did."""
        for tensor, location in self.references:
            set_entry(tensor, "location", location if name is None else name)


def serialize(model: ModelProto) -> bytes:
    """A model as bytes.

    Raises:
        ModelError: it is larger than the 2 GiB that one protobuf message may have.
    """
    try:
        data: bytes = model.SerializeToString()
        return data
    except (EncodeError, ValueError) as error:
        raise ModelError(f"the model cannot be written as one file: {error}") from error


def write(model: ModelProto, path: str | os.PathLike[str], data: bytes | None = None) -> None:
    """Write a model and its external data.

    Args:
        model: the model, as it is in memory.
        path: the .onnx file.
        data: the file's bytes, where they are known and should stay.

    Raises:
        ModelError: see :func:`serialize`.
        OSError: a file cannot be written, or the data that the model was loaded from are gone.
    """
    disk, found = stored_form(model, Path(path).name)
    if not found:
        files.write(path, serialize(disk) if data is None else data)
        return
    folder = Path(os.path.abspath(path)).parent
    owned = locations(Path(path))
    new, replaced = [], []
    for part in found:
        target = folder / part.name
        if not target.exists():
            new.append(part)
        elif part.name not in owned:
            part.name = _free_name(folder, part.name, Path(path).stem)
            part.refer(part.name)
            new.append(part)
            data = None
        elif part.changed or part.source is None or not target.samefile(part.source):
            replaced.append(part)
    _commit(disk, Path(path), folder, new, replaced, data)
    _sweep(folder, [part.name for part in found])


def _commit(
    disk: ModelProto,
    path: Path,
    folder: Path,
    new: list[DataFile],
    replaced: list[DataFile],
    data: bytes | None,
) -> None:
    created: list[Path] = []
    try:
        for part in new:
            target = folder / part.name
            target.parent.mkdir(parents=True, exist_ok=True)
            with files.replacing(target) as temporary:
                _fill(temporary, part)
            created.append(target)
        interim = {part.name: files.interim_name(part.name) for part in replaced}
        for part in replaced:
            created.append(folder / interim[part.name])
            with files.replacing(created[-1]) as temporary:
                _fill(temporary, part)
            part.refer(interim[part.name])
        files.write(path, serialize(disk) if replaced or data is None else data)
    except BaseException:
        for file in created:
            file.unlink(missing_ok=True)
        raise
    for part in replaced:
        files.rename_keeping(folder / interim[part.name], folder / part.name)
        part.refer()
    if replaced:
        files.write(path, serialize(disk) if data is None else data)
        for name in interim.values():
            (folder / name).unlink()


def _sweep(folder: Path, names: Sequence[str]) -> None:
    """Remove data that a killed process has written for files of these names and no model refers to."""
    left = {path for name in names for path in files.left_interim(folder / name)}
    if not left:
        return
    models = [path for path in folder.iterdir() if path.suffix == ".onnx" and path.is_file()]
    kept = {folder / location for model in models for location in locations(model)}
    for path in left - kept:
        path.unlink(missing_ok=True)


def stored_form(model: ModelProto, name: str) -> tuple[ModelProto, list[DataFile]]:
    """A copy of a model as its file is to be, and the data files that belong to it."""
    disk = ModelProto()
    disk.CopyFrom(model)
    found: dict[str, DataFile] = {}
    for tensor in tensors(disk):
        place = place_of(tensor)
        if place is not None:
            _give_back(tensor, place, found)
    if sum(len(tensor.raw_data) for tensor in tensors(disk)) > MOST_INLINE:
        _spill(disk, f"{name}.data", found)
    for part in found.values():
        if part.changed and any(e.key == "checksum" for t, _ in part.references for e in t.external_data):
            _renew_checksum(part)
    return disk, list(found.values())


def _give_back(tensor: TensorProto, place: Place, found: dict[str, DataFile]) -> None:
    """Put a tensor's values back where they came from."""
    name = str(PurePosixPath(place.location))
    there = place.file.exists()
    part = found.setdefault(name, DataFile(name, source=place.file if there else None))
    part.references.append((tensor, place.location))
    if not is_mapped(tensor):
        values = bytes(tensor.raw_data)
        if not there or place.read() != values:
            part.changed.append((place.offset, values))
    elif not there:
        raise ModelError(f"cannot write {tensor.name!r}: {place.file}, which holds its values, is gone")
    external.detach(tensor)


def _spill(disk: ModelProto, name: str, found: dict[str, DataFile]) -> None:
    """Move the initializers of a model that is too large for one file to a data file."""
    part = found.setdefault(name, DataFile(name))
    offset = part.source.stat().st_size if part.source is not None else 0
    for graph in [disk.graph, *(info.algorithm for info in disk.training_info)]:
        for tensor in graph.initializer:
            size = len(tensor.raw_data)
            if size < LEAST_SPILLED:
                continue
            offset = -(-offset // ALIGNMENT) * ALIGNMENT
            part.changed.append((offset, bytes(tensor.raw_data)))
            part.references.append((tensor, name))
            for key, value in (("location", name), ("offset", str(offset)), ("length", str(size))):
                tensor.external_data.add(key=key, value=value)
            external.detach(tensor)
            offset += size


def locations(path: Path) -> set[str]:
    """The data files that an .onnx file refers to; none where there is no such file."""
    try:
        model = ModelProto.FromString(path.read_bytes())
    except (OSError, DecodeError):
        return set()
    entries = (e for t in tensors(model) if is_mapped(t) for e in t.external_data)
    return {str(PurePosixPath(e.value)) for e in entries if e.key == "location"}


def _free_name(folder: Path, name: str, stem: str) -> str:
    """A location that no file has: the model's name before the data file's."""
    path = PurePosixPath(name)
    names = [f"{stem}.{path.name}", *(f"{stem}.{i}.{path.name}" for i in range(1, 10_000))]
    return str(path.with_name(next(n for n in names if not (folder / path.with_name(n)).exists())))


def _fill(target: Path, part: DataFile) -> None:
    """Write a data file: its source, with what changed."""
    if part.source is not None:
        files.copy(part.source, target)
    with target.open("rb+") as file:
        for offset, values in part.changed:
            file.seek(offset)
            file.write(values)


def _renew_checksum(part: DataFile) -> None:
    """Set the SHA-1 that ONNX has for a data file to that of the new one."""
    digest = hashlib.sha1(usedforsecurity=False)
    for block in _content(part):
        digest.update(block)
    for tensor, _ in part.references:
        if any(entry.key == "checksum" for entry in tensor.external_data):
            set_entry(tensor, "checksum", digest.hexdigest())


def _content(part: DataFile) -> Iterator[bytes]:
    """A data file as it is to be, in blocks."""
    edits, position = sorted(part.changed), 0
    with suppress(FileNotFoundError), open(part.source or os.devnull, "rb") as source:
        for offset, values in edits:
            while position < offset and (block := source.read(min(CHUNK, offset - position))):
                position += len(block)
                yield block
            yield values
            position = offset + len(values)
            source.seek(position)
        while block := source.read(CHUNK):
            yield block
