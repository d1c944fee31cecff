"""Dense against Keras."""

from __future__ import annotations

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromatic import layers
from neuromatic.builder.sequential import Sequential
from neuromatic.errors import ShapeError
from tests.neuromatic.layers.keras_twin import FEW, assert_equals_keras


@FEW
@given(
    units=st.integers(1, 7),
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=2),
    activation=st.sampled_from([None, "relu", "softmax"]),
    use_bias=st.booleans(),
)
def test_dense(units: int, shape: list[int], activation: str | None, use_bias: bool) -> None:
    assert_equals_keras(
        layers.Dense(units, activation, use_bias), keras.layers.Dense(units, activation, use_bias), shape
    )


def test_wrong_arguments_and_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="Dense: units must be a positive integer, got 0"):
        layers.Dense(0)
    unknown = (
        Sequential((None, None))
        .append(layers.Activation("relu", name="first"))
        .append(layers.Activation("relu"))
    )
    message = (
        r"^dense: Dense takes \(batch, ..., features\) with known features, got \(batch, \?, \?\) from "
        r"'activation'; put a flatten\(\) before it$"
    )
    with pytest.raises(ShapeError, match=message):
        unknown.dense(2)
