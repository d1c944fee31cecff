"""From .onnx to a TensorFlow SavedModel."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import neuromatic as nm
from neuromatic.converters.formats import saved_model
from neuromatic.converters.formats.saved_model import convert, signature_names, trained
from neuromatic.errors import ConversionError, VerificationError
from neuromatic.inference import Session

CNN = (
    nm.Sequential((1, 6, 6))
    .conv2d(2, 3, padding="same")
    .batch_normalization()
    .relu()
    .average_pooling2d(2)
    .dropout(0.5)
    .reshape((9, 2))
    .flatten()
    .dense(3, activation="softmax")
)
PARAMETERS = ["conv2d/kernel", "conv2d/bias", "batch_normalization/gamma", "batch_normalization/beta"]
PARAMETERS += ["dense/kernel", "dense/bias"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    CNN.save(tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_it_gives_what_onnxruntime_gives_for_any_batch(source: Path, tmp_path: Path) -> None:
    difference = convert(source, tmp_path / "saved")
    assert difference is not None
    assert difference < 1e-6
    serve = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    for rows in (1, 7):
        x = np.random.default_rng(rows).normal(size=(rows, 1, 6, 6)).astype(np.float32)
        np.testing.assert_allclose(
            serve(input=tf.constant(x))["dense"], nm.load(source).predict(x), rtol=1e-5, atol=1e-6
        )


def test_it_can_be_trained_by_the_names_of_the_initializers(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "saved", check=False)
    module = tf.saved_model.load(str(tmp_path / "saved"))
    assert list(module.parameters) == PARAMETERS
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(module(tf.ones((2, 1, 6, 6)))["dense"]))
    gradients = tape.gradient(loss, list(module.parameters.values()))
    assert [g.shape for g in gradients] == [v.shape for v in module.parameters.values()]
    stored = nm.load(source).parameters()
    for name, variable in module.parameters.items():
        assert variable.trainable
        np.testing.assert_array_equal(variable, stored[name])


def test_what_is_trained_follows_the_recipe_or_the_outputs() -> None:
    assert trained(CNN.onnx()) == PARAMETERS
    recipe = CNN.loss("mse").optimizer("adam").freeze("conv2d/*").proto
    assert trained(recipe) == PARAMETERS[2:]


def test_several_inputs_whose_names_are_not_names_in_python(tmp_path: Path) -> None:
    a, b = nm.Input((2,), name="in/a:0"), nm.Input((2,), name="in_a_0")
    joined = nm.layers.Concatenate(name="both")([a, b])
    nm.Model([a, b], [joined, nm.layers.Dense(1, name="out")(joined)]).save(tmp_path / "m.onnx")
    assert convert(tmp_path / "m.onnx", tmp_path / "saved") == pytest.approx(0, abs=1e-6)
    serve = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    assert serve.structured_input_signature[1].keys() == {"in_a_0", "in_a_0_1"}


def test_names_in_the_signature() -> None:
    assert signature_names(["x", "a/b", "a_b", "0"]) == {
        "x": "x",
        "a/b": "a_b",
        "a_b": "a_b_1",
        "0": "input_0",
    }


def test_an_older_one_is_replaced_and_other_folders_are_not(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "saved")
    (tmp_path / "saved" / "old").touch()
    convert(source, tmp_path / "saved")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "saved"]
    assert not (tmp_path / "saved" / "old").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(ConversionError, match="mine exists and is not a SavedModel; it is left as it is"):
        convert(source, tmp_path / "mine")


def test_a_result_that_differs_is_not_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(source, tmp_path / "saved")
    before = (tmp_path / "saved" / "saved_model.pb").read_bytes()
    monkeypatch.setattr(
        saved_model,
        "Session",
        lambda model: Session(nm.Sequential((1, 6, 6)).flatten().dense(3).onnx()),
    )
    with pytest.raises(VerificationError, match="output 'dense' of the SavedModel differs by "):
        convert(source, tmp_path / "saved")
    assert (tmp_path / "saved" / "saved_model.pb").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "saved"]


def test_others_may_read_it_as_they_may_read_a_new_folder(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "saved", check=False)
    (tmp_path / "plain").mkdir()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("saved", "plain")]
    assert modes[0] == modes[1]
