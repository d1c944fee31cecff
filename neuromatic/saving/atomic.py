"""Writing files so that a failure at any moment leaves either the old file or the new one, whole.

What is being written has a name that says for which file and by which process, and that process holds a lock
on it. A process that was killed leaves it behind; the next one that writes the same file sweeps it away.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from neuromatic.errors import WriteError

BLOCK = 16 << 20
FICLONE = 0x40049409
"""Linux' request to share blocks between files."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a disk or a quota that is full says, naming no file."""
LONG_AGO = 24 * 3600
"""Seconds after which nobody still writes a file that another machine began and has no lock on."""
LEFT = r"(?P<pid>\d+)\.(?P<machine>[0-9a-f]{8})\.\w{8}\.tmp"
INTERIM = r"(?P<pid>\d+)\.(?P<machine>[0-9a-f]{8})\.[0-9a-f]{8}\.new"
CACHED = re.compile(r"(?:models|datasets|spaces)--[^/]+/snapshots/[0-9a-f]{40}/(?P<inside>.+)")
BLOB = re.compile(r"(?:\.\./)+blobs/(?P<name>[0-9a-f]{40}|[0-9a-f]{64})")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; it takes the place of ``path`` when the block succeeds.

    The new file is flushed to disk before it is renamed, and the folder after it. If the block raises,
    ``path`` is as it was and the temporary file is gone. Where ``path`` is a link, the file it leads to is
    replaced; a link in a Hugging Face cache is replaced itself, since others share what it leads to.

    Raises:
        WriteError: the disk is full, a quota used up, or there is something that is not an ordinary file.
        OSError: the folder does not exist or cannot be written to.
    """
    target = _target(path)
    if problem := _not_a_file(Path(path), target):
        raise WriteError(path, problem)
    sweep(target)
    with _naming(target):
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=_prefix(target), suffix=".tmp")
    temporary = Path(name)
    try:
        _lock(handle)
        with _naming(target):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.chmod(temporary, _mode(target))
            os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    _sync_folder(target.parent)


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """A folder beside ``target`` to write into, gone when the block ends.

    Raises:
        WriteError: the disk is full, or a quota used up.
        OSError: the folder of ``target`` does not exist or cannot be written to.
    """
    target = Path(os.path.abspath(target))
    sweep(target)
    with _naming(target):
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=_prefix(target), suffix=".tmp"))
    handle = _opened(temporary)
    try:
        if handle is not None:
            _lock(handle)
        with _naming(target):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def check_writable(path: str | os.PathLike[str], size: int = 0) -> None:
    """Find out before the work begins whether a file can be written, by beginning to.

    Args:
        path: the file.
        size: how many bytes it will have.

    Raises:
        WriteError: it is a folder, a pipe, a device or a link that leads nowhere; or its folder does not
            exist, cannot be written to, or has no room.
    """
    target = _target(path)
    problem = _not_a_file(Path(path), target) or _not_in_folder(Path(path), target)
    if problem is None:
        try:
            with tempfile.TemporaryFile(dir=target.parent, prefix=_prefix(target)) as file:
                file.write(b"\0")
            free = shutil.disk_usage(target.parent).free
            if free < size:
                problem = f"it needs {size:,} bytes, and the disk has room for {free:,}"
        except OSError as error:
            not_permitted = error.errno in (errno.EACCES, errno.EPERM)
            problem = f"writing in {target.parent} is not permitted" if not_permitted else error.strerror
    if problem is not None:
        raise WriteError(path, str(problem))


def _target(path: str | os.PathLike[str]) -> Path:
    """The file that is written: what a link leads to, unless that belongs to a cache."""
    return Path(os.path.abspath(path) if cached_blob(path) else os.path.realpath(path))


def _not_a_file(path: Path, target: Path) -> str | None:
    """What keeps something from being replaced by a file."""
    try:
        kind = target.lstat().st_mode
    except OSError:
        return None
    if stat.S_ISDIR(kind):
        return "it is a folder"
    if stat.S_ISLNK(kind) and not cached_blob(path):
        return "it is a link that leads to itself"
    if not (stat.S_ISREG(kind) or stat.S_ISLNK(kind)):
        return "it is a pipe or a device, not an ordinary file"
    return None


def _not_in_folder(path: Path, target: Path) -> str | None:
    """What keeps a file from being put into a folder, as far as that can be seen."""
    folder = target.parent
    if not folder.is_dir():
        if path.is_symlink():
            return f"it is a link to {os.readlink(path)}, which leads nowhere"
        return f"there is no folder {path.parent}"
    try:
        owners = (0, folder.stat().st_uid, target.stat().st_uid)
    except FileNotFoundError:
        return None
    except OSError as error:
        return error.strerror
    if folder.stat().st_mode & stat.S_ISVTX and not _owned_by(owners):
        return f"it is someone else's, in {folder}, where only owners may replace files"
    return None


def _owned_by(users: tuple[int, ...]) -> bool:
    """Whether this process runs for one of these users; always where systems have none."""
    return not hasattr(os, "geteuid") or os.geteuid() in users


@contextmanager
def _naming(target: Path) -> Iterator[None]:
    """Say which file it was where the system does not."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        if error.errno in FULL:
            raise WriteError(target, error.strerror or str(error), error.errno) from error
        if Path(str(error.filename or "")).name.startswith(_prefix(target)):
            error.filename = os.fspath(target)
        raise


