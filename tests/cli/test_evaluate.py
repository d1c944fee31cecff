"""neuromatic evaluate."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

import neuromatic as nm
from neuromatic.data import read_npz
from tests.cli.conftest import write_data

Run = Callable[..., Result]
Fails = Callable[..., str]


def test_loss_and_metrics_are_those_of_the_model(run: Run, folder: Path) -> None:
    data = read_npz(folder / "data.npz")
    expected = nm.load(folder / "trained.onnx").evaluate(data["x"], data["y"])
    result = run("evaluate", "trained.onnx", "--data", "data.npz", "--json", "--batch-size", "256")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == expected
    text = run("evaluate", "trained.onnx", "--data", "data.npz", "--batch-size", "5").stdout
    assert text == f"loss {expected['loss']:.6g}  accuracy {expected['accuracy']:.6g}\n"


def test_a_program_can_be_evaluated(run: Run) -> None:
    assert run("evaluate", "net.py:model", "--data", "data.npz").stdout.startswith("loss ")


def test_a_model_without_recipe(fails: Fails) -> None:
    sentence = fails(1, "evaluate", "net.py:chain", "--data", "data.npz")
    assert sentence == "the model has no loss to evaluate; neuromatic train --loss gives it one"


def test_labels_out_of_range(fails: Fails, folder: Path) -> None:
    write_data(folder / "bad.npz", changes={"y": np.full(48, -1)})
    assert "has label -1 in row 0, expected 0 to 2" in fails(
        1, "evaluate", "trained.onnx", "--data", "bad.npz"
    )


def test_a_missing_option(run: Run) -> None:
    result = run("evaluate", "trained.onnx")
    assert result.exit_code == 2
    assert result.stderr.endswith("Error: Missing option '--data'.\n")


def test_a_runtime_that_is_not_installed(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    sentence = fails(3, "evaluate", "trained.onnx", "--data", "data.npz")
    assert sentence.startswith("onnxruntime is not available (")
