"""Writing files so that a failure at any moment leaves either the old file or the new one, whole."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BLOCK = 16 << 20
FICLONE = 0x40049409
"""Linux' request to share blocks between files."""


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


def rename_keeping(source: Path, target: Path) -> None:
    """Let a file take the place of another under its name and keep the name it has."""
    with replacing(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:  # a system without hard links
            copy(source, temporary)


def copy(source: Path, target: Path) -> None:
    """Copy what a file holds, over what ``target`` held; holes stay holes.

    Systems that can share the blocks of two files do so.

    Raises:
        OSError: the one cannot be read or the other not be written.
    """
    with source.open("rb") as read, target.open("wb") as write:
        if _share(read.fileno(), write.fileno()):
            return
        size = os.fstat(read.fileno()).st_size
        for start, end in _extents(read.fileno(), size):
            read.seek(start)
            write.seek(start)
            while start < end and (block := read.read(min(BLOCK, end - start))):
                write.write(block)
                start += len(block)
        write.truncate(size)


def _share(source: int, target: int) -> bool:
    """Whether the second file now has the blocks of the first."""
    try:
        import fcntl

        fcntl.ioctl(target, FICLONE, source)
    except (ImportError, OSError):
        return False
    return True


def _extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that are no holes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:  # a system that does not know holes
                yield end, size
            return
        except AttributeError:
            yield end, size
            return
        yield start, end


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
