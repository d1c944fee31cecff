"""neuromatic train: another head, and what is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import Result

import neuromatic as nm
from tests.neuromatic.graphs import parsed

Run = Callable[..., Result]
Fails = Callable[..., str]
TRAIN = ("train", "trained.onnx", "--data", "data.npz", "--epochs", "1", "-o", "out.onnx")


def test_a_new_head(run: Run, folder: Path) -> None:
    result = run(
        *TRAIN, "--new-head", "5", "--loss", "sparse_categorical_crossentropy", "--train-only", "head/*"
    )
    assert result.exit_code == 0, result.output
    before, after = nm.load(folder / "trained.onnx"), nm.load(folder / "out.onnx")
    assert after.output_names == ("head",)
    assert list(after.parameters()) == ["dense/kernel", "dense/bias", "head/kernel", "head/bias"]
    np.testing.assert_array_equal(after.parameters()["dense/kernel"], before.parameters()["dense/kernel"])
    np.testing.assert_allclose(after.predict(np.ones((2, 4))).sum(axis=1), 1, rtol=1e-6)


def test_cut_elsewhere_with_one_class(run: Run, folder: Path) -> None:
    np.savez(folder / "binary.npz", x=np.ones((8, 4), np.float32), y=np.ones((8, 1)))
    result = run(
        *("train", "trained.onnx", "--data", "binary.npz", "--epochs", "1", "-o", "out.onnx"),
        *("--new-head", "1", "--cut-at", "dense/Gemm", "--loss", "binary_crossentropy"),
    )
    assert result.exit_code == 0, result.output
    operators = [n.op_type for n in nm.load(folder / "out.onnx").proto.graph.node]
    assert operators == ["Gemm", "Gemm", "Sigmoid"]


def test_the_last_layers(run: Run) -> None:
    assert run(*TRAIN, "--train-last", "1").exit_code == 0
    weights = json.loads(run("info", "out.onnx", "--weights", "--json").stdout)["weights"]
    assert {w["name"]: w["role"] for w in weights} == {
        "dense/kernel": "frozen",
        "dense/bias": "frozen",
        "dense_1/kernel": "trained",
        "dense_1/bias": "trained",
    }


@pytest.mark.parametrize("form", ["train", "frozen"])
def test_forms_of_batch_normalization(run: Run, folder: Path, form: str) -> None:
    chain = nm.Sequential((4,)).batch_normalization().dense(3, activation="softmax")
    chain.save(folder / "normal.onnx")
    result = run(
        *("train", "normal.onnx", "--data", "data.npz", "--epochs", "1", "-o", "out.onnx"),
        *("--loss", "sparse_categorical_crossentropy", "--batch-norm", form),
    )
    assert result.exit_code == 0, result.output
    mean = nm.load(folder / "out.onnx").parameters()["batch_normalization/moving_mean"]
    assert (mean == 0).all() == (form == "frozen")


@pytest.mark.parametrize("form", ["train", "off"])
def test_forms_of_dropout(run: Run, folder: Path, form: str) -> None:
    nm.Sequential((4,)).dropout(0.5).dense(3, activation="softmax").save(folder / "dropped.onnx")
    result = run(
        *("train", "dropped.onnx", "--data", "data.npz", "--epochs", "1", "-o", "out.onnx"),
        *("--loss", "sparse_categorical_crossentropy", "--dropout", form),
    )
    assert result.exit_code == 0, result.output
    recipe = nm.load(folder / "out.onnx").recipe
    assert recipe is not None
    assert recipe.dropout == form


def test_what_is_refused(fails: Fails) -> None:
    assert fails(2, *TRAIN, "--cut-at", "dense") == "--cut-at needs --new-head"
    assert "exclude each other" in fails(2, *TRAIN, "--train-only", "*", "--train-last", "1")
    assert fails(2, *TRAIN, "--new-head", "5").startswith("MODEL has no loss")
    assert "from 1 to 2" in fails(2, *TRAIN, "--train-last", "3")
    assert "named 'nowhere'" in fails(2, *TRAIN, "--new-head", "5", "--cut-at", "nowhere", "--loss", "mse")


def test_a_constant_that_is_asked_for_and_doubts_that_are_told(run: Run, folder: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 17], producer_name: "others">
        net (float[N, 4] x) => (float[N, 3] y) { h = MatMul (x, w)  g = Mul (h, gain)  r = Relu (g)
        s = Mul (r, table)  y = Softmax (s) }"""
    table = np.array([[1.0, 0.3, 1.2]], np.float32)
    weight = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3) ** 3
    model = parsed(text, w=weight, gain=np.array(1.5, np.float32), table=table)
    onnx.save(model, folder / "others.onnx")
    train = ("train", "others.onnx", "--data", "data.npz", "--epochs", "1", "-o", "out.onnx")
    loss = ("--loss", "sparse_categorical_crossentropy")
    result = run(*train, *loss, "--unfreeze", "gain")
    assert result.exit_code == 0, result.output
    assert nm.load(folder / "out.onnx").roles() == {"w": "trained", "gain": "trained", "table": "trained"}
    assert result.stderr.startswith("note: open whether a parameter, as others names parameters otherwise")
    assert "freeze('table') changes that" in result.stderr
    assert "note" not in run(*train, *loss, "--freeze", "table").stderr
