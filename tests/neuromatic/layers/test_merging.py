"""Merging layers against Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest

from neuromatic import layers
from neuromatic.builder.functional import Input, assemble
from neuromatic.errors import ShapeError
from neuromatic.layers import Layer
from tests.neuromatic.layers.keras_twin import check, run


def assert_merges(layer: Layer, twin: Any, shapes: Sequence[tuple[int, ...]]) -> None:
    inputs = [Input(shape) for shape in shapes]
    output = layer(inputs)
    model = assemble(inputs, [output]).proto
    check(model)
    rng = np.random.default_rng(0)
    for batch in (1, 3):
        xs = [rng.normal(size=(batch, *shape)).astype(np.float32) for shape in shapes]
        expected = keras.ops.convert_to_numpy(twin(xs))
        np.testing.assert_allclose(run(model, *xs), expected, rtol=1e-6, atol=1e-6)
        assert expected.shape[1:] == (output.shape or ())[1:]


@pytest.mark.parametrize("kind", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"])
@pytest.mark.parametrize(
    "shapes", [[(4,), (4,)], [(4, 5), (1, 5)], [(3, 4, 5), (3, 1, 1)], [(3, 4, 5), (5,)]], ids=str
)
def test_two_inputs(kind: str, shapes: list[tuple[int, ...]]) -> None:
    assert_merges(getattr(layers, kind)(), getattr(keras.layers, kind)(), shapes)


@pytest.mark.parametrize("kind", ["Add", "Multiply", "Average", "Maximum", "Minimum"])
def test_three_inputs(kind: str) -> None:
    assert_merges(getattr(layers, kind)(), getattr(keras.layers, kind)(), [(4,), (4,), (1,)])


@pytest.mark.parametrize(
    ("axis", "shapes"),
    [(-1, [(4,), (2,)]), (1, [(3, 4), (1, 4), (2, 4)]), (2, [(3, 4), (3, 1)]), (-2, [(3, 4, 5), (3, 1, 5)])],
)
def test_concatenate(axis: int, shapes: list[tuple[int, ...]]) -> None:
    assert_merges(layers.Concatenate(axis), keras.layers.Concatenate(axis), shapes)


def test_inputs_come_as_a_list_or_one_by_one() -> None:
    a, b = Input((2,)), Input((2,))
    assert (
        layers.Add()(a, b).shape == layers.Add()([a, b]).shape == layers.Add()([a, a]).shape == ("batch", 2)
    )


def test_wrong_inputs_are_refused() -> None:
    a, b, c = Input((2,), name="a"), Input((3,), name="b"), Input((2, 2))
    message = (
        r"^add: Add takes inputs of one shape, or of sizes 1 where they differ, got \(batch, 2\) from 'a', "
        r"\(batch, 3\) from 'b'; make their shapes equal$"
    )
    with pytest.raises(ShapeError, match=message):
        layers.Add()([a, b])
    with pytest.raises(
        ShapeError, match="multiply: Multiply merges two inputs or more, got 1; call it on a list"
    ):
        layers.Multiply()(a)
    with pytest.raises(ShapeError, match="subtract: Subtract takes two inputs, got 3"):
        layers.Subtract()([a, a, a])
    with pytest.raises(
        ShapeError, match="concatenate: Concatenate takes inputs of one rank that differ in axis -1"
    ):
        layers.Concatenate()([a, c])
    with pytest.raises(ShapeError, match="choose another axis or make the others equal"):
        layers.Concatenate(axis=1)([Input((2, 3)), Input((2, 4))])
    with pytest.raises(ValueError, match="Concatenate: axis must be an integer other than 0, got 0"):
        layers.Concatenate(0)


def test_dot_refuses_what_it_cannot_sum() -> None:
    a, b = Input((2, 3), name="a"), Input((4, 3), name="b")
    with pytest.raises(
        ValueError, match=r"^Dot: axes must be an integer other than 0 or two of them, got 0$"
    ):
        layers.Dot(0)
    with pytest.raises(
        ShapeError, match=r"^dot: Dot sums along axes 1, which have to be of one size after the batch"
    ):
        layers.Dot(1)([a, b])
    with pytest.raises(ShapeError, match=r"^dot: Dot takes two inputs \(batch, ...\) of rank 2 or more, got"):
        layers.Dot(1)([a, b, a])
    with pytest.raises(
        ShapeError, match=r"^dot: Dot needs known sizes for inputs of rank above 3 or a vector, got"
    ):
        layers.Dot(1)([Input((2, None, 3)), Input((2, 3))])
