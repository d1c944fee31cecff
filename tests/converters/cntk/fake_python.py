"""A script that takes the part of Python 3.6, so that installations can be tested in no time."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from neuromatic.converters.cntk import _build, _mpi
from neuromatic.converters.cntk._interpreters import ABI

SELFTEST = {
    "versions": {"python": "3.6.15", "cntk": "2.7", "numpy": "1.19.5", "openmpi": "4.1.4"},
    "devices": ["CPU"],
    "difference": 1e-8,
}

# What a test wants to go wrong is in the file "trouble", which is read at each call.
_SCRIPT = """#!/bin/sh
echo "$*" | head -1 >> '{folder}/calls'
[ -e '{folder}/trouble' ] && . '{folder}/trouble'
case "$1 $2 $3 $4" in
    "-E -s -c "*) echo '{probe}' ;;
    "-I -B -c "*) echo '{check}' ;;
    "-I -B -W "*) echo 'Selected CPU as the process wide default device.'; echo '{selftest}' ;;
    "-I -B -m venv")
        mkdir -p "$5/bin" "$5/lib/python3.6/site-packages/cntk/libs"
        cp '{script}' "$5/bin/python" ;;
    "-I -B -m pip") echo 'Successfully installed' ;;
esac
"""


@dataclass(frozen=True)
class FakePython:
    """The script and what it has been asked.

    Attributes:
        path: of the script.
    """

    path: Path

    def trouble(self, *lines: str) -> None:
        """Shell code that runs in each later call; ``$*`` are its arguments."""
        (self.path.parent / "trouble").write_text("\n".join(lines), encoding="utf-8")

    def calls(self) -> list[str]:
        """The arguments of each call until now, without those that only ask what it is."""
        file = self.path.parent / "calls"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [line for line in lines if line.startswith(("-I -B -m", "-I -B -W"))]

    def forget(self) -> None:
        """Start the list of calls anew, and end what was going wrong."""
        for name in ("calls", "trouble"):
            (self.path.parent / name).unlink(missing_ok=True)


def fake_python(
    folder: Path, *, version: str = "3.6.15", abi: str | None = ABI, complete: bool = True
) -> FakePython:
    """Write the script into a folder, which is made, as ``python3.6``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "python3.6"
    text = _SCRIPT.format(
        folder=folder,
        script=path,
        probe=json.dumps([str(path), version, abi, complete]),
        check=json.dumps([abi, True]),
        selftest=json.dumps(SELFTEST),
    )
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return FakePython(path)


def isolate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakePython:
    """A machine with nothing but a fake Python 3.6 and a fake Open MPI 4, and an empty home."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("CNTK exists for x86-64 Linux only")
    for name in list(os.environ):
        if name.startswith(("NEUROMATIC_", "CONDA_", "MAMBA_", "PYENV_", "XDG_DATA_HOME")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    python = fake_python(tmp_path / "bin")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("cp", "head", "mkdir", "sleep"):
        (tools / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{tools}")
    libraries = tmp_path / "openmpi"
    libraries.mkdir()
    for name in (_mpi.SYSTEM_MPI, _mpi.SYSTEM_MPI_CXX):
        (libraries / name).touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(libraries))
    monkeypatch.setattr(_mpi, "_loader_folders", lambda: iter(()))
    monkeypatch.setattr(_mpi, "_FOLDERS", ())
    return python


_PIP = "-I -B -m pip install --disable-pip-version-check"
INSTALLS = [
    "-I -B -m venv {folder}",
    f"{_PIP} --upgrade {_build.PIP}",
    f"{_PIP} --no-deps --only-binary=:all: {' '.join(_build.PACKAGES)}",
    f"-I -B -W ignore {_build.SELFTEST}",
]
"""What a whole installation asks of it."""
