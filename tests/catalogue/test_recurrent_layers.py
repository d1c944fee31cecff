"""SimpleRNN, LSTM, GRU, their cells, RNN and Masking against Keras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic import layers
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers.base import Layer
from tests.catalogue.layers import FEW, Twins, assert_equals_keras, numbers
from tests.catalogue.recurrent import MASKS, Called, behind_masking, merged, sequence, turns
from tests.catalogue.status import equal

Array = NDArray[Any]

COMMON: dict[str, Any] = {
    "units": st.integers(1, 4),
    "activation": st.sampled_from(
        ["tanh", "relu", "hard_sigmoid", "softsign", "softplus", "elu", "leaky_relu", None, "gelu"]
    ),
    "use_bias": st.booleans(),
    "return_sequences": st.booleans(),
    "return_state": st.booleans(),
    "go_backwards": st.booleans(),
    "zero_output_for_mask": st.booleans(),
}
GATED = COMMON | {"recurrent_activation": st.sampled_from(["sigmoid", "hard_sigmoid", "silu"])}
UNITS = 3
SOME, FEWER = settings(FEW, max_examples=8), settings(FEW, max_examples=5)


def assert_recurrent(kind: str, arguments: dict[str, Any], mask: Any, *, rows: int = 1) -> None:
    """Our layer equals Keras' on a sequence, behind a Masking if there is a mask."""
    ours, theirs = getattr(layers, kind)(**arguments), getattr(keras.layers, kind)(**arguments)
    weights = turns(kind, rows=rows)
    if mask is None:
        assert_equals_keras(Twins(ours, theirs, weights), sequence())
    else:
        twins = Twins(lambda x: ours(layers.Masking()(x)), behind_masking(theirs), weights)
        assert_equals_keras(twins, sequence(mask))


@equal("layers", "SimpleRNN")
@SOME
@given(arguments=st.fixed_dictionaries(COMMON), mask=st.none() | MASKS)
def test_simple_rnn(arguments: dict[str, Any], mask: Any) -> None:
    assert_recurrent("SimpleRNN", arguments, mask)


@equal("layers", "LSTM")
@SOME
@given(arguments=st.fixed_dictionaries(GATED | {"unit_forget_bias": st.booleans()}), mask=st.none() | MASKS)
def test_lstm(arguments: dict[str, Any], mask: Any) -> None:
    assert_recurrent("LSTM", arguments, mask)


@equal("layers", "GRU")
@SOME
@given(arguments=st.fixed_dictionaries(GATED | {"reset_after": st.booleans()}), mask=st.none() | MASKS)
def test_gru(arguments: dict[str, Any], mask: Any) -> None:
    assert_recurrent("GRU", arguments, mask, rows=2 if arguments["reset_after"] else 1)


@equal("layers", "Masking")
@FEW
@given(mask=MASKS, value=st.sampled_from([0.0, 1.5]))
def test_masking(mask: Any, value: float) -> None:
    counts = np.array(mask, bool)[..., np.newaxis]
    x = np.where(counts, numbers("x", (3, 5, 2)), np.float32(value))
    assert_equals_keras(Twins(layers.Masking(value), keras.layers.Masking(value)), x)


def test_masking_of_one_feature_masks_no_step() -> None:
    x = numbers("x", (2, 3, 2))
    x[:, 1, 0] = 0.0
    assert_equals_keras(Twins(layers.Masking(), keras.layers.Masking()), x)


STEPS_BEFORE = [[0, 1, 1, 0, 1], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0]]
"""A gap and a beginning, no step at all, and padding at the end."""


