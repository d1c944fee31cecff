"""Flatten and Reshape against numpy, whose order of values is Keras'."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromatic import layers
from neuromatic.builder.sequential import Sequential
from neuromatic.errors import ShapeError
from neuromatic.ir.values import Shape
from neuromatic.layers import Layer
from tests.neuromatic.layers.keras_twin import FEW, check, run


def assert_reshapes(layer: Layer, shape: tuple[int, ...], target: tuple[int, ...], declared: Shape) -> None:
    model = Sequential(declared).append(layer).onnx()
    check(model)
    for batch in (1, 3):
        x = np.random.default_rng(batch).normal(size=(batch, *shape)).astype(np.float32)
        np.testing.assert_array_equal(run(model, x), x.reshape(batch, *target))


@FEW
@given(shape=st.lists(st.integers(1, 4), max_size=4).map(tuple), known=st.booleans())
def test_flatten(shape: tuple[int, ...], known: bool) -> None:
    assert_reshapes(layers.Flatten(), shape, (-1,), shape if known else (None,) * len(shape))


@FEW
@given(
    dims=st.permutations([2, 3, 4]),
    hole=st.sampled_from([None, 0, 1, 2]),
    known=st.booleans(),
    data=st.data(),
)
def test_reshape(dims: list[int], hole: int | None, known: bool, data: Any) -> None:
    source = tuple(data.draw(st.sampled_from([(24,), (4, 6), (2, 2, 6)])))
    target = tuple(-1 if i == hole else d for i, d in enumerate(dims))
    assert_reshapes(layers.Reshape(target), source, tuple(dims), source if known else (None,) * len(source))


def test_shapes_are_known_with_a_symbolic_batch() -> None:
    model = Sequential((1, 4, 6)).flatten()
    assert model.output.shape == ("batch", 24)
    assert model.reshape((2, -1, 3)).output.shape == ("batch", 2, 4, 3)
    assert Sequential((None,)).reshape((2, 3)).output.shape == ("batch", 2, 3)


@pytest.mark.parametrize("shape", [(-1, -1), (0, 2), (2.0,), 6, ("a",)])
def test_a_wrong_target_is_refused(shape: Any) -> None:
    with pytest.raises(ValueError, match="target_shape must be positive integers with at most one -1, got"):
        layers.Reshape(shape)


def test_a_wrong_number_of_values_is_refused() -> None:
    message = (
        r"^reshape: Reshape to \(batch, 5\) needs 5 values for each sample, got 24 in \(batch, 4, 6\) from "
        r"'input'; put -1 in place of one dimension or correct it$"
    )
    with pytest.raises(ShapeError, match=message):
        Sequential((4, 6)).reshape((5,))
    with pytest.raises(ShapeError, match="needs 5 values or a multiple for each sample, got 24"):
        Sequential((24,)).reshape((5, -1))


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^Permute: dims must be the numbers from 1 on, each once, got \(0, 1\)$"
    ):
        layers.Permute((0, 1))
    with pytest.raises(ValueError, match=r"^RepeatVector: n must be a positive integer, got 0$"):
        layers.RepeatVector(0)
    with pytest.raises(
        ValueError, match=r"^Cropping1D: cropping must be an integer of 0 or more or two of them, got"
    ):
        layers.Cropping1D((1, 2, 3))
    with pytest.raises(
        ValueError, match=r"^ZeroPadding2D: padding must be .* or 2 of them or of pairs .*, got -1$"
    ):
        layers.ZeroPadding2D(-1)
    with pytest.raises(ValueError, match=r"^UpSampling1D: size must be a positive integer, got 0$"):
        layers.UpSampling1D(0)
    with pytest.raises(
        ValueError, match=r"^UpSampling2D: interpolation must be one of nearest, .*, got 'cubic'$"
    ):
        layers.UpSampling2D(2, "cubic")


def test_wrong_shapes_are_refused() -> None:
    model = Sequential((4, 6))
    with pytest.raises(
        ShapeError, match=r"^permute: Permute orders 3 axes after the batch, got \(batch, 4, 6\)"
    ):
        model.permute((1, 2, 3))
    with pytest.raises(ShapeError, match=r"^repeat_vector: RepeatVector takes \(batch, features\), got"):
        model.repeat_vector(2)
    with pytest.raises(
        ShapeError, match=r"^cropping1d: Cropping1D cuts 3 \+ 3 elements off an axis, got \(batch, 4"
    ):
        model.cropping1d(3)
    with pytest.raises(
        ShapeError, match=r"^zero_padding2d: ZeroPadding2D takes \(batch, channels, height, width\)"
    ):
        model.zero_padding2d()
    with pytest.raises(
        ShapeError, match=r"^up_sampling3d: UpSampling3D takes \(batch, channels, depth, height, w"
    ):
        model.up_sampling3d()
    with pytest.raises(
        ShapeError, match=r"^up_sampling2d: UpSampling2D with lanczos3 needs a known height and width"
    ):
        Sequential((3, None, 4)).up_sampling2d(2, "lanczos3")
