"""Random changes of colours and tones against Keras: with given numbers, and what is drawn."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from neuromatic import layers
from tests.catalogue.augmentation import (
    FEW,
    Case,
    assert_draws_equal,
    assert_transforms_equal,
    coins,
    each,
    flat,
    in_training,
    named,
    pixels,
    ranges,
    square,
    their_images,
    with_draws,
)
from tests.catalogue.status import equal


@equal("layers", "RandomBrightness")
@FEW
@given(limits=ranges, factor=st.sampled_from([0.3, (-0.2, 0.6)]))
def test_random_brightness(limits: tuple[float, float], factor: Any) -> None:
    span = limits[1] - limits[0]
    case = Case(
        layers.RandomBrightness,
        keras.layers.RandomBrightness,
        {"factor": factor, "value_range": limits},
        each(-0.5, 0.5),
        lambda drawn, shape: {"rgb_delta": square(drawn[0] * span)},
    )
    assert_transforms_equal(case, pixels((3, 3, 4, 5), limits), 1e-5)
    assert_draws_equal(case, lambda t: [t["rgb_delta"] / span], (3, 1, 1))


@equal("layers", "RandomContrast")
@FEW
@given(limits=ranges, factor=st.sampled_from([0.3, (0.2, 0.6)]))
def test_random_contrast(limits: tuple[float, float], factor: Any) -> None:
    case = Case(
        layers.RandomContrast,
        keras.layers.RandomContrast,
        {"factor": factor, "value_range": limits},
        each(0.2, 1.8),
        named("contrast_factor", square),
    )
    assert_transforms_equal(case, pixels((3, 3, 4, 5), limits), 1e-5)
    assert_draws_equal(case, lambda t: [t["contrast_factor"]], (3, 1, 1))


@equal("layers", "RandomSaturation")
@FEW
@given(limits=ranges, factor=st.sampled_from([0.3, (0.2, 0.8)]))
def test_random_saturation(limits: tuple[float, float], factor: Any) -> None:
    case = Case(
        layers.RandomSaturation,
        keras.layers.RandomSaturation,
        {"factor": factor, "value_range": limits},
        each(0.1, 2.0),
        named("factor"),
    )
    x = pixels((3, 3, 4, 5), limits)
    x[0, :, 0] = x[0, :1, 0]  # grey pixels
    x[1, :, 0] = 0  # black ones
    assert_transforms_equal(case, x, 1e-5)
    assert_draws_equal(case, lambda t: [t["factor"]], (3, 1, 1))


@equal("layers", "RandomHue")
@FEW
@given(limits=ranges, factor=st.sampled_from([0.3, (0.2, 0.8)]))
def test_random_hue(limits: tuple[float, float], factor: Any) -> None:
    case = Case(
        layers.RandomHue,
        keras.layers.RandomHue,
        {"factor": factor, "value_range": limits},
        each(-0.5, 0.5),
        named("factor"),
    )
    x = pixels((4, 3, 4, 5), limits)
    x[0, :, 0] = x[0, :1, 0]
    assert_transforms_equal(case, x, 1e-5)
    assert_draws_equal(case, lambda t: [t["factor"]], (3, 1, 1))


@equal("layers", "RandomColorJitter")
def test_random_color_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    factors: dict[str, Any] = {
        f"{what}_factor": 0.5 for what in ("brightness", "contrast", "saturation", "hue")
    }
    x = pixels((3, 3, 4, 5))
    [values] = each(0.1, 0.4)(np.random.default_rng(2), x.shape)
    theirs = keras.layers.RandomColorJitter(**factors)
    for layer, transformation in (
        (theirs.random_brightness, {"rgb_delta": square(values * 255)}),
        (theirs.random_contrast, {"contrast_factor": square(values)}),
        (theirs.random_saturation, {"factor": flat(values)}),
        (theirs.random_hue, {"factor": flat(values)}),
    ):
        monkeypatch.setattr(layer, "get_random_transformation", lambda *_, made=transformation, **__: made)
    mine = with_draws(layers.RandomColorJitter(**factors), [[values]] * 4)
    np.testing.assert_allclose(in_training(mine, x), their_images(theirs, x, None), rtol=1e-4, atol=2e-3)
    only = layers.RandomColorJitter(contrast_factor=0.5)
    assert in_training(only, x).shape == x.shape
    np.testing.assert_array_equal(in_training(layers.RandomColorJitter(), x), x)


@equal("layers", "RandomColorDegeneration")
@FEW
@given(limits=ranges, factor=st.sampled_from([0.3, (-0.2, 0.6)]), channels=st.sampled_from([1, 3]))
def test_random_color_degeneration(limits: tuple[float, float], factor: Any, channels: int) -> None:
    case = Case(
        layers.RandomColorDegeneration,
        keras.layers.RandomColorDegeneration,
        {"factor": factor, "value_range": limits},
        each(-0.5, 1.0),
        named("factor", square),
    )
    assert_transforms_equal(case, pixels((3, channels, 4, 5), limits), 1e-5)
    assert_draws_equal(case, lambda t: [t["factor"]], (channels, 1, 1))


@equal("layers", "RandomGrayscale")
@FEW
@given(factor=st.sampled_from([0.0, 0.3, 1.0]), channels=st.sampled_from([1, 3]))
def test_random_grayscale(factor: float, channels: int) -> None:
    case = Case(
        layers.RandomGrayscale,
        keras.layers.RandomGrayscale,
        {"factor": factor},
        coins,
        lambda drawn, shape: tf.constant(drawn[0]),
    )
    assert_transforms_equal(case, pixels((4, channels, 4, 5)), 1e-5)
    assert_draws_equal(case, lambda t: [t], (channels, 1, 1))


@equal("layers", "RandomInvert")
@FEW
@given(limits=ranges, factor=st.sampled_from([1.0, (0.2, 0.6), (1.0, 1.0)]))
def test_random_invert(limits: tuple[float, float], factor: Any) -> None:
    case = Case(
        layers.RandomInvert,
        keras.layers.RandomInvert,
        {"factor": factor, "value_range": limits},
        coins,
        named("apply_inversion"),
    )
    assert_transforms_equal(case, pixels((4, 2, 4, 5), limits), 1e-5)
    assert_draws_equal(case, lambda t: [t["apply_inversion"]], (2, 1, 1))


@equal("layers", "RandomPosterization")
@FEW
@given(limits=ranges, factor=st.sampled_from([5, (3, 8), (4, 4)]))
def test_random_posterization(limits: tuple[float, float], factor: Any) -> None:
    case = Case(
        layers.RandomPosterization,
        keras.layers.RandomPosterization,
        {"factor": factor, "value_range": limits},
        lambda rng, shape: [np.arange(1.0, 9.0).reshape(-1, 1, 1, 1)],
        lambda drawn, shape: {"shift_factor": tf.constant(8 - drawn[0].ravel(), tf.uint8)},
    )
    assert_transforms_equal(case, pixels((8, 2, 4, 5), limits), 1e-5)
    assert_draws_equal(case, lambda t: [8 - np.asarray(t["shift_factor"], float)], (2, 1, 1))
