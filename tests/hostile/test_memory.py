"""Small files that ask for much memory get none, whatever is done with them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx.numpy_helper import from_array

import neuromatic as nm
from neuromatic.errors import InvalidModelError
from neuromatic.ir.types import combined, value_types
from neuromatic.saving.apart import is_harmless
from tests.hostile.bombs import BOMBS, added, chain
from tests.hostile.files import ints, model, node
from tests.hostile.measured import run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits are Unix'")
MOST = 1024
"""Mebibytes above idle."""
SECONDS = 30
"""Each takes less than ten; machines that are busy get more."""
COMMANDS = {
    "convert": ("-o", "out.onnx", "--strip-training"),
    "train": ("--data", "data.npz", "--loss", "mse", "-o", "out.onnx"),
    "doctor": (),
}


def check(names: Sequence[str], arguments: Sequence[str], folder: Path) -> None:
    for i, name in enumerate(names):
        (folder / f"{i}.onnx").write_bytes(BOMBS[name]().SerializeToString())
    np.savez(folder / "data.npz", x=np.ones((2, 4), np.float32), y=np.ones((2, 4), np.float32))
    runs = run([[arguments[0], f"{i}.onnx", *arguments[1:]] for i in range(len(names))], folder)
    assert len(runs) == len(names)
    for name, found in zip(names, runs, strict=True):
        assert found.mebibytes < MOST, (name, found)
        assert found.seconds < SECONDS, (name, found)
        assert found.code == 1, (name, found)
        assert "is not a valid ONNX model" in found.said, (name, found)


def test_a_look_takes_little_memory(tmp_path: Path) -> None:
    check(list(BOMBS), ["info"], tmp_path)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_takes_much_memory(command: str, tmp_path: Path) -> None:
    check(["dimensions in a loop", "ranks doubled"], [command, *COMMANDS[command]], tmp_path)


def refusal(name: str, folder: Path) -> str:
    (folder / "model.onnx").write_bytes(BOMBS[name]().SerializeToString())
    with pytest.raises(InvalidModelError) as caught:
        nm.load(folder / "model.onnx")
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Expand of 2^31 dimensions", "Expand 'big' takes a shape of 134,217,728 dimensions, more than 64"),
        ("dimensions in a branch", "ConstantOfShape 'big' takes a shape of 134,217,728 dimensions"),
        ("shapes doubled in training", "inferring its types takes more than 512 MiB"),
        ("broadcast along six axes", "'m' has 12,230,590,464 elements (48, 48, 48, 48, 48, 48), more than"),
        (
            "tensors of 256 MiB",
            "its constant values, 'c2' the last of them, have more than 134,217,728 elements",
        ),
    ],
)
def test_it_is_said_what_is_too_large(name: str, sentence: str, tmp_path: Path) -> None:
    assert sentence in refusal(name, tmp_path)


@pytest.mark.parametrize("length", [1000, 5000, 3_000_000])
def test_types_keep_the_length_of_vectors(length: int) -> None:
    weights = from_array(np.zeros(length, np.float32), "w")
    nodes = [node("Mul", "w w", "v"), node("Reshape", "v to", "m"), node("MatMul", "x m", "y")]
    types = value_types(model(nodes, [weights, ints("to", 4, length // 4)]))
    shapes = {name: types[name].shape for name in ("w", "v", "m", "y")}
    assert shapes == {"w": (length,), "v": (length,), "m": (4, length // 4), "y": ("P", length // 4)}


def test_what_is_certain_to_be_small_needs_no_process_of_its_own() -> None:
    assert is_harmless(model(chain(200, last="y")))
    assert is_harmless(added(60, 500))
    for file in Path(nm.__file__).parent.joinpath("models/trained").glob("*.onnx"):
        assert is_harmless(combined(nm.load(file).proto, weights=False)), file
