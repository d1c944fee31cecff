"""Replacing files: the old one or the new one, whole, and nothing beside them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    with pytest.raises(OSError, match="irectory"):
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
