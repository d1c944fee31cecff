"""Handing data to the worker: files that it maps, in a folder that nobody else can read.

The folder lives only until the worker has mapped its files. From then on they have no name, so that nothing
is left of them when both processes end, however they end.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromatic.errors import DataError

Array = NDArray[Any]
PREFIX = "neuromatic-cntk-"


@contextmanager
def private_folder() -> Iterator[Path]:
    """A new folder with mode 0700, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_files(folder: Path, arrays: Mapping[str, Array]) -> list[dict[str, str]]:
    """Each array as a float32 ``.npy`` file; returns names and paths.

    Raises:
        DataError: there is no room for them; says how much is needed and where.
    """
    files = []
    try:
        for number, (name, array) in enumerate(arrays.items()):
            path = folder / f"{number}.npy"
            _write(path, array)
            files.append({"name": name, "path": str(path)})
    except OSError as error:
        needed = sum(4 * array.size for array in arrays.values())
        raise DataError(
            f"cannot hand {needed / 1e6:.1f} MB of data to the CNTK worker in {folder.parent}: "
            f"{error.strerror or error}; free some space there or set TMPDIR to another folder"
        ) from error
    return files


def _write(path: Path, array: Array) -> None:
    """Room is reserved first: a full disk is an error here, not a crash while the pages are written."""
    header = {"descr": "<f4", "fortran_order": False, "shape": array.shape}
    with open(path, "w+b") as file:
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        if not array.size:
            return
        os.posix_fallocate(file.fileno(), 0, start + 4 * array.size)
        mapped = np.memmap(file, "<f4", "r+", offset=start, shape=array.shape)
        mapped[...] = array
        mapped.flush()
