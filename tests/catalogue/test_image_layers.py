"""Preprocessing of images and of sound against Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto

import neuromatic as nm
from neuromatic import layers
from neuromatic.ir.opsets import TRAINING_SUFFIX
from tests.catalogue.cntk import records
from tests.catalogue.layers import (
    FEW,
    Array,
    Twins,
    assert_equals_keras,
    channels_first,
    channels_last,
    images,
    kernel,
    model_of,
    numbers,
    run,
)
from tests.catalogue.status import equal

sizes = st.one_of(st.integers(1, 9), st.sampled_from([23, 28]))
ranges = st.sampled_from([(0, 255), (0, 1), (-1.0, 1.0)])


def pixels(shape: tuple[int, ...], limits: tuple[float, float], dtype: str = "float32") -> Array:
    """Random pixels in a range; whole numbers for integer types."""
    return numbers("pixels", shape, *limits).astype(dtype)


def moved(ours: Any, theirs: Any) -> Twins:
    """Twins of which Keras' has channels last and is a function, so that it has no weights."""
    return Twins(ours, theirs, to_keras=channels_last, from_keras=channels_first)


def in_training(model: ModelProto) -> ModelProto:
    """The model with the training meaning of its functions in place of their inference meaning."""
    changed = ModelProto()
    changed.CopyFrom(model)
    bodies = {f.name: f for f in model.functions}
    for function in changed.functions:
        other = bodies.get(function.name + TRAINING_SUFFIX)
        if other is not None:
            function.CopyFrom(other)
            function.name = function.name.removesuffix(TRAINING_SUFFIX)
    return changed


# -- sizes -------------------------------------------------------------------------------------------------


@equal("layers", "CenterCrop")
@FEW
@given(height=sizes, width=sizes, old=st.tuples(sizes, sizes), dtype=st.sampled_from(["float32", "uint8"]))
def test_center_crop(height: int, width: int, old: tuple[int, int], dtype: str) -> None:
    x = pixels((2, 3, *old), (0, 255), dtype)
    assert_equals_keras(moved(layers.CenterCrop(height, width), keras.layers.CenterCrop(height, width)), x)


@equal("layers", "Resizing")
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"])
@FEW
@given(
    height=sizes,
    width=sizes,
    old=st.tuples(sizes, sizes),
    aspect=st.sampled_from([None, "crop", "pad"]),
    antialias=st.booleans(),
    dtype=st.sampled_from(["float32", "float32", "uint8"]),
)
def test_resizing(
    interpolation: str,
    height: int,
    width: int,
    old: tuple[int, int],
    aspect: str | None,
    antialias: bool,
    dtype: str,
) -> None:
    if aspect == "pad":
        dtype = "float32"  # Keras fails to pad integers
    arguments: dict[str, Any] = {
        "interpolation": interpolation,
        "crop_to_aspect_ratio": aspect == "crop",
        "pad_to_aspect_ratio": aspect == "pad",
        "fill_value": 0.5,
        "antialias": antialias,
    }
    mine = layers.Resizing(height, width, **arguments)
    theirs = keras.layers.Resizing(height, width, **arguments)
    x = pixels((2, 3, *old), (0, 1 if dtype == "float32" else 255), dtype)
    # TensorFlow rounds the places of bicubic weights to 1/1024, but not with antialias
    rounded = interpolation == "bicubic" and not antialias
    forward = 4e-3 if dtype == "uint8" else 2e-3 if rounded else 1e-5  # a half becomes either neighbour
    assert_equals_keras(moved(mine, theirs), x, forward=forward, gradient=2e-3 if rounded else 1e-4)


@FEW
@given(more=st.tuples(sizes, sizes), old=st.tuples(sizes, sizes))
def test_bicubic_enlarging_is_exact(more: tuple[int, int], old: tuple[int, int]) -> None:
    new = (old[0] + more[0], old[1] + more[1])
    theirs = keras.layers.Resizing(*new, "bicubic", antialias=True)  # which changes nothing here but rounding
    assert_equals_keras(moved(layers.Resizing(*new, "bicubic"), theirs), pixels((2, 3, *old), (0, 1)))


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic"])
def test_resizing_of_images_of_any_size(interpolation: str) -> None:
    mine = layers.Resizing(6, 4, interpolation)
    theirs = keras.layers.Resizing(6, 4, interpolation)
    x = nm.Input((3, None, None), name="x0")
    model = nm.Model(x, mine(x))
    for old in ((5, 7), (12, 4), (3, 2)):
        images_ = pixels((2, 3, *old), (0, 1))
        expected = channels_first(theirs(channels_last(images_)).numpy())
        tolerance = 1e-3 if interpolation == "bicubic" else 1e-5
        np.testing.assert_allclose(run(model.proto, [images_])[0], expected, rtol=tolerance, atol=tolerance)


# -- values ------------------------------------------------------------------------------------------------


