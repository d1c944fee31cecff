"""Random places and distortions of images against Keras: with given numbers, and what is drawn."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from keras.src.random.seed_generator import draw_seed

from neuromatic import layers
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
    fill_modes,
    flat,
    in_training,
    interpolations,
    our_draws,
    pixels,
    sizes,
    square,
    their_images,
    with_draws,
)
from tests.catalogue.layers import assert_equals_keras, images
from tests.catalogue.status import different, equal

different(
    "layers",
    "RandomCrop",
    "in training as Keras'; in inference Keras' passes images on in their own size, and a model has one: "
    "ours is the largest part in the middle, resized, as Keras' documentation says",
)


@equal("layers", "RandomFlip")
@FEW
@given(mode=st.sampled_from(["horizontal", "vertical", "horizontal_and_vertical"]), size=sizes)
def test_random_flip(mode: str, size: tuple[int, int]) -> None:
    case = Case(
        layers.RandomFlip,
        keras.layers.RandomFlip,
        {"mode": mode},
        coins,
        lambda drawn, shape: {"flips": tf.constant(drawn[0])},
    )
    assert_transforms_equal(case, pixels((4, 2, *size)), 0.0)
    assert_draws_equal(case, lambda t: [t["flips"]], (2, 1, 1))


@pytest.mark.parametrize("size", [(9, 8), (4, 9), (9, 4), (3, 3), (4, 5)])
def test_random_crop_in_training(size: tuple[int, int]) -> None:
    x = pixels((3, 2, *size))
    mine, theirs = layers.RandomCrop(4, 5), keras.layers.RandomCrop(4, 5)
    starts = theirs.get_random_transformation(tf.zeros((1, *size, 2)))
    places = [np.asarray(s, np.int64) for s in starts]
    mine = with_draws(mine, places if min(size[0] - 4, size[1] - 5) > 0 else [])  # type: ignore[assignment]
    np.testing.assert_allclose(in_training(mine, x), their_images(theirs, x, starts), rtol=1e-5, atol=1e-3)


def test_random_crop_draws_all_places() -> None:
    found = np.array(draws_in_steps(layers.RandomCrop(5, 7), (1, 1, 7, 8), range(300)))
    assert {tuple(place) for place in found.tolist()} == {(i, j) for i in range(3) for j in range(2)}
    for axis, count in ((0, 3), (1, 2)):
        assert np.abs(np.bincount(found[:, axis]) / 300 - 1 / count).max() < 0.1


@pytest.mark.parametrize("size", [(8, 10), (4, 5), (12, 10), (3, 9)])
def test_random_crop_in_inference_resizes_the_largest_part(size: tuple[int, int]) -> None:
    twin = keras.layers.Resizing(4, 5, crop_to_aspect_ratio=True)
    assert_equals_keras(images(layers.RandomCrop(4, 5), twin), pixels((2, 3, *size)), gradient=None)


@equal("layers", "RandomTranslation")
@FEW
@given(size=sizes, fill_mode=fill_modes, interpolation=interpolations)
def test_random_translation(size: tuple[int, int], fill_mode: str, interpolation: str) -> None:
    def keras_of(drawn: list[Any], shape: tuple[int, ...]) -> Any:
        moves = np.concatenate([drawn[1].reshape(-1, 1) * shape[3], drawn[0].reshape(-1, 1) * shape[2]], 1)
        return {"translations": square(moves)}

    arguments = {
        "height_factor": 0.3,
        "width_factor": (0.1, 0.9),
        "fill_mode": fill_mode,
        "interpolation": interpolation,
        "fill_value": 3.0,
    }
    ours, theirs = layers.RandomTranslation, keras.layers.RandomTranslation
    case = Case(ours, theirs, arguments, each(-1.0, 1.0, 2), keras_of)
    assert_transforms_equal(case, pixels((6, 2, *size)), 1e-4)
    assert_draws_equal(case, lambda t: [t["translations"][:, 1] / 2, t["translations"][:, 0] / 3], (1, 2, 3))


@equal("layers", "RandomZoom")
@FEW
@given(size=sizes, fill_mode=fill_modes, interpolation=interpolations, both=st.booleans())
def test_random_zoom(size: tuple[int, int], fill_mode: str, interpolation: str, both: bool) -> None:
    def keras_of(drawn: list[Any], shape: tuple[int, ...]) -> Any:
        names = ("height_zoom", "width_zoom")
        return {n: square(d.reshape(-1, 1)) for n, d in zip(names, drawn, strict=True)}

    arguments = {
        "height_factor": 0.3,
        "width_factor": (0.1, 0.9) if both else None,
        "fill_mode": fill_mode,
        "interpolation": interpolation,
        "fill_value": 3.0,
    }
    ours, theirs = layers.RandomZoom, keras.layers.RandomZoom
    case = Case(ours, theirs, arguments, each(0.1, 1.9, 2), keras_of)
    assert_transforms_equal(case, pixels((6, 2, *size)), 1e-4)
    assert_draws_equal(case, lambda t: [t["height_zoom"], t["width_zoom"]], (1, 2, 3))


@equal("layers", "RandomRotation")
@FEW
@given(size=sizes, fill_mode=fill_modes, interpolation=interpolations)
def test_random_rotation(size: tuple[int, int], fill_mode: str, interpolation: str) -> None:
    arguments = {"factor": 0.4, "fill_mode": fill_mode, "interpolation": interpolation, "fill_value": 3.0}
    ours, theirs = layers.RandomRotation, keras.layers.RandomRotation

    def keras_of(drawn: list[Any], shape: tuple[int, ...]) -> Any:
        zero = tf.zeros((shape[0],))
        matrix = theirs(0.4)._compute_affine_matrix(
            center_x=0.5,
            center_y=0.5,
            angle=flat(np.degrees(drawn[0])),
            translate_x=zero,
            translate_y=zero,
            scale=zero + 1,
            shear_x=zero,
            shear_y=zero,
            height=shape[2],
            width=shape[3],
        )
        return {"rotation_matrix": matrix}

    case = Case(ours, theirs, arguments, each(-3.0, 3.0), keras_of)
    # a pixel may fall on the other side of a jump: rounded coordinates, wrapped images
    assert_transforms_equal(case, pixels((6, 2, *size)), 1e-4, mismatches=0.01)
    assert_draws_equal(case, lambda t: [np.radians(t["angle"])], (1, 2, 3))


@equal("layers", "RandomShear")
@FEW
@given(size=sizes, fill_mode=fill_modes, interpolation=interpolations)
def test_random_shear(size: tuple[int, int], fill_mode: str, interpolation: str) -> None:
    arguments = {
        "x_factor": 0.3,
        "y_factor": (0.1, 0.9),
        "fill_mode": fill_mode,
        "interpolation": interpolation,
        "fill_value": 3.0,
    }

    def keras_of(drawn: list[Any], shape: tuple[int, ...]) -> Any:
        return {"shear_factor": square(np.concatenate([d.reshape(-1, 1) for d in drawn], 1))}

    ours, theirs = layers.RandomShear, keras.layers.RandomShear
    case = Case(ours, theirs, arguments, each(-0.9, 0.9, 2), keras_of)
    assert_transforms_equal(case, pixels((6, 2, *size)), 1e-4)
    assert_draws_equal(case, lambda t: [t["shear_factor"][:, 0], t["shear_factor"][:, 1]], (1, 2, 3))


@equal("layers", "RandomPerspective")
@FEW
@given(size=sizes, interpolation=interpolations, scale=st.sampled_from([0.2, 0.6]))
def test_random_perspective(size: tuple[int, int], interpolation: str, scale: float) -> None:
    def keras_of(drawn: list[Any], shape: tuple[int, ...]) -> Any:
        apply, right, bottom, far_right, far_bottom = (np.ravel(d) for d in drawn)
        zero, height, width = np.zeros(shape[0]), shape[2] - 1, shape[3] - 1
        start = np.array([[0, 0], [width, 0], [0, height], [width, height]])
        end = np.array(
            [
                [zero, zero],
                [width * right, zero],
                [zero, height * bottom],
                [width * far_right, height * far_bottom],
            ]
        )
        return {
            "apply_perspective": flat(apply),
            "start_points": square(np.repeat(start[None], shape[0], 0)),
            "end_points": square(np.moveaxis(end, -1, 0)),
        }

    arguments = {"factor": 0.8, "scale": scale, "interpolation": interpolation, "fill_value": 3.0}
    ours, theirs = layers.RandomPerspective, keras.layers.RandomPerspective
    case = Case(
        ours,
        theirs,
        arguments,
        lambda rng, shape: [*coins(rng, shape), *each(1 - scale / 2, 1 + scale / 2, 4)(rng, shape)],
        keras_of,
    )
    # Keras solves for the projection, so that coordinates differ in the sixth digit
    assert_transforms_equal(case, pixels((8, 2, *size)), 1e-3, mismatches=0.02)

    def parts(t: Any) -> list[Any]:
        end = np.asarray(t["end_points"])
        return [t["apply_perspective"], end[:, 1, 0] / 2, end[:, 2, 1], end[:, 3, 0] / 2, end[:, 3, 1]]

    assert_draws_equal(case, parts, (1, 2, 3))


@equal("layers", "RandomElasticTransform")
@FEW
@given(
    fill_mode=fill_modes,
    interpolation=interpolations,
    size=st.sampled_from([(30, 25), (8, 9), (42, 41)]),
    strength=st.sampled_from([0.3, 0.8, 1.0]),
)
def test_random_elastic_transform(
    fill_mode: str, interpolation: str, size: tuple[int, int], strength: float
) -> None:
    x = pixels((2, 2, *size))
    arguments = {"fill_mode": fill_mode, "interpolation": interpolation, "fill_value": 3.0}
    noise = tf.random.stateless_normal((2, *size), seed=draw_seed(7)).numpy()[:, None]
    case = Case(
        layers.RandomElasticTransform,
        keras.layers.RandomElasticTransform,
        arguments,
        lambda rng, shape: [np.array([True, False]).reshape(-1, 1, 1, 1), strength, noise],
        lambda drawn, shape: {
            "apply_transform": flat(drawn[0]),
            "distortion_factor": tf.constant(strength),
            "seed": 7,
        },
    )
    assert_transforms_equal(case, x, 1e-3, mismatches=0.005)
    apply, factor, drawn = our_draws(case.ours(factor=(0.2, 0.6), scale=(0.3, 0.5)), (MANY, 3, 1, 2))
    theirs = case.theirs(factor=(0.2, 0.6), scale=(0.3, 0.5), seed=2)
    wanted = theirs.get_random_transformation(tf.zeros((MANY, 1, 2, 3)))
    assert_same_distribution([apply], [np.asarray(wanted["apply_transform"])])
    assert 0.3 <= factor <= 0.5
    assert drawn.shape == (MANY, 1, 1, 2)
    np.testing.assert_array_equal(in_training(layers.RandomElasticTransform(0.0), x), x)
