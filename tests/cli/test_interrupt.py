"""Ctrl-C at any time: exit code 130, one sentence, no traceback, nothing written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGINT)

wanted, *sys.argv[1:] = sys.argv[1:]
sys.meta_path.insert(0, Interrupting())
import neuromatic_command
neuromatic_command.main()
"""
TRAIN = ("train", "trained.onnx", "--data", "data.npz", "-o", "out.onnx")
DURING: dict[str, tuple[str, ...]] = {
    "neuromatic": ("info", "trained.onnx"),
    "numpy": ("info", "trained.onnx"),
    "numpy.linalg": ("info", "trained.onnx"),
    "onnx": ("info", "trained.onnx"),
    "onnx.onnx_cpp2py_export": ("info", "trained.onnx"),
    "click": ("info", "trained.onnx"),
    "rich.table": ("info", "trained.onnx"),
    "neuromatic.cli.train": ("info", "trained.onnx"),
    "onnxruntime": ("predict", "trained.onnx", "--data", "data.npz"),
    "onnxruntime.capi.onnxruntime_pybind11_state": ("predict", "trained.onnx", "--data", "data.npz"),
    "tensorflow": TRAIN,
    "tensorflow.python.eager.context": TRAIN,
    "neuromatic.converters.tensorflow.program": TRAIN,
}


def run(folder: Path, *arguments: str, ignored: bool = False) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    if ignored:
        command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
        timeout=250,
        preexec_fn=_not_ignored,
    )


def _not_ignored() -> None:
    """Undo what a shell does to programs that it starts in the background, these tests perhaps."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(os.name == "nt", reason="signals are Unix'")
@pytest.mark.parametrize("module", DURING)
def test_while_something_is_imported(module: str, folder: Path) -> None:
    before = sorted(p.name for p in folder.iterdir())
    done = run(folder, module, *DURING[module])
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: interrupted")
    assert sorted(p.name for p in folder.iterdir()) == before


@pytest.mark.skipif(os.name == "nt", reason="signals are Unix'")
def test_an_interrupt_that_is_ignored_stays_so(folder: Path) -> None:
    """As for what a shell runs in the background."""
    done = run(folder, "numpy", "info", "trained.onnx", ignored=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_without_an_interrupt(folder: Path) -> None:
    done = run(folder, "none", "info", "missing.onnx")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: cannot read missing.onnx: No such file or directory\n"
