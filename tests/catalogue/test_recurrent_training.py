"""What recurrent layers do in training besides their gradients; and what CNTK takes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import neuromatic as nm
from neuromatic import constraints, layers, regularizers
from neuromatic.layers.base import Layer, SymbolicTensor
from tests.catalogue.cntk import records
from tests.catalogue.layers import numbers
from tests.catalogue.recurrent import sequence, turns

Array = NDArray[Any]
UNITS = 3


@pytest.mark.parametrize(("kind", "rows"), [("SimpleRNN", 1), ("LSTM", 1), ("GRU", 2)])
def test_training_equals_keras_with_penalties_and_constraints(kind: str, rows: int) -> None:
    ours = getattr(layers, kind)(
        UNITS,
        kernel_regularizer=regularizers.OrthogonalRegularizer(0.1, mode="columns"),
        recurrent_regularizer=regularizers.L1L2(0.01, 0.02),
        bias_regularizer="l2",
        activity_regularizer=regularizers.L2(0.05),
        kernel_constraint=constraints.MaxNorm(0.9, axis=0),
        recurrent_constraint=constraints.UnitNorm(axis=1),
        bias_constraint="max_norm",
    )
    theirs = getattr(keras.layers, kind)(
        UNITS,
        kernel_regularizer=keras.regularizers.OrthogonalRegularizer(0.1, mode="columns"),
        recurrent_regularizer=keras.regularizers.L1L2(0.01, 0.02),
        bias_regularizer="l2",
        activity_regularizer=keras.regularizers.L2(0.05),
        kernel_constraint=keras.constraints.MaxNorm(0.9, axis=0),
        recurrent_constraint=keras.constraints.UnitNorm(axis=1),
        bias_constraint="max_norm",
    )
    theirs.activity_regularizer = keras.regularizers.L2(0.05)  # SimpleRNN takes the argument and forgets it
    x, y = sequence(), numbers("y", (3, UNITS))
    symbol = nm.Input((5, 2))
    model = nm.Model(symbol, ours(symbol)).loss("mse").optimizer("sgd", learning_rate=0.1)
    twin = keras.Sequential([keras.layers.Input((5, 2)), theirs])
    twin.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    weights = turns(kind, rows=rows)
    for variable, (name, turn) in zip(theirs.weights, weights.items(), strict=True):
        variable.assign(turn(model.parameters()[f"{model.proto.graph.output[0].name}/{name}"]))
    history = model.train(x, y, epochs=5, batch_size=3, verbose=0)
    losses = twin.fit(x, y, epochs=5, batch_size=3, verbose=0).history["loss"]
    np.testing.assert_allclose(history.step_losses, losses, rtol=1e-4)
    for variable, (name, turn) in zip(theirs.weights, weights.items(), strict=True):
        found = turn(model.parameters()[f"{model.proto.graph.output[0].name}/{name}"])
        np.testing.assert_allclose(found, variable.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


def first_values(layer: Layer, features: int = 40) -> dict[str, Array]:
    """A layer's parameters by their short names, in Keras' shapes."""
    x = nm.Input((4, features))
    model = nm.Model(x, layer(x))
    kind = type(layer).__name__
    turned = turns(kind, rows=2 if kind == "GRU" else 1)
    return {name: turned[name.split("/")[-1]](array) for name, array in _short(model).items()}


def _short(model: nm.Model) -> dict[str, Array]:
    return {t.name.split("/")[-1]: numpy_helper.to_array(t) for t in model.proto.graph.initializer}


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_first_values_are_distributed_as_keras_draws_them(kind: str) -> None:
    units, features = 20, 40
    found = first_values(getattr(layers, kind)(units), features)
    theirs = getattr(keras.layers, kind)(units)
    theirs.build((None, 4, features))
    shapes = {v.name: tuple(v.shape) for v in theirs.weights}
    assert {name: array.shape for name, array in found.items()} == shapes
    width = shapes["kernel"][1]
    limit = np.sqrt(6 / (features + width))
    assert 0.98 * limit < np.abs(found["kernel"]).max() <= limit
    recurrent = found["recurrent_kernel"].astype(np.float64)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(units), atol=1e-5)
    np.testing.assert_array_equal(found["bias"], theirs.weights[2].numpy())


def test_the_forget_gate_begins_at_its_initializer_if_wished() -> None:
    assert not first_values(layers.LSTM(UNITS, unit_forget_bias=False))["bias"].any()
    assert first_values(layers.LSTM(UNITS, bias_initializer="random_normal"))["bias"][UNITS : 2 * UNITS].all()


def dropped(layer: Layer, shape: tuple[int, ...], seed: float = 7.0) -> Array:
    """What the layer's dropout makes of ones in training, (steps, batch, features), by onnxruntime."""
    symbol = nm.Input(shape)
    functions = {f.name: f for f in nm.Model(symbol, layer(symbol)).proto.functions}
    body = functions["InputDropout_training"]
    for node in body.node:
        if node.op_type == "RandomUniformLike":
            node.attribute.append(helper.make_attribute("seed", seed))
    ones = np.ones((shape[0], 64, *shape[1:]), np.float32)
    kind = helper.make_tensor_value_info("x", TensorProto.FLOAT, ones.shape)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ones.shape)
    node = helper.make_node(body.name, ["x"], ["y"], domain=body.domain)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(body.domain, 1)]
    graph = helper.make_graph([node], "dropout", [kind], [result])
    model = helper.make_model(graph, opset_imports=opsets, functions=[body], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": ones})[0])


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.LSTM(UNITS, dropout=0.25), (6, 9)),
        (layers.RNN(layers.GRUCell(UNITS, dropout=0.25)), (6, 9)),
        (layers.ConvLSTM1D(UNITS, 2, dropout=0.25), (6, 3, 5)),
    ],
)
def test_dropout_drops_the_same_inputs_at_all_steps(layer: Layer, shape: tuple[int, ...]) -> None:
    y = dropped(layer, shape)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:1], y.shape))
    assert set(np.unique(y).tolist()) == {0.0, float(np.float32(1 / 0.75))}
    share = float((y[0] == 0).mean())
    assert abs(share - 0.25) < 4 * np.sqrt(0.25 * 0.75 / y[0].size)
    assert len({row.tobytes() for row in y[0]}) > 1


