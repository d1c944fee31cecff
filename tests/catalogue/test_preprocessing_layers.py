"""Preprocessing of numbers and categories against Keras: outputs, gradients, what ``adapt`` finds."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import neuromatic as nm
from neuromatic import layers
from tests.catalogue.cntk import records
from tests.catalogue.layers import (
    FEW,
    Array,
    Twins,
    assert_equals_keras,
    channels_first,
    channels_last,
    model_of,
    numbers,
    run,
)
from tests.catalogue.status import absent, equal

absent("layers", "Hashing", "ONNX has no hash function, and Keras' (FarmHash64, SipHash64) are of strings")
absent("layers", "HashedCrossing", "ONNX has no hash function of strings, see Hashing")
absent(
    "layers",
    "TextVectorization",
    "it takes punctuation out of strings, which no ONNX operator can; split texts and use StringLookup",
)
absent("layers", "MaxNumBoundingBoxes", "it acts on dictionaries of ragged boxes, not on tensors of a graph")

modes = st.sampled_from(["one_hot", "multi_hot", "count"])
lookup_modes = st.sampled_from(["int", "one_hot", "multi_hot", "count", "tf_idf"])


def whole(seed: str, shape: tuple[int, ...], low: int, high: int, dtype: str = "int64") -> Array:
    """Random integers from low to high."""
    return np.floor(numbers(seed, shape, low, high + 1)).astype(dtype)


# -- numbers -----------------------------------------------------------------------------------------------


@equal("layers", "Rescaling")
@FEW
@given(
    channels=st.integers(1, 3),
    scale=st.sampled_from(["number", "array"]),
    offset=st.floats(-2, 2, width=16),
    whole_numbers=st.booleans(),
)
def test_rescaling(channels: int, scale: str, offset: float, whole_numbers: bool) -> None:
    factor: Any = 0.25 if scale == "number" else numbers("scale", (channels,))
    x = (
        whole("x", (2, channels, 4, 3), 0, 255, "uint8")
        if whole_numbers
        else numbers("x", (2, channels, 4, 3))
    )
    theirs = keras.layers.Rescaling(factor, offset)
    twins = Twins(layers.Rescaling(factor, offset), theirs, to_keras=channels_last, from_keras=channels_first)
    assert_equals_keras(twins, x)


@equal("layers", "Normalization")
@FEW
@given(
    axis=st.sampled_from([None, 1, -1, (1, 2), (1, 2, 3), (-1, 1)]),
    invert=st.booleans(),
    adapted=st.sampled_from(["array", "batches", "given", "number"]),
    constant=st.booleans(),
)
def test_normalization(axis: Any, invert: bool, adapted: str, constant: bool) -> None:
    data = numbers("data", (7, 3, 4, 2), -1, 3)
    if constant:
        data[:, 1] = 0.5  # without variance
    mine, theirs = layers.Normalization(axis, invert=invert), keras.layers.Normalization(axis, invert=invert)
    if adapted in ("given", "number"):
        kept = [
            data.shape[a] for a in sorted(np.arange(4)[list(np.atleast_1d([] if axis is None else axis))])
        ]
        shape = () if adapted == "number" else tuple(kept)
        mean, variance = numbers("mean", shape), numbers("variance", shape, 0.1, 2)
        mine = layers.Normalization(axis, mean, variance, invert)
        theirs = keras.layers.Normalization(axis, mean, variance, invert)
    else:
        source = data if adapted == "array" else [data[:4], data[4:]]
        mine = mine.adapt(source)
        theirs.adapt(source)
    assert_equals_keras(Twins(mine, lambda x: theirs(x)), numbers("x", (5, 3, 4, 2)))


def test_normalization_of_fewer_axes_and_of_batches_with_targets() -> None:
    mean, variance = numbers("mean", (2,)), numbers("variance", (2,), 0.5, 1)
    axes = (1, 3)
    assert_equals_keras(
        Twins(layers.Normalization(axes, mean, variance), keras.layers.Normalization(axes, mean, variance)),
        numbers("x", (5, 3, 4, 2)),
    )
    pairs = [(numbers(f"{i}", (3 + i, 2)), np.zeros(3 + i)) for i in range(3)]
    theirs = keras.layers.Normalization()
    theirs.adapt(pairs)
    assert_equals_keras(Twins(layers.Normalization().adapt(iter(pairs)), lambda x: theirs(x)), pairs[0][0])


@equal("layers", "Discretization")
@FEW
@given(
    boundaries=st.lists(st.floats(-2, 2, width=16), min_size=1, max_size=5).map(sorted),
    mode=st.sampled_from(["int", "one_hot", "multi_hot", "count"]),
    samples=st.integers(1, 4),
)
def test_discretization(boundaries: list[float], mode: str, samples: int) -> None:
    x = numbers("x", (5, samples))
    x[0, 0], x[1, 0], x[2, 0] = boundaries[0], np.inf, -np.inf
    arguments: dict[str, Any] = {"bin_boundaries": boundaries, "output_mode": mode}
    assert_equals_keras(
        Twins(layers.Discretization(**arguments), keras.layers.Discretization(**arguments)), x
    )


def test_discretization_puts_what_is_not_a_number_last() -> None:
    x = np.array([[np.nan, 0.5]], np.float32)
    assert_equals_keras(
        Twins(layers.Discretization([0.0, 1.0]), keras.layers.Discretization([0.0, 1.0])), x, gradient=None
    )


@FEW
@given(
    num_bins=st.integers(1, 6),
    epsilon=st.sampled_from([0.01, 0.1, 0.3]),
    rows=st.integers(5, 400),
    parts=st.integers(1, 3),
    steps=st.sampled_from([None, 1, 2]),
)
def test_discretization_adapts(
    num_bins: int, epsilon: float, rows: int, parts: int, steps: int | None
) -> None:
    data = numbers("data", (rows, 2))
    mine = layers.Discretization(num_bins=num_bins, epsilon=epsilon)
    theirs = keras.layers.Discretization(num_bins=num_bins, epsilon=epsilon)
    source: Any = data if parts == 1 else np.array_split(data, parts)
    adapted = mine.adapt(source, steps)
    theirs.adapt(iter(source) if parts > 1 else source, steps)
    assert mine.bin_boundaries is None
    assert adapted.bin_boundaries is not None
    np.testing.assert_allclose(adapted.bin_boundaries, theirs.bin_boundaries, rtol=1e-5, atol=1e-6)


# -- categories --------------------------------------------------------------------------------------------


@equal("layers", "CategoryEncoding")
@FEW
@given(
    tokens=st.integers(1, 5),
    mode=modes,
    samples=st.integers(1, 4),
    dtype=st.sampled_from(["int32", "int64", "uint8", "float32"]),
    weighted=st.booleans(),
)
def test_category_encoding(tokens: int, mode: str, samples: int, dtype: str, weighted: bool) -> None:
    x = whole("x", (3, samples), 0, tokens - 1, dtype)
    mine, theirs = layers.CategoryEncoding(tokens, mode), keras.layers.CategoryEncoding(tokens, mode)
    if mode != "count" or not weighted:
        assert_equals_keras(Twins(mine, lambda x: theirs(keras.ops.cast(x, "int64"))), x)
        return
    weights = numbers("weights", (3, samples))

    def layer(x: Any, w: Any) -> Any:  # which Keras cannot differentiate, because it uses a bincount
        return theirs(keras.ops.cast(x, "int64"), count_weights=tf.stop_gradient(w))

    def formula(x: Any, w: Any) -> Any:
        return keras.ops.sum(keras.ops.one_hot(keras.ops.cast(x, "int64"), tokens) * w[..., None], axis=1)

    def ours(x: Any, w: Any) -> Any:
        return mine(x, count_weights=w)

    assert_equals_keras(Twins(ours, layer, spread=True), x, weights, gradient=None)
    assert_equals_keras(Twins(ours, formula, spread=True), x, weights)


def test_one_hot_of_more_axes_and_of_what_is_no_token() -> None:
    mine, theirs = layers.CategoryEncoding(3, "one_hot"), keras.layers.CategoryEncoding(3, "one_hot")
    assert_equals_keras(Twins(mine, theirs), whole("x", (2, 3, 4), -2, 5))
    assert_equals_keras(Twins(mine, theirs), whole("x", (4,), 0, 2))
    assert_equals_keras(Twins(mine, theirs), whole("x", (2, 3, 1), 0, 2))


VOCABULARY = [7, -3, 12, 10**15, 5, 0]


@equal("layers", "IntegerLookup")
@FEW
@given(
    size=st.integers(1, 6),
    mode=lookup_modes,
    num_oov_indices=st.integers(1, 3),
    mask_token=st.sampled_from([None, 99]),
    special=st.booleans(),
    padded=st.booleans(),
    samples=st.integers(1, 5),
    dtype=st.sampled_from(["int32", "int64"]),
)
def test_integer_lookup(
    size: int,
    mode: str,
    num_oov_indices: int,
    mask_token: int | None,
    special: bool,
    padded: bool,
    samples: int,
    dtype: str,
) -> None:
    vocabulary = VOCABULARY[:size]
    if special:
        vocabulary = (
            [mask_token] * (mask_token is not None and mode == "int") + [-1] * num_oov_indices + vocabulary
        )
    arguments: dict[str, Any] = {
        "max_tokens": 12,
        "num_oov_indices": num_oov_indices,
        "mask_token": mask_token,
        "vocabulary": vocabulary,
        "output_mode": mode,
        "pad_to_max_tokens": padded,
        "idf_weights": numbers("idf", (len(vocabulary),)).tolist() if mode == "tf_idf" else None,
    }
    mine, theirs = layers.IntegerLookup(**arguments), keras.layers.IntegerLookup(**arguments)
    assert mine.get_vocabulary() == [int(t) for t in theirs.get_vocabulary()]
    assert mine.get_vocabulary(False) == [int(t) for t in theirs.get_vocabulary(False)]
    x = np.random.default_rng(size).choice([*VOCABULARY[:5], 99, 8, -4], (4, samples))
    x = np.where(np.abs(x) > 2**31, x if dtype == "int64" else 7, x).astype(dtype)
    assert_equals_keras(Twins(mine, theirs), x)


@FEW
@given(
    mode=lookup_modes,
    max_tokens=st.sampled_from([None, 4, 9]),
    mask_token=st.sampled_from([None, 2]),
    batched=st.booleans(),
    steps=st.sampled_from([None, 1]),
)
def test_integer_lookup_adapts(
    mode: str, max_tokens: int | None, mask_token: int | None, batched: bool, steps: int | None
) -> None:
    data = whole("data", (6, 5), -1, 6)
    arguments: dict[str, Any] = {"max_tokens": max_tokens, "mask_token": mask_token, "output_mode": mode}
    mine, theirs = layers.IntegerLookup(**arguments), keras.layers.IntegerLookup(**arguments)
    adapted = mine.adapt(iter([data[:2], data[2:]]) if batched else data, steps)
    theirs.adapt(iter([data[:2], data[2:]]) if batched else data, steps)
    assert mine.vocabulary is None
    assert adapted.get_vocabulary() == [int(t) for t in theirs.get_vocabulary()]
    assert adapted.vocabulary_size() == theirs.vocabulary_size()
    assert_equals_keras(Twins(adapted, lambda x: theirs(x)), whole("x", (3, 4), -2, 9))


@FEW
@given(mask_token=st.sampled_from([None, 99]), num_oov_indices=st.integers(0, 2))
def test_integer_lookup_inverts(mask_token: int | None, num_oov_indices: int) -> None:
    arguments: dict[str, Any] = {
        "mask_token": mask_token,
        "num_oov_indices": num_oov_indices,
        "vocabulary": VOCABULARY[:4],
        "invert": True,
    }
    mine, theirs = layers.IntegerLookup(**arguments), keras.layers.IntegerLookup(**arguments)
    assert_equals_keras(Twins(mine, theirs), whole("x", (3, 6), -2, 9))


def test_integers_outside_a_vocabulary_without_a_place_for_them() -> None:
    x = nm.Input((2,), "int64")
    for mode, expected in (("int", [[0, -1]]), ("count", [[1, 0]])):
        layer = layers.IntegerLookup(num_oov_indices=0, vocabulary=[7, 8], output_mode=mode)
        assert nm.Model(x, layer(x)).predict(np.array([[7, 9]])).tolist() == expected


WORDS = ["red", "blue", "größe", "", "x y"]


@equal("layers", "StringLookup")
@FEW
@given(
    mode=lookup_modes,
    mask_token=st.sampled_from([None, "", "m"]),
    special=st.booleans(),
    samples=st.integers(1, 4),
)
def test_string_lookup(mode: str, mask_token: str | None, special: bool, samples: int) -> None:
    vocabulary = WORDS[:3]
    if special:
        vocabulary = [mask_token or ""] * (mask_token is not None and mode == "int") + ["[UNK]", *vocabulary]
    arguments: dict[str, Any] = {
        "mask_token": mask_token,
        "vocabulary": vocabulary,
        "output_mode": mode,
        "idf_weights": numbers("idf", (len(vocabulary),)).tolist() if mode == "tf_idf" else None,
    }
    mine, theirs = layers.StringLookup(**arguments), keras.layers.StringLookup(**arguments)
    assert mine.get_vocabulary() == theirs.get_vocabulary()
    x = np.random.default_rng(samples).choice(np.array([*WORDS, "m", "?"], object), (5, samples))
    assert_equals_keras(Twins(mine, theirs), x, gradient=None)


@FEW
@given(
    mode=lookup_modes, max_tokens=st.sampled_from([None, 3]), mask_token=st.sampled_from([None, "", "red"])
)
def test_string_lookup_adapts(mode: str, max_tokens: int | None, mask_token: str | None) -> None:
    data = np.random.default_rng(0).choice(np.array(WORDS, object), (6, 4))
    arguments: dict[str, Any] = {"max_tokens": max_tokens, "mask_token": mask_token, "output_mode": mode}
    mine, theirs = layers.StringLookup(**arguments).adapt(data), keras.layers.StringLookup(**arguments)
    theirs.adapt(data)
    assert mine.get_vocabulary() == theirs.get_vocabulary()
    assert_equals_keras(Twins(mine, lambda x: theirs(x)), data, gradient=None)


@pytest.mark.parametrize("mask_token", [None, ""])
def test_string_lookup_inverts(mask_token: str | None) -> None:
    arguments: dict[str, Any] = {"vocabulary": WORDS[:3], "mask_token": mask_token, "invert": True}
    x = whole("x", (3, 6), -1, 6)
    [found] = run(model_of(layers.StringLookup(**arguments), [x]).proto, [x])
    expected = keras.layers.StringLookup(**arguments)(x).numpy()
    assert found.tolist() == [[token.decode() for token in row] for row in expected]


# -- training ----------------------------------------------------------------------------------------------


def test_statistics_are_in_the_file_and_are_not_trained(tmp_path: Any) -> None:
    data = numbers("data", (40, 2), 5, 9)
    kinds = whole("kinds", (40, 1), 0, 2)
    x, kind = nm.Input((2,)), nm.Input((1,), "int64")
    scaled = layers.Normalization().adapt(data)(x)
    coded = layers.CategoryEncoding(3, "one_hot")(
        layers.IntegerLookup(vocabulary=[2, 0, 1], num_oov_indices=0)(kind)
    )
    y = layers.Dense(1)(layers.Concatenate()([scaled, coded]))
    model = nm.Model([x, kind], y).loss("mse").optimizer("sgd", learning_rate=0.1)
    assert model.recipe is not None
    assert set(model.recipe.trainable) == {"dense/kernel", "dense/bias"}
    target = data.sum(1, keepdims=True) + kinds
    history = model.train([data, kinds], target.astype(np.float32), epochs=20, batch_size=20, verbose=0)
    assert history.step_losses[-1] < 0.1 * history.step_losses[0]
    model.save(tmp_path / "net.onnx")
    np.testing.assert_array_equal(
        nm.load(tmp_path / "net.onnx").predict([data, kinds]), model.predict([data, kinds])
    )


CNTK: list[tuple[Any, tuple[int, ...], str, str | None]] = [
    (layers.Rescaling([0.5, 2.0], 1.0), (2, 3, 3), "float32", None),
    (layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 4.0]), (2,), "float32", None),
    (layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 4.0]), (2, 3, 3), "float32", None),
    (layers.Discretization([0.0, 1.0], output_mode="count"), (4,), "float32", None),
    (layers.CategoryEncoding(3, "one_hot"), (1,), "int64", None),
    (layers.CategoryEncoding(3, "multi_hot"), (4,), "int64", None),
    (layers.IntegerLookup(vocabulary=[3, 1, 2], output_mode="one_hot"), (1,), "int64", None),
    (layers.IntegerLookup(vocabulary=[3, 1], num_oov_indices=2, output_mode="count"), (4,), "int64", None),
]


@pytest.mark.parametrize(("layer", "shape", "dtype", "reason"), CNTK)
def test_what_cntk_takes(layer: Any, shape: tuple[int, ...], dtype: str, reason: str | None) -> None:
    x = nm.Input(shape, dtype)
    y = layers.Dense(1)(layers.Flatten()(layer(x)))
    found = records(nm.Model(x, y))
    assert found is None if reason is None else reason in (found or "")
