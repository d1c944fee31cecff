"""Replacing files: the old one or the new one, whole, and nothing beside them."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from neuromatic.errors import WriteError
from neuromatic.saving import atomic as files


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_write_replaces(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    files.write(target, b"one")
    files.write(str(target), b"two")
    assert target.read_bytes() == b"two"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_inside_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(error), files.replacing(target) as temporary:  # noqa: PT012 - it fails half-way
        temporary.write_bytes(b"half of the n")
        raise error
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_the_temporary_file_is_beside_its_target(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "a.bin") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".a.bin.")
        assert not (tmp_path / "a.bin").exists()
        temporary.write_bytes(b"x")


@pytest.mark.skipif(os.name == "nt", reason="access bits are Unix'")
def test_access_bits(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    mask = os.umask(0o027)
    try:
        files.write(target, b"new")
    finally:
        os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o640
    target.chmod(0o604)
    files.write(target, b"newer")
    assert target.stat().st_mode & 0o777 == 0o604
    assert os.umask(mask) == mask  # asking for it changed nothing
    os.umask(mask)


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files.write("a.bin", b"here")
    (tmp_path / "inner").mkdir()
    files.write("inner/a.bin", b"there")
    files.write("inner/../b.bin", b"again")
    assert names(tmp_path) == ["a.bin", "b.bin", "inner"]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.write(tmp_path / "none" / "a.bin", b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "kept").touch()
    with pytest.raises(OSError, match="it is a folder"):
        files.write(tmp_path / "folder", b"x")
    assert names(tmp_path) == ["folder"]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    real = tmp_path / "inner" / "real.bin"
    real.write_bytes(b"old")
    (tmp_path / "link.bin").symlink_to(real)
    files.write(tmp_path / "link.bin", b"new")
    assert (tmp_path / "link.bin").is_symlink()
    assert real.read_bytes() == b"new"
    assert names(tmp_path / "inner") == ["real.bin"]


FULL_DISK = """
import resource, signal, sys
import neuromatic as nm
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
model = nm.load(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    model.export(sys.argv[1]) if len(sys.argv) > 2 else model.save(sys.argv[1])
except OSError as error:
    print(error.strerror)
    sys.exit(7)
"""


@pytest.mark.skipif(os.name == "nt", reason="limits are Unix'")
@pytest.mark.parametrize("more", [[], ["export"]])
def test_a_full_disk_leaves_the_old_model(tmp_path: Path, more: list[str]) -> None:
    import neuromatic as nm

    path = tmp_path / "model.onnx"
    nm.Sequential((100,)).dense(100).save(path)
    before = path.read_bytes()
    command = [sys.executable, "-c", FULL_DISK, str(path), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 7, done.stderr
    assert done.stdout.strip() == "File too large"
    assert path.read_bytes() == before
    assert names(tmp_path) == ["model.onnx"]


# -- what cannot be written, found early ---------------------------------------------------------------


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.onnx")
    return folder / "pipe.onnx"


def a_folder(folder: Path) -> Path:
    (folder / "a.onnx").mkdir()
    return folder / "a.onnx"


def link(folder: Path, text: str) -> Path:
    (folder / "link.onnx").symlink_to(text)
    return folder / "link.onnx"


IMPOSSIBLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a pipe": (fifo, "it is a pipe or a device, not an ordinary file"),
    "a device": (lambda f: Path("/dev/null"), "it is a pipe or a device, not an ordinary file"),
    "a link to a device": (lambda f: link(f, "/dev/null"), "it is a pipe or a device, not an ordinary file"),
    "a folder": (a_folder, "it is a folder"),
    "a link to a folder": (lambda f: link(f, "."), "it is a folder"),
    "a link that leads nowhere": (
        lambda f: link(f, "none/a.onnx"),
        "it is a link to none/a.onnx, which leads nowhere",
    ),
    "a link to itself": (lambda f: link(f, "link.onnx"), "it is a link that leads to itself"),
    "no folder": (lambda f: f / "none" / "a.onnx", "there is no folder "),
    "a file as folder": (lambda f: f / "file" / "a.onnx", "there is no folder "),
    "a long name": (lambda f: f / ("a" * 300), "ile name too long"),
}


@pytest.mark.skipif(os.name == "nt", reason="pipes, devices and links are Unix'")
@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_what_cannot_be_written_is_known_before(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    prepare, message = IMPOSSIBLE[kind]
    path = prepare(tmp_path)
    before = names(tmp_path)
    with pytest.raises(WriteError) as caught:
        files.check_writable(path)
    assert str(caught.value).startswith(f"cannot write {path}: ")
    assert message in str(caught.value)
    assert caught.value.filename == str(path)
    with pytest.raises(OSError, match=r".*"):
        files.write(path, b"x")
    assert names(tmp_path) == before
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.skipif(os.name == "nt", reason="users are Unix'")
def test_a_folder_in_which_nothing_may_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("root may write anywhere")
    with pytest.raises(WriteError, match=r"writing in .*closed is not permitted"):
        files.check_writable(folder / "a.onnx")


def test_what_can_be_written_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.onnx").write_bytes(b"old")
    for path in ("a.onnx", "new.onnx", tmp_path / "new.onnx"):
        files.check_writable(path)
    assert names(tmp_path) == ["a.onnx"]
    assert Path("a.onnx").read_bytes() == b"old"


@pytest.mark.skipif(os.name == "nt", reason="links are Unix'")
def test_a_link_to_a_file_that_is_to_be(tmp_path: Path) -> None:
    path = link(tmp_path, "new.onnx")
    files.check_writable(path)
    files.write(path, b"x")
    assert names(tmp_path) == ["link.onnx", "new.onnx"]
    assert (tmp_path / "new.onnx").read_bytes() == b"x"


# -- a full disk ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_with_the_file(number: int, tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(WriteError) as caught, files.replacing(target) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == f"cannot write {target}: {os.strerror(number)}"
    assert (caught.value.errno, caught.value.filename) == (number, str(target))
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_other_failures_name_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        files.write(tmp_path / "none" / "a.bin", b"x")
    assert caught.value.filename == str(tmp_path / "none" / "a.bin")


# -- what killed processes leave -----------------------------------------------------------------------

KILLED = """
import os, signal, sys
from neuromatic.saving import atomic as files
from neuromatic.errors import WriteError
with files.replacing(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
WAITING = """
import sys
from neuromatic.saving import atomic as files
from neuromatic.errors import WriteError
with files.replacing(sys.argv[1]) as temporary:
    temporary.write_bytes(b"theirs")
    print("ready", flush=True)
    sys.stdin.read()
"""


def killed_while_writing(target: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False, timeout=60)


@pytest.mark.skipif(os.name == "nt", reason="locks are Unix'")
def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    killed_while_writing(target)
    killed_while_writing(tmp_path / "b.bin")
    assert len(names(tmp_path)) == 3
    files.write(target, b"new")
    assert target.read_bytes() == b"new"
    assert [name.startswith(".b.bin.") for name in names(tmp_path)] == [True, False]  # b's is b's


@pytest.mark.skipif(os.name == "nt", reason="locks are Unix'")
def test_what_is_being_written_is_not_swept(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    command = [sys.executable, "-c", WAITING, str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        files.write(target, b"ours")
        assert len(names(tmp_path)) == 2
        other.communicate(input="")
    assert target.read_bytes() == b"theirs"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.skipif(os.name == "nt", reason="locks are Unix'")
def test_only_what_is_surely_left_is_swept(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    machine = files._machine()
    kept = [
        f".a.bin.{os.getpid()}.{machine}.abcdefgh.tmp",  # a process that runs
        f".a.bin.{ended.pid}.00000000.abcdefgh.tmp",  # perhaps one that runs elsewhere
        ".a.bin.backup.tmp",
        f".ab.bin.{ended.pid}.{machine}.abcdefgh.tmp",
        f"a.bin.{ended.pid}.{machine}.abcdefgh.tmp",
    ]
    for name in kept:
        (tmp_path / name).touch()
    (tmp_path / f".a.bin.{ended.pid}.{machine}.abcdefgh.tmp").touch()
    long_ago = tmp_path / f".a.bin.{ended.pid}.00000001.abcdefgh.tmp"
    long_ago.touch()
    os.utime(long_ago, (0, 0))
    (tmp_path / "precious").write_bytes(b"x")
    (tmp_path / f".a.bin.{ended.pid}.{machine}.linklink.tmp").symlink_to("precious")
    files.write(target, b"x")
    left = [f".a.bin.{ended.pid}.{machine}.linklink.tmp", "a.bin", "precious"]
    assert names(tmp_path) == sorted([*kept, *left])


@pytest.mark.skipif(os.name == "nt", reason="locks are Unix'")
def test_a_folder_that_a_killed_process_left(tmp_path: Path) -> None:
    program = KILLED.replace("replacing(sys.argv[1])", "temporary_folder(Path(sys.argv[1]))")
    program = f"from pathlib import Path\n{program}"
    program = program.replace('temporary.write_bytes(b"half")', '(temporary / "new").mkdir()')
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "saved")], check=False, timeout=60)
    (name,) = names(tmp_path)
    assert name.startswith(".saved.")
    with files.temporary_folder(tmp_path / "saved") as temporary:
        assert names(tmp_path) == [temporary.name]
    assert names(tmp_path) == []


def test_a_file_that_the_disk_has_no_room_for_is_refused_before_the_work(tmp_path: Path) -> None:
    file = tmp_path / "a.onnx"
    files.check_writable(file, 100)
    with pytest.raises(WriteError, match=r"it needs 4,611,686,018,427,387,904 bytes, and the disk has room "):
        files.check_writable(file, 1 << 62)
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="locks are Unix'")
def test_data_that_a_killed_save_left(tmp_path: Path) -> None:
    """They go with the next save, unless a model in the folder has come to depend on them."""
    import onnx

    import neuromatic as nm

    model = nm.Sequential((4,)).dense(4).build()
    onnx.save_model(
        model.proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0
    )
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, needed, alive = (
        tmp_path / f"m.data.{pid}.{files._machine()}.{token * 8}.new"
        for pid, token in ((ended.pid, "a"), (ended.pid, "b"), (os.getpid(), "c"))
    )
    for path in (left, needed, alive):
        path.write_bytes((tmp_path / "m.data").read_bytes())
    half_way = onnx.ModelProto.FromString((tmp_path / "m.onnx").read_bytes())
    for tensor in half_way.graph.initializer:
        for entry in tensor.external_data:
            entry.value = needed.name if entry.key == "location" else entry.value
    (tmp_path / "killed.onnx").write_bytes(half_way.SerializeToString())
    loaded = nm.load(tmp_path / "m.onnx")
    loaded.proto.graph.initializer[0].raw_data = bytes(len(loaded.proto.graph.initializer[0].raw_data))
    nm.Model.from_proto(loaded.proto).save(tmp_path / "m.onnx")
    assert names(tmp_path) == sorted(["killed.onnx", "m.data", "m.onnx", needed.name, alive.name])
    nm.load(tmp_path / "killed.onnx")
