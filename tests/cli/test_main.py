"""The command as a whole: help, version, and that failures are sentences."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import neuromatic
from neuromatic.cli._errors import Commands, failure
from neuromatic.cli.main import main
from neuromatic.errors import EngineNotAvailableError

Shell = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = ["train", "evaluate", "predict", "compare", "info", "convert", "engines"]


def test_version() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"neuromatic, version {neuromatic.__version__}\n")


def test_every_command_is_listed_and_has_help() -> None:
    listed = CliRunner().invoke(main, ["-h"]).stdout
    for name in COMMANDS:
        assert f"  {name} " in listed
        shown = CliRunner().invoke(main, [name, "--help"])
        assert shown.exit_code == 0
        assert "--verbose" in shown.stdout


def test_no_command_loads_an_engine_or_a_runtime_before_it_needs_it(folder: Path) -> None:
    program = (
        "import sys; from neuromatic.cli.main import main\n"
        "def loaded(): print(sorted({'tensorflow', 'onnxruntime', 'keras', 'tf2onnx'} & set(sys.modules)))\n"
        "main(['--help'], standalone_mode=False); loaded()\n"
        "main(['info', 'trained.onnx'], standalone_mode=False); loaded()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found = [line for line in done.stdout.splitlines() if line.startswith("[")]
    assert found == ["[]", "['onnxruntime']"]  # info asks it whether it takes the file


def test_a_training_run_writes_nothing_but_its_own_lines(shell: Shell) -> None:
    done = shell("train", "trained.onnx", "--data", "data.npz", "-o", "out.onnx", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    assert [line.split("  ")[0] for line in done.stderr.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    difference, written = done.stdout.splitlines()
    assert difference.startswith("largest difference between tensorflow and onnxruntime: ")
    assert written == "wrote out.onnx"


def test_a_failure_as_a_process(shell: Shell) -> None:
    done = shell("train", "missing.onnx", "--data", "data.npz", "-o", "out.onnx")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: cannot read missing.onnx: No such file or directory\n"


def test_verbose_adds_the_traceback(shell: Shell) -> None:
    done = shell("info", "missing.onnx", "-v")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("\nError: cannot read missing.onnx: No such file or directory\n")


def heed_control_c() -> None:
    """A shell that starts the tests in its background lets them, and what they start, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_control_c_ends_training_and_changes_no_file(folder: Path) -> None:
    before = (folder / "trained.onnx").read_bytes()
    command = [sys.executable, "-m", "neuromatic.cli.main", "train", "trained.onnx", "--data", "data.npz"]
    command += ["-o", "trained.onnx", "--epochs", "1000000", "--json"]
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_control_c,
    ) as run:
        try:
            assert run.stdout is not None
            assert json.loads(run.stdout.readline())["epoch"] == 1
            run.send_signal(signal.SIGINT)
            started = time.monotonic()
            _, errors = run.communicate(timeout=60)
        finally:
            run.kill()
    assert run.returncode == 130
    assert time.monotonic() - started < 30
    assert errors.splitlines()[-1] == "Error: interrupted; the output was not written"
    assert "Traceback" not in errors
    assert (folder / "trained.onnx").read_bytes() == before


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (EngineNotAvailableError("x", "y", "z"), 3, "x is not available (y); install it with: z"),
        (FileNotFoundError(2, "No such file", "a.npz"), 1, "a.npz: No such file"),
        (OSError("no space\nleft"), 1, "no space left"),
        (ValueError("bad name"), 2, "bad name"),
        (MemoryError(), 1, "there is not enough memory for this"),
        (KeyError("k"), 1, "unexpected KeyError: 'k'; -v shows where"),
    ],
)
def test_each_exception_has_a_sentence_and_a_code(error: Exception, code: int, text: str) -> None:
    found = failure(error)
    assert (found.exit_code, found.message) == (code, text)


def test_a_reader_that_leaves_is_no_failure() -> None:
    @click.group(cls=Commands)
    def group() -> None:
        pass

    @group.command()
    def speak() -> None:
        raise BrokenPipeError(32, os.strerror(32))

    result = CliRunner().invoke(group, ["speak"])
    assert (result.exit_code, result.output) == (1, "")
