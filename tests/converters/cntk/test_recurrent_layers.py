"""Recurrent layers and wrappers on TensorFlow and on CNTK: the same losses and weights over some steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import neuromatic as nm
from neuromatic import layers
from neuromatic.layers.base import SymbolicTensor
from neuromatic.reports.parity import compare

pytestmark = pytest.mark.usefixtures("cntk_environment")

Net = Callable[[SymbolicTensor], SymbolicTensor]

NETS: dict[str, tuple[tuple[int, ...], Net]] = {
    "stacked": ((5, 3), lambda x: layers.RNN([layers.LSTMCell(4), layers.GRUCell(3, reset_after=False)])(x)),
    "both ways": (
        (5, 3),
        lambda x: layers.GRU(3)(layers.Bidirectional(layers.LSTM(2, return_sequences=True))(x)),
    ),
    "backwards": (
        (5, 3),
        lambda x: layers.LSTM(3)(layers.SimpleRNN(4, return_sequences=True, go_backwards=True)(x)),
    ),
    "written out": (
        (5, 3),
        lambda x: layers.LSTM(3, activation="gelu")(layers.GRU(4, "silu", return_sequences=True)(x)),
    ),
    "convolutional": ((4, 2, 6), lambda x: layers.Flatten()(layers.ConvLSTM1D(1, 2, strides=2)(x))),
    "each step": (
        (4, 2, 6),
        lambda x: layers.SimpleRNN(3)(
            layers.Reshape((4, 10))(layers.TimeDistributed(layers.Conv1D(2, 2))(x))
        ),
    ),
}


@pytest.mark.parametrize("net", NETS)
def test_both_engines_train_alike(net: str) -> None:
    shape, make = NETS[net]
    symbol = nm.Input(shape)
    model = nm.Model(symbol, make(symbol)).loss("mse").optimizer("sgd", learning_rate=0.1)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(32, *shape)).astype(np.float32)
    y = rng.normal(size=(32, 3)).astype(np.float32)
    options = {"cntk": {"threads": 1}}
    found = compare(model, x, y, epochs=3, batch_size=8, seed=3, verbose=0, engine_options=options)
    assert found.loss_difference < 1e-5
    assert found.weight_difference[0] < 1e-4, found.weight_difference
    assert found.output_difference < 1e-4