# -- what killed processes leave -----------------------------------------------------------------------


def sweep(target: Path) -> None:
    """Remove what processes that are no more have left of writing a file or folder."""
    pattern = re.compile(re.escape(f".{_stem(target)}.") + LEFT)
    try:
        with os.scandir(target.parent) as entries:
            found = [(Path(e.path), m) for e in entries if (m := pattern.fullmatch(e.name))]
    except OSError:
        return
    for path, match in found:
        if _is_left(path, int(match["pid"]), match["machine"]):
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def interim_name(name: str) -> str:
    """A name for a file that is to take another's place later; it says which process made it."""
    return f"{name}.{os.getpid()}.{_machine()}.{secrets.token_hex(4)}.new"


def left_interim(target: Path) -> list[Path]:
    """Files named by :func:`interim_name` for ``target`` whose processes are no more."""
    pattern = re.compile(re.escape(f"{target.name}.") + INTERIM)
    try:
        with os.scandir(target.parent) as entries:
            found = [(Path(e.path), m) for e in entries if (m := pattern.fullmatch(e.name))]
    except OSError:
        return []
    return [path for path, match in found if _is_left(path, int(match["pid"]), match["machine"])]


def _is_left(path: Path, pid: int, machine: str) -> bool:
    """Whether nobody writes a temporary file any more: no lock on it, and its process gone, or long ago."""
    handle = _opened(path)
    if handle is None:
        return False
    try:
        if not _owned_by((os.fstat(handle).st_uid,)) or not _lock(handle):
            return False
        if machine == _machine():
            return not _is_running(pid)
        return time.time() - os.fstat(handle).st_mtime > LONG_AGO
    finally:
        os.close(handle)


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None


def _lock(handle: int) -> bool:
    """Lock an open file; whether that was possible. Systems without such locks sweep nothing."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _is_running(pid: int) -> bool:
    """Whether a process of that number exists."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _prefix(target: Path) -> str:
    return f".{_stem(target)}.{os.getpid()}.{_machine()}."


def _stem(target: Path) -> str:
    """The name of a file, or of a long one what leaves room for more."""
    name = target.name
    return name if len(os.fsencode(name)) < 150 else f"{name[:30]}-{zlib.crc32(os.fsencode(name)):08x}"


def _machine() -> str:
    """What tells this machine, or container, from others that see the same folder."""
    name = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    return f"{zlib.crc32(name.encode(errors='replace')):08x}"


# -- Hugging Face's cache ------------------------------------------------------------------------------


def cached_blob(path: str | os.PathLike[str]) -> Path | None:
    """The file that a link in a Hugging Face cache leads to; None for anything else.

    Such a cache has ``models--<name>/snapshots/<revision>/<file>`` as a link to ``../../blobs/<hash>``, in
    the same folder ``models--<name>``, with as many ``..`` as that takes. None of the folders below
    ``models--<name>`` may be a link.
    """
    file = Path(os.path.abspath(path))
    try:
        if not file.is_symlink():
            return None
        text = Path(os.readlink(file)).as_posix()
    except OSError:
        return None
    parts = file.as_posix().rpartition("/snapshots/")
    repository = Path(parts[0])
    match = CACHED.fullmatch(f"{repository.name}/snapshots/{parts[2]}")
    blob = BLOB.fullmatch(text)
    if match is None or blob is None:
        return None
    inside = match["inside"].count("/")
    expected = "../" * (inside + 2) + f"blobs/{blob['name']}"
    folders = [repository / "blobs", *list(file.parents)[: inside + 2]]
    if text != expected or any(folder.is_symlink() for folder in folders):
        return None
    found = repository / "blobs" / blob["name"]
    return found if found.is_file() and not found.is_symlink() else None


# -- writing -------------------------------------------------------------------------------------------


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
