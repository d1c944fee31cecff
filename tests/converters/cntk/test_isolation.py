"""No child process runs what lies in the current folder, or where variables of Python's lead."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import neuromatic
import neuromatic as nm
from neuromatic.converters.cntk import _build, _mpi, environment
from neuromatic.converters.cntk._interpreters import probe
from neuromatic.converters.cntk._process import Runner, child_environ, on_path, pip_command, pip_environ
from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.environment import Environment
from neuromatic.saving import apart

MODULES = (
    *("worker", "runpy", "numpy", "cntk", "json", "struct", "importlib", "tempfile", "signal", "scipy"),
    *("sitecustomize", "usercustomize", "site", "os", "sysconfig", "venv", "ensurepip", "pip", "ctypes"),
)
PLANTED = """
import pathlib
pathlib.Path({marker!r}).write_text(__file__)
raise SystemExit("a planted file ran: " + __file__)
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is written when anything runs that lies in the current folder or on PYTHONPATH."""
    marker, folder = tmp_path / "ran", tmp_path / "here"
    text = PLANTED.format(marker=str(marker))
    for name in MODULES:
        (folder / name).mkdir(parents=True)
        for file in (folder / f"{name}.py", folder / name / "__init__.py", folder / name / "__main__.py"):
            file.write_text(text)
    shutil.copytree(folder / "worker", folder / "module/worker")
    (folder / "sitecustomize.pth").write_text("import sitecustomize\n")
    home = tmp_path / "home"
    for version in ("python3.6", f"python{sys.version_info[0]}.{sys.version_info[1]}"):
        packages = home / "lib" / version / "site-packages"
        packages.mkdir(parents=True)
        (packages / "usercustomize.py").write_text(text)
        (packages / "planted.pth").write_text(f"import runpy; runpy.run_path({str(folder / 'os.py')!r})\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}.")
    monkeypatch.setenv("PYTHONSTARTUP", str(folder / "os.py"))
    monkeypatch.setenv("PYTHONUSERBASE", str(home))
    monkeypatch.setenv("PYTHONHOME", str(folder))
    return marker


def runner(folder: Path) -> Runner:
    return Runner(folder / "log", os.open(folder, os.O_RDONLY))


def test_planted_files_would_run(cntk_environment: Environment, planted: Path) -> None:
    command: list[str | Path] = [cntk_environment.python, "-c", "import runpy"]
    with pytest.raises(environment.InstallationError, match="a planted file ran"):
        runner(Path.cwd()).run("it", command, child_environ((), 1))
    assert planted.exists()


def test_the_worker(cntk_environment: Environment, planted: Path) -> None:
    worker = Worker(cntk_environment)
    assert worker.about["cntk"] == "2.7"
    assert os.readlink(f"/proc/{worker.pid}/cwd") == str(cntk_environment.location.resolve())
    worker.define({"w": np.ones(2, np.float32)}, [])
    worker.close()
    assert not planted.exists()


def test_the_question_what_is_installed(cntk_environment: Environment, planted: Path) -> None:
    assert environment.require().python == cntk_environment.python
    assert not planted.exists()


def test_the_question_what_a_python_is(cntk_environment: Environment, planted: Path) -> None:
    for path in (cntk_environment.python, Path(sys.executable)):
        found = probe(path)
        assert found is not None
        assert found.complete
    assert not planted.exists()


def test_the_test_of_cntk(cntk_environment: Environment, planted: Path) -> None:
    folder = Path.cwd()  # commands of installations run beside their log: planted files lie there too
    found = _build.selftest(cntk_environment.python, cntk_environment.library_paths, runner(folder))
    assert found["versions"]["cntk"] == "2.7"
    assert not planted.exists()


def test_making_an_environment_and_its_pip(cntk_environment: Environment, planted: Path) -> None:
    interpreter = probe(cntk_environment.python)
    assert interpreter is not None
    commands = runner(Path.cwd())
    made = Path.cwd() / "made"
    environ = child_environ(interpreter.library_paths, 1)
    commands.run("making", _build.venv_command(interpreter, made), environ)
    output = commands.run("pip", [*pip_command(made), "--version"], pip_environ(interpreter.library_paths))
    assert str(made) in output
    assert not planted.exists()


@pytest.mark.parametrize("path", ["", ".", "::", "./bin", "bin"])
def test_programs_of_the_current_folder(path: str, planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cc", "gcc", "clang", "conda", "ldconfig"):
        for file in (Path(name), Path("bin") / name):
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"#!/bin/sh\necho ran > '{planted}'\n")
            file.chmod(0o755)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", path)
    assert [on_path(name) for name in ("cc", "gcc", "clang", "conda", "ldconfig")] == [None] * 5
    list(_mpi._loader_folders())
    with pytest.raises(environment.InstallationError, match="no C compiler"):
        _mpi.choose("wheel")
    monkeypatch.setenv("PATH", f"{path}{os.pathsep}{Path.cwd() / 'bin'}")
    assert on_path("cc") == str(Path.cwd() / "bin/cc")
    assert not planted.exists()


def test_shape_inference_of_a_suspicious_model(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "is_harmless", lambda model: False)
    apart.check_inference(nm.Sequential((2,)).dense(1).build().proto)
    assert not planted.exists()


def test_every_python_that_is_started_is_isolated() -> None:
    """Those tested above are all there are: who starts another process has to come here."""
    core = Path(neuromatic.__file__).parent
    folders = (core, core / "converters", core / "cli")  # the last two are links
    files = {f.resolve() for folder in folders for f in folder.resolve().rglob("*.py")}
    starts = re.compile(
        r"subprocess\.(?:run|Popen|call|check_)|os\.(?:exec[lv]|spawn|system|popen)|multiprocessing"
    )
    found = {f.stem for f in files if starts.search(f.read_text(encoding="utf-8"))}
    assert found == {"apart", "client", "environment", "_interpreters", "_mpi", "_process"}
