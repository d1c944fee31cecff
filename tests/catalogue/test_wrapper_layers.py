"""Bidirectional, TimeDistributed and the ConvLSTM layers against Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic import layers
from neuromatic.layers.base import Layer
from tests.catalogue.layers import FEW, Turn, Twins, assert_equals_keras, kernel, numbers
from tests.catalogue.recurrent import MASKS, Called, merged, sequence, turns
from tests.catalogue.status import equal

Array = NDArray[Any]
FEWER = settings(FEW, max_examples=7)
UNITS = 3


def both(kind: str, *, rows: int = 1) -> dict[str, Turn]:
    """The parameters of a layer forward and of one backward."""
    return merged(*(turns(kind, rows=rows, prefix=f"{way}/") for way in ("forward", "backward")))


@equal("layers", "Bidirectional")
@FEWER
@given(
    kind=st.sampled_from(["SimpleRNN", "GRU", "LSTM"]),
    merge_mode=st.sampled_from(["concat", "sum", "mul", "ave", None]),
    return_sequences=st.booleans(),
    return_state=st.booleans(),
    mask=st.none() | MASKS,
)
def test_bidirectional(
    kind: str, merge_mode: Any, return_sequences: bool, return_state: bool, mask: Any
) -> None:
    arguments = {"return_sequences": return_sequences, "return_state": return_state}
    ours = layers.Bidirectional(getattr(layers, kind)(UNITS, **arguments), merge_mode)
    theirs = keras.layers.Bidirectional(getattr(keras.layers, kind)(UNITS, **arguments), merge_mode)
    counts = None if mask is None else np.array(mask, bool)
    twins = Twins(
        lambda x: ours(layers.Masking()(x) if mask is not None else x),
        Called(lambda layer, x: layer(x, mask=counts), theirs),
        both(kind, rows=2 if kind == "GRU" else 1),
    )
    assert_equals_keras(twins, sequence(mask))


def test_bidirectional_with_two_layers_and_initial_states() -> None:
    ours = layers.Bidirectional(
        layers.GRU(UNITS, return_sequences=True),
        backward_layer=layers.GRU(UNITS, activation="relu", return_sequences=True, go_backwards=True),
    )
    theirs = keras.layers.Bidirectional(
        keras.layers.GRU(UNITS, return_sequences=True),
        backward_layer=keras.layers.GRU(UNITS, activation="relu", return_sequences=True, go_backwards=True),
    )
    twins = Twins(
        lambda x, *s: ours(x, initial_state=list(s)),
        Called(lambda layer, x, *s: layer(x, initial_state=[[v] for v in s]), theirs),
        both("GRU", rows=2),
    )
    assert_equals_keras(twins, sequence(), numbers("a", (3, UNITS)), numbers("b", (3, UNITS)))


def steps_last(array: Array) -> Array:
    """(batch, steps, channels, ...) with the channels last."""
    return np.moveaxis(array, 2, -1)


def steps_first(array: Array) -> Array:
    """The inverse of :func:`steps_last`."""
    return np.moveaxis(array, -1, 2)


STEPWISE: list[tuple[str, Layer, Any]] = [
    ("dense", layers.Dense(4, activation="relu"), keras.layers.Dense(4, activation="relu")),
    ("activation", layers.Activation("softmax"), keras.layers.Activation("softmax")),
    ("normalization", layers.LayerNormalization(), keras.layers.LayerNormalization()),
    ("recurrent", layers.LSTM(UNITS), keras.layers.LSTM(UNITS)),
    ("flatten", layers.Flatten(), keras.layers.Flatten()),
]


@equal("layers", "TimeDistributed")
@pytest.mark.parametrize("declared", [None, [(None, 5, 2)]])
@pytest.mark.parametrize(("name", "ours", "theirs"), STEPWISE)
def test_time_distributed(name: str, ours: Layer, theirs: Any, declared: Any) -> None:
    fresh = theirs.__class__.from_config(theirs.get_config())
    twins = Twins(
        layers.TimeDistributed(ours),
        keras.layers.TimeDistributed(fresh),
        turns("LSTM") if name == "recurrent" else {},
    )
    assert_equals_keras(twins, numbers("x", (3, 4, 5, 2)), declared=declared)


@pytest.mark.parametrize("declared", [None, [(None, 2, 5, 4)]])
def test_time_distributed_convolution(declared: Any) -> None:
    twins = Twins(
        layers.TimeDistributed(layers.Conv2D(3, 2)),
        keras.layers.TimeDistributed(keras.layers.Conv2D(3, 2)),
        {"kernel": kernel},
        to_keras=steps_last,
        from_keras=steps_first,
    )
    assert_equals_keras(twins, numbers("x", (2, 3, 2, 5, 4)), declared=declared)


def test_time_distributed_keeps_the_mask() -> None:
    x = layers.Masking()(nm.Input((5, 2)))
    assert layers.TimeDistributed(layers.Dense(3))(x).masked


@equal("layers", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
@FEWER
@given(
    rank=st.integers(1, 3),
    arguments=st.fixed_dictionaries(
        {
            "kernel_size": st.integers(1, 3),
            "padding": st.sampled_from(["valid", "same"]),
            "activation": st.sampled_from(["tanh", "relu"]),
            "recurrent_activation": st.sampled_from(["sigmoid", "hard_sigmoid"]),
            "use_bias": st.booleans(),
            "return_sequences": st.booleans(),
            "go_backwards": st.booleans(),
        }
    ),
    moving=st.sampled_from([{}, {"strides": 2}, {"dilation_rate": 2}]),
    mask=st.none() | st.just([[0, 1, 0], [1, 1, 0]]),
)
def test_conv_lstm(rank: int, arguments: dict[str, Any], moving: dict[str, int], mask: Any) -> None:
    options = arguments | moving
    ours = getattr(layers, f"ConvLSTM{rank}D")(2, **options)
    theirs = getattr(keras.layers, f"ConvLSTM{rank}D")(2, **options)
    counts = None if mask is None else np.array(mask, bool)
    inputs = [numbers("x", (2, 3, 2, *(6, 5, 5)[:rank]))]
    if counts is not None:
        inputs.append(counts)

    def turned(array: Array) -> Array:
        return array if array.dtype == bool else np.moveaxis(array, 2, -1)

    def turned_back(array: Array) -> Array:
        return np.moveaxis(array, -1, array.ndim - rank - 1)

    twins = Twins(
        lambda x, *m: ours(x, **({"mask": m[0]} if m else {})),
        Called(lambda layer, x, *m: layer(x, mask=counts), theirs),
        {"kernel": kernel, "recurrent_kernel": kernel},
        to_keras=turned,
        from_keras=turned_back,
    )
    assert_equals_keras(twins, *inputs)


def test_conv_lstm_states() -> None:
    ours = layers.ConvLSTM1D(2, 2, return_state=True)
    theirs = keras.layers.ConvLSTM1D(2, 2, return_state=True)
    twins = Twins(
        lambda x, *s: ours(x, initial_state=list(s)),
        Called(lambda layer, x, *s: tuple(layer(x, initial_state=list(s))), theirs),
        {"kernel": kernel, "recurrent_kernel": kernel},
        to_keras=lambda array: np.moveaxis(array, -2, -1),
        from_keras=lambda array: np.moveaxis(array, -1, -2),
    )
    states = [numbers(name, (2, 2, 5)) for name in ("h", "c")]
    assert_equals_keras(twins, numbers("x", (2, 3, 2, 6)), *states)