@pytest.mark.parametrize("mask", [None, STEPS_BEFORE])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "gelu"])
@pytest.mark.parametrize(("kind", "states"), [("SimpleRNN", 1), ("GRU", 1), ("LSTM", 2)])
def test_initial_states(kind: str, states: int, activation: str, backwards: bool, mask: Any) -> None:
    arguments = {
        "activation": activation,
        "go_backwards": backwards,
        "return_sequences": True,
        "return_state": True,
    }
    ours = getattr(layers, kind)(UNITS, **arguments)
    theirs = getattr(keras.layers, kind)(UNITS, **arguments)
    counts = None if mask is None else np.array(mask, bool)
    twins = Twins(
        lambda x, *s: ours(layers.Masking()(x) if mask else x, initial_state=list(s)),
        Called(lambda layer, x, *s: layer(x, initial_state=list(s), mask=counts), theirs),
        turns(kind, rows=2 if kind == "GRU" else 1),
    )
    initial = [numbers(f"state {i}", (3, UNITS)) for i in range(states)]
    assert_equals_keras(twins, sequence(mask), *initial)


def test_initial_states_follow_the_input_as_well() -> None:
    layer, inner = layers.LSTM(UNITS), keras.layers.LSTM(UNITS)
    twins = Twins(layer, Called(lambda lstm, x, *s: lstm(x, initial_state=list(s)), inner), turns("LSTM"))
    assert_equals_keras(twins, sequence(), numbers("h", (3, UNITS)), numbers("c", (3, UNITS)))


def test_an_unknown_number_of_steps() -> None:
    twins = Twins(
        lambda x: layers.GRU(UNITS, return_sequences=True)(layers.Masking()(x)),
        behind_masking(keras.layers.GRU(UNITS, return_sequences=True)),
        turns("GRU", rows=2),
    )
    assert_equals_keras(twins, sequence(STEPS_BEFORE), declared=[(None, 2)])


@equal("layers", "SimpleRNNCell", "GRUCell", "LSTMCell")
@FEW
@given(
    kind=st.sampled_from(["SimpleRNN", "GRU", "LSTM"]),
    activation=st.sampled_from(["tanh", "gelu", None]),
    use_bias=st.booleans(),
    reset_after=st.booleans(),
)
def test_cells_alone(kind: str, activation: str | None, use_bias: bool, reset_after: bool) -> None:
    arguments: dict[str, Any] = {"activation": activation, "use_bias": use_bias}
    if kind == "GRU":
        arguments["reset_after"] = reset_after
    ours = getattr(layers, f"{kind}Cell")(UNITS, **arguments)
    theirs = getattr(keras.layers, f"{kind}Cell")(UNITS, **arguments)
    twins = Twins(
        ours,
        Called(lambda cell, x, *s: _flat(cell(x, list(s))), theirs),
        turns(kind, rows=2 if kind == "GRU" and reset_after else 1),
    )
    states = [numbers(f"state {i}", (3, UNITS)) for i in ours.state_size]
    if kind == "LSTM":
        states[1] = numbers("c", (3, UNITS))
    assert_equals_keras(twins, numbers("x", (3, 2)), *states)


def _flat(result: Any) -> tuple[Any, ...]:
    y, states = result
    flat = keras.tree.flatten(states)
    return (y, *flat)


STACK = merged(
    turns("LSTM", prefix="cell_0/"),
    turns("GRU", rows=2, prefix="cell_1/"),
    turns("SimpleRNN", prefix="cell_2/"),
)


def ours_stacked(activation: str = "tanh") -> Layer:
    return layers.StackedRNNCells(
        [layers.LSTMCell(UNITS), layers.GRUCell(2, activation=activation), layers.SimpleRNNCell(4)]
    )


def theirs_stacked(activation: str = "tanh") -> Any:
    return keras.layers.StackedRNNCells(
        [
            keras.layers.LSTMCell(UNITS),
            keras.layers.GRUCell(2, activation=activation),
            keras.layers.SimpleRNNCell(4),
        ]
    )


