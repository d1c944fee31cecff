"""neuromatic convert: formats by name, options that fit, and what is printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import Result

import neuromatic as nm

Run = Callable[..., Result]
Fails = Callable[..., str]


def test_a_newer_opset_keeps_the_recipe(run: Run, folder: Path) -> None:
    result = run("convert", "trained.onnx", "-o", "new.onnx", "--opset", "21")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "largest difference between trained.onnx and new.onnx: 0.0e+00",
        "wrote new.onnx",
    ]
    assert onnx.load(folder / "new.onnx").training_info
    assert run("train", "new.onnx", "--data", "data.npz", "-o", "out.onnx", "--epochs", "1").exit_code == 0


def test_the_training_part_can_be_left_out(run: Run, folder: Path) -> None:
    assert run("convert", "trained.onnx", "-o", "new.onnx", "--strip-training").exit_code == 0
    assert not onnx.load(folder / "new.onnx").training_info


def test_without_options_the_file_is_the_same(run: Run, folder: Path) -> None:
    assert run("convert", "trained.onnx", "-o", "new.onnx").stdout == "wrote new.onnx\n"
    assert (folder / "new.onnx").read_bytes() == (folder / "trained.onnx").read_bytes()


def test_a_folder_is_a_saved_model(run: Run, folder: Path) -> None:
    result = run("convert", "trained.onnx", "-o", "saved")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "wrote saved"
    assert result.stderr == ""
    assert (folder / "saved" / "saved_model.pb").is_file()


@pytest.mark.parametrize(
    ("code", "arguments", "sentence"),
    [
        (
            1,
            ["-o", "x.onnx", "--opset", "16"],
            "the model has opset 17, which cannot be lowered to 16; only raised",
        ),
        (2, ["-o", "x.h5"], "cannot tell the format of x.h5; name it with --from or --to"),
        (1, ["-o", "x.keras"], "there is no conversion from onnx to keras; go by way of onnx"),
        (2, ["-o", "saved", "--opset", "18"], "--opset means nothing from onnx to saved_model"),
        (2, ["-o", "saved", "--strip-training"], "--strip-training means nothing from onnx to saved_model"),
        (1, ["-o", "no/saved"], "cannot write no/saved: there is no folder no"),
        (1, ["-o", "no/x.onnx"], "cannot write no/x.onnx: there is no folder no"),
        (1, ["-o", "."], ". exists and is not a SavedModel; it is left as it is"),
    ],
)
def test_mistakes(fails: Fails, folder: Path, code: int, arguments: list[str], sentence: str) -> None:
    assert fails(code, "convert", "trained.onnx", *arguments) == sentence
    assert not (folder / "x.onnx").exists()


def test_an_operator_that_is_not_supported(fails: Fails, folder: Path) -> None:
    sentence = fails(3, "convert", "unsupported.onnx", "-o", "saved")
    assert sentence.startswith("tensorflow has no lowering for ai.onnx.ml.TreeEnsembleRegressor-1")
    assert not (folder / "saved").exists()


def test_a_format_can_be_named(fails: Fails, folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"x")
    sentence = fails(1, "convert", "model.bin", "--from", "onnx", "-o", "x.onnx")
    assert sentence.startswith("model.bin is not a valid ONNX model")


def test_integers_become_floats(run: Run, fails: Fails, folder: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[N, 2] x) => (float[N, 2] y)
        <int8[2, 2] w_quantized = {10, -2, 3, 40}, float s = {0.5}> {
        w = DequantizeLinear (w_quantized, s)  y = MatMul (x, w) }"""
    onnx.save(onnx.parser.parse_model(text), folder / "integers.onnx")
    result = run("convert", "integers.onnx", "-o", "floats.onnx", "--dequantize")
    assert result.exit_code == 0, result.output
    assert "is not rounded any more: outputs are compared roughly" in result.output
    found = nm.load(folder / "floats.onnx").parameters()
    np.testing.assert_array_equal(found["w"], [[5, -1], [1.5, 20]])
    assert list(found) == ["w"]
    assert "nothing to dequantize" in fails(1, "convert", "floats.onnx", "-o", "again.onnx", "--dequantize")
