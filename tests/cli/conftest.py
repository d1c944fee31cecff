"""What the tests of the command line share: tiny data, a program with models, a trained file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from neuromatic.cli.main import main

Run = Callable[..., Result]

PROGRAM = """
# Models of a user.

import neuromatic as nm

SIZE = 4


def chain():
    return nm.Sequential((SIZE,)).dense(8, activation="relu").dense(3, activation="softmax")


def model():
    compiled = chain().loss("sparse_categorical_crossentropy").optimizer("adam", learning_rate=0.01)
    return compiled.metrics("accuracy")


def two():
    x = nm.Input((SIZE,))
    outputs = [nm.layers.Dense(1, name="a")(x), nm.layers.Dense(2, name="b")(x)]
    return nm.Model(x, outputs)


def broken():
    return 1 / 0


def number():
    return 5
"""


def write_data(path: Path, rows: int = 48, *, changes: Mapping[str, np.ndarray] | None = None) -> Path:
    """Three classes that can be told apart by the largest of the first three features."""
    x = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
    np.savez(path, **({"x": x, "y": x[:, :3].argmax(1)} | dict(changes or {})))  # type: ignore[arg-type]
    return path


LEAF: dict[str, Any] = {
    "domain": "ai.onnx.ml",
    **{f"nodes_{name}": [0] for name in ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids")},
    **{"nodes_modes": ["LEAF"], "nodes_values": [0.0], "n_targets": 3},
    **{"target_treeids": [0] * 3, "target_nodeids": [0] * 3, "target_ids": [0, 1, 2]},
    "target_weights": [1.0, 2.0, 3.0],
}
"""A tree that gives the same three numbers for every row."""


def unsupported_model() -> onnx.ModelProto:
    """A valid model with an operator that TensorFlow has no lowering for."""
    weight = numpy_helper.from_array(np.ones((4, 3), np.float32), "weight")
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "weight"], ["product"]),
            helper.make_node("TreeEnsembleRegressor", ["x"], ["leaf"], name="tree", **LEAF),
            helper.make_node("Add", ["product", "leaf"], ["out"]),
        ],
        "unsupported",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 3])],
        [weight],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log levels that a command sets end with the test."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, a program and a trained model; it is not to be written to."""
    folder = tmp_path_factory.mktemp("shared")
    write_data(folder / "data.npz")
    (folder / "net.py").write_text(PROGRAM, encoding="utf-8")
    onnx.save(unsupported_model(), folder / "unsupported.onnx")
    result = CliRunner().invoke(
        main,
        [
            *("train", f"{folder / 'net.py'}:model", "--data", str(folder / "data.npz")),
            *("--epochs", "1", "-o", str(folder / "trained.onnx")),
        ],
    )
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def folder(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder of a test, with a copy of what is shared; nothing temporary may be left in it."""
    place = tmp_path / "work"
    shutil.copytree(shared, place, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(place)
    yield place
    assert not [path.name for path in place.rglob("*") if path.name.endswith(".tmp")]


@pytest.fixture
def run(folder: Path) -> Run:
    """Run the command in this process."""

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments))

    return invoke


@pytest.fixture
def fails(run: Run) -> Callable[..., str]:
    """Run the command, which has to end with an exit code and one sentence; returns the sentence."""

    def invoke(code: int, *arguments: str) -> str:
        result = run(*arguments)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("Error: ")
        return lines[0].removeprefix("Error: ")

    return invoke


@pytest.fixture
def shell(folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command as a process of its own, with TensorFlow's log level unset."""

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
        return subprocess.run(
            [sys.executable, "-m", "neuromatic.cli.main", *arguments],
            capture_output=True,
            text=True,
            env=environment,
            cwd=folder,
            timeout=120,
            check=False,
        )

    return start
