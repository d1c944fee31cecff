"""Recurrent classifiers as ONNX models, for comparing engines with each other and with Keras.

Both take ``x`` (batch, time, features) float32 and give ``probabilities`` (batch, classes), at opset 17.
Their parameters have fixed first values and the shapes that ONNX asks for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.opsets import BATCH
from neuromatic.ir.values import Value

FEATURES, UNITS, CLASSES = 3, 5, 4
INITIAL_BOUND = 0.4


def lstm_classifier(
    time: int | str = 6, *, features: int = FEATURES, units: int = UNITS, classes: int = CLASSES
) -> ModelProto:
    """Transpose, LSTM, Squeeze of its last hidden state, Gemm, Softmax.

    Parameters: ``lstm/kernel`` (1, 4 units, features), ``lstm/recurrent_kernel`` (1, 4 units, units),
    ``lstm/bias`` (1, 8 units), ``dense/kernel`` (units, classes), ``dense/bias`` (classes,).
    """
    g, x = _time_major(time, features)
    with g.layer("lstm"):
        parameters = _recurrent_parameters(g, gates=4, directions=1, features=features, units=units)
        _, last = g.add_many("LSTM", x, *parameters, outputs=["", "lstm/Y_h"], hidden_size=units)
        last = g.add("Squeeze", last, g.ints(0))
    return _classified(g, last, units, classes)


def bidirectional_gru_classifier(
    time: int | str = 6,
    *,
    features: int = FEATURES,
    units: int = UNITS,
    classes: int = CLASSES,
    linear_before_reset: bool = True,
) -> ModelProto:
    """Transpose, bidirectional GRU, both last hidden states side by side, Gemm, Softmax.

    Parameters: ``gru/kernel`` (2, 3 units, features), ``gru/recurrent_kernel`` (2, 3 units, units),
    ``gru/bias`` (2, 6 units), ``dense/kernel`` (2 units, classes), ``dense/bias`` (classes,).
    """
    g, x = _time_major(time, features)
    with g.layer("gru"):
        parameters = _recurrent_parameters(g, gates=3, directions=2, features=features, units=units)
        _, last = g.add_many(
            "GRU",
            x,
            *parameters,
            outputs=["", "gru/Y_h"],
            hidden_size=units,
            direction="bidirectional",
            linear_before_reset=int(linear_before_reset),
        )
        by_example = g.add("Transpose", last, perm=[1, 0, 2])
        both = g.add("Reshape", by_example, g.ints(0, 2 * units))
    return _classified(g, both, 2 * units, classes)


def _time_major(time: int | str, features: int) -> tuple[GraphBuilder, Value]:
    g = GraphBuilder()
    x = g.input("x", TensorProto.FLOAT, (BATCH, time, features))
    return g, g.add("Transpose", x, name="time_major", perm=[1, 0, 2])


def _recurrent_parameters(
    g: GraphBuilder, *, gates: int, directions: int, features: int, units: int
) -> tuple[Value, Value, Value]:
    """W, R and B; all of them random, so that a mistake in the order of gates shows."""
    return (
        g.param("kernel", _uniform, (directions, gates * units, features)),
        g.param("recurrent_kernel", _uniform, (directions, gates * units, units)),
        g.param("bias", _uniform, (directions, 2 * gates * units)),
    )


def _classified(g: GraphBuilder, x: Value, units: int, classes: int) -> ModelProto:
    with g.layer("dense"):
        kernel, bias = g.param("kernel", _uniform, (units, classes)), g.param("bias", _uniform, (classes,))
        scores = g.add("Softmax", g.add("Gemm", x, kernel, bias), axis=-1)
    g.output(scores, "probabilities")
    return g.finish()


def _uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return rng.uniform(-INITIAL_BOUND, INITIAL_BOUND, shape)
