"""neuromatic info."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from click.testing import Result

import neuromatic as nm
from tests.neuromatic.graphs import parsed
from tests.neuromatic.transfer.test_lift_constants import HIDDEN

Run = Callable[..., Result]
Fails = Callable[..., str]


def test_as_text(run: Run) -> None:
    result = run("info", "trained.onnx", "--weights")
    assert result.exit_code == 0, result.output
    for line in (
        "  input         input float32(batch, 4)",
        "  output        dense_1 float32(batch, 3)",
        "  opset         ai.onnx 17, ai.onnx.preview.training 1",
        "  IR version    8",
        "  producer      neuromatic",
        "  loss          SoftmaxCrossEntropyLoss ReduceMean Identity",
        "  learning rate 0.01",
        "  steps done    2",
        "  metrics       accuracy",
        "parameters: 67, of which 67 are trained",
    ):
        assert line in result.stdout.splitlines()
    assert "dense/kernel float32(4, 8)" in result.stdout


def test_as_json(run: Run) -> None:
    facts = json.loads(run("info", "trained.onnx", "--json", "--weights").stdout)
    assert facts["inputs"] == [{"name": "input", "dtype": "float32", "shape": ["batch", 4]}]
    assert (facts["opset"]["ai.onnx"], facts["ir_version"], facts["parameters"]) == (17, 8, 67)
    assert facts["recipe"]["optimizer"] == "Adam"
    assert facts["recipe"]["metrics"] == ["accuracy"]
    assert [layer["name"] for layer in facts["layers"]] == ["dense", "dense_1"]
    assert [w["name"] for w in facts["weights"] if w["trained"]] == facts["recipe"]["trained"]


def test_a_model_without_recipe(run: Run) -> None:
    result = run("info", "unsupported.onnx")
    assert "  recipe        none" in result.stdout.splitlines()
    assert "  producer      unknown" in result.stdout.splitlines()
    assert json.loads(run("info", "unsupported.onnx", "--json").stdout)["recipe"] is None


def test_a_recipe_that_cannot_be_used_is_named(run: Run, folder: Path) -> None:
    model = onnx.load(folder / "trained.onnx")
    model.training_info[0].update_binding[0].value = "nowhere"
    onnx.save(model, folder / "bad.onnx")
    result = run("info", "bad.onnx")
    assert result.exit_code == 0, result.output
    assert "  recipe        cannot be used: update_binding refers to 'nowhere'" in result.stdout


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_files_that_are_no_models(fails: Fails, folder: Path, content: bytes) -> None:
    (folder / "bad.onnx").write_bytes(content)
    assert fails(1, "info", "bad.onnx").startswith("bad.onnx is ")


def test_a_missing_file(fails: Fails) -> None:
    assert fails(1, "info", "none.onnx") == "cannot read none.onnx: No such file or directory"


def test_what_is_trained_frozen_state_and_constant(run: Run, folder: Path) -> None:
    chain = nm.Sequential((4,)).batch_normalization().dense(2, name="body").dense(1)
    chain.freeze("body/*").loss("mse").optimizer("sgd").save(folder / "roles.onnx")
    lines = run("info", "roles.onnx", "--weights").stdout.splitlines()
    found = {
        line.split()[0]: line.split()[-1] for line in lines if "float32(" in line and "/" in line.split()[0]
    }
    assert found == {
        "batch_normalization/gamma": "trained",
        "batch_normalization/beta": "trained",
        "batch_normalization/moving_mean": "state",
        "batch_normalization/moving_variance": "state",
        "body/kernel": "frozen",
        "body/bias": "frozen",
        "dense/kernel": "trained",
        "dense/bias": "trained",
    }
    onnx.save(parsed(HIDDEN), folder / "hidden.onnx")
    assert "  note          2 weights are Constant nodes (w, b)" in run("info", "hidden.onnx").stdout
