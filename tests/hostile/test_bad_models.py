"""Models that no runtime can run are refused, or shown with a sentence that says so."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

import neuromatic as nm
from neuromatic.cli.main import main
from neuromatic.errors import InvalidModelError
from tests.hostile.bad_models import BAD, conv, matrix
from tests.hostile.files import node

TRAIN = ("--data", "data.npz", "--loss", "mse", "-o", "out.onnx")
REFUSING = {
    "predict": ("--data", "data.npz"),
    "evaluate": ("--data", "data.npz"),
    "train": TRAIN,
    "convert": ("-o", "out.onnx"),
}
SHOWING = {"info": (), "plot": ("-o", "out.dot"), "diff": ("model.onnx",)}
SOME = ("opset 999", "Conv in no groups", "Conv padded SIDEWAYS", "Resize by 0", "two nodes of one name")
"""What the checker of onnx takes."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    np.savez(tmp_path / "data.npz", x=np.ones((2, 4), np.float32), y=np.ones((2, 4), np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(command: str, *options: str) -> Result:
    return CliRunner().invoke(main, [command, "model.onnx", *options])


def sentence(result: Result) -> str:
    """The one line on standard error."""
    (line,) = result.stderr.splitlines()
    assert "Traceback" not in line
    assert len(line) < 700
    return line


def test_there_are_many() -> None:
    assert len(BAD) > 100


@pytest.mark.parametrize("name", BAD)
def test_every_way_in(name: str, folder: Path) -> None:
    (folder / "model.onnx").write_bytes(BAD[name]().SerializeToString())
    with pytest.raises(InvalidModelError, match=r"is not a valid ONNX model|onnxruntime refuses the model"):
        nm.load("model.onnx")
    for command in ("convert", "train"):
        result = invoke(command, *REFUSING[command])
        assert result.exit_code == 1, result.output
        sentence(result)
    shown = invoke("info")
    assert shown.exit_code in (0, 1)
    assert ("cannot run: " if shown.exit_code == 0 else "is not a valid ONNX model") in sentence(shown)
    assert not (folder / "out.onnx").exists()


@pytest.mark.parametrize("name", SOME)
def test_all_other_commands(name: str, folder: Path) -> None:
    proto = BAD[name]()
    onnx.checker.check_model(proto)
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    for command, options in REFUSING.items():
        result = invoke(command, *options)
        assert result.exit_code == 1, result.output
        sentence(result)
    for command, options in SHOWING.items():
        result = invoke(command, *options)
        assert result.exit_code == 0, result.output
        assert "cannot run: " in result.stderr
    result = invoke("doctor")
    assert result.exit_code == 1
    assert "ready" not in result.stdout
    assert "onnxruntime refuses" in result.stdout or "Conv 'y'" in result.stdout
    assert nm.load("model.onnx", check=False).input_names == ("x",)


def test_a_copy_that_is_not_verified_says_what_is_wrong(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(BAD["Conv in no groups"]().SerializeToString())
    result = invoke("convert", "-o", "out.onnx", "--no-verify")
    assert result.exit_code == 0, result.output
    assert "not verified, and it cannot run: Conv 'y': there is no convolution in 0 groups" in result.output


@pytest.mark.parametrize(
    ("proto", "reason"),
    [
        (conv(2, 5, 3, 3), "Conv 'y': the input has 3 channels, the kernel (2, 5, 3, 3) takes 5 in 1 groups"),
        (conv(2, 3, 9, 9), "Conv 'y': a kernel of 9 does not fit into 8"),
        (BAD["Reshape to another size"](), "Reshape 'y': 6 elements (6) cannot have the shape (4, 2)"),
        (BAD["Gather beyond the end"](), "Gather 'y': index 7 is beyond 3"),
    ],
)
def test_what_does_not_fit_is_named(proto: onnx.ModelProto, reason: str, folder: Path) -> None:
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(InvalidModelError) as caught:
        nm.load("model.onnx")
    assert reason in str(caught.value)


def test_without_onnxruntime_less_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.save(matrix(node("Magic", "x", domain="com.example")), "model.onnx")
    proto = BAD["an operator of an unknown domain"]()
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    assert nm.load("model.onnx").input_names == ("x",)


def test_what_fits_is_taken(folder: Path) -> None:
    for group, channels in ((1, 3), (3, 1)):
        (folder / "model.onnx").write_bytes(conv(6, channels, 3, 3, group=group).SerializeToString())
        nm.load("model.onnx")