@equal("layers", "AutoContrast")
@FEW
@given(limits=ranges, channels=st.integers(1, 3), flat=st.booleans(), whole=st.booleans())
def test_auto_contrast(limits: tuple[float, float], channels: int, flat: bool, whole: bool) -> None:
    x = pixels((2, channels, 4, 5), limits)
    if whole and limits == (0, 255):
        x = x.astype(np.uint8)
    if flat:
        x[0, 0] = x[0, 0, 0, 0]
    theirs = keras.layers.AutoContrast(limits)
    twins = moved(layers.AutoContrast(limits), theirs)
    assert_equals_keras(twins, x, gradient=None if flat else 1e-4)  # Keras' is not a number there


@equal("layers", "Equalization")
@FEW
@given(limits=ranges, bins=st.sampled_from([2, 7, 16, 256]), channels=st.integers(1, 3), flat=st.booleans())
def test_equalization(limits: tuple[float, float], bins: int, channels: int, flat: bool) -> None:
    x = pixels((3, channels, 6, 5), limits)
    if flat:
        x[:, 0] = x[0, 0, 0, 0]
    mine, theirs = layers.Equalization(limits, bins), keras.layers.Equalization(limits, bins)
    model = assert_equals_keras(moved(mine, theirs), x)  # in inference
    [found] = run(in_training(model.proto), [x])
    expected = channels_first(theirs(channels_last(x), training=True).numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * max(limits))


@equal("layers", "ContrastLimitedAdaptiveHistogramEqualization")
@FEW
@given(
    limits=ranges,
    clip_limit=st.sampled_from([0.0, 1.0, 4.0]),
    grid=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    shape=st.tuples(st.integers(1, 2), st.integers(5, 9), st.integers(5, 9)),
    whole=st.booleans(),
)
def test_adaptive_equalization(
    limits: tuple[float, float], clip_limit: float, grid: Any, shape: Any, whole: bool
) -> None:
    x = pixels((2, *shape), limits, "uint8" if whole and limits == (0, 255) else "float32")
    name = "ContrastLimitedAdaptiveHistogramEqualization"
    arguments = (limits, clip_limit, grid)
    mine, theirs = getattr(layers, name)(*arguments), getattr(keras.layers, name)(*arguments)
    assert_equals_keras(moved(mine, theirs), x, forward=1e-5 if x.dtype == np.float32 else 4e-3)


@equal("layers", "Solarization")
@FEW
@given(limits=ranges, threshold=st.sampled_from([0.0, (1.0, 1.0)]), channels=st.integers(1, 3))
def test_solarization(limits: tuple[float, float], threshold: Any, channels: int) -> None:
    x = pixels((3, channels, 4, 5), limits)
    mine, theirs = layers.Solarization(0.0, 0.0, limits), keras.layers.Solarization(0.0, 0.0, limits)
    model = assert_equals_keras(moved(mine, theirs), x)  # in inference
    [found] = run(in_training(model.proto), [x])
    expected = channels_first(theirs(channels_last(x), training=True).numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * max(limits))


def test_solarization_draws_a_threshold_and_an_addition_for_each_image() -> None:
    x = np.full((400, 1, 1, 2), 50.0, np.float32)
    model = model_of(layers.Solarization((0.1, 0.2), (0.0, 1.0)), [x])
    [found] = run(in_training(model.proto), [x])
    assert (found[..., 0] == found[..., 1]).all()
    y = found[:, 0, 0, 0]
    kept, inverted = (y > 50) & (y <= 101), (y >= 154) & (y < 205)  # up to 51 is added
    assert (kept | inverted).all()
    assert 0.6 < kept.mean() < 0.8  # a threshold from 0 to 255 is above y = 75 in 0.7 of all images
    assert np.unique(y).size > 300


# -- sound -------------------------------------------------------------------------------------------------


@equal("layers", "STFTSpectrogram")
@FEW
@given(
    mode=st.sampled_from(["log", "magnitude", "psd", "real", "imag", "angle", "stft"]),
    frame=st.sampled_from([4, 5, 8]),
    step=st.sampled_from([None, 1, 3]),
    longer=st.booleans(),
    padding=st.sampled_from(["valid", "same"]),
    expand_dims=st.booleans(),
    channels=st.integers(1, 2),
)
def test_stft_spectrogram(
    mode: str,
    frame: int,
    step: int | None,
    longer: bool,
    padding: str,
    expand_dims: bool,
    channels: int,
) -> None:
    arguments: dict[str, Any] = {
        "mode": mode,
        "frame_length": frame,
        "frame_step": step,
        "fft_length": 16 if longer else None,
        "padding": padding,
        "expand_dims": expand_dims,
    }
    mine, theirs = layers.STFTSpectrogram(**arguments), keras.layers.STFTSpectrogram(**arguments)
    x = numbers("sound", (2, channels, 21))
    assert_equals_keras(images(mine, theirs, weights={"real_kernel": kernel, "imag_kernel": kernel}), x)


