"""The graphs of recurrent layers and wrappers, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import neuromatic as nm
from neuromatic import layers
from neuromatic.errors import ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers.base import Layer


def operators(layer: Layer, shape: tuple[int, ...] = (5, 3)) -> list[str]:
    """The operators of a layer's graph, without constants."""
    x = nm.Input(shape)
    result = layer(x)
    outputs = list(result) if isinstance(result, tuple) else [result]
    return [n.op_type for n in nm.Model(x, outputs).proto.graph.node if n.op_type != "Constant"]


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.GRU(4), ["Transpose", "GRU", "Squeeze"]),
        (layers.LSTM(4), ["Transpose", "Concat", "LSTM", "Squeeze"]),
        (layers.LSTM(4, use_bias=False), ["Transpose", "LSTM", "Squeeze"]),
        (layers.SimpleRNN(4, use_bias=False), ["Transpose", "RNN", "Squeeze"]),
        (layers.GRU(4, return_sequences=True), ["Transpose", "GRU", "Squeeze", "Transpose"]),
        (
            layers.RNN([layers.GRUCell(4), layers.GRUCell(2)]),
            ["Transpose", "GRU", "Squeeze", "GRU", "Squeeze"],
        ),
        (layers.TimeDistributed(layers.Dense(2)), ["MatMul", "Add"]),
    ],
)
def test_graphs_are_the_operator_and_little_else(layer: Layer, expected: list[str]) -> None:
    assert operators(layer) == expected


def test_only_the_results_that_are_used_are_computed() -> None:
    x = nm.Input((5, 3))
    nodes = nm.Model(x, layers.LSTM(4, return_sequences=True)(x)).proto.graph.node
    assert next(list(n.output) for n in nodes if n.op_type == "LSTM") == ["lstm/Y"]
    nodes = nm.Model(x, layers.LSTM(4)(x)).proto.graph.node
    assert next(list(n.output) for n in nodes if n.op_type == "LSTM") == ["", "lstm/Y_h"]


def test_a_layer_called_twice_has_one_set_of_parameters() -> None:
    x, y = nm.Input((5, 3)), nm.Input((4, 3), name="y")
    layer = layers.LSTM(4)
    model = nm.Model([x, y], [layer(x), layer(y)])
    assert [t.name for t in model.proto.graph.initializer] == [
        "lstm/kernel",
        "lstm/recurrent_kernel",
        "lstm/bias",
    ]


