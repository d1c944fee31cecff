"""Merging layers against Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuromatic as nm
from neuromatic import layers
from neuromatic.layers.base import SymbolicTensor
from tests.catalogue.cntk import records
from tests.catalogue.layers import FEW, Twins, assert_equals_keras, numbers
from tests.catalogue.status import equal

KINDS = ["Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"]


@equal("layers", *KINDS)
@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), data=st.data())
def test_element_by_element(kind: str, shape: list[int], data: Any) -> None:
    count = 2 if kind == "Subtract" else data.draw(st.integers(2, 3))
    shapes = []
    for _ in range(count):
        kept = data.draw(st.integers(0, len(shape) - 1))
        shapes.append([data.draw(st.sampled_from([d, 1])) for d in shape][kept:])
    shapes[0] = shape
    # Keras takes an input of size (n, 1) for a bias of n features, where n is the batch; so 5.
    xs = [numbers(f"{kind} {i}", (5, *s)) for i, s in enumerate(shapes)]
    assert_equals_keras(Twins(getattr(layers, kind)(), getattr(keras.layers, kind)()), *xs)


@equal("layers", "Concatenate")
@FEW
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), count=st.integers(2, 3), data=st.data())
def test_concatenate(shape: list[int], count: int, data: Any) -> None:
    axis = data.draw(st.sampled_from([-1, *range(1, len(shape) + 1)]))
    place = axis - 1 if axis > 0 else len(shape) - 1
    xs = [
        numbers(f"{i}", (2, *(d + i if a == place else d for a, d in enumerate(shape)))) for i in range(count)
    ]
    assert_equals_keras(Twins(layers.Concatenate(axis), keras.layers.Concatenate(axis)), *xs)


@equal("layers", "Dot")
@FEW
@given(
    first=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    second=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    normalize=st.booleans(),
    data=st.data(),
)
def test_dot(first: list[int], second: list[int], normalize: bool, data: Any) -> None:
    a, b = (data.draw(st.integers(1, len(s))) for s in (first, second))
    second[b - 1] = first[a - 1]
    axes: Any = (a, b)
    if a == b and data.draw(st.booleans()):
        axes = a
    elif a == len(first) and b == len(second):
        axes = -1
    twins = Twins(layers.Dot(axes, normalize), keras.layers.Dot(axes, normalize))
    assert_equals_keras(twins, numbers("a", (2, *first)), numbers("b", (2, *second)))


A = np.array([[[1.0], [2.0], [9.0]], [[3.0], [9.0], [9.0]]], np.float32)
B = np.array([[[4.0], [9.0], [9.0]], [[5.0], [6.0], [9.0]]], np.float32)


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("kind", ["Add", "Average", "Concatenate", "Subtract"])
def test_masks_are_merged_as_in_keras(kind: str, both: bool) -> None:
    options = {"axis": 1} if kind == "Concatenate" else {}
    symbols = [nm.Input((3, 1), name="a"), nm.Input((3, 1), name="b")]
    merged = getattr(layers, kind)(**options)([layers.Masking(9.0)(symbols[0]), masked_or(symbols[1], both)])
    theirs = [keras.Input((3, 1)), keras.Input((3, 1))]
    masking = keras.layers.Masking(9.0)
    expected = getattr(keras.layers, kind)(**options)(
        [masking(theirs[0]), masking(theirs[1]) if both else theirs[1]]
    )
    assert merged.masked == (getattr(expected, "_keras_mask", None) is not None)
    if merged.masked:
        cell = {"units": 1, "use_bias": False, "activation": "linear"}
        ones: dict[str, Any] = {"kernel_initializer": "ones", "recurrent_initializer": "ones"}
        ours = nm.Model(symbols, layers.SimpleRNN(**cell, **ones)(merged))
        twin = keras.Model(theirs, keras.layers.SimpleRNN(**cell, **ones)(expected))
        np.testing.assert_allclose(ours.predict({"a": A, "b": B}), twin.predict([A, B], verbose=0), rtol=1e-5)


def masked_or(x: SymbolicTensor, wanted: bool) -> SymbolicTensor:
    return layers.Masking(9.0)(x) if wanted else x


@pytest.mark.parametrize(
    "layer", [*(getattr(layers, k)() for k in KINDS), layers.Concatenate(1), layers.Dot(1)]
)
def test_cntk_takes_them(layer: layers.Layer) -> None:
    x = nm.Input((4, 6))
    assert records(nm.Model(x, layer([layers.Dense(6)(x), x]))) is None


def test_cntk_takes_products_of_vectors() -> None:
    x = nm.Input((4,))
    assert records(nm.Model(x, layers.Dot(1, normalize=True)([layers.Dense(4)(x), x]))) is None
