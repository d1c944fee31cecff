"""Random augmentation of images against Keras: in inference, with given numbers, and what is drawn."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import neuromatic as nm
from neuromatic import layers
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers.augmentation._base import Draws
from tests.catalogue.augmentation import (
    FEW,
    MANY,
    Case,
    assert_draws_equal,
    assert_same_distribution,
    assert_transforms_equal,
    coins,
    draws_in_steps,
    each,
    flat,
    in_training,
    named,
    our_draws,
    pixels,
    ranges,
    sizes,
    square,
    their_images,
    training,
    with_draws,
)
from tests.catalogue.cntk import records
from tests.catalogue.layers import assert_equals_keras, images, model_of, run
from tests.catalogue.status import absent, different, equal

LABELS = "mixes the labels of a batch with its images, and labels are targets, which no layer of a model sees"
absent("layers", "MixUp", LABELS)
absent("layers", "CutMix", LABELS)
absent(
    "layers",
    "AugMix",
    "Keras draws the layers of its chains when a step is traced, so that they never change afterwards; drawn "
    "in each step, nine times eleven layers had to be computed",
)
different(
    "layers",
    "RandAugment",
    "a Solarization that is drawn twice has other numbers the second time; all else is as Keras'",
)

# -- detail ------------------------------------------------------------------------------------------------


@equal("layers", "RandomSharpness")
@FEW
@given(limits=ranges, factor=st.sampled_from([0.3, (0.2, 0.8)]), size=sizes, channels=st.integers(1, 3))
def test_random_sharpness(
    limits: tuple[float, float], factor: Any, size: tuple[int, int], channels: int
) -> None:
    case = Case(
        layers.RandomSharpness,
        keras.layers.RandomSharpness,
        {"factor": factor, "value_range": limits},
        each(0.0, 1.0),
        named("factor"),
    )
    assert_transforms_equal(case, pixels((3, channels, *size), limits), 1e-5)
    assert_draws_equal(case, lambda t: [t["factor"]], (channels, 1, 1))


@equal("layers", "RandomGaussianBlur")
@FEW
@given(
    kernel_size=st.sampled_from([3, 1, (3, 5), (5, 1)]),
    sigma=st.sampled_from([1.0, (0.3, 0.6)]),
    limits=ranges,
    channels=st.integers(1, 3),
)
def test_random_gaussian_blur(
    kernel_size: Any, sigma: Any, limits: tuple[float, float], channels: int
) -> None:
    case = Case(
        layers.RandomGaussianBlur,
        keras.layers.RandomGaussianBlur,
        {"factor": (0.1, 0.9), "kernel_size": kernel_size, "sigma": sigma, "value_range": limits},
        lambda rng, shape: [*coins(rng, shape), 0.4, 0.9],
        lambda drawn, shape: {"should_apply_blur": flat(drawn[0]), "blur_factor": square(drawn[1:])},
    )
    assert_transforms_equal(case, pixels((3, channels, 6, 5), limits), 1e-5)
    theirs = case.theirs(**case.arguments, seed=1)
    found = our_draws(case.ours(**case.arguments), (MANY, channels, 1, 1))
    wanted = theirs.get_random_transformation(tf.zeros((MANY, 1, 1, channels)))
    assert_same_distribution(found[:1], [np.asarray(wanted["should_apply_blur"])])
    low, high = theirs.sigma
    assert all(low <= s <= high + 1e-5 for s in found[1:])
    assert found[1] != found[2]


@equal("layers", "RandomErasing")
@FEW
@given(
    scale=st.sampled_from([0.5, (0.02, 0.33), (0.25, 0.25)]),
    fill_value=st.sampled_from([None, 7.5, (1, 300, -4)]),
    limits=ranges,
)
def test_random_erasing(scale: Any, fill_value: Any, limits: tuple[float, float]) -> None:
    arguments = {"factor": (0.3, 0.9), "scale": scale, "fill_value": fill_value, "value_range": limits}
    mine = layers.RandomErasing(**arguments)
    theirs = keras.layers.RandomErasing(**arguments, seed=1)
    shape = (MANY, 3, 6, 5)
    inside, apply, filling = our_draws(mine, shape)
    wanted = theirs.get_random_transformation(tf.zeros((MANY, 6, 5, 3)))
    masks = np.asarray(wanted["batch_masks"])[..., 0]
    for axes in ((1, 2), (1,), (2,)):  # areas, heights and widths, and how often each row and column
        assert_same_distribution([inside[:, 0].sum(axes)], [masks.sum(axes)])
    assert np.abs(inside[:, 0].mean(0) - masks.mean(0)).max() < 0.05
    assert_same_distribution([apply], [np.asarray(wanted["apply_erasing"])])
    theirs_filled = np.asarray(wanted["fill_value"])
    for i in range(3):
        mine_filled = np.broadcast_to(filling, shape)[:, i, 0, 0]
        assert_same_distribution([mine_filled], [theirs_filled[:, 0, 0, i]])
    x = pixels((40, 3, 6, 5), limits)
    y = in_training(with_draws(mine, [inside[:40], apply[:40], np.full((1, 1, 1, 1), 0.25)]), x)
    again = {
        "batch_masks": tf.constant(np.moveaxis(np.repeat(inside[:40], 3, 1), 1, -1)),
        "apply_erasing": flat(apply[:40]),
        "fill_value": tf.fill((40, 6, 5, 3), 0.25),
    }
    np.testing.assert_array_equal(y, their_images(theirs, x, again))


# -- choices -----------------------------------------------------------------------------------------------


class Chosen(layers.RandAugment):
    """The choices of the first two pixels, with a quarter for all other numbers."""

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        choices = []
        for i in range(2):
            pixel = b.add("Slice", x, b.ints(0, 0, 0, i), b.ints(1, 1, 1, i + 1))
            choices.append(b.add("Reshape", pixel, b.ints()))
        values = [[1, 1], [1, 1], [np.pi / 2], [1], [1], [1], [1], [12]]
        quarter = np.full((2, 1, 1, 1), 0.25)
        return choices, [[b.const(v * quarter) for v in several] for several in values]


def test_rand_augment_applies_what_it_draws() -> None:
    """``factor`` 0 leaves Solarization, which draws by itself, no choice."""
    x = pixels((2, 3, 6, 5))
    step = training(model_of(Chosen(factor=(0.0, 0.0)), [x]).proto)
    theirs = keras.layers.RandAugment(factor=(0.0, 0.0))
    zero = tf.zeros((2,))
    turn = theirs.random_rotation._compute_affine_matrix
    given = {
        "random_shear": {"shear_factor": tf.fill((2, 2), 0.25)},
        "random_translation": {"translations": tf.constant([[5 * 0.25, 6 * 0.25]] * 2)},
        "random_rotation": {
            "rotation_matrix": turn(0.5, 0.5, zero + 22.5, zero, zero, zero + 1, zero, zero, 6, 5)
        },
        "random_brightness": {"rgb_delta": tf.fill((2, 1, 1, 1), 0.25 * 255)},
        "random_color_degeneration": {"factor": tf.fill((2, 1, 1, 1), 0.25)},
        "random_contrast": {"contrast_factor": tf.fill((2, 1, 1, 1), 0.25)},
        "random_sharpness": {"factor": zero + 0.25},
        "random_posterization": {"shift_factor": tf.constant([5, 5], tf.uint8)},
        "solarization": theirs.solarization.get_random_transformation(tf.zeros((2, 6, 5, 3))),
        "auto_contrast": None,
        "equalization": None,
    }
    for first in range(11):
        second = (first + 4) % 11
        x[0, 0, 0, :2] = first, second
        [found] = step({"x0": x}, 0)
        transformation = {"transforms": given, "layer_idxes": tf.constant([first, second])}
        wanted = their_images(theirs, x, transformation)
        # a pixel may be at the border of two bins of a histogram
        assert (np.abs(found - wanted) > 0.05).mean() < 0.02, (first, second)


class Choices(layers.RandAugment):
    """Its choices alone."""

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        choices: Draws = super().draws(b, x)[0]
        return tuple(choices)


def test_rand_augment_draws_each_choice_alike() -> None:
    found = np.array(draws_in_steps(Choices(), (1, 3, 2, 2), range(500)))
    assert found.shape == (500, 2)
    for choices in found.T.astype(int):
        assert np.abs(np.bincount(choices, minlength=11) / 500 - 1 / 11).max() < 0.05
    assert 0.03 < (found[:, 0] == found[:, 1]).mean() < 0.16


# -- all of them -------------------------------------------------------------------------------------------

ALL: list[tuple[Any, str | None]] = [
    (layers.RandomBrightness(0.5), None),
    (layers.RandomContrast(0.5), None),
    (layers.RandomSaturation(0.5), None),
    (layers.RandomHue(0.5), None),
    (layers.RandomColorJitter((0, 255), 0.5, 0.5, 0.5, 0.5), None),
    (layers.RandomColorDegeneration(0.5), None),
    (layers.RandomGrayscale(), None),
    (layers.RandomInvert(), None),
    (layers.RandomPosterization(5), None),
    (layers.RandomSharpness(0.5), None),
    (layers.RandomGaussianBlur(), "random numbers"),
    (layers.RandomErasing(), None),
    (layers.RandomFlip(), None),
    (layers.RandomTranslation(0.5, 0.5), "GatherND"),
    (layers.RandomZoom(0.5), "GatherND"),
    (layers.RandomRotation(0.5), "GatherND"),
    (layers.RandomShear(0.5, 0.5), "GatherND"),
    (layers.RandomPerspective(), "GatherND"),
    (layers.RandomElasticTransform(), "random numbers"),
    (layers.RandAugment(), "ScatterElements"),
]
each_layer = pytest.mark.parametrize(("layer", "reason"), ALL, ids=[type(a).__name__ for a, _ in ALL])


@each_layer
def test_inference_passes_images_on(layer: Any, reason: str | None) -> None:
    theirs = getattr(keras.layers, type(layer).__name__)
    twin = theirs(0.5, 0.5) if theirs is keras.layers.RandomTranslation else theirs(*first_arguments(theirs))
    x = pixels((2, 3, 6, 5))
    model = assert_equals_keras(images(layer, twin), x)
    np.testing.assert_array_equal(run(model.proto, [x])[0], x)


def first_arguments(theirs: Any) -> tuple[float, ...]:
    """0.5 where a Keras class needs a factor."""
    try:
        theirs()
    except TypeError:
        return (2,) if theirs is keras.layers.RandomPosterization else (0.5,)
    return ()


@each_layer
def test_training_draws_anew_in_each_step_and_the_same_for_a_seed(layer: Any, reason: str | None) -> None:
    x = pixels((8, 3, 24, 25))
    proto = model_of(layer, [x]).proto
    step = training(proto, seed=4)
    [first], [next_one], [again] = (step({"x0": x}, number) for number in (3, 4, 3))
    assert first.shape == x.shape
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(again, first)
    assert (next_one != first).any()
    if not isinstance(layer, layers.RandAugment):  # which takes long to trace
        [other] = training(proto, seed=5)({"x0": x}, 3)
        assert (other != first).any()


@each_layer
def test_what_cntk_takes(layer: Any, reason: str | None) -> None:
    x = nm.Input((3, 6, 5))
    found = records(nm.Model(x, layers.Dense(1)(layers.Flatten()(layer(x)))))
    assert found is None if reason is None else reason in (found or "")


def test_a_random_crop_is_drawn_for_all_images_which_cntk_does_not() -> None:
    x = nm.Input((3, 6, 5))
    found = records(nm.Model(x, layers.Dense(1)(layers.Flatten()(layers.RandomCrop(3, 3)(x)))))
    assert "random numbers" in (found or "")


@pytest.mark.parametrize(
    ("dtype", "result"), [("uint8", "float32"), ("float16", "float16"), ("float64", "float64")]
)
def test_element_types(dtype: str, result: str) -> None:
    x = pixels((2, 3, 4, 5)).astype(dtype)
    layer = layers.RandomHue(0.5)
    [passed] = run(model_of(layer, [x]).proto, [x])
    np.testing.assert_array_equal(passed, x.astype(result))
    assert passed.dtype == in_training(layer, x).dtype == result
