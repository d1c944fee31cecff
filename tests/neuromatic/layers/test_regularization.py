"""Dropout in its inference form."""

from __future__ import annotations

import keras
import pytest
from onnx import numpy_helper

from neuromatic import layers
from neuromatic.builder.sequential import Sequential
from neuromatic.errors import ShapeError
from tests.neuromatic.layers.keras_twin import assert_equals_keras


@pytest.mark.parametrize("rate", [0, 0.25, 0.9])
def test_dropout_passes_its_input_on(rate: float) -> None:
    assert_equals_keras(layers.Dropout(rate), keras.layers.Dropout(rate), (7,))
    assert_equals_keras(layers.Dropout(rate), keras.layers.Dropout(rate), (2, 3, 4))


def test_the_node_says_what_training_needs() -> None:
    ratio, node = Sequential((7,)).dropout(0.25).onnx().graph.node
    assert (ratio.op_type, node.op_type, list(node.input)) == (
        "Constant",
        "Dropout",
        ["input", *ratio.output],
    )
    assert numpy_helper.to_array(ratio.attribute[0].t) == 0.25


@pytest.mark.parametrize("rate", [1.1, -0.1, float("nan"), "0.5"])
@pytest.mark.parametrize("kind", ["Dropout", "SpatialDropout2D"])
def test_a_wrong_rate_is_refused(kind: str, rate: float) -> None:
    with pytest.raises(ValueError, match=f"^{kind}: rate must be a number from 0 to 1, got"):
        getattr(layers, kind)(rate)


@pytest.mark.parametrize("kind", ["AlphaDropout", "GaussianDropout"])
def test_a_rate_that_leaves_nothing_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=f"^{kind}: rate must be a number from 0 to below 1, got 1$"):
        getattr(layers, kind)(1)


def test_other_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^GaussianNoise: stddev must be a number from 0 to 1, got 2$"):
        layers.GaussianNoise(2)
    with pytest.raises(ValueError, match=r"^Dropout: seed must be an integer or None, got 1\.5$"):
        layers.Dropout(0.5, seed=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^Dropout: noise_shape must be positive integers or None, got 3$"):
        layers.Dropout(0.5, noise_shape=3)  # type: ignore[arg-type]
    with pytest.raises(
        ShapeError, match=r"^dropout: Dropout takes inputs that noise_shape \(None, 2\) broadcasts"
    ):
        Sequential((3,)).dropout(0.5, noise_shape=(None, 2))
    with pytest.raises(
        ShapeError, match=r"^spatial_dropout2d: SpatialDropout2D takes \(batch, channels, height, w"
    ):
        Sequential((3,)).spatial_dropout2d(0.5)