def test_parameter_names_of_wrappers() -> None:
    chain = nm.Sequential((5, 3)).bidirectional(layers.GRU(2, return_sequences=True))
    chain = chain.rnn([layers.SimpleRNNCell(2)]).reshape((2, 1)).time_distributed(layers.PReLU())
    assert [t.name for t in chain.onnx().graph.initializer] == [
        "bidirectional/forward/kernel",
        "bidirectional/forward/recurrent_kernel",
        "bidirectional/forward/bias",
        "bidirectional/backward/kernel",
        "bidirectional/backward/recurrent_kernel",
        "bidirectional/backward/bias",
        "rnn/cell_0/kernel",
        "rnn/cell_0/recurrent_kernel",
        "rnn/cell_0/bias",
        "time_distributed/layer/alpha",
    ]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.LSTM(0), ValueError, "LSTM: units must be a positive integer, got 0"),
        (
            lambda: layers.GRUCell("x"),  # type: ignore[arg-type]
            ValueError,
            "GRUCell: units must be a positive integer, got 'x'",
        ),
        (
            lambda: layers.GRU(2, dropout=1.0),
            ValueError,
            "GRU: dropout must be a number from 0 to below 1, got 1.0",
        ),
        (
            lambda: layers.SimpleRNN(2, recurrent_dropout=0.5),
            ValueError,
            "SimpleRNN: recurrent_dropout must be 0, because ONNX' recurrent operators cannot drop anything "
            "between their steps, got 0.5; use dropout",
        ),
        (
            lambda: layers.LSTM(2, stateful=True),
            ValueError,
            "LSTM: stateful must be False, because an ONNX model keeps nothing between two calls; use "
            "return_state=True and give the states to the next call as initial_state",
        ),
        (
            lambda: layers.StackedRNNCells([]),
            TypeError,
            "StackedRNNCells: cells must be a list of cells, got []",
        ),
        (
            lambda: layers.Masking("x"),  # type: ignore[arg-type]
            TypeError,
            "Masking: mask_value must be a number, got 'x'",
        ),
        (
            lambda: layers.Bidirectional(layers.LSTM(2), "max"),  # type: ignore[arg-type]
            ValueError,
            'Bidirectional: merge_mode must be "sum", "mul", "concat", "ave" or None, got \'max\'',
        ),
        (
            lambda: layers.Bidirectional(layers.LSTM(2), backward_layer=layers.LSTM(2)),
            ValueError,
            "Bidirectional: one of both layers must have go_backwards=True, got False for both",
        ),
        (
            lambda: layers.Bidirectional(
                layers.LSTM(2), backward_layer=layers.LSTM(2, go_backwards=True, return_state=True)
            ),
            ValueError,
            "Bidirectional: return_state must be the same in both layers, got False and True",
        ),
        (
            lambda: layers.ConvLSTM2D(2, 3, padding=1),
            ValueError,
            'ConvLSTM2D: padding must be "valid" or "same", got 1',
        ),
        (
            lambda: layers.ConvLSTM1D(2, 3, strides=2, dilation_rate=2),
            ValueError,
            "ConvLSTM1D: strides above 1 and dilation_rate above 1 exclude each other, got strides=(2,) and "
            "dilation_rate=(2,)",
        ),
    ],
)
def test_wrong_arguments(make: Callable[[], Layer], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == message


def test_what_is_no_layer_or_cell_is_refused() -> None:
    dense = layers.Dense(2)
    with pytest.raises(TypeError, match=r"^RNN: a cell is a layer with a state_size, got Dense\("):
        layers.RNN(dense)
    with pytest.raises(TypeError, match=r"^StackedRNNCells: a cell is a layer with a state_size, got 3$"):
        layers.RNN([3])  # type: ignore[list-item]
    with pytest.raises(
        TypeError, match=r"^Bidirectional: layer must be a recurrent layer, such as LSTM\(8\)"
    ):
        layers.Bidirectional(dense)
    with pytest.raises(TypeError, match=r"^TimeDistributed: layer must be a layer of one input, got "):
        layers.TimeDistributed(layers.GRUCell(2))


@dataclass(frozen=True, eq=False)
class Stateless(Layer):
    """A cell that forgets to return its state."""

    state_size = 2

    def emit(self, g: GraphBuilder, x: Value, s: Value) -> Value:
        return g.add("Add", x, s)


STEPS, IMAGES = (5, 3), (5, 2, 6, 6)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            layers.LSTM(2),
            (3,),
            "lstm: LSTM takes (batch, steps, features), got (batch, 3) from 'input'; "
            "put a reshape() before it",
        ),
        (
            layers.GRU(2),
            (5, None),
            "gru: GRUCell takes (batch, steps, features) with known features, got (batch, 5, ?)",
        ),
        (
            layers.GRU(2, activation="gelu"),
            (None, 3),
            "gru: a cell that is no ONNX operator is written out step by step, which needs a known number of "
            "steps, got (batch, ?, 3); give Input that number",
        ),
        (
            layers.RNN(Stateless()),
            (5, 2),
            "rnn: Stateless has 1 states, but returned 0 after its output",
        ),
        (
            layers.Masking(),
            (3,),
            "masking: Masking takes (batch, steps, features), got (batch, 3) from 'input'; "
            "put a reshape() before it",
        ),
        (
            layers.TimeDistributed(layers.Dense(2)),
            (3,),
            "time_distributed: TimeDistributed takes (batch, steps, ...) of rank 3 or more, "
            "got (batch, 3) from 'input'",
        ),
        (
            layers.TimeDistributed(layers.Flatten()),
            (None, None, 3),
            "time_distributed/layer: TimeDistributed needs known sizes after unknown steps, "
            "got (batch, ?, ?, 3) from 'input'",
        ),
        (
            layers.TimeDistributed(layers.LSTM(2, return_state=True)),
            (5, 4, 3),
            "time_distributed/layer: TimeDistributed takes a layer of one result, this one has 3",
        ),
        (
            layers.ConvLSTM2D(2, 3),
            (5, 2, None, 6),
            "conv_lstm2d: ConvLSTM2D takes (batch, steps, channels, height, width) with known sizes, "
            "channels first, got (batch, 5, 2, ?, 6)",
        ),
        (
            layers.ConvLSTM1D(2, 7),
            (5, 2, 6),
            "conv_lstm1d: ConvLSTM1D needs a sequence of at least 7, got (batch, 2, 6) from "
            "'conv_lstm1d/Gather_2'; use padding=\"same\" or a smaller window",
        ),
    ],
)
def test_wrong_shapes(layer: Layer, shape: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ShapeError) as raised:
        layer(nm.Input(shape))
    assert str(raised.value) == message


def test_wrong_numbers_of_states() -> None:
    x, h = nm.Input((5, 3)), nm.Input((2,), name="h")
    with pytest.raises(ShapeError, match=r"^lstm: LSTM has 2 initial states, got 1$"):
        layers.LSTM(2)(x, h)
    row = nm.Input((3,), name="row")
    with pytest.raises(ShapeError, match=r"^lstm_cell: LSTMCell takes an input and 2 states, got 1 states$"):
        layers.LSTMCell(2)(row, h)
    stack = layers.StackedRNNCells([layers.GRUCell(2), layers.LSTMCell(2)])
    message = r"^stacked_rnn_cells: StackedRNNCells takes an input and 3 states, got 1 states$"
    with pytest.raises(ShapeError, match=message):
        stack(row, h)
