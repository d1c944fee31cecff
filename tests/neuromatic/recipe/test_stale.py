"""Recipes that other programs have made stale: which weights are gone, and what can still be done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static

import neuromatic as nm
from neuromatic.cli.main import main
from neuromatic.errors import RecipeError, StaleRecipeError

Array = NDArray[Any]
STRIP = "neuromatic convert MODEL.onnx -o NEW.onnx --strip-training"
X = np.random.default_rng(0).normal(size=(32, 1, 6, 6)).astype(np.float32)
Y = (X.mean((1, 2, 3)) > 0).astype(np.int64)


class Rows(CalibrationDataReader):
    """One batch to calibrate with."""

    def __init__(self) -> None:
        self.rows: Iterator[dict[str, Array]] = iter([{"input": X}])

    def get_next(self) -> dict[str, Array]:
        return next(self.rows, {})


def net() -> nm.Model:
    model = (
        nm.Sequential(input_shape=(1, 6, 6))
        .conv2d(3, 3, use_bias=False)
        .batch_normalization()
        .flatten()
        .dense(2, activation="softmax")
        .loss("sparse_categorical_crossentropy")
        .optimizer("adam")
        .metrics("accuracy")
    )
    model.train(X, Y, verbose=0, engine_options={"jit": False})
    return model


def dynamic(path: Path, to: Path) -> None:
    quantize_dynamic(path, to)


def static(path: Path, to: Path) -> None:
    quantize_static(path, to, Rows())


def folded(path: Path, to: Path) -> None:
    """BatchNormalization becomes part of the convolution before it, as onnxoptimizer folds it."""
    model = onnx.load(path)
    stored = {t.name: t for t in model.graph.initializer}
    norm = next(n for n in model.graph.node if n.op_type == "BatchNormalization")
    conv = next(n for n in model.graph.node if n.output[0] == norm.input[0])
    scale, bias, mean, variance = (numpy_helper.to_array(stored[name]) for name in norm.input[1:])
    factor = scale / np.sqrt(variance + next(a.f for a in norm.attribute if a.name == "epsilon"))
    w = numpy_helper.to_array(stored[conv.input[1]]) * factor[:, None, None, None]
    for name in norm.input[1:]:
        model.graph.initializer.remove(stored[name])
    stored[conv.input[1]].CopyFrom(numpy_helper.from_array(w.astype(np.float32), conv.input[1]))
    model.graph.initializer.append(numpy_helper.from_array((bias - mean * factor).astype(np.float32), "b"))
    conv.input.append("b")
    conv.output[0] = norm.output[0]
    model.graph.node.remove(norm)
    onnx.save(model, to)


def renamed(path: Path, to: Path) -> None:
    """The last kernel under another name."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        tensor.name = "w0" if tensor.name == "dense/kernel" else tensor.name
    for node in model.graph.node:
        node.input[:] = ["w0" if name == "dense/kernel" else name for name in node.input]
    onnx.save(model, to)


def logits_renamed(path: Path, to: Path) -> None:
    """Weights stay, the value before the softmax, of which the loss is, has another name."""
    model = onnx.load(path)
    softmax = next(n for n in model.graph.node if n.op_type == "Softmax")
    before = next(n for n in model.graph.node if n.output[0] == softmax.input[0])
    softmax.input[0] = before.output[0] = "fused"
    onnx.save(model, to)


