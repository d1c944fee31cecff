"""Hostile files are refused by one sentence, at once, and by every way into the program."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import neuromatic as nm
from neuromatic.cli.main import main
from neuromatic.errors import InvalidModelError
from tests.hostile.cases import CASES, ODD, Case

SECONDS = 5
"""Each takes less than one; machines that are busy get more."""
COMMANDS = {
    "info": (),
    "predict": ("--data", "data.npz"),
    "evaluate": ("--data", "data.npz"),
    "train": ("--data", "data.npz", "--loss", "mse", "-o", "out.onnx"),
    "convert": ("-o", "out.onnx"),
}
WOULD_HANG = (
    "34 functions that each call the next twice",
    "calls in branches",
    "5000 functions in each other",
    "loops in loops",
    "ConstantOfShape of 34 GB",
    "a tensor inside a function",
)
"""What ONNX' shape inference or onnxruntime works on for minutes, or dies of."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with some data."""
    place = tmp_path / "place"
    place.mkdir()
    np.savez(place / "data.npz", x=np.ones((2, 4), np.float32), y=np.ones((2, 4), np.float32))
    monkeypatch.chdir(place)
    return place


def refused(message: str, found: str) -> None:
    assert message in found
    assert "model.onnx" in found
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e]", found)
    assert len(found) < 600


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_load_refuses(case: Case, folder: Path) -> None:
    case.write(folder)
    started = time.perf_counter()
    with pytest.raises(InvalidModelError) as caught:
        nm.load(folder / "model.onnx")
    assert time.perf_counter() - started < SECONDS
    refused(case.message or "", str(caught.value))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_command_refuses(case: Case, command: str, folder: Path) -> None:
    case.write(folder)
    before = sorted(p.name for p in folder.iterdir())
    started = time.perf_counter()
    result = CliRunner().invoke(main, [command, "model.onnx", *COMMANDS[command]])
    assert time.perf_counter() - started < SECONDS
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    refused(case.message or "", line)
    assert sorted(p.name for p in folder.iterdir()) == before


@pytest.mark.skipif(sys.platform == "win32", reason="limits are Unix'")
@pytest.mark.parametrize("name", WOULD_HANG)
def test_what_would_hang_does_not(name: str, folder: Path) -> None:
    CASES[name].write(folder)
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30));"
        "sys.argv[1:] = ['info', 'model.onnx'];"
        "from neuromatic.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, cwd=folder
    )
    assert done.returncode == 1, done.stderr
    assert CASES[name].message in done.stderr  # type: ignore[operator]
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("case", ODD.values(), ids=ODD)
def test_what_is_odd_is_taken(case: Case, folder: Path) -> None:
    case.write(folder)
    started = time.perf_counter()
    model = nm.load(folder / "model.onnx")
    (name,) = model.input_names
    assert model.predict({name: np.ones((2, 4), np.float32)}).shape == (2, 4)
    assert time.perf_counter() - started < SECONDS
    result = CliRunner().invoke(main, ["info", "model.onnx"])
    assert result.exit_code == 0, result.output
    model.save(folder / "model.onnx")
    nm.load(folder / "model.onnx")
