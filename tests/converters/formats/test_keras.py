"""From .keras to .onnx."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest

import neuromatic as nm
from neuromatic.converters.formats import keras as keras_format
from neuromatic.converters.formats.keras import convert
from neuromatic.errors import ConversionError, EngineNotAvailableError, VerificationError
from neuromatic.inference import Session

layers = keras.layers


def saved(network: Any, folder: Path) -> Path:
    network.save(folder / "m.keras")
    return folder / "m.keras"


@pytest.fixture
def cnn(tmp_path: Path) -> Path:
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            layers.Input((6, 6, 2), name="image"),
            layers.Conv2D(3, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    return saved(network, tmp_path)


def test_any_batch_gives_what_keras_gives(
    cnn: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    difference = convert(cnn, tmp_path / "m.onnx")
    assert capfd.readouterr() == ("", "")
    assert difference is not None
    assert difference < 1e-5
    model = nm.load(tmp_path / "m.onnx")
    assert model.input_names == ("image",)
    (field,) = model.proto.graph.input
    assert [d.dim_param or d.dim_value for d in field.type.tensor_type.shape.dim] == ["batch", 6, 6, 2]
    x = np.random.default_rng(1).normal(size=(5, 6, 6, 2)).astype(np.float32)
    expected = keras.models.load_model(cnn)(x)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("opset", [15, 17, 18, 21])
def test_the_opset_is_what_was_asked_for(cnn: Path, tmp_path: Path, opset: int) -> None:
    convert(cnn, tmp_path / "m.onnx", opset=opset)
    versions = {o.domain: o.version for o in onnx.load(tmp_path / "m.onnx").opset_import}
    assert versions[""] == opset


# tf2onnx names no parameters, so that some stay open, which a warning says.
@pytest.mark.filterwarnings("ignore:open whether a parameter")
def test_the_result_can_be_trained(cnn: Path, tmp_path: Path) -> None:
    convert(cnn, tmp_path / "m.onnx")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 6, 6, 2)).astype(np.float32), rng.integers(0, 4, 16)
    model = nm.load(tmp_path / "m.onnx").loss("sparse_categorical_crossentropy").optimizer("adam")
    losses = model.train(x, y, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("structure", ["list", "mapping"])
def test_several_inputs_and_outputs(tmp_path: Path, structure: str) -> None:
    a, b = layers.Input((3,), name="a"), layers.Input((2,), name="b", dtype="int32")
    joined = layers.Concatenate()([a, layers.Flatten()(layers.Embedding(5, 2)(b))])
    inputs = [a, b] if structure == "list" else {"a": a, "b": b}
    network = keras.Model(inputs, [layers.Dense(1, name="p")(joined), layers.Dense(2, name="q")(joined)])
    convert(saved(network, tmp_path), tmp_path / "m.onnx")
    model = nm.load(tmp_path / "m.onnx")
    assert set(model.input_names) == {"a", "b"}
    assert len(model.output_names) == 2


def test_code_in_a_file_is_refused(tmp_path: Path) -> None:
    network = keras.Sequential([layers.Input((2,)), layers.Lambda(lambda x: x * 2)])
    source = saved(network, tmp_path)
    with pytest.raises(ConversionError, match=r"m\.keras cannot be loaded as a Keras model: .*Lambda"):
        convert(source, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("content", [b"", b"not a zip file", None])
def test_files_that_are_no_models(tmp_path: Path, content: bytes | None) -> None:
    source = tmp_path / "m.keras"
    if content is None:
        with zipfile.ZipFile(source, "w") as archive:
            archive.writestr("config.json", "{")
    else:
        source.write_bytes(content)
    with pytest.raises(ConversionError, match=r"m\.keras cannot be loaded as a Keras model: "):
        convert(source, tmp_path / "m.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["m.keras"]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"cannot read .*: there is no such file"):
        convert(tmp_path / "none.keras", tmp_path / "m.onnx")


def test_an_opset_below_what_keras_writes(cnn: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="Keras writes opset 11 and newer, not 10"):
        convert(cnn, tmp_path / "m.onnx", opset=10)


def test_a_missing_library(cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(EngineNotAvailableError, match=r"install it with: pip install 'neuromatic\[keras\]'"):
        convert(cnn, tmp_path / "m.onnx")


def test_a_result_that_differs_is_not_written(
    cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(model: onnx.ModelProto) -> Session:
        weights = max(model.graph.initializer, key=lambda t: len(t.raw_data))
        weights.raw_data = bytes(len(weights.raw_data))
        return Session(model)

    (tmp_path / "m.onnx").write_bytes(b"old")
    monkeypatch.setattr(keras_format, "Session", spoiled)
    with pytest.raises(VerificationError, match="of the exported model differs by "):
        convert(cnn, tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.keras", "m.onnx"]
