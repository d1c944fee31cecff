"""neuromatic engines."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from neuromatic.cli import engines as command
from neuromatic.cli.main import main
from neuromatic.converters.cntk import environment
from tests.converters.cntk.fake_python import FakePython, isolate

Fails = Callable[..., str]


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakePython:
    """A machine without a CNTK environment, with a script in the part of Python 3.6."""
    return isolate(monkeypatch, tmp_path)


def call(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["engines", *arguments])


def missing(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Neither a distribution nor a module of these names can be found."""
    version, import_module = metadata.version, importlib.import_module

    def no_version(name: str) -> str:
        if name.removesuffix("-cpu").removesuffix("-gpu") in names:
            raise metadata.PackageNotFoundError(name)
        return version(name)

    def no_module(name: str, package: str | None = None) -> Any:
        if name in names:
            raise ImportError(f"No module named {name!r}")
        return import_module(name, package)

    monkeypatch.setattr(metadata, "version", no_version)
    monkeypatch.setattr(importlib, "import_module", no_module)


def test_the_list(python: FakePython, tmp_path: Path) -> None:
    assert call("install", "cntk", "--location", str(tmp_path / "place")).exit_code == 0
    result = call()
    assert (result.exit_code, result.stderr) == (0, "")
    head, *rows, place = [line.split() for line in result.stdout.splitlines()]
    assert head == ["engine", "version", "serves", "devices"]
    assert [row[0] for row in rows] == ["tensorflow", "cntk", "onnxruntime"]
    assert rows[0][1] == metadata.version("tensorflow-cpu")
    assert "CPU:0" in rows[0][-1]
    assert rows[1] == ["cntk", "2.7", "train", "CPU"]
    assert "CPUExecutionProvider" in rows[2][-1]
    assert place == ["cntk", "is", "in", str(tmp_path / "place")]


@pytest.mark.usefixtures("python")
def test_as_json(tmp_path: Path) -> None:
    result = call("--json")
    found = {one["name"]: one for one in json.loads(result.stdout)["engines"]}
    assert list(found) == ["tensorflow", "cntk", "onnxruntime"]
    assert (found["tensorflow"]["problem"], found["onnxruntime"]["problem"]) == (None, None)
    assert found["cntk"] == {
        "name": "cntk",
        "serves": "train",
        "install": "neuromatic engines install cntk",
        "version": None,
        "devices": [],
        "location": None,
        "problem": f"cntk is not available (there is no environment in {tmp_path}/home/.local/share/"
        "neuromatic/cntk); install it with: neuromatic engines install cntk",
    }


@pytest.mark.usefixtures("python")
def test_what_is_missing_is_listed_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    missing(monkeypatch, "tensorflow", "onnxruntime")
    result = call()
    assert result.exit_code == 0
    rows, sentences = result.stdout.splitlines()[1:4], result.stdout.splitlines()[4:]
    assert [row.split()[1] for row in rows] == ["-", "-", "-"]
    install = "(it is not installed); install it with: pip install 'neuromatic[cpu]'"
    assert sentences[0] == f"tensorflow is not available {install}"
    assert sentences[1].endswith("; install it with: neuromatic engines install cntk")
    assert sentences[2] == f"onnxruntime is not available {install}"


@pytest.mark.usefixtures("python")
def test_what_is_installed_but_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_module(name: str, package: str | None = None) -> Any:
        raise OSError(f"{name}.so: cannot open\nshared object file")

    monkeypatch.setattr(importlib, "import_module", no_module)
    assert command.describe("tensorflow")["problem"].startswith(
        "tensorflow is not available (tensorflow.so: cannot open shared object file); install"
    )


def test_installing(python: FakePython, tmp_path: Path) -> None:
    place = tmp_path / "place"
    arguments = ["install", "cntk", "--python", str(python.path), "--location", str(place), "--mpi", "system"]
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"cntk 2.7 is in {place}; a small network trained on CPU as numpy computes it\n"
    assert result.stderr.splitlines()[0] == f"Python 3.6.15: {python.path}"
    again = call("install", "cntk")
    assert (again.exit_code, again.stdout) == (0, result.stdout)
    assert again.stderr == f"testing the environment in {place}\n"


def test_an_installation_that_fails(python: FakePython, fails: Fails, tmp_path: Path) -> None:
    python.trouble(
        'case "$*" in *cntk==*) echo "ERROR: No matching distribution found for cntk"; exit 1 ;; esac'
    )
    result = call("install", "cntk", "--location", str(tmp_path / "place"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == (
        "Error: installing CNTK failed: No matching distribution found for cntk "
        f"(all of its output is in {tmp_path}/place/install.log)"
    )
    python.path.unlink()
    assert fails(3, "engines", "install", "cntk").startswith("no Python 3.6 was found on PATH")


@pytest.mark.usefixtures("python")
def test_an_interrupted_installation(monkeypatch: pytest.MonkeyPatch, fails: Fails) -> None:
    def interrupted(*arguments: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "install", interrupted)
    text = fails(130, "engines", "install", "cntk")
    assert text == "interrupted; the same command goes on from here"


@pytest.mark.usefixtures("python")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tensorflow", "tensorflow is installed beside Neuromatic, by: pip install 'neuromatic[cpu]'"),
        ("onnxruntime", "onnxruntime is installed beside Neuromatic, by: pip install 'neuromatic[cpu]'"),
        ("cntkk", "there is no engine named 'cntkk'; did you mean 'cntk'?"),
    ],
)
def test_engines_that_are_not_installed_so(name: str, text: str, fails: Fails) -> None:
    assert fails(2, "engines", "install", name) == text


@pytest.mark.usefixtures("python")
def test_arguments_that_are_refused(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "work/notes.txt").touch()
    assert "holds other files" in fails(1, "engines", "install", "cntk", "--location", str(tmp_path / "work"))
    version = "{}.{}.{}".format(*sys.version_info[:3])
    text = fails(1, "engines", "install", "cntk", "--python", sys.executable)
    assert text.startswith(f"{sys.executable} is Python {version} (")


@pytest.mark.usefixtures("python")
def test_the_list_as_a_process_says_nothing_else() -> None:
    surroundings = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-m", "neuromatic.cli.main", "engines"],
        capture_output=True,
        text=True,
        check=True,
        env=surroundings,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1].startswith("cntk is not available (")


def test_every_engine_that_trains_is_listed() -> None:
    from neuromatic.engines import ENGINES

    assert set(ENGINES) <= set(command.ENGINES)
