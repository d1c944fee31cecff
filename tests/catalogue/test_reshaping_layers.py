"""Layers that change shapes against Keras."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuromatic as nm
from neuromatic import layers
from neuromatic.errors import ShapeError
from tests.catalogue.cntk import records
from tests.catalogue.layers import FEW, Twins, assert_equals_keras, images, model_of, numbers, run
from tests.catalogue.status import equal

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3)


@equal("layers", "Flatten", "Identity")
@FEW
@given(shape=SHAPES)
def test_flatten_and_identity(shape: list[int]) -> None:
    assert_equals_keras(Twins(layers.Flatten(), keras.layers.Flatten()), numbers("x", (2, *shape)))
    assert_equals_keras(Twins(layers.Identity(), keras.layers.Identity()), numbers("x", (2, *shape)))


@equal("layers", "Reshape", "Permute")
@FEW
@given(
    dims=st.permutations([2, 3, 4]), hole=st.sampled_from([None, 0, 1, 2]), order=st.permutations([1, 2, 3])
)
def test_reshape_and_permute(dims: list[int], hole: int | None, order: list[int]) -> None:
    target = [-1 if i == hole else d for i, d in enumerate(dims)]
    assert_equals_keras(Twins(layers.Reshape(target), keras.layers.Reshape(target)), numbers("x", (2, 4, 6)))
    assert_equals_keras(Twins(layers.Permute(order), keras.layers.Permute(order)), numbers("x", (2, *dims)))


@equal("layers", "RepeatVector")
@FEW
@given(n=st.integers(1, 4), features=st.integers(1, 4))
def test_repeat_vector(n: int, features: int) -> None:
    twins = Twins(layers.RepeatVector(n), keras.layers.RepeatVector(n))
    assert_equals_keras(twins, numbers("x", (2, features)))


def amounts(axes: int) -> st.SearchStrategy[Any]:
    """What padding and cropping take: one number, one for each axis, pairs for each axis."""
    number = st.integers(0, 2)
    pair = st.tuples(number, number)
    return number | (pair if axes == 1 else st.tuples(*[number] * axes) | st.tuples(*[pair] * axes))


@equal("layers", "Cropping1D", "Cropping2D", "Cropping3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D")
@pytest.mark.parametrize("kind", ["Cropping", "ZeroPadding"])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("known", [True, False])
def test_cropping_and_padding(kind: str, axes: int, known: bool) -> None:
    @FEW
    @given(amount=amounts(axes), sizes=st.lists(st.integers(5, 6), min_size=axes, max_size=axes))
    def compare(amount: Any, sizes: list[int]) -> None:
        name = f"{kind}{axes}D"
        twins = images(getattr(layers, name)(amount), getattr(keras.layers, name)(amount))
        declared = None if known else [(2, *[None] * axes)]
        assert_equals_keras(twins, numbers("x", (2, 2, *sizes)), declared=declared)

    compare()


@equal("layers", "UpSampling1D", "UpSampling3D")
@FEW
@given(sizes=st.lists(st.integers(1, 3), min_size=3, max_size=3), factors=st.tuples(*[st.integers(1, 3)] * 3))
def test_up_sampling_by_repetition(sizes: list[int], factors: tuple[int, int, int]) -> None:
    twins = images(layers.UpSampling1D(factors[0]), keras.layers.UpSampling1D(factors[0]))
    assert_equals_keras(twins, numbers("x", (2, 2, sizes[0])))
    twins = images(layers.UpSampling3D(factors), keras.layers.UpSampling3D(factors))
    assert_equals_keras(twins, numbers("x", (2, 2, *sizes)))


@equal("layers", "UpSampling2D")
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"])
@FEW
@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=2),
    factor=st.integers(1, 3) | st.tuples(st.integers(1, 4), st.integers(1, 3)),
)
def test_up_sampling_of_images(interpolation: str, sizes: list[int], factor: Any) -> None:
    twins = images(
        layers.UpSampling2D(factor, interpolation),
        keras.layers.UpSampling2D(factor, interpolation=interpolation),
    )
    x = numbers("x", (2, 2, *sizes))
    # TensorFlow looks bicubic weights up in a table of 1024 steps.
    tolerance = 1e-3 if interpolation == "bicubic" else 1e-5
    declared = None if interpolation.startswith("lanczos") else [(2, None, None)]
    assert_equals_keras(twins, x, forward=tolerance, gradient=max(tolerance, 1e-4), declared=declared)


def test_area_repeats_pixels() -> None:
    """Not compared by gradient, which TensorFlow lacks for its area interpolation."""
    x = numbers("x", (2, 3, 4, 5))
    layer = keras.layers.UpSampling2D((2, 3), interpolation="area")
    expected = np.moveaxis(keras.ops.convert_to_numpy(layer(np.moveaxis(x, 1, -1))), -1, 1)
    found = run(model_of(layers.UpSampling2D((2, 3), "area"), [x]).proto, [x])[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        layers.Flatten(),
        layers.Identity(),
        layers.Reshape((3, -1)),
        layers.Permute((2, 1)),
        layers.Cropping1D(),
        layers.ZeroPadding1D(),
        layers.UpSampling1D(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_cntk_takes_them(layer: layers.Layer) -> None:
    x = nm.Input((4, 6))
    assert records(nm.Model(x, layer(layers.Dense(6)(x)))) is None


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "area", "lanczos3"])
def test_cntk_takes_images(interpolation: str) -> None:
    x = nm.Input((2, 5, 6))
    y = layers.UpSampling2D((2, 3), interpolation)(layers.Conv2D(2, 1)(x))
    assert y.shape is not None
    assert math.prod(d for d in y.shape if isinstance(d, int)) == 2 * 10 * 18
    assert records(nm.Model(x, y)) is None
    z = layers.ZeroPadding3D()(layers.UpSampling3D(2)(nm.layers.Reshape((2, 1, 10, 18))(y)))
    assert records(nm.Model(x, layers.Cropping3D(1)(z))) is None
    assert records(nm.Model(x, layers.ZeroPadding2D()(layers.Cropping2D(1)(y)))) is None


def test_cntk_takes_repeated_vectors() -> None:
    x = nm.Input((4,))
    assert records(nm.Model(x, layers.RepeatVector(3)(layers.Dense(2)(x)))) is None


@FEW
@given(factor=st.integers(1, 3), shape=st.tuples(*[st.integers(1, 3)] * 4))
def test_pixel_shuffle(factor: int, shape: tuple[int, int, int, int]) -> None:
    batch, channels, height, width = shape
    x = numbers("x", (batch, channels * factor**2, height, width))
    blocks = x.reshape(batch, channels, factor, factor, height, width)
    expected = blocks.transpose(0, 1, 4, 2, 5, 3).reshape(batch, channels, height * factor, width * factor)
    found = run(model_of(layers.PixelShuffle(factor), [x]).proto, [x])[0]
    np.testing.assert_array_equal(found, expected)


def test_pixel_shuffle_refuses_what_does_not_fit() -> None:
    with pytest.raises(
        ShapeError, match=r"PixelShuffle takes channels divisible by 4, got \(batch, 6, 8, 8\)"
    ):
        layers.PixelShuffle(2)(nm.Input((6, 8, 8)))
    with pytest.raises(ValueError, match="upscale_factor must be a positive integer, got 0"):
        layers.PixelShuffle(0)
