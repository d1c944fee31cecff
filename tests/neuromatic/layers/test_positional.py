"""Encodings of positions against their formulas in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic import layers
from neuromatic.errors import ShapeError
from tests.catalogue.cntk import records
from tests.catalogue.layers import FEW, model_of, numbers, run

Array = NDArray[Any]


def sine_encoding(positions: Array, features: int, wavelength: float) -> Array:
    """KerasHub's: one frequency for each pair of features, sine at even ones and cosine at odd ones."""
    index = np.arange(features)
    angles = positions[..., None] * (1 / wavelength) ** ((2 * (index // 2)) / features)
    return np.where(index % 2 == 0, np.sin(angles), np.cos(angles))


def rotated(x: Array, positions: Array, wavelength: float, scaling: float) -> Array:
    """KerasHub's rotation of (batch, steps, ..., features)."""
    features = x.shape[-1]
    inverse = 1 / wavelength ** (np.arange(0, features, 2) / features)
    angles = np.einsum("bi,j->bij", positions / scaling, inverse)
    both = np.concatenate([angles, angles], -1)
    both = both.reshape(*both.shape[:2], *[1] * (x.ndim - 3), features)
    first, second = np.split(x.astype(np.float64), 2, axis=-1)
    return np.asarray(x * np.cos(both) + np.concatenate([-second, first], -1) * np.sin(both))


def close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@FEW
@given(
    steps=st.integers(1, 20),
    features=st.integers(1, 7),
    wavelength=st.sampled_from([10000, 50.0]),
    start=st.sampled_from([0, 3]),
    known=st.booleans(),
)
def test_sine_position_encoding(
    steps: int, features: int, wavelength: float, start: int, known: bool
) -> None:
    x = numbers("x", (2, steps, features))
    layer = layers.SinePositionEncoding(wavelength)
    model = model_of(lambda x: layer(x, start_index=start), [x], None if known else [(None, features)])
    assert model.proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    wanted = sine_encoding(np.arange(steps) + start, features, wavelength)
    close(run(model.proto, [x])[0], np.broadcast_to(wanted, x.shape))


def test_sine_position_encoding_of_given_positions() -> None:
    x, positions = numbers("x", (2, 4, 6)), np.array([[3, 1, 0, 7], [2, 2, 5, 1]])
    model = model_of(lambda x, p: layers.SinePositionEncoding()(x, positions=p), [x, positions])
    close(run(model.proto, [x, positions])[0], sine_encoding(positions, 6, 10000))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("start", [0, 2])
def test_position_embedding(known: bool, start: int) -> None:
    x = numbers("x", (2, 3, 5))
    layer = layers.PositionEmbedding(6)
    model = model_of(lambda x: layer(x, start_index=start), [x], None if known else [(None, 5)])
    table = model.parameters()["position_embedding/embeddings"]
    assert table.shape == (6, 5)
    close(run(model.proto, [x])[0], np.broadcast_to(table[start : start + 3], x.shape))


def test_position_embedding_of_given_positions() -> None:
    x, positions = numbers("x", (2, 3, 5)), np.array([[0, 5, 1], [2, 2, 4]])
    model = model_of(lambda x, p: layers.PositionEmbedding(6)(x, positions=p), [x, positions])
    close(run(model.proto, [x, positions])[0], model.parameters()["position_embedding/embeddings"][positions])


@FEW
@given(
    steps=st.integers(1, 20),
    half=st.integers(1, 4),
    between=st.lists(st.integers(1, 3), max_size=2),
    scaling=st.sampled_from([1.0, 2.5]),
    start=st.sampled_from([0, 3]),
    known=st.booleans(),
)
def test_rotary_embedding(
    steps: int, half: int, between: list[int], scaling: float, start: int, known: bool
) -> None:
    x = numbers("x", (2, steps, *between, 2 * half))
    layer = layers.RotaryEmbedding(100.0, scaling)
    declared = None if known else [(None, *between, 2 * half)]
    model = model_of(lambda x: layer(x, start_index=start), [x], declared)
    close(run(model.proto, [x])[0], rotated(x, np.arange(steps)[None] + start, 100.0, scaling))


@pytest.mark.parametrize(("steps_axis", "axis"), [(2, -1), (3, 1), (-1, 1), (1, 2)])
def test_rotary_embedding_along_other_axes(steps_axis: int, axis: int) -> None:
    x = numbers("x", (2, 4, 6, 2))
    layer = layers.RotaryEmbedding(sequence_axis=steps_axis, feature_axis=axis)
    turned = np.moveaxis(x, (axis, steps_axis), (-1, 1))
    wanted = rotated(turned, np.arange(turned.shape[1])[None], 10000, 1.0)
    close(run(model_of(layer, [x]).proto, [x])[0], np.moveaxis(wanted, (-1, 1), (axis, steps_axis)))


def test_rotary_embedding_of_given_positions() -> None:
    x, positions = numbers("x", (2, 4, 3, 6)), np.array([[3, 1, 0, 7], [2, 2, 5, 1]])
    model = model_of(lambda x, p: layers.RotaryEmbedding()(x, positions=p), [x, positions])
    close(run(model.proto, [x, positions])[0], rotated(x, positions, 10000, 1.0))


def test_a_turn_changes_no_product_of_equal_distances() -> None:
    """Products of turned vectors depend on how far apart they stand alone."""
    x = np.broadcast_to(numbers("x", (1, 1, 8)), (1, 9, 8)).copy()
    turned = run(model_of(layers.RotaryEmbedding(), [x]).proto, [x])[0][0]
    products = turned @ turned.T
    np.testing.assert_allclose(np.diag(products, 3), products[0, 3], rtol=1e-5)


def test_cntk_takes_them() -> None:
    for layer in (layers.SinePositionEncoding(), layers.PositionEmbedding(6), layers.RotaryEmbedding()):
        x = nm.Input((4, 6))
        y = layers.Add()([layers.Dense(6)(x), layer(x)])
        assert records(nm.Model(x, y)) is None, layer


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: layers.SinePositionEncoding(0),
            "SinePositionEncoding: max_wavelength must be a positive number, got 0",
        ),
        (
            lambda: layers.PositionEmbedding(0),
            "PositionEmbedding: sequence_length must be a positive integer, got 0",
        ),
        (
            lambda: layers.RotaryEmbedding(scaling_factor="2"),  # type: ignore[arg-type]
            "RotaryEmbedding: scaling_factor must be a positive number, got '2'",
        ),
    ],
)
def test_wrong_arguments_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            layers.SinePositionEncoding(),
            (4,),
            r"sine_position_encoding: SinePositionEncoding takes \(batch, steps, features\) with known "
            r"features, "
            r"got \(batch, 4\) from 'input'; give the features a size",
        ),
        (
            layers.PositionEmbedding(3),
            (4, 2),
            r"position_embedding: PositionEmbedding has 3 positions, but \(batch, 4, 2\) from 'input' "
            r"from 0 on "
            r"needs 4; raise sequence_length",
        ),
        (
            layers.RotaryEmbedding(),
            (4, 3),
            r"rotary_embedding: RotaryEmbedding needs an even number of features and an axis each for batch, "
            r"steps and features, got \(batch, 4, 3\) from 'input'; change the size or the axes",
        ),
    ],
)
def test_wrong_shapes_are_refused(layer: layers.Layer, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=f"^{message}$"):
        layer(nm.Input(shape))
