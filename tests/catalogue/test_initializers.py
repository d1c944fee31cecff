"""Initializers against Keras': equal where nothing is drawn, else of the same distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromatic import initializers
from neuromatic.errors import ShapeError
from neuromatic.initializers import Initializer, VarianceScaling
from tests.catalogue.status import equal

MANY = settings(derandomize=True, deadline=None, max_examples=20, database=None)
RNG = np.random.default_rng(0)


def keras_values(initializer: Any, shape: tuple[int, ...]) -> Any:
    return keras.ops.convert_to_numpy(initializer(shape, dtype="float32"))


@equal("initializers", "Constant", "Zeros", "Ones", "Identity", "STFT")
@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("Constant", {}, (2, 3)),
        ("Constant", {"value": 0.7}, ()),
        ("Constant", {"value": [1.0, 2.0, 3.0]}, (2, 3)),
        ("Zeros", {}, (2, 3)),
        ("Ones", {}, (4,)),
        ("Identity", {}, (3, 3)),
        ("Identity", {"gain": 2.5}, (2, 4)),
        ("STFT", {}, (8, 1, 5)),
        ("STFT", {"side": "imag", "window": "hamming", "scaling": "spectrum"}, (8, 1, 9)),
        ("STFT", {"window": "blackman", "scaling": None, "periodic": True}, (7, 1, 5)),
        ("STFT", {"window": "bartlett", "periodic": True}, (6, 1, 4)),
        ("STFT", {"window": [0.5, 1.0, 0.25], "side": "imag"}, (3, 1, 3)),
        ("STFT", {"window": None}, (5, 1, 3)),
    ],
)
def test_without_chance(name: str, arguments: dict[str, Any], shape: tuple[int, ...]) -> None:
    found = getattr(initializers, name)(**arguments)(RNG, shape, (1.0, 1.0))
    expected = keras_values(getattr(keras.initializers, name)(**arguments), shape)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2e-6)


SCALED = ["GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform"]


def statistics(values: Any) -> list[float]:
    return [values.mean(), values.std(), *np.quantile(values, [0.02, 0.25, 0.75, 0.98])]


def assert_like(found: Any, expected: Any) -> None:
    """The same mean, deviation and quantiles to 4 % of the deviation, and the same bounds if any."""
    scale = float(expected.std())
    for one, other in zip(statistics(found), statistics(expected), strict=True):
        assert abs(one - other) <= 0.04 * scale
    if np.abs(expected - expected.mean()).max() < 3 * scale:
        assert found.max() == pytest.approx(expected.max(), abs=0.03 * scale)
        assert found.min() == pytest.approx(expected.min(), abs=0.03 * scale)


@equal("initializers", "RandomNormal", "RandomUniform", "TruncatedNormal")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("RandomNormal", {}),
        ("RandomNormal", {"mean": 1.0, "stddev": 0.5}),
        ("RandomUniform", {}),
        ("RandomUniform", {"minval": 1.0, "maxval": 3.0}),
        ("TruncatedNormal", {}),
        ("TruncatedNormal", {"mean": -1.0, "stddev": 0.5}),
    ],
)
def test_distributions(name: str, arguments: dict[str, Any]) -> None:
    found = getattr(initializers, name)(**arguments)(np.random.default_rng(1), (200, 200), (1.0, 1.0))
    assert_like(found, keras_values(getattr(keras.initializers, name)(**arguments, seed=1), (200, 200)))


@equal("initializers", *SCALED)
@pytest.mark.parametrize("name", SCALED)
def test_scaled_by_fans(name: str) -> None:
    found = getattr(initializers, name)()(np.random.default_rng(1), (100, 400), (100.0, 400.0))
    assert_like(found, keras_values(getattr(keras.initializers, name)(seed=1), (100, 400)))


@equal("initializers", "VarianceScaling")
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["normal", "truncated_normal", "untruncated_normal", "uniform"])
def test_variance_scaling(mode: Any, distribution: Any) -> None:
    arguments = {"scale": 0.3, "mode": mode, "distribution": distribution}
    found = VarianceScaling(**arguments)(np.random.default_rng(1), (100, 400), (100.0, 400.0))
    assert_like(found, keras_values(keras.initializers.VarianceScaling(**arguments, seed=1), (100, 400)))


def test_axes_in_place_of_fans() -> None:
    arguments: dict[str, Any] = {"input_axes": [0, 2], "output_axes": [1], "distribution": "uniform"}
    found = VarianceScaling(**arguments)(np.random.default_rng(1), (10, 40, 50), (1.0, 1.0))
    assert_like(found, keras_values(keras.initializers.VarianceScaling(**arguments, seed=1), (10, 40, 50)))


@MANY
@given(shape=st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple), gain=st.sampled_from([1.0, 0.5]))
@equal("initializers", "Orthogonal")
def test_orthogonal(shape: tuple[int, ...], gain: float) -> None:
    """Orthonormal rows or columns, as Keras', of the last axis against the others."""
    fans = (float(np.prod(shape[:-1])), float(shape[-1]))
    ours = initializers.Orthogonal(gain)(np.random.default_rng(2), shape, fans)
    for values in (ours, keras_values(keras.initializers.Orthogonal(gain, seed=2), shape)):
        matrix = values.reshape(-1, shape[-1])
        short = matrix.T @ matrix if len(matrix) >= shape[-1] else matrix @ matrix.T
        np.testing.assert_allclose(short, gain**2 * np.eye(len(short)), atol=1e-6)


