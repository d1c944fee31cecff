"""Poolings against Keras."""

from __future__ import annotations

from typing import Any

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromatic import layers
from neuromatic.errors import ShapeError
from neuromatic.layers._windows import pair
from neuromatic.sequential import Sequential
from tests.neuromatic.layers.keras_twin import FEW, assert_equals_keras

sizes = st.one_of(st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 3)))


@pytest.mark.parametrize("kind", ["MaxPooling2D", "AveragePooling2D"])
@FEW
@given(
    pool_size=sizes,
    strides=st.one_of(st.none(), sizes),
    padding=st.sampled_from(["valid", "same"]),
    shape=st.tuples(st.integers(1, 3), st.integers(3, 9), st.integers(3, 9)),
    known=st.booleans(),
)
def test_pooling(
    kind: str, pool_size: Any, strides: Any, padding: str, shape: tuple[int, int, int], known: bool
) -> None:
    window, steps = pair("", "", pool_size), pair("", "", strides or pool_size)
    if padding == "same" and any(w < s for w, s in zip(window, steps, strict=True)):
        known = True  # such windows are refused where the size is unknown, see below
    arguments = (pool_size, strides, padding)
    layer, twin = getattr(layers, kind)(*arguments), getattr(keras.layers, kind)(*arguments)
    assert_equals_keras(layer, twin, shape, declared=shape if known else (shape[0], None, None))


@pytest.mark.parametrize("kind", ["MaxPooling2D", "AveragePooling2D"])
def test_by_default_a_window_of_two_by_two(kind: str) -> None:
    assert_equals_keras(getattr(layers, kind)(), getattr(keras.layers, kind)((2, 2)), (2, 6, 7))


@pytest.mark.parametrize("kind", ["GlobalMaxPooling2D", "GlobalAveragePooling2D"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_pooling(kind: str, keepdims: bool) -> None:
    layer, twin = getattr(layers, kind)(keepdims), getattr(keras.layers, kind)(keepdims=keepdims)
    assert_equals_keras(layer, twin, (3, 4, 5), declared=(3, None, None))
    shape = Sequential((3, None, None)).append(getattr(layers, kind)(keepdims)).output.shape
    assert shape == (("batch", 3, 1, 1) if keepdims else ("batch", 3))


def test_wrong_arguments_and_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="MaxPooling2D: pool_size must be a positive integer or two of them"):
        layers.MaxPooling2D((2, 2, 2))
    with pytest.raises(ValueError, match="AveragePooling2D: strides must be"):
        layers.AveragePooling2D(2, strides=0)
    with pytest.raises(ShapeError, match="max_pooling2d: MaxPooling2D needs an image of at least 3 x 3"):
        Sequential((1, 2, 5)).max_pooling2d(3)
    with pytest.raises(ShapeError, match=r"GlobalMaxPooling2D takes \(batch, channels, height, width\)"):
        Sequential((5,)).global_max_pooling2d()
    with pytest.raises(
        ShapeError, match='padding="same" and strides above its window needs a known height and width'
    ):
        Sequential((1, 9, None)).max_pooling2d(2, strides=3, padding="same")
