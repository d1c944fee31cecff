"""What preprocessing layers refuse, and that they are immutable."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import neuromatic as nm
from neuromatic import layers
from neuromatic.errors import DataError, ModelError, ShapeError

CLAHE = layers.ContrastLimitedAdaptiveHistogramEqualization

ARGUMENTS: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: layers.Normalization(axis="x"),  # type: ignore[arg-type]
        "Normalization: axis must be an integer, several or None, got 'x'",
    ),
    (
        lambda: layers.Normalization(mean=1.0),
        "Normalization: mean and variance are given together, got mean=1.0 and variance=None",
    ),
    (
        lambda: layers.Normalization(mean=[[1.0]], variance=[[1.0]]),
        "Normalization: mean and variance must have one shape of at most 1 axes, got (1, 1) and (1, 1)",
    ),
    (
        lambda: layers.Discretization(),
        "Discretization: give either bin_boundaries or num_bins, got None and None",
    ),
    (
        lambda: layers.Discretization(num_bins=0),
        "Discretization: num_bins must be a positive integer, got 0",
    ),
    (
        lambda: layers.Discretization([1.0, 0.0]),
        "Discretization: bin_boundaries must ascend, got [1.0, 0.0]",
    ),
    (
        lambda: layers.Discretization([1.0], output_mode="tf_idf"),
        "Discretization: output_mode must be one of 'int', 'one_hot', 'multi_hot', 'count', got 'tf_idf'",
    ),
    (lambda: layers.CategoryEncoding(0), "CategoryEncoding: num_tokens must be a positive integer, got 0"),
    (
        lambda: layers.IntegerLookup(max_tokens=1),
        "IntegerLookup: max_tokens must be an integer above 1, got 1",
    ),
    (
        lambda: layers.IntegerLookup(pad_to_max_tokens=True),
        "IntegerLookup: pad_to_max_tokens needs max_tokens, got None",
    ),
    (
        lambda: layers.IntegerLookup(num_oov_indices=-1),
        "IntegerLookup: num_oov_indices must be an integer from 0 up, got -1",
    ),
    (
        lambda: layers.IntegerLookup(invert=True, output_mode="count"),
        "IntegerLookup: invert needs output_mode=\"int\", got 'count'",
    ),
    (lambda: layers.IntegerLookup(vocabulary=[]), "IntegerLookup: vocabulary must have tokens, got []"),
    (
        lambda: layers.IntegerLookup(vocabulary=[1, 1, 2]),
        "IntegerLookup: each token of vocabulary must be there once, got [1] more often",
    ),
    (
        lambda: layers.IntegerLookup(vocabulary=[1, 0], mask_token=0),
        "IntegerLookup: special tokens may only begin the vocabulary, all of them in the order [0, -1], "
        "got 0 elsewhere",
    ),
    (
        lambda: layers.IntegerLookup(vocabulary=[1, 2], max_tokens=2),
        "IntegerLookup: the vocabulary has 3 tokens with the special ones, more than max_tokens=2",
    ),
    (
        lambda: layers.IntegerLookup(vocabulary=[1, 2], output_mode="tf_idf"),
        'IntegerLookup: idf_weights are given with output_mode="tf_idf" and a vocabulary, and only then',
    ),
    (
        lambda: layers.IntegerLookup(vocabulary=[1, 2], output_mode="tf_idf", idf_weights=[1.0]),
        "IntegerLookup: idf_weights must be one number for each of the 2 tokens of the vocabulary, "
        "got shape (1,)",
    ),
    (
        lambda: layers.StringLookup(num_oov_indices=2),
        "StringLookup: num_oov_indices must be 0 or 1, ONNX has no hash function of strings, got 2",
    ),
    (lambda: layers.CenterCrop(0, 3), "CenterCrop: height must be a positive integer, got 0"),
    (
        lambda: layers.Resizing(3, 3, "area"),
        "Resizing: interpolation must be one of 'bilinear', 'nearest', 'bicubic', 'lanczos3', 'lanczos5', "
        "got 'area'",
    ),
    (
        lambda: layers.Resizing(3, 3, fill_mode="wrap"),
        "Resizing: fill_mode must be one of 'constant', got 'wrap'",
    ),
    (
        lambda: layers.Resizing(3, 3, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True),
        "Resizing: crop_to_aspect_ratio and pad_to_aspect_ratio exclude each other",
    ),
    (
        lambda: layers.AutoContrast((1, 1)),
        "AutoContrast: value_range must be two different numbers, got (1, 1)",
    ),
    (lambda: layers.Equalization(bins=0), "Equalization: bins must be a positive integer, got 0"),
    (lambda: CLAHE(tile_grid_size=(1, 2, 3)), "tile_grid_size must be two integers, got (1, 2, 3)"),
    (
        lambda: layers.Solarization(1.5),
        "Solarization: addition_factor must be one or two numbers from 0 to 1, got 1.5",
    ),
    (
        lambda: layers.STFTSpectrogram("power"),
        "STFTSpectrogram: mode must be one of 'log', 'magnitude', 'psd', 'real', 'imag', 'angle', 'stft'",
    ),
    (
        lambda: layers.STFTSpectrogram(frame_length=4, frame_step=5),
        "STFTSpectrogram: frame_step must be at most frame_length=4, got 5",
    ),
    (
        lambda: layers.STFTSpectrogram(frame_length=4, fft_length=2),
        "STFTSpectrogram: fft_length must be at least frame_length=4, got 2",
    ),
    (
        lambda: layers.STFTSpectrogram(frame_length=4, window=[1.0]),
        "STFTSpectrogram: window must have frame_length=4 numbers, got shape (1,)",
    ),
    (
        lambda: layers.MelSpectrogram(16, sequence_length=17),
        "MelSpectrogram: fft_length must be at least sequence_length=17, got 16",
    ),
    (
        lambda: layers.MelSpectrogram(16, window="flat"),
        "MelSpectrogram: window must be 'hann', 'hamming', 16 numbers or None, got 'flat'",
    ),
    (
        lambda: layers.MelSpectrogram(16, window=[1.0]),
        "MelSpectrogram: window must have 16 numbers, got shape (1,)",
    ),
]


@pytest.mark.parametrize(("make", "message"), ARGUMENTS)
def test_wrong_arguments_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


SHAPES: list[tuple[layers.Layer, tuple[Any, ...], str, str]] = [
    (
        layers.Rescaling([1.0, 2.0]),
        (3,),
        "float32",
        "rescaling: Rescaling: scale of shape (2,) does not fit the axes after the batch of (batch, 3) "
        "from 'input'",
    ),
    (
        layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 1.0]),
        (3,),
        "float32",
        "normalization: Normalization with axis=1 and a mean of shape (2,) does not fit (batch, 3) "
        "from 'input'; adapt it to such data",
    ),
    (
        layers.CategoryEncoding(3),
        (2, 2),
        "int32",
        'category_encoding: CategoryEncoding with output_mode="multi_hot" takes (batch, samples), '
        "got (batch, 2, 2) from 'input'; use \"one_hot\", or a reshape() before it",
    ),
    (
        layers.CategoryEncoding(3),
        (2,),
        "str",
        "category_encoding: CategoryEncoding takes integers, got object from 'input'",
    ),
    (
        layers.IntegerLookup(vocabulary=[1]),
        (2,),
        "str",
        "integer_lookup: IntegerLookup takes integers, got object from 'input'",
    ),
    (
        layers.StringLookup(vocabulary=["a"]),
        (2,),
        "int64",
        "string_lookup: StringLookup takes strings, got int64 from 'input'",
    ),
    (
        layers.CenterCrop(2, 2),
        (3, None, 4),
        "float32",
        "center_crop: CenterCrop takes (batch, channels, height, width) of known sizes, "
        "got (batch, 3, ?, 4) from 'input'; give Input the sizes",
    ),
    (
        layers.Resizing(2, 2),
        (3, 4),
        "float32",
        "resizing: Resizing takes (batch, channels, height, width), got (batch, 3, 4) from 'input'",
    ),
    (
        layers.Resizing(2, 2, antialias=True),
        (3, None, 4),
        "float32",
        "resizing: Resizing takes (batch, channels, height, width) of known sizes",
    ),
    (
        layers.STFTSpectrogram(frame_length=8),
        (1, 7),
        "float32",
        "stft_spectrogram: STFTSpectrogram needs at least frame_length=8 samples, got (batch, 1, 7) "
        "from 'input'; use padding=\"same\" or a shorter frame",
    ),
    (
        layers.STFTSpectrogram(),
        (7,),
        "float32",
        "stft_spectrogram: STFTSpectrogram takes (batch, channels, time) of a float type with known "
        "channels, got (batch, 7) from 'input'; sound is channels first",
    ),
    (
        layers.MelSpectrogram(16),
        (8,),
        "float32",
        "mel_spectrogram: MelSpectrogram takes (batch, samples) of more than fft_length // 2 = 8 samples, "
        "got (batch, 8) from 'input'",
    ),
]


@pytest.mark.parametrize(("layer", "shape", "dtype", "message"), SHAPES)
def test_wrong_shapes_and_types_are_refused(
    layer: layers.Layer, shape: tuple[Any, ...], dtype: str, message: str
) -> None:
    with pytest.raises(ShapeError, match=re.escape(message)):
        layer(nm.Input(shape, dtype))


def test_weights_of_counts_are_refused_where_they_do_not_fit() -> None:
    x = nm.Input((2,), "int64")
    with pytest.raises(
        ShapeError, match="takes count_weights with output_mode=\"count\" only, got 'one_hot'"
    ):
        layers.CategoryEncoding(3, "one_hot")(x, count_weights=nm.Input((2,)))
    with pytest.raises(
        ShapeError, match=re.escape("must have the shape of the input, (batch, 2), got (batch, 3)")
    ):
        layers.CategoryEncoding(3, "count")(x, count_weights=nm.Input((3,)))


NOT_ADAPTED: list[tuple[layers.Layer, str]] = [
    (layers.Normalization(), "normalization: Normalization has no mean and variance; give them, or use"),
    (
        layers.Discretization(num_bins=3),
        "discretization: Discretization has no boundaries; give bin_boundaries",
    ),
    (layers.IntegerLookup(), "integer_lookup: IntegerLookup has no vocabulary; give one, or use"),
]


@pytest.mark.parametrize(("layer", "message"), NOT_ADAPTED)
def test_a_layer_that_was_not_adapted_is_refused(layer: layers.Layer, message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)):
        layer(nm.Input((2,), "int64"))


def test_data_that_layers_cannot_adapt_to() -> None:
    with pytest.raises(
        TypeError, match="Normalization: adapt takes an array or an iterable of batches, got 3"
    ):
        layers.Normalization().adapt(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Normalization: adapt needs at least one batch, got none"):
        layers.Normalization().adapt([])
    with pytest.raises(
        ValueError, match=re.escape("needs data with axis 2 besides the batch, got shape (3, 2)")
    ):
        layers.Normalization(2).adapt(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="Discretization: adapt finds boundaries for num_bins; this layer"):
        layers.Discretization([1.0]).adapt(np.zeros((3, 2)))
    with pytest.raises(
        ValueError, match="IntegerLookup: adapt finds a vocabulary; this layer was given its own"
    ):
        layers.IntegerLookup(vocabulary=[1]).adapt([1])
    with pytest.raises(ValueError, match="StringLookup: adapt found no token"):
        layers.StringLookup().adapt(["[UNK]"])
    with pytest.raises(TypeError, match=re.escape("vocabulary must be a list of strings, got 'words.txt'")):
        layers.StringLookup(vocabulary="words.txt")


def test_adapting_gives_a_new_layer_of_the_same_name() -> None:
    layer = layers.Normalization(name="scale")
    adapted = layer.adapt(np.array([[1.0], [3.0]]))
    assert layer.mean is None
    assert adapted.name == "scale"
    assert np.allclose(np.asarray(adapted.mean), 2.0)


def test_tensorflow_trains_on_strings() -> None:
    x = nm.Input((3,), "str")
    y = layers.Dense(1)(layers.StringLookup(vocabulary=["a", "b"], output_mode="multi_hot")(x))
    model = nm.Model(x, y).loss("mse").optimizer("sgd", learning_rate=0.1)
    words = np.random.default_rng(0).choice(["a", "b", "c"], (32, 3)).astype(object)
    truth = (words == "a").any(1, keepdims=True).astype(np.float32)
    history = model.train(words, truth, epochs=20, verbose=0, engine_options={"jit": False})
    assert history.history["loss"][-1] < history.history["loss"][0] / 4


def test_strings_are_fed_to_a_model_that_takes_them() -> None:
    model = nm.Sequential((2,), dtype=object).string_lookup(vocabulary=["a", "b"]).build()
    np.testing.assert_array_equal(model.predict([["a", "b"], ["x", "a"]]), [[1, 2], [0, 1]])
    with pytest.raises(DataError, match="x \\(for 'input'\\) has type int64, expected strings"):
        model.predict([[1, 2]])
    with pytest.raises(DataError, match="has 1 in row 0, expected strings"):
        model.predict(np.array([["a", 1]], object))