def test_an_orthogonal_kernel_of_a_convolution_has_filters_first() -> None:
    kernel = initializers.Orthogonal()(np.random.default_rng(2), (4, 3, 2, 2), (12.0, 16.0)).reshape(4, -1)
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(4), atol=1e-9)


def test_orthogonal_matrices_favour_no_sign() -> None:
    draws = [
        initializers.Orthogonal()(np.random.default_rng(i), (2, 2), (2.0, 2.0))[0, 0] for i in range(400)
    ]
    assert abs(np.mean(draws)) < 0.1


def test_one_of_ones_own() -> None:
    class Rising(Initializer):
        def __call__(self, rng: Any, shape: Any, fans: Any) -> Any:
            return np.arange(float(np.prod(shape))).reshape(shape)

    class Theirs(keras.initializers.Initializer):  # type: ignore[misc]
        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            return keras.ops.reshape(keras.ops.arange(6, dtype="float32"), shape)

    np.testing.assert_array_equal(
        initializers.get(Rising)(RNG, (2, 3), (1, 1)), keras_values(Theirs(), (2, 3))
    )


def test_a_seed_is_a_stream_of_its_own() -> None:
    seeded = initializers.HeNormal(seed=3)
    first, second = (seeded(np.random.default_rng(i), (4, 4), (4.0, 4.0)) for i in range(2))
    np.testing.assert_array_equal(first, second)
    other = initializers.HeNormal(seed=4)(np.random.default_rng(0), (4, 4), (4.0, 4.0))
    assert not np.array_equal(first, other)
    unseeded = initializers.HeNormal()
    first, second = (unseeded(np.random.default_rng(i), (4, 4), (4.0, 4.0)) for i in range(2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VarianceScaling(0.0), "VarianceScaling: scale must be above 0, got 0.0"),
        (lambda: VarianceScaling(mode="fan"), "VarianceScaling: mode must be one of .*, got 'fan'"),  # type: ignore[arg-type]
        (lambda: VarianceScaling(distribution="flat"), "distribution must be one of .*, got 'flat'"),  # type: ignore[arg-type]
        (lambda: initializers.RandomNormal(seed=-1), "RandomNormal: seed must be an integer of at least 0"),
        (lambda: initializers.STFT("both"), 'STFT: side must be "real" or "imag", got \'both\''),  # type: ignore[arg-type]
        (lambda: initializers.STFT(window="boxcar"), "STFT: window must be one of .*, got 'boxcar'"),
        (lambda: initializers.STFT(scaling="loud"), "STFT: scaling must be .*, got 'loud'"),  # type: ignore[arg-type]
    ],
)
def test_bad_arguments(make: Callable[[], Initializer], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("initializer", "shape", "message"),
    [
        (initializers.Identity(), (3,), r"Identity: initializes matrices, got a parameter of shape \(3,\)"),
        (initializers.Orthogonal(), (3,), r"Orthogonal: initializes two axes and more, got .* \(3,\)"),
        (
            initializers.Constant([1.0, 2.0]),
            (3,),
            r"Constant: a value of shape \(2,\) does not fit .* \(3,\)",
        ),
        (initializers.STFT(), (3, 3), r"STFT: initializes \(frame, 1, frequencies\), got .* \(3, 3\)"),
        (
            initializers.STFT(window=[1.0]),
            (3, 1, 3),
            r"STFT: a window of shape \(1,\) does not fit a frame of 3",
        ),
    ],
)
def test_shapes_that_do_not_fit(initializer: Initializer, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        initializer(RNG, shape, (1.0, 1.0))