@equal("layers", "RNN", "StackedRNNCells")
@FEWER
@given(
    mask=st.none() | MASKS,
    activation=st.sampled_from(["tanh", "gelu"]),
    return_sequences=st.booleans(),
    go_backwards=st.booleans(),
)
def test_rnn_of_stacked_cells(mask: Any, activation: str, return_sequences: bool, go_backwards: bool) -> None:
    arguments: dict[str, Any] = {"return_sequences": return_sequences, "go_backwards": go_backwards}
    ours = layers.RNN(ours_stacked(activation), **arguments, return_state=True)
    theirs = keras.layers.RNN(theirs_stacked(activation), **arguments, return_state=True)

    def flat(layer: Any, *rest: Any) -> Any:
        x, options = rest[-1], {}
        if mask is not None:
            options["mask"] = np.array(mask, bool)
        y, *states = layer(x, **options)
        return (y, *keras.tree.flatten(states))

    twins = Twins(lambda x: ours(layers.Masking()(x) if mask is not None else x), Called(flat, theirs), STACK)
    assert_equals_keras(twins, sequence(mask))


def test_stacked_cells_alone() -> None:
    states = [numbers(f"state {i}", (3, n)) for i, n in enumerate((UNITS, UNITS, 2, 4))]

    def flat(stack: Any, x: Any, h: Any, c: Any, *others: Any) -> Any:
        return _flat(stack(x, [[h, c], *([s] for s in others)]))

    twins = Twins(ours_stacked(), Called(flat, theirs_stacked()), STACK)
    assert_equals_keras(twins, numbers("x", (3, 2)), *states)


@dataclass(frozen=True, eq=False)
class Leaky(Layer):
    """A cell of one's own: ``s = 0.9 * s + x``, and as output twice that."""

    state_size = 2
    merges = True

    def emit(self, g: GraphBuilder, x: Value, s: Value) -> tuple[Value, ...]:
        s = g.add("Add", g.add("Mul", s, g.const(0.9)), x)
        return g.add("Mul", s, g.const(2.0)), s


class TheirLeaky(keras.layers.Layer):  # type: ignore[misc]
    """The same for Keras."""

    state_size = 2

    def call(self, x: Any, states: Any) -> Any:
        s = 0.9 * states[0] + x
        return 2.0 * s, [s]


@FEW
@given(mask=st.none() | MASKS, sequences=st.booleans(), backwards=st.booleans(), zero=st.booleans())
def test_rnn_of_a_cell_of_ones_own(mask: Any, sequences: bool, backwards: bool, zero: bool) -> None:
    arguments: dict[str, Any] = {
        "return_sequences": sequences,
        "go_backwards": backwards,
        "zero_output_for_mask": zero,
    }
    ours = layers.RNN(Leaky(), **arguments, return_state=True)
    theirs = keras.layers.RNN(TheirLeaky(), **arguments, return_state=True)
    counts = None if mask is None else np.array(mask, bool)
    twins = Twins(
        lambda x: ours(layers.Masking()(x) if mask is not None else x),
        Called(lambda layer, x: tuple(layer(x, mask=counts)), theirs),
    )
    assert_equals_keras(twins, sequence(mask))


def test_a_mask_by_keyword_and_the_mask_of_the_result() -> None:
    x, mask = nm.Input((5, 2)), nm.Input((5,), "bool", name="mask")
    y = layers.LSTM(UNITS, return_sequences=True)(x, mask=mask)
    assert y.masked
    assert not layers.LSTM(UNITS)(x, mask=mask).masked
    model = nm.Model([x, mask], [y])
    data, counts = sequence(), np.array(STEPS_BEFORE, bool)
    theirs = keras.layers.LSTM(UNITS, return_sequences=True)
    theirs(data)
    for variable, (name, turn) in zip(theirs.weights, turns("LSTM").items(), strict=True):
        variable.assign(turn(model.parameters()[f"lstm/{name}"]))
    found = model.predict({"input": data, "mask": counts})
    np.testing.assert_allclose(found, theirs(data, mask=counts), rtol=1e-5, atol=1e-6)