REWRITES: dict[str, tuple[Callable[[Path, Path], None], set[str], str]] = {
    "dynamic": (dynamic, {"dense/kernel", "conv2d/kernel"}, "2 weights"),
    "static": (static, {"dense/kernel", "conv2d/kernel", "dense/bias"}, "5 weights"),
    "folded": (folded, {"batch_normalization/gamma", "batch_normalization/moving_mean"}, "4 weights"),
    "renamed": (renamed, {"dense/kernel"}, "a weight"),
    "logits": (logits_renamed, set(), "a value"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stale")
    net().save(folder / "net.onnx")
    np.savez(folder / "data.npz", x=X, y=Y)
    for name, (rewrite, _, _) in REWRITES.items():
        rewrite(folder / "net.onnx", folder / f"{name}.onnx")
    return folder


def run(folder: Path, command: str, name: str, *more: str) -> Result:
    return CliRunner().invoke(main, [command, str(folder / f"{name}.onnx"), *more])


@pytest.mark.parametrize("name", REWRITES)
def test_the_weights_that_are_gone_are_named_and_predict_works(folder: Path, name: str) -> None:
    _, gone, what = REWRITES[name]
    model = nm.load(folder / f"{name}.onnx")
    assert model.predict(X).shape == (32, 2)
    with pytest.raises(StaleRecipeError) as caught:
        _ = model.recipe
    assert isinstance(caught.value, RecipeError)
    assert gone <= set(caught.value.missing)
    start, end = str(caught.value).split(" that the graph no longer has (")
    assert start == f"the recipe needs {what}"
    assert end.endswith(
        "): another program has quantised, folded or renamed what was there; train the file from before "
        f"that, or take the recipe off with: {STRIP}"
    )
    with pytest.raises(StaleRecipeError):
        model.train(X, Y, verbose=0)


@pytest.mark.parametrize("name", REWRITES)
@pytest.mark.parametrize("command", ["info", "doctor", "train", "evaluate"])
def test_each_command_says_so(folder: Path, tmp_path: Path, name: str, command: str) -> None:
    data = ["--data", str(folder / "data.npz")]
    options = {"train": [*data, "-o", str(tmp_path / "new.onnx")], "evaluate": data}
    result = run(folder, command, name, *options.get(command, []))
    assert f"the recipe needs {REWRITES[name][2]} that the graph no longer has" in result.output
    assert "--strip-training" in result.output
    assert result.exit_code == (0 if command == "info" else 1)
    assert not (tmp_path / "new.onnx").exists()


@pytest.mark.parametrize("name", REWRITES)
def test_convert_copies_or_strips_and_refuses_to_raise(folder: Path, tmp_path: Path, name: str) -> None:
    copy, bare, new = (tmp_path / f"{n}.onnx" for n in ("copy", "bare", "new"))
    result = run(folder, "convert", name, "-o", str(copy))
    assert result.exit_code == 0
    assert result.output.startswith("the recipe cannot be used: the recipe needs ")
    assert copy.read_bytes() == (folder / f"{name}.onnx").read_bytes()
    result = run(folder, "convert", name, "-o", str(bare), "--strip-training")
    assert (result.exit_code, "recipe" in result.output) == (0, False)
    assert nm.load(bare).recipe is None
    result = run(folder, "convert", name, "-o", str(new), "--opset", "21")
    assert (result.exit_code, new.exists()) == (1, False)
    assert "the recipe needs " in result.output


def test_convert_to_a_saved_model_leaves_the_recipe_out(folder: Path, tmp_path: Path) -> None:
    result = run(folder, "convert", "folded", "-o", str(tmp_path / "saved"))
    assert result.exit_code == 0, result.output
    assert result.output.startswith("the recipe cannot be used: the recipe needs 4 weights ")


def test_a_summary_is_shown_and_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nm.load(folder / "renamed.onnx").summary()
    shown = capsys.readouterr().out.splitlines()
    assert any("conv2d" in line for line in shown)
    assert shown[-1].startswith("the recipe cannot be used: the recipe needs a weight ")


def test_a_recipe_that_was_dropped_is_told(folder: Path, tmp_path: Path) -> None:
    """onnxslim and onnxsim keep the metadata and drop ``training_info``."""
    model: ModelProto = onnx.load(folder / "net.onnx")
    del model.training_info[:]
    onnx.save(model, tmp_path / "slim.onnx")
    told = (
        "another program has dropped the recipe that this file had (its metadata are still there): choose "
        "loss and optimizer anew"
    )
    for command in ("info", "doctor"):
        assert told in json.loads(run(tmp_path, command, "slim", "--json").stdout)["notes"]
    data = ["--data", str(folder / "data.npz")]
    result = run(tmp_path, "train", "slim", *data, "-o", str(tmp_path / "new.onnx"))
    assert (result.exit_code, result.output.rstrip().endswith(told)) == (2, True)
    loaded = nm.load(tmp_path / "slim.onnx")
    with pytest.raises(RecipeError, match=r"the model has no loss; .*; another program has dropped"):
        loaded.train(X, Y)
    chosen = loaded.loss("sparse_categorical_crossentropy").optimizer("sgd")
    chosen.train(X, Y, verbose=0, engine_options={"jit": False})
