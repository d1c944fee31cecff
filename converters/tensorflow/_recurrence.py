"""What LSTM, GRU and RNN share: activations by name, the loop over time, directions and layouts.

Inside, everything is time-major: inputs (time, batch, ...), states (batch, hidden). A direction first
multiplies its whole sequence by W in one product; its loop then only adds what depends on the last state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, shape, unsupported

MOST_UNROLLED = 32
"""Sequences of at most this many steps are written out: faster than a loop by a third or more, but the graph
grows with every step, and XLA takes seconds to compile it."""

States = tuple[Tensor, ...]
Step = Callable[[Tensor, States], States]
Function = Callable[[Tensor], Tensor]

_PLAIN: dict[str, Function] = {
    "Relu": tf.nn.relu,
    "Tanh": tf.tanh,
    "Sigmoid": tf.sigmoid,
    "Softsign": tf.nn.softsign,
    "Softplus": tf.nn.softplus,
}
_OF_ALPHA: dict[str, tuple[float, Callable[[Tensor, float], Tensor]]] = {
    "LeakyRelu": (0.01, lambda x, alpha: tf.where(x < 0, alpha * x, x)),
    "ThresholdedRelu": (1.0, lambda x, alpha: tf.where(x >= alpha, x, tf.zeros_like(x))),
    "Elu": (1.0, lambda x, alpha: tf.where(x < 0, alpha * tf.nn.elu(x), x)),
}
_OF_BOTH: dict[str, tuple[tuple[float | None, float | None], Callable[[Tensor, float, float], Tensor]]] = {
    "HardSigmoid": ((0.2, 0.5), lambda x, alpha, beta: tf.clip_by_value(alpha * x + beta, 0, 1)),
    "Affine": ((None, None), lambda x, alpha, beta: alpha * x + beta),
    "ScaledTanh": ((None, None), lambda x, alpha, beta: alpha * tf.tanh(beta * x)),
}
"""With the values that ``alpha`` and ``beta`` have where a node gives none; None: it has to give them."""

_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


def directions(scope: Scope, direction: str) -> tuple[bool, ...]:
    """For each direction of a node, whether it reads sequences from their end."""
    if direction not in _DIRECTIONS:
        raise unsupported(scope, f"direction {direction!r} is none of {', '.join(_DIRECTIONS)}")
    return _DIRECTIONS[direction]


@dataclass(frozen=True)
class Cell:
    """One direction of a node.

    Attributes:
        kernel: (gates * hidden, features), what each input is multiplied by.
        bias: (gates * hidden,), added to that; None for none.
        step: the new states from an input, so multiplied, and the states before; the first one is the output.
    """

    kernel: Tensor
    bias: Tensor | None
    step: Step


@dataclass(frozen=True)
class Recurrence:
    """The inputs and attributes that the three operators share, as ONNX has them.

    Attributes:
        lengths: (batch,) int32, how many steps of each sequence count; None: all.
        initial: each state at first, (directions, batch, hidden) or, in layout 1, batch first; None: zeros.
    """

    scope: Scope
    X: Tensor
    hidden: int
    lengths: Tensor | None
    initial: tuple[Tensor | None, ...]
    direction: str
    layout: int

    def run(self, cell: Callable[[int], Cell]) -> States:
        """Y and the last value of each state, as ONNX lays them out; None for those that are not wanted."""
        x = tf.transpose(self.X, [1, 0, 2]) if self.layout else self.X
        sequences, finals = [], []
        for index, backward in enumerate(directions(self.scope, self.direction)):
            made = cell(index)
            inputs = _projected(x, made)
            states = tuple(self._initial(state, index, inputs) for state in self.initial)
            lengths = None if _all_count(self.lengths, x) else self.lengths
            scan = _Scan(made.step, inputs, lengths, backward, self.scope.wants(0))
            outputs, last = scan.run(states)
            sequences.append(outputs)
            finals.append(last)
        axis = 2 if self.layout else 1  # of directions in Y
        y = None
        if self.scope.wants(0):
            turned = [tf.transpose(s, [1, 0, 2]) if self.layout else s for s in sequences]
            y = _joined(turned, axis)
        return y, *(
            _joined([last[i] for last in finals], axis - 1) if self.scope.wants(i + 1) else None
            for i in range(len(self.initial))
        )

    def _initial(self, states: Tensor | None, index: int, inputs: Tensor) -> Tensor:
        batch = inputs.shape[1]
        if states is None:
            return tf.zeros([shape(inputs)[1], self.hidden], dtype(inputs))
        state = states[:, index] if self.layout else states[index]
        return tf.ensure_shape(tf.convert_to_tensor(state), [batch, self.hidden])


def _all_count(lengths: Tensor | None, x: Tensor) -> bool:
    """Whether it is known that no sequence is shorter than the longest; exporters write such lengths."""
    time = x.shape[0]
    return isinstance(lengths, np.ndarray) and time is not None and bool((lengths >= time).all())


def _joined(directions: Sequence[Tensor], axis: int) -> Tensor:
    return tf.expand_dims(directions[0], axis) if len(directions) == 1 else tf.stack(directions, axis)


def _projected(x: Tensor, cell: Cell) -> Tensor:
    """The inputs of all steps by W: (time, batch, gates * hidden), as one matrix product."""
    time, batch, features = shape(x)
    units = cell.kernel.shape[0]
    y = tf.matmul(tf.reshape(x, [-1, features]), cell.kernel, transpose_b=True)
    y = y if cell.bias is None else tf.nn.bias_add(y, cell.bias)
    return tf.reshape(y, [time, batch, units])


@dataclass(frozen=True)
class _Scan:
    """A cell's steps over time, from the first to the last, or backward.

    What lies beyond a sequence's length leaves the states as they are and gives zeros. So going backward
    begins, for each sequence, at its own last step, and nothing has to be turned around.
    """

    step: Step
    inputs: Tensor
    lengths: Tensor | None
    backward: bool
    collect: bool

    def run(self, states: States) -> tuple[Tensor | None, States]:
        """The outputs of all steps (time, batch, hidden), if they are collected, and the last states."""
        time: int | None = self.inputs.shape[0]
        if time is not None and 0 < time <= MOST_UNROLLED:
            outputs, last = self._unrolled(states, time)
        else:
            outputs, last = self._looped(states)
        if self.lengths is None:
            return outputs, last
        seen = tf.expand_dims(self.lengths > 0, 1)  # onnxruntime gives zeros for sequences of no steps
        return outputs, tuple(tf.where(seen, state, tf.zeros_like(state)) for state in last)

    def _one(self, time: Tensor, inputs: Tensor, states: States) -> tuple[Tensor, States]:
        new = self.step(inputs, states)
        if self.lengths is None:
            return new[0], new
        valid = tf.expand_dims(time < self.lengths, 1)
        output = tf.where(valid, new[0], tf.zeros_like(new[0])) if self.collect else new[0]
        return output, tuple(tf.where(valid, a, b) for a, b in zip(new, states, strict=True))

    def _unrolled(self, states: States, time: int) -> tuple[Tensor | None, States]:
        inputs = tf.unstack(self.inputs, time)
        outputs = list(inputs)
        for t in reversed(range(time)) if self.backward else range(time):
            outputs[t], states = self._one(t, inputs[t], states)
        return (tf.stack(outputs) if self.collect else None), states

    def _looped(self, states: States) -> tuple[Tensor | None, States]:
        kind, time = dtype(self.inputs), shape(self.inputs)[0]
        unknown: Any = None  # the shape of a TensorArray, as a loop wants it
        inputs = tf.TensorArray(kind, time, element_shape=self.inputs.shape[1:]).unstack(self.inputs)
        invariant = tf.TensorShape([self.inputs.shape[1], states[0].shape[1]])
        collected = tf.TensorArray(kind, time if self.collect else 0, element_shape=invariant)

        def body(
            i: Tensor, states: States, collected: tf.TensorArray
        ) -> tuple[Tensor, States, tf.TensorArray]:
            t = time - 1 - i if self.backward else i
            output, new = self._one(t, inputs.read(t), states)
            return i + 1, new, collected.write(t, output) if self.collect else collected

        _, last, collected = tf.while_loop(
            lambda i, *_: i < time,
            body,
            (0, states, collected),
            shape_invariants=(tf.TensorShape([]), tuple(invariant for _ in states), tf.TensorShape(unknown)),
            maximum_iterations=time,  # XLA wants to know how much a gradient has to remember
        )
        return (collected.stack() if self.collect else None), last


# -- activations -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Defaults:
    """The activations of one direction of an operator, and which of them ``clip`` leaves alone."""

    names: tuple[str, ...]
    never_clipped: tuple[int, ...] = ()


def activations(
    scope: Scope,
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
    needed = count * len(directions(scope, direction))
    chosen = list(names or defaults.names * needed)[:needed]
    if len(chosen) < needed:
        raise unsupported(scope, f"direction {direction!r} needs {needed} activations, it has {chosen}")
    alpha, beta = iter(alphas or ()), iter(betas or ())
    functions = [_activation(scope, name, alpha, beta) for name in chosen]
    if clip is not None:
        spared = defaults.never_clipped
        functions = [f if i % count in spared else _clipped(f, clip) for i, f in enumerate(functions)]
    return [functions[i : i + count] for i in range(0, needed, count)]


def _activation(scope: Scope, name: str, alphas: Iterator[float], betas: Iterator[float]) -> Function:
    if name in _PLAIN:
        return _PLAIN[name]
    if name in _OF_ALPHA:
        default, of_alpha = _OF_ALPHA[name]
        alpha = next(alphas, default)
        return lambda x: of_alpha(x, alpha)
    if name not in _OF_BOTH:
        known = sorted([*_PLAIN, *_OF_ALPHA, *_OF_BOTH])
        raise unsupported(scope, f"activation {name!r} is none of {', '.join(known)}")
    defaults, of_both = _OF_BOTH[name]
    a, b = next(alphas, defaults[0]), next(betas, defaults[1])
    if a is None or b is None:
        raise unsupported(scope, f"activation {name} needs a value in activation_alpha and activation_beta")
    return lambda x: of_both(x, a, b)


def _clipped(function: Function, clip: float) -> Function:
    return lambda x: function(tf.clip_by_value(x, -clip, clip))
