"""Recurrent layers: LSTM, GRU, RNN."""

from __future__ import annotations

from collections.abc import Sequence

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk._recurrence import (
    Cell,
    Defaults,
    Function,
    Recurrence,
    States,
    Step,
    Weights,
    of_direction,
    parts,
)
from neuromatic.converters.cntk._recurrence import activations as functions_of
from neuromatic.converters.cntk.graph import Graph, Tensor, Value
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope

Floats = Sequence[float] | None
Names = Sequence[str] | None
Outputs = tuple[Tensor | None, ...]

# onnxruntime clips what comes into an LSTM's gates, but not the cell's state on its way to H.
_OF_LSTM = Defaults(("Sigmoid", "Tanh", "Tanh"), never_clipped=(2,))
_OF_GRU = Defaults(("Sigmoid", "Tanh"))
_OF_RNN = Defaults(("Tanh",))


def _hidden(R: Value, graph: Graph) -> int:
    size = ck.tensor(R, graph).shape[-1]
    if size is None:
        raise ck.CannotRecordError("weights of its own for each row of the batch")
    return size


def _turned(x: Value, direction: int, graph: Graph) -> Tensor:
    """W or R of one direction, as what is multiplied by it from the left needs it."""
    return ck.transpose(of_direction(x, direction, graph), (1, 0))


def _weights(W: Value, B: Value | None, d: int, graph: Graph, *, summed: bool = True) -> dict[str, Tensor]:
    """W and the biases of a direction, that of X and that of H, or both as one."""
    found = {"W": _turned(W, d, graph)}
    if B is not None:
        of_x, of_h = parts(of_direction(B, d, graph), 2)
        found |= {"B": ck.plus(of_x, of_h)} if summed else {"B": of_x, "B_h": of_h}
    return found


def _projected(x: Tensor, weights: Weights) -> Tensor:
    """X W' + B"""
    y = ck.times(x, weights["W"])
    return ck.plus(y, weights["B"]) if "B" in weights else y


@ops.lowers("LSTM", since=(7, 14, 22))
def lstm(
    scope: Scope,
    X: Value,
    W: Value,
    R: Value,
    B: Value | None = None,
    sequence_lens: Value | None = None,
    initial_h: Value | None = None,
    initial_c: Value | None = None,
    P: Value | None = None,
    *,
    activation_alpha: Floats,
    activation_beta: Floats,
    activations: Names,
    clip: float | None,
    direction: str,
    hidden_size: int | None,
    input_forget: int,
    layout: int,
) -> Outputs:
    """C = f * C + i * g(X W' + H R' + B);  H = o * h(C);  i, f, o = f(X W' + H R' + P * C + B).

    X (time, batch, features), W (directions, 4 hidden, features), R (directions, 4 hidden, hidden), gates in
    the order i, o, f, c;  B (directions, 8 hidden), P (directions, 3 hidden);
    Y (time, directions, batch, hidden), Y_h and Y_c (directions, batch, hidden).
    https://onnx.ai/onnx/operators/onnx__LSTM.html.  14: layout 1, batch first.  22: bfloat16.
    """
    graph = scope.context.graph
    functions = functions_of(_OF_LSTM, direction, activations, activation_alpha, activation_beta, clip)

    def cell(d: int) -> Cell:
        weights = {**_weights(W, B, d, graph), "R": _turned(R, d, graph)}
        if P is not None:
            weights |= zip(("i", "o", "f"), parts(of_direction(P, d, graph), 3), strict=True)
        return Cell(weights, _lstm_step(functions[d], bool(input_forget)))

    initial = (initial_h, initial_c)
    return Recurrence(scope, X, _hidden(R, graph), sequence_lens, initial, direction, layout).run(cell)


def _lstm_step(functions: Sequence[Function], input_forget: bool) -> Step:
    gate, candidate, output = functions

    def step(x: Tensor, states: States, weights: Weights) -> States:
        H, C = states
        i, o, f, c = parts(ck.plus(_projected(x, weights), ck.times(H, weights["R"])), 4)

        def opened(x: Tensor, name: str, C: Tensor) -> Tensor:
            return gate(ck.plus(x, ck.multiply(weights[name], C)) if name in weights else x)

        i = opened(i, "i", C)
        f = ck.minus(ck.number(1.0), i) if input_forget else opened(f, "f", C)
        C = ck.plus(ck.multiply(f, C), ck.multiply(i, candidate(c)))
        return ck.multiply(opened(o, "o", C), output(C)), C

    return step