@pytest.mark.parametrize("window", ["hann", "hamming", None, [0.5, 1.0, 1.0, 2.0, 0.25, 0.0]])
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("scaling", ["density", "spectrum", None])
def test_stft_spectrogram_begins_with_keras_kernels(window: Any, periodic: bool, scaling: Any) -> None:
    arguments: dict[str, Any] = {
        "frame_length": 6,
        "window": window,
        "periodic": periodic,
        "scaling": scaling,
    }
    x = numbers("sound", (2, 1, 30))
    theirs = keras.layers.STFTSpectrogram(mode="stft", **arguments)
    [found] = run(model_of(layers.STFTSpectrogram("stft", **arguments), [x]).proto, [x])
    np.testing.assert_allclose(found, channels_first(theirs(channels_last(x)).numpy()), rtol=1e-5, atol=1e-5)


@equal("layers", "MelSpectrogram")
@FEW
@given(
    fft_length=st.sampled_from([16, 32, 33]),
    stride=st.sampled_from([5, 16]),
    length=st.sampled_from([None, 11, 12]),
    window=st.sampled_from(["hann", "hamming", None]),
    bins=st.integers(1, 6),
    max_freq=st.sampled_from([None, 3000.0]),
    decibels=st.booleans(),
    mag_exp=st.sampled_from([1.0, 2.0, 1.5]),
    ref_power=st.sampled_from([1.0, -0.5]),
)
def test_mel_spectrogram(
    fft_length: int,
    stride: int,
    length: int | None,
    window: str | None,
    bins: int,
    max_freq: float | None,
    decibels: bool,
    mag_exp: float,
    ref_power: float,
) -> None:
    arguments: dict[str, Any] = {
        "fft_length": fft_length,
        "sequence_stride": stride,
        "sequence_length": length,
        "window": window,
        "sampling_rate": 8000,
        "num_mel_bins": bins,
        "max_freq": max_freq,
        "power_to_db": decibels,
        "top_db": 30.0,
        "mag_exp": mag_exp,
        "ref_power": ref_power,
    }
    mine, theirs = layers.MelSpectrogram(**arguments), keras.layers.MelSpectrogram(**arguments)
    assert_equals_keras(Twins(mine, theirs), numbers("sound", (2, 60)), forward=2e-5)


def test_mel_spectrogram_by_default_and_by_a_window() -> None:
    x = numbers("sound", (2, 4000), -1, 1)
    assert_equals_keras(Twins(layers.MelSpectrogram(), keras.layers.MelSpectrogram()), x, gradient=None)
    model = model_of(layers.MelSpectrogram(), [x])
    assert len(model.proto.SerializeToString()) < 1_000_000
    window = np.linspace(0.1, 1, 16).astype(np.float32)
    arguments: dict[str, Any] = {
        "fft_length": 32,
        "sequence_length": 16,
        "num_mel_bins": 4,
        "sequence_stride": 8,
    }
    mine = layers.MelSpectrogram(window=window, **arguments)
    theirs = keras.layers.MelSpectrogram(window=tf.constant(window), **arguments)
    assert_equals_keras(Twins(mine, theirs), numbers("sound", (2, 60)))


# -- CNTK --------------------------------------------------------------------------------------------------


CNTK: list[tuple[Any, tuple[int, ...], str | None]] = [
    (layers.CenterCrop(3, 3), (2, 5, 5), None),
    (layers.CenterCrop(8, 8), (2, 5, 5), None),
    (layers.Resizing(3, 3), (2, 5, 5), None),
    (layers.Resizing(3, 3, "nearest"), (2, 5, 5), None),
    (layers.Resizing(3, 3, "lanczos3"), (2, 5, 5), None),
    (layers.Resizing(3, 3, antialias=True), (2, 5, 5), None),
    (layers.AutoContrast(), (2, 5, 5), None),
    (layers.Equalization(), (2, 5, 5), "ScatterElements"),
    (layers.ContrastLimitedAdaptiveHistogramEqualization(), (2, 5, 5), None),
    (layers.Solarization(0.5), (2, 5, 5), None),
    (layers.STFTSpectrogram(frame_length=4), (2, 21), None),
    (layers.STFTSpectrogram("angle", frame_length=4), (1, 21), None),
    (layers.MelSpectrogram(16, 8, num_mel_bins=3), (60,), None),
]


@pytest.mark.parametrize(("layer", "shape", "reason"), CNTK)
def test_what_cntk_takes(layer: Any, shape: tuple[int, ...], reason: str | None) -> None:
    x = nm.Input(shape)
    y = layers.Dense(1)(layers.Flatten()(layer(x)))
    found = records(nm.Model(x, y))
    assert found is None if reason is None else reason in (found or "")
