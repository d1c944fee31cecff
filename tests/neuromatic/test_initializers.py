"""Initial values against Keras: the same distributions, from a seed."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from neuromatic import initializers
from neuromatic.builder.sequential import Sequential
from neuromatic.errors import UnknownNameError
from neuromatic.initializers import INITIALIZERS
from neuromatic.layers import Conv2D, Dense
from tests.neuromatic.layers.keras_twin import parameters

MATRICES = sorted(INITIALIZERS.keys() - {"constant", "stft"})
"""Those that a matrix can have without an argument."""


def statistics(values: Any) -> dict[str, float]:
    low, high = np.quantile(values, [0.02, 0.98])
    return {"mean": values.mean(), "std": values.std(), "2 %": low, "98 %": high}


def assert_like(found: Any, expected: Any) -> None:
    """Equal to 3 % of the standard deviation, and within the same limits where there are limits."""
    scale = float(expected.std()) or 1.0
    for name, value in statistics(expected).items():
        assert abs(statistics(found)[name] - value) <= 0.03 * scale, name
    limit = float(np.abs(expected).max())
    if limit < 3 * scale:
        assert np.abs(found).max() == pytest.approx(limit, rel=0.01)


def draw(name: str, seed: int = 0) -> Any:
    return initializers.get(name)(np.random.default_rng(seed), (256, 256), (256, 256))


@pytest.mark.parametrize("name", MATRICES)
def test_a_matrix_is_distributed_as_in_keras(name: str) -> None:
    twin = keras.initializers.get(name)
    if hasattr(twin, "seed"):
        twin = type(twin)(seed=1)
    assert_like(draw(name), keras.ops.convert_to_numpy(twin((256, 256))))


@pytest.mark.parametrize("name", MATRICES)
def test_values_come_from_the_generator_alone(name: str) -> None:
    np.testing.assert_array_equal(draw(name), draw(name))
    if keras.initializers.get(name).__class__.__name__.startswith(("Random", "Truncated", "Glorot", "He")):
        assert not np.array_equal(draw(name), draw(name, seed=1))


@pytest.mark.parametrize("name", ["glorot_uniform", "he_normal"])
@pytest.mark.parametrize("groups", [1, 4])
def test_the_fans_of_a_convolution_are_those_of_keras(name: str, groups: int) -> None:
    layer = Conv2D(128, (3, 5), groups=groups, kernel_initializer=name)
    kernel = parameters(Sequential((32, 8, 8)).append(layer).onnx())["conv2d/kernel"]
    twin = type(keras.initializers.get(name))(seed=1)
    assert kernel.shape == (128, 32 // groups, 3, 5)
    assert_like(kernel, keras.ops.convert_to_numpy(twin((3, 5, 32 // groups, 128))))


def test_the_fans_of_dense_are_its_inputs_and_units() -> None:
    kernel = parameters(Sequential((200,)).dense(100).onnx())["dense/kernel"]
    assert np.abs(kernel).max() == pytest.approx((6 / 300) ** 0.5, rel=1e-3)


def test_the_parameters_of_a_layer_follow_seed_and_name() -> None:
    def kernel(seed: int, name: str) -> Any:
        model = Sequential((3,), seed=seed).append(Dense(4, name=name)).onnx()
        return parameters(model)[f"{name}/kernel"]

    np.testing.assert_array_equal(kernel(3, "a"), kernel(3, "a"))
    assert not np.array_equal(kernel(3, "a"), kernel(4, "a"))
    assert not np.array_equal(kernel(3, "a"), kernel(3, "b"))


def test_initializers_are_given_by_name_class_or_object() -> None:
    normal = initializers.RandomNormal(stddev=2.0)
    assert initializers.get(normal) is normal
    assert initializers.get(initializers.Zeros) == initializers.get("zeros")
    with pytest.raises(
        UnknownNameError, match="there is no initializer named 'zeroes'; did you mean 'zeros'"
    ):
        initializers.get("zeroes")
