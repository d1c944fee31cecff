"""Writing files so that a failure at any moment leaves either the old file or the new one, whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; it takes the place of ``path`` when the block succeeds.

    The new file is flushed to disk before it is renamed, and the folder after it. If the block raises,
    ``path`` is as it was and the temporary file is gone. Where ``path`` is a link, the file it leads to is
    replaced.

    Raises:
        OSError: the folder does not exist or cannot be written to, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write bytes by :func:`replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _mode(target: Path) -> int:
    """The access bits of the file that is replaced, else what a plain ``open`` would give."""
    try:
        return target.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # a system on which folders cannot be opened
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
