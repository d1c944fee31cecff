"""Dropout in its inference form."""

from __future__ import annotations

import keras
import pytest
from onnx import numpy_helper

from neuromatic import layers
from neuromatic.sequential import Sequential
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


@pytest.mark.parametrize("rate", [1, -0.1, float("nan"), "0.5"])
def test_a_wrong_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="Dropout: rate must be a number from 0 to below 1, got"):
        layers.Dropout(rate)