@ops.lowers("GRU", since=(7, 14, 22))
def gru(
    scope: Scope,
    X: Value,
    W: Value,
    R: Value,
    B: Value | None = None,
    sequence_lens: Value | None = None,
    initial_h: Value | None = None,
    *,
    activation_alpha: Floats,
    activation_beta: Floats,
    activations: Names,
    clip: float | None,
    direction: str,
    hidden_size: int | None,
    layout: int,
    linear_before_reset: int,
) -> Outputs:
    """H = (1 - z) * g(X W' + (r * H) R' + B) + z * H;  z, r = f(X W' + H R' + B).

    With linear_before_reset r multiplies H R' + B instead.
    X (time, batch, features), W (directions, 3 hidden, features), R (directions, 3 hidden, hidden), gates in
    the order z, r, h;  B (directions, 6 hidden);
    Y (time, directions, batch, hidden), Y_h (directions, batch, hidden).
    https://onnx.ai/onnx/operators/onnx__GRU.html.  14: layout 1, batch first.  22: bfloat16.
    """
    graph = scope.context.graph
    functions = functions_of(_OF_GRU, direction, activations, activation_alpha, activation_beta, clip)
    hidden = _hidden(R, graph)

    def cell(d: int) -> Cell:
        weights, R_d = _weights(W, B, d, graph, summed=not linear_before_reset), _turned(R, d, graph)
        if linear_before_reset:
            return Cell({**weights, "R": R_d}, _gru_step_linear_before_reset(functions[d]))
        of_gates = ck.slice_axis(R_d, 1, 0, 2 * hidden)
        of_candidate = ck.slice_axis(R_d, 1, 2 * hidden, 3 * hidden)
        return Cell({**weights, "R_zr": of_gates, "R_h": of_candidate}, _gru_step(functions[d], hidden))

    return Recurrence(scope, X, hidden, sequence_lens, (initial_h,), direction, layout).run(cell)


def _mixed(h: Tensor, z: Tensor, H: Tensor) -> States:
    """(1 - z) * h + z * H"""
    return (ck.plus(h, ck.multiply(z, ck.minus(H, h))),)


def _gru_step(functions: Sequence[Function], hidden: int) -> Step:
    gate, candidate = functions

    def step(x: Tensor, states: States, weights: Weights) -> States:
        (H,) = states
        y = _projected(x, weights)
        y_zr = ck.slice_axis(y, 1, 0, 2 * hidden)
        y_h = ck.slice_axis(y, 1, 2 * hidden, 3 * hidden)
        z, r = parts(gate(ck.plus(y_zr, ck.times(H, weights["R_zr"]))), 2)
        h = candidate(ck.plus(y_h, ck.times(ck.multiply(r, H), weights["R_h"])))
        return _mixed(h, z, H)

    return step


def _gru_step_linear_before_reset(functions: Sequence[Function]) -> Step:
    gate, candidate = functions

    def step(x: Tensor, states: States, weights: Weights) -> States:
        (H,) = states
        recurrent = ck.times(H, weights["R"])
        recurrent = ck.plus(recurrent, weights["B_h"]) if "B_h" in weights else recurrent
        x_z, x_r, x_h = parts(_projected(x, weights), 3)
        h_z, h_r, h_h = parts(recurrent, 3)
        z, r = gate(ck.plus(x_z, h_z)), gate(ck.plus(x_r, h_r))
        h = candidate(ck.plus(x_h, ck.multiply(r, h_h)))
        return _mixed(h, z, H)

    return step


@ops.lowers("RNN", since=(7, 14, 22))
def rnn(
    scope: Scope,
    X: Value,
    W: Value,
    R: Value,
    B: Value | None = None,
    sequence_lens: Value | None = None,
    initial_h: Value | None = None,
    *,
    activation_alpha: Floats,
    activation_beta: Floats,
    activations: Names,
    clip: float | None,
    direction: str,
    hidden_size: int | None,
    layout: int,
) -> Outputs:
    """H = f(X W' + H R' + B).

    X (time, batch, features), W (directions, hidden, features), R (directions, hidden, hidden),
    B (directions, 2 hidden);  Y (time, directions, batch, hidden), Y_h (directions, batch, hidden).
    https://onnx.ai/onnx/operators/onnx__RNN.html.  14: layout 1, batch first.  22: bfloat16.
    """
    graph = scope.context.graph
    functions = functions_of(_OF_RNN, direction, activations, activation_alpha, activation_beta, clip)

    def cell(d: int) -> Cell:
        weights = {**_weights(W, B, d, graph), "R": _turned(R, d, graph)}
        return Cell(weights, _rnn_step(functions[d][0]))

    initial = (initial_h,)
    return Recurrence(scope, X, _hidden(R, graph), sequence_lens, initial, direction, layout).run(cell)


def _rnn_step(function: Function) -> Step:
    def step(x: Tensor, states: States, weights: Weights) -> States:
        return (function(ck.plus(_projected(x, weights), ck.times(states[0], weights["R"]))),)

    return step
