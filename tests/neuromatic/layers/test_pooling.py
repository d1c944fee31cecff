"""Poolings: unknown sizes, and how they refuse wrong arguments. Numbers: tests/catalogue."""

from __future__ import annotations

import keras
import pytest

from neuromatic import layers
from neuromatic.builder.sequential import Sequential
from neuromatic.errors import ShapeError
from tests.neuromatic.layers.keras_twin import assert_equals_keras


@pytest.mark.parametrize("kind", ["MaxPooling2D", "AveragePooling2D"])
@pytest.mark.parametrize("size", range(4, 9))
def test_same_where_sizes_are_unknown(kind: str, size: int) -> None:
    layer, twin = (getattr(module, kind)(3, 2, "same") for module in (layers, keras.layers))
    assert_equals_keras(layer, twin, (2, size, size + 1), declared=(2, None, None))


@pytest.mark.parametrize("kind", ["GlobalMaxPooling2D", "GlobalAveragePooling2D"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_pooling_knows_its_shape(kind: str, keepdims: bool) -> None:
    shape = Sequential((3, None, None)).append(getattr(layers, kind)(keepdims)).output.shape
    assert shape == (("batch", 3, 1, 1) if keepdims else ("batch", 3))


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"MaxPooling2D: pool_size must be a positive integer or 2 of them, got \(2, 2, 2\)"
    ):
        layers.MaxPooling2D((2, 2, 2))
    with pytest.raises(ValueError, match="AveragePooling1D: strides must be"):
        layers.AveragePooling1D(2, strides=0)
    with pytest.raises(
        ValueError,
        match=r"MaxPooling3D: padding must be below pool_size, so that no window is empty, got padd",
    ):
        layers.MaxPooling3D(2, padding=2)
    with pytest.raises(ValueError, match="AdaptiveMaxPooling2D: output_size must be a positive integer or 2"):
        layers.AdaptiveMaxPooling2D(0)
    with pytest.raises(
        ValueError,
        match='GlobalMaxPooling1D: data_format must be "channels_first" or "channels_last", got True',
    ):
        layers.GlobalMaxPooling1D(data_format=True)  # type: ignore[arg-type]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="max_pooling2d: MaxPooling2D needs an image of at least 3 x 3"):
        Sequential((1, 2, 5)).max_pooling2d(3)
    with pytest.raises(ShapeError, match="MaxPooling3D needs a volume of at least 3 x 3 x 3"):
        Sequential((1, 2, 5, 5)).max_pooling3d(3)
    with pytest.raises(ShapeError, match=r"GlobalMaxPooling2D takes \(batch, channels, height, width\)"):
        Sequential((5,)).global_max_pooling2d()
    with pytest.raises(ShapeError, match=r"GlobalMaxPooling1D takes \(batch, steps, channels\), got"):
        Sequential((5,)).global_max_pooling1d(data_format="channels_last")
    with pytest.raises(
        ShapeError, match='padding="same" and strides above its window needs a known height and width'
    ):
        Sequential((1, 9, None)).max_pooling2d(2, strides=3, padding="same")
    with pytest.raises(
        ShapeError, match=r"AdaptiveAveragePooling2D needs a known height and width, got \(batch, 1, 9, \?\)"
    ):
        Sequential((1, 9, None)).adaptive_average_pooling2d(2)
