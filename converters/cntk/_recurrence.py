"""What LSTM, GRU and RNN share: activations by name, the recording of one step, directions and layouts.

A recurrence runs over CNTK's sequences. What a step computes from its input alone, as the product with W,
CNTK computes for all steps at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.activation import _elu, _softplus, hard
from neuromatic.converters.cntk.graph import Graph, HostValue, Moment, Tensor, Value
from neuromatic.converters.cntk.math import named
from neuromatic.converters.lowering import Scope

States = tuple[Tensor, ...]
Weights = Mapping[str, Tensor]
Step = Callable[[Tensor, States, Weights], States]
Function = Callable[[Tensor], Tensor]

_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


def directions(direction: str) -> tuple[bool, ...]:
    """For each direction of a node, whether it reads sequences from their end."""
    if direction not in _DIRECTIONS:
        raise ck.CannotRecordError(f"direction {direction!r}, which is none of {', '.join(_DIRECTIONS)}")
    return _DIRECTIONS[direction]


@dataclass(frozen=True)
class Cell:
    """One direction of a node.

    Attributes:
        weights: what ``step`` uses, the same at each step.
        step: the new states from an input, the states before, and the weights; the first one is the output.
    """

    weights: Weights
    step: Step


def of_direction(x: Value, direction: int, graph: Graph) -> Tensor:
    """W, R, B or P of one direction."""
    whole = ck.tensor(x, graph)
    if whole.batch is not None:
        raise ck.CannotRecordError("weights of its own for each row of the batch")
    return ck.squeeze(ck.slice_axis(whole, 0, direction, direction + 1), [0])


def parts(x: Tensor, count: int, axis: int = -1) -> list[Tensor]:
    """``x`` cut into equal parts along an axis."""
    axis %= x.rank
    size = (x.shape[axis] or 0) // count
    return [ck.slice_axis(x, axis, i * size, (i + 1) * size) for i in range(count)]


@dataclass(frozen=True)
class Recurrence:
    """The inputs and attributes that the three operators share, as ONNX has them.

    Attributes:
        lengths: how many steps of each sequence count; all of them do, or CNTK cannot.
        initial: each state at first, (directions, batch, hidden) or, in layout 1, batch first; None: zeros.
    """

    scope: Scope
    X: Value
    hidden: int
    lengths: Value | None
    initial: tuple[Value | None, ...]
    direction: str
    layout: int

    def run(self, cell: Callable[[int], Cell]) -> tuple[Tensor | None, ...]:
        """Y and the last value of each state, as ONNX lays them out; None for those that are not wanted."""
        graph = self.scope.context.graph
        X = ck.tensor(self.X, graph)
        rows = X if self.layout else ck.transpose(X, (1, 0, 2))
        _check_lengths(self.lengths, rows.shape[1])
        x = ck.in_batches(rows)
        results: list[list[Tensor]] = []
        for index, backward in enumerate(directions(self.direction)):
            states = [self._initial(state, index, rows) for state in self.initial]
            results.append(scan(cell(index), x, states, backward))
        sequences, *finals = (
            [ck.expand_dims(y, [y.rank - 1]) for y in ys] for ys in zip(*results, strict=True)
        )
        return self._joined(sequences, 0, rows, (1, 2, 0, 3)), *(
            self._joined(last, i, rows, (1, 0, 2)) for i, last in enumerate(finals, 1)
        )

    def _joined(self, ys: Sequence[Tensor], output: int, rows: Tensor, perm: Sequence[int]) -> Tensor | None:
        """An output of all directions; in layout 0 its axes go from batch first to the order ``perm``."""
        if not self.scope.wants(output):
            return None
        joined = ck.as_before(ck.concat(ys, -2), rows)
        return joined if self.layout else ck.transpose(joined, perm)

    def _initial(self, states: Value | None, index: int, rows: Tensor) -> Tensor:
        """A state of one direction before the first step: for each row, or (hidden,) for all of them."""
        graph = rows.graph
        if states is None:
            return graph.constant(np.zeros(self.hidden, np.float32))
        axis = 1 if self.layout else 0
        if isinstance(states, HostValue):
            return graph.feed(_same_for_all_rows(states, axis, index))
        whole = ck.tensor(states, graph)
        state = ck.squeeze(ck.slice_axis(whole, axis, index, index + 1), [axis])
        if (state.batch, state.shape[0]) != (rows.batch, rows.shape[0]):
            count = "a batch of any size" if rows.batch == 0 else f"{rows.shape[0]} rows"
            raise ck.CannotRecordError(f"initial states of shape {whole.shape} for {count}")
        return ck.in_batches(state)


def _check_lengths(lengths: Value | None, time: int | None) -> None:
    """Refuse sequences of different lengths; exporters write lengths also where all are full."""
    if time is None:
        raise ck.CannotRecordError("a recurrence along the batch axis")
    if time == 0:
        raise ck.CannotRecordError("a recurrence of no steps")
    if lengths is None:
        return
    if isinstance(lengths, HostValue):
        lengths = lengths.at(Moment(2))
    if (ck.array(lengths, "sequence_lens") < time).any():
        raise ck.CannotRecordError(f"sequences of fewer than all {time} steps")


def _same_for_all_rows(states: HostValue, axis: int, index: int) -> HostValue:
    """Initial states that exporters make for a batch of any size, such as zeros: those of one row."""

    def of_one_row(moment: Moment) -> ck.Array:
        rows = np.take(states.at(moment), index, axis)
        if (rows != rows[:1]).any():
            raise ck.CannotRecordError("initial states that differ from row to row and are not data")
        first: ck.Array = rows[0]
        return first

    of_one_row(Moment(2))
    return HostValue(of_one_row)


def scan(cell: Cell, x: Tensor, initial: Sequence[Tensor], backward: bool) -> list[Tensor]:
    """Record a recurrence.

    Args:
        x: (batch, time, features).
        initial: the states before the first step, (batch, hidden), or (hidden,) for all rows.

    Returns:
        the first state after each step, (batch, time, hidden), then each state after the last one,
        (batch, hidden).
    """
    body = Graph()
    element = body.new((None, *x.static[1:]), x.dtype)
    states = [body.new((None, *state.static), state.dtype) for state in initial]
    used = [(body.new(w.shape, w.dtype), w) for w in cell.weights.values()]
    weights = {name: inner for name, (inner, _) in zip(cell.weights, used, strict=True)}
    after = cell.step(element, tuple(states), weights)
    instructions = []
    for instruction in body.forward:
        if instruction["op"] == "constant":  # those of all steps are in the graph's message
            inner = Tensor(body, instruction["out"], (), np.dtype(np.float32))
            used.append((inner, x.graph.constant(body.arrays[instruction["array"]])))
        else:
            instructions.append(instruction)
    shapes = [(None, *state.static) for state in after]
    return x.graph.add_many(
        "scan",
        [x, *initial, *(outer for _, outer in used)],
        [((None, x.static[0], *after[0].static), x.dtype), *((shape, x.dtype) for shape in shapes)],
        element=element.register,
        states=[state.register for state in states],
        uses=[inner.register for inner, _ in used],
        body=instructions,
        next=[state.register for state in after],
        reverse=backward,
    )


# -- activations -------------------------------------------------------------------------------------------


def _leaky_relu(x: Tensor, alpha: float) -> Tensor:
    return ck.unary("leaky_relu", x, alpha=alpha)


def _thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    return ck.select(ck.binary("greater_equal", x, ck.number(alpha)), x, ck.number(0.0))


def _affine(x: Tensor, alpha: float, beta: float) -> Tensor:
    return ck.shifted(ck.scaled(x, alpha), beta)


def _scaled_tanh(x: Tensor, alpha: float, beta: float) -> Tensor:
    return ck.scaled(ck.unary("tanh", ck.scaled(x, beta)), alpha)


_PLAIN: dict[str, Function] = {
    "Relu": named("relu"),
    "Tanh": named("tanh"),
    "Sigmoid": named("sigmoid"),
    "Softsign": named("softsign"),
    "Softplus": _softplus,
}
_OF_ALPHA: dict[str, tuple[float, Callable[[Tensor, float], Tensor]]] = {
    "LeakyRelu": (0.01, _leaky_relu),
    "ThresholdedRelu": (1.0, _thresholded_relu),
    "Elu": (1.0, _elu),
}
_OF_BOTH: dict[str, tuple[tuple[float | None, float | None], Callable[[Tensor, float, float], Tensor]]] = {
    "HardSigmoid": ((0.2, 0.5), hard),
    "Affine": ((None, None), _affine),
    "ScaledTanh": ((None, None), _scaled_tanh),
}
"""With the values that ``alpha`` and ``beta`` have where a node gives none; None: it has to give them."""


@dataclass(frozen=True)
class Defaults:
    """The activations of one direction of an operator, and which of them ``clip`` leaves alone."""

    names: tuple[str, ...]
    never_clipped: tuple[int, ...] = ()


def activations(
    defaults: Defaults,
    direction: str,
    names: Sequence[str] | None,
    alphas: Sequence[float] | None,
    betas: Sequence[float] | None,
    clip: float | None,
) -> list[list[Function]]:
    """The functions of each direction of a node; ``clip`` limits what goes into them.

    In order, each takes from ``alphas`` and ``betas`` what it has a use for, as in onnxruntime.
    """
    count = len(defaults.names)
    needed = count * len(directions(direction))
    chosen = list(names or defaults.names * needed)[:needed]
    if len(chosen) < needed:
        raise ck.CannotRecordError(f"{chosen} as the {needed} activations of direction {direction!r}")
    alpha, beta = iter(alphas or ()), iter(betas or ())
    functions = [_activation(name, alpha, beta) for name in chosen]
    if clip is not None:
        spared = defaults.never_clipped
        functions = [f if i % count in spared else _of_clipped(f, clip) for i, f in enumerate(functions)]
    return [functions[i : i + count] for i in range(0, needed, count)]


def _activation(name: str, alphas: Iterator[float], betas: Iterator[float]) -> Function:
    if name in _PLAIN:
        return _PLAIN[name]
    if name in _OF_ALPHA:
        default, of_alpha = _OF_ALPHA[name]
        alpha = next(alphas, default)
        return lambda x: of_alpha(x, alpha)
    if name not in _OF_BOTH:
        known = sorted([*_PLAIN, *_OF_ALPHA, *_OF_BOTH])
        raise ck.CannotRecordError(f"activation {name!r}, which is none of {', '.join(known)}")
    defaults, of_both = _OF_BOTH[name]
    a, b = next(alphas, defaults[0]), next(betas, defaults[1])
    if a is None or b is None:
        raise ck.CannotRecordError(
            f"activation {name} without values in activation_alpha and activation_beta"
        )
    return lambda x: of_both(x, a, b)


def _of_clipped(function: Function, clip: float) -> Function:
    low, high = ck.number(-clip), ck.number(clip)
    return lambda x: function(ck.binary("element_min", ck.binary("element_max", x, low), high))