def test_dropout_does_nothing_in_inference() -> None:
    symbol = nm.Input((5, 2))
    model = nm.Model(symbol, layers.GRU(UNITS, dropout=0.9, name="a")(symbol))
    other = nm.Model(symbol, layers.GRU(UNITS, name="a")(symbol))
    np.testing.assert_array_equal(model.predict(sequence()), other.predict(sequence()))


# -- CNTK --------------------------------------------------------------------------------------------------

Made = Callable[[SymbolicTensor], Any]

TAKEN: dict[str, Made] = {
    "SimpleRNN": lambda x: layers.SimpleRNN(4, dropout=0.1, return_sequences=True)(x),
    "LSTM": lambda x: layers.LSTM(4, activation="leaky_relu", recurrent_activation="hard_sigmoid")(x),
    "LSTM written out": lambda x: layers.LSTM(4, activation="gelu", return_sequences=True)(x),
    "GRU": lambda x: layers.GRU(4, go_backwards=True, return_sequences=True)(x),
    "GRU without reset_after": lambda x: layers.GRU(4, reset_after=False)(x),
    "GRU written out": lambda x: layers.GRU(4, activation="gelu")(x),
    "RNN, StackedRNNCells": lambda x: layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)])(x),
    "Bidirectional": lambda x: layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x),
    "TimeDistributed": lambda x: layers.TimeDistributed(layers.PReLU())(x),
    "Masking": lambda x: layers.Dense(2)(layers.Masking()(x)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_cntk_takes(name: str) -> None:
    x = nm.Input((5, 3))
    assert records(nm.Model(x, TAKEN[name](x))) is None


def test_cntk_takes_cells_and_initial_states() -> None:
    x, h, c = nm.Input((3,)), nm.Input((4,), name="h"), nm.Input((4,), name="c")
    assert records(nm.Model([x, h, c], layers.LSTMCell(4, dropout=0.2).results(x, h, c)[0])) is None
    steps = nm.Input((5, 3), name="steps")
    assert records(nm.Model([steps, h, c], layers.LSTM(4)(steps, h, c))) is None


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_cntk_takes_conv_lstm(rank: int) -> None:
    x = nm.Input((3, 2, *(6, 5, 5)[:rank]))
    layer = getattr(layers, f"ConvLSTM{rank}D")(2, 2, return_sequences=True)
    assert records(nm.Model(x, layer(x))) is None


def test_cntk_refuses_masked_sequences() -> None:
    x = nm.Input((5, 3))
    assert "sequence_lens" in str(records(nm.Model(x, layers.LSTM(4)(layers.Masking()(x)))))
