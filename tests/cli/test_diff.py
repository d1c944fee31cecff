"""neuromatic diff."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import Result
from onnx import numpy_helper

Run = Callable[..., Result]


@pytest.fixture
def moved(folder: Path) -> float:
    """Writes moved.onnx, whose first weight is a little larger; returns by how much."""
    model = onnx.load(folder / "trained.onnx")
    tensor = model.graph.initializer[0]
    array = numpy_helper.to_array(tensor).copy()
    before = float(array[0, 0])
    array[0, 0] += 1e-3
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, folder / "moved.onnx")
    return float(np.float64(array[0, 0]) - before)


def test_equal_files(run: Run) -> None:
    result = run("diff", "trained.onnx", "trained.onnx")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "equal"


def test_a_weight_that_moved(run: Run, moved: float) -> None:
    result = run("diff", "trained.onnx", "moved.onnx")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "initializers:",
        f"  ~ dense/kernel float32(4, 8) differs by {moved:.3g}",
        f"1 of 14 initializers differ; the largest difference is {moved:.3g}",
        "different",
    ]


def test_within_the_tolerance(run: Run, moved: float) -> None:
    assert run("diff", "trained.onnx", "moved.onnx", "--atol", "0.01").exit_code == 0
    assert run("diff", "trained.onnx", "moved.onnx", "--rtol", "1e-9").exit_code == 1
    result = run("diff", "trained.onnx", "moved.onnx", "--atol", "0.01", "--weights")
    assert "  = dense/bias float32(8,) differs by 0" in result.stdout.splitlines()


def test_files_that_have_little_in_common(run: Run) -> None:
    result = run("diff", "unsupported.onnx", "trained.onnx")
    assert result.exit_code == 1
    for line in ("versions:", "values:", "nodes:", "recipe:", "  - weight float32(4, 3)", "different"):
        assert line in result.stdout.splitlines()


def test_as_json(run: Run, moved: float) -> None:
    facts = json.loads(run("diff", "trained.onnx", "moved.onnx", "--json").stdout)
    assert list(facts) == [
        *("first", "second", "equal", "versions", "values", "nodes", "functions", "metadata", "recipe"),
        "weights",
    ]
    assert facts["equal"] is False
    assert facts["weights"][0] == {
        "name": "dense/kernel",
        "first": "float32(4, 8)",
        "second": "float32(4, 8)",
        "difference": pytest.approx(moved),
        "equal": False,
    }
