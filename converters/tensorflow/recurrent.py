"""Recurrent layers: LSTM, GRU, RNN."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._recurrence import (
    Cell,
    Defaults,
    Function,
    Recurrence,
    States,
    Step,
)
from neuromatic.converters.tensorflow._recurrence import activations as functions_of
from neuromatic.converters.tensorflow._tensors import Tensor
from neuromatic.converters.tensorflow.registry import ops

Floats = Sequence[float] | None
Names = Sequence[str] | None

# onnxruntime clips what comes into an LSTM's gates, but not the cell's state on its way to H.
_OF_LSTM = Defaults(("Sigmoid", "Tanh", "Tanh"), never_clipped=(2,))
_OF_GRU = Defaults(("Sigmoid", "Tanh"))
_OF_RNN = Defaults(("Tanh",))


@ops.lowers("LSTM", since=(7, 14, 22))
def lstm(
    scope: Scope,
    X: Tensor,
    W: Tensor,
    R: Tensor,
    B: Tensor = None,
    sequence_lens: Tensor = None,
    initial_h: Tensor = None,
    initial_c: Tensor = None,
    P: Tensor = None,
    *,
    activation_alpha: Floats,
    activation_beta: Floats,
    activations: Names,
    clip: float | None,
    direction: str,
    hidden_size: int | None,
    input_forget: int,
    layout: int,
) -> States:
    """C = f * C + i * g(X W' + H R' + B);  H = o * h(C);  i, f, o = f(X W' + H R' + P * C + B).

    X (time, batch, features), W (directions, 4 hidden, features), R (directions, 4 hidden, hidden), gates in
    the order i, o, f, c;  B (directions, 8 hidden), P (directions, 3 hidden);
    Y (time, directions, batch, hidden), Y_h and Y_c (directions, batch, hidden).
    https://onnx.ai/onnx/operators/onnx__LSTM.html.  14: layout 1, batch first.  22: bfloat16.
    """
    functions = functions_of(scope, _OF_LSTM, direction, activations, activation_alpha, activation_beta, clip)

    def cell(d: int) -> Cell:
        peepholes = None if P is None else P[d]
        return Cell(W[d], _bias(B, d), _lstm_step(R[d], peepholes, functions[d], bool(input_forget)))

    initial = (initial_h, initial_c)
    return Recurrence(scope, X, R.shape[-1], sequence_lens, initial, direction, layout).run(cell)


def _lstm_step(R: Tensor, P: Tensor, functions: Sequence[Function], input_forget: bool) -> Step:
    gate, candidate, output = functions
    peepholes = None if P is None else tf.split(P, 3)  # of i, o, f

    def opened(x: Tensor, index: int, C: Tensor) -> Tensor:
        return gate(x if peepholes is None else x + peepholes[index] * C)

    def step(x: Tensor, states: States) -> States:
        H, C = states
        i, o, f, c = tf.split(x + tf.matmul(H, R, transpose_b=True), 4, axis=1)
        i = opened(i, 0, C)
        f = 1 - i if input_forget else opened(f, 2, C)
        C = f * C + i * candidate(c)
        return opened(o, 1, C) * output(C), C

    return step


def _bias(B: Tensor, direction: int) -> Tensor:
    """The sum of the two biases of a direction, that of X and that of H."""
    return None if B is None else sum(tf.split(B[direction], 2))


@ops.lowers("GRU", since=(7, 14, 22))
def gru(
    scope: Scope,
    X: Tensor,
    W: Tensor,
    R: Tensor,
    B: Tensor = None,
    sequence_lens: Tensor = None,
    initial_h: Tensor = None,
    *,
    activation_alpha: Floats,
    activation_beta: Floats,
    activations: Names,
    clip: float | None,
    direction: str,
    hidden_size: int | None,
    layout: int,
    linear_before_reset: int,
) -> States:
    """H = (1 - z) * g(X W' + (r * H) R' + B) + z * H;  z, r = f(X W' + H R' + B).

    With linear_before_reset r multiplies H R' + B instead.
    X (time, batch, features), W (directions, 3 hidden, features), R (directions, 3 hidden, hidden), gates in
    the order z, r, h;  B (directions, 6 hidden);
    Y (time, directions, batch, hidden), Y_h (directions, batch, hidden).
    https://onnx.ai/onnx/operators/onnx__GRU.html.  14: layout 1, batch first.  22: bfloat16.
    """
    functions = functions_of(scope, _OF_GRU, direction, activations, activation_alpha, activation_beta, clip)

    def cell(d: int) -> Cell:
        if not linear_before_reset:
            return Cell(W[d], _bias(B, d), _gru_step(R[d], functions[d]))
        of_x, of_h = (None, None) if B is None else tf.split(B[d], 2)
        return Cell(W[d], of_x, _gru_step_linear_before_reset(R[d], of_h, functions[d]))

    return Recurrence(scope, X, R.shape[-1], sequence_lens, (initial_h,), direction, layout).run(cell)


def _gru_step(R: Tensor, functions: Sequence[Function]) -> Step:
    gate, candidate = functions
    hidden = R.shape[-1]
    sizes = [2 * hidden, hidden]
    R_zr, R_h = tf.split(R, sizes)

    def step(x: Tensor, states: States) -> States:
        (H,) = states
        x_zr, x_h = tf.split(x, sizes, axis=1)
        z, r = tf.split(gate(x_zr + tf.matmul(H, R_zr, transpose_b=True)), 2, axis=1)
        h = candidate(x_h + tf.matmul(r * H, R_h, transpose_b=True))
        return (h + z * (H - h),)

    return step


def _gru_step_linear_before_reset(R: Tensor, B: Tensor, functions: Sequence[Function]) -> Step:
    gate, candidate = functions
    hidden = R.shape[-1]
    sizes = [2 * hidden, hidden]

    def step(x: Tensor, states: States) -> States:
        (H,) = states
        recurrent = tf.matmul(H, R, transpose_b=True)
        recurrent = recurrent if B is None else tf.nn.bias_add(recurrent, B)
        (x_zr, x_h), (h_zr, h_h) = tf.split(x, sizes, axis=1), tf.split(recurrent, sizes, axis=1)
        z, r = tf.split(gate(x_zr + h_zr), 2, axis=1)
        h = candidate(x_h + r * h_h)
        return (h + z * (H - h),)

    return step


@ops.lowers("RNN", since=(7, 14, 22))
def rnn(
    scope: Scope,
    X: Tensor,
    W: Tensor,
    R: Tensor,
    B: Tensor = None,
    sequence_lens: Tensor = None,
    initial_h: Tensor = None,
    *,
    activation_alpha: Floats,
    activation_beta: Floats,
    activations: Names,
    clip: float | None,
    direction: str,
    hidden_size: int | None,
    layout: int,
) -> States:
    """H = f(X W' + H R' + B).

    X (time, batch, features), W (directions, hidden, features), R (directions, hidden, hidden),
    B (directions, 2 hidden);  Y (time, directions, batch, hidden), Y_h (directions, batch, hidden).
    https://onnx.ai/onnx/operators/onnx__RNN.html.  14: layout 1, batch first.  22: bfloat16.
    """
    functions = functions_of(scope, _OF_RNN, direction, activations, activation_alpha, activation_beta, clip)

    def cell(d: int) -> Cell:
        return Cell(W[d], _bias(B, d), _rnn_step(R[d], functions[d]))

    return Recurrence(scope, X, R.shape[-1], sequence_lens, (initial_h,), direction, layout).run(cell)


def _rnn_step(R: Tensor, functions: Sequence[Function]) -> Step:
    (function,) = functions

    def step(x: Tensor, states: States) -> States:
        return (function(x + tf.matmul(states[0], R, transpose_b=True)),)

    return step
