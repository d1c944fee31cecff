"""Reading and writing ``.npz`` files: no pickles, and no surprise in size or kind."""

from __future__ import annotations

import os
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from neuromatic.errors import DataError
from neuromatic.saving import atomic as files

DEFLATE_RATIO = 1032
"""How much deflate, the method of zip files, can pack at the very most."""


class NpzFile(Mapping[str, NDArray[Any]]):
    """The arrays of a ``.npz`` file by name, each read when it is asked for.

    What no one asks for costs an entry of the file's directory, whatever it is and however large. Each
    member's header is compared with the size it really has before it is read, so a small file cannot claim a
    large array.

    Args:
        path: the file.

    Raises:
        DataError: the file cannot be read or is no ``.npz`` file; on access: what is asked for is no array.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with _refusing(self.path):
            self._archive = zipfile.ZipFile(self.path)
        self._members: dict[str, zipfile.ZipInfo] = {}
        for info in self._archive.infolist():
            if self._members.setdefault(info.filename.removesuffix(".npy"), info) is not info:
                raise DataError(f"{self.path} holds {[info.filename[:80]]} twice")
        if not self._members:
            raise DataError(f"{self.path} holds no arrays")

    def __getitem__(self, name: str) -> NDArray[Any]:
        info = self._members[name]
        with _refusing(self.path):
            return _read(self._archive, info, self.path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members


@contextmanager
def _refusing(file: Path) -> Iterator[None]:
    """Turn what the libraries raise about a file into a :class:`DataError`."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{file} is not a readable .npz file: {error}") from error
    except (ValueError, RuntimeError, NotImplementedError, MemoryError) as error:
        raise DataError(f"{file} cannot be read: {error}") from error


def read_npz(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """All arrays of a ``.npz`` file by name; see :class:`NpzFile`.

    Raises:
        DataError: the file cannot be read, is no ``.npz`` file, or holds something else than plain arrays.
    """
    return dict(NpzFile(path))


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: Path) -> NDArray[Any]:
    where = f"{file}: {info.filename[:80]!r}"
    if not info.filename.endswith(".npy"):
        raise DataError(f"{where} is not an array; save the data with numpy.savez")
    _check_size(info, file, where)
    with archive.open(info) as member:
        shape, dtype, header = _header(member, where)
    if dtype.hasobject:
        raise DataError(f"{where} holds Python objects; save numbers, for instance with x.astype('float32')")
    declared = header + prod(shape) * dtype.itemsize
    if declared != info.file_size:
        raise DataError(f"{where} declares {declared} bytes and has {info.file_size}")
    with archive.open(info) as member:
        array: NDArray[Any] = npy.read_array(member, allow_pickle=False)
    return array


def _check_size(info: zipfile.ZipInfo, file: Path, where: str) -> None:
    """The sizes in a zip file's directory are claims; deflate packs at most :data:`DEFLATE_RATIO` to one."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{where} is packed by method {info.compress_type}; save the data with numpy.savez")
    ratio = 1 if info.compress_type == zipfile.ZIP_STORED else DEFLATE_RATIO
    if info.file_size > ratio * min(info.compress_size, file.stat().st_size):
        raise DataError(f"{where} claims {info.file_size} bytes, more than {file} can hold")


def _header(member: IO[bytes], where: str) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    try:
        version = npy.read_magic(member)
    except ValueError as error:
        raise DataError(f"{where} is not an array in .npy form: {error}") from error
    if version not in ((1, 0), (2, 0)):
        raise DataError(f"{where} has .npy version {version}, expected 1.0 or 2.0")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        with warnings.catch_warnings():  # of headers that Python 2 wrote
            warnings.simplefilter("ignore", UserWarning)
            shape, _, dtype = read(member)
    except (ValueError, SyntaxError, TokenError, TypeError, RecursionError) as error:
        raise DataError(f"{where} has a damaged .npy header") from error
    return shape, dtype, member.tell()


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name, whatever the names (``numpy.savez`` takes no array called ``file``).

    A failure leaves an existing file as it was.

    Raises:
        DataError: an array holds something else than numbers.
        OSError: the file cannot be written.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise DataError(f"{name!r} holds {array.dtype}, which .npz files store as pickles only")
    with files.replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)
