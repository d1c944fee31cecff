"""Recurrent cells: one step of SimpleRNN, LSTM and GRU, and stacks of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from neuromatic import initializers
from neuromatic.constraints import ConstraintLike
from neuromatic.errors import ShapeError
from neuromatic.initializers import Initializer, InitializerLike
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers.activations.activation import ActivationLike, activate
from neuromatic.layers.base import Layer
from neuromatic.layers.rnn._cell import Cell, OperatorCell, check_cell, one_step, run, state_sizes
from neuromatic.layers.rnn._gates import ForgetOnes
from neuromatic.layers.rnn._onnx_node import Node, Parameters, node_activations
from neuromatic.layers.rnn._scan import Scan, Scanned, States
from neuromatic.regularizers import RegularizerLike

__all__ = ["GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"]


def _product(g: GraphBuilder, x: Value, matrix: Value, bias: Value | None = None) -> Value:
    """``x @ matrix.T + bias``, the matrix (units, inputs)."""
    inputs = [x, matrix] if bias is None else [x, matrix, bias]
    return g.add("Gemm", *inputs, transB=1)


def _halves(g: GraphBuilder, bias: Value, width: int) -> tuple[Value, Value]:
    of_x, of_h = g.add_many("Split", bias, g.ints(width, width), outputs=2, axis=1)
    return of_x, of_h


def _gates(g: GraphBuilder, x: Value, count: int, units: int) -> tuple[Value, ...]:
    return g.add_many("Split", x, g.ints(*[units] * count), outputs=count, axis=1)


@dataclass(frozen=True, eq=False)
class SimpleRNNCell(OperatorCell):
    """One step of :class:`SimpleRNN`, ``h = activation(x @ W + h @ R + b)`` (Keras ``SimpleRNNCell``).

    Alone it is ONNX ``Gemm`` and the activation, in ``RNN`` it is ONNX ``RNN``.

    Input: (batch, features) and the state (batch, units).  Output: ``(h, h)``, the output and the new state.
    Parameters: ``<name>/kernel`` (1, units, features), ``<name>/recurrent_kernel`` (1, units, units) and
    ``<name>/bias`` (1, units), as ONNX lays them out.

    Args:
        units: size of the output and the state, at least 1.
        activation: an activation, or None for none.
        use_bias: whether to add a bias.
        kernel_initializer: first values of the kernel.
        recurrent_initializer: first values of the recurrent kernel.
        bias_initializer: first values of the bias.
        kernel_regularizer: a penalty for the kernel in the loss.
        recurrent_regularizer: likewise for the recurrent kernel.
        bias_regularizer: likewise for the bias.
        kernel_constraint: what holds for the kernel after each update.
        recurrent_constraint: likewise for the recurrent kernel.
        bias_constraint: likewise for the bias.
        dropout: the share of inputs set to 0 in training, the same at all steps of a sequence.
        recurrent_dropout: only 0: ONNX has no dropout between steps.

    Raises:
        ValueError: an argument is not possible.
        ShapeError: the input is not of rank 2, its features are unknown, or the states are too many or few.

    >>> import neuromatic as nm
    >>> [y.shape for y in nm.layers.SimpleRNNCell(4)(nm.Input((3,)), nm.Input((4,)))]
    [('batch', 4), ('batch', 4)]
    """

    order: ClassVar[tuple[int, ...]] = (0,)

    units: int
    activation: ActivationLike = "tanh"
    use_bias: bool = True
    kernel_initializer: InitializerLike = "glorot_uniform"
    recurrent_initializer: InitializerLike = "orthogonal"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    recurrent_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    recurrent_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0

    def node(self) -> Node | None:
        """ONNX ``RNN``."""
        attributes = node_activations([self.activation], ["Tanh"])
        return None if attributes is None else Node("RNN", 1, attributes)

    def step(self, g: GraphBuilder, weights: Parameters, x: Value, states: States) -> States:
        """The new state."""
        of_x = _product(g, x, op.squeeze(g, weights.W, 0), weights.bias)
        of_h = _product(g, states[0], op.squeeze(g, weights.R, 0))
        return (activate(g, g.add("Add", of_x, of_h), self.activation),)


@dataclass(frozen=True, eq=False)
class LSTMCell(OperatorCell):
    """One step of :class:`LSTM` (Keras ``LSTMCell``).

    Alone it is ONNX ``Gemm`` and others, in ``RNN`` it is ONNX ``LSTM``.

    ``i, o, f = recurrent_activation(x @ W + h @ R + b)``, ``c = f * c + i * activation(x @ W + h @ R + b)``,
    ``h = o * activation(c)``, each gate with its own part of ``W``, ``R`` and ``b``.

    Input: (batch, features) and the states h and c, (batch, units) each.  Output: ``(h, h, c)``, the output
    and the new states.
    Parameters: ``<name>/kernel`` (1, 4 * units, features), ``<name>/recurrent_kernel``
    (1, 4 * units, units) and ``<name>/bias`` (1, 4 * units), gates in ONNX' order i, o, f, c.

    Args:
        units: size of the output and of each state, at least 1.
        activation: an activation, or None for none.
        recurrent_activation: likewise that of the gates.
        use_bias: whether to add a bias.
        kernel_initializer: first values of the kernel.
        recurrent_initializer: first values of the recurrent kernel.
        bias_initializer: first values of the bias.
        unit_forget_bias: whether the bias of the forget gate is 1 at first.
        kernel_regularizer: a penalty for the kernel in the loss.
        recurrent_regularizer: likewise for the recurrent kernel.
        bias_regularizer: likewise for the bias.
        kernel_constraint: what holds for the kernel after each update.
        recurrent_constraint: likewise for the recurrent kernel.
        bias_constraint: likewise for the bias.
        dropout: the share of inputs set to 0 in training, the same at all steps of a sequence.
        recurrent_dropout: only 0: ONNX has no dropout between steps.

    Raises:
        ValueError: an argument is not possible.
        ShapeError: the input is not of rank 2, its features are unknown, or the states are too many or few.

    >>> import neuromatic as nm
    >>> [y.shape for y in nm.layers.LSTMCell(4)(nm.Input((3,)), nm.Input((4,)), nm.Input((4,)))]
    [('batch', 4), ('batch', 4), ('batch', 4)]
    """

    order: ClassVar[tuple[int, ...]] = (0, 3, 1, 2)

    units: int
    activation: ActivationLike = "tanh"
    recurrent_activation: ActivationLike = "sigmoid"
    use_bias: bool = True
    kernel_initializer: InitializerLike = "glorot_uniform"
    recurrent_initializer: InitializerLike = "orthogonal"
    bias_initializer: InitializerLike = "zeros"
    unit_forget_bias: bool = True
    kernel_regularizer: RegularizerLike = None
    recurrent_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    recurrent_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0

    @property
    def state_size(self) -> tuple[int, ...]:
        """The sizes of h and c."""
        return (self.units, self.units)

    def node(self) -> Node | None:
        """ONNX ``LSTM``."""
        functions = [self.recurrent_activation, self.activation, self.activation]
        attributes = node_activations(functions, ["Sigmoid", "Tanh", "Tanh"])
        return None if attributes is None else Node("LSTM", 2, attributes)

    def step(self, g: GraphBuilder, weights: Parameters, x: Value, states: States) -> States:
        """The new h and c."""
        h, c = states
        of_x = _product(g, x, op.squeeze(g, weights.W, 0), weights.bias)
        of_h = _product(g, h, op.squeeze(g, weights.R, 0))
        *inputs, candidate = _gates(g, g.add("Add", of_x, of_h), 4, self.units)
        i, o, f = (activate(g, z, self.recurrent_activation) for z in inputs)
        new = activate(g, candidate, self.activation)
        c = g.add("Add", g.add("Mul", f, c), g.add("Mul", i, new))
        return g.add("Mul", o, activate(g, c, self.activation)), c

    def _first_bias(self) -> Initializer:
        first = initializers.get(self.bias_initializer)
        return ForgetOnes(first) if self.unit_forget_bias else first


@dataclass(frozen=True, eq=False)
class GRUCell(OperatorCell):
    """One step of :class:`GRU` (Keras ``GRUCell``).

    Alone it is ONNX ``Gemm`` and others, in ``RNN`` it is ONNX ``GRU``.

    ``z, r = recurrent_activation(x @ W + h @ R + b)``, ``n = activation(x @ W + r * (h @ R + b))``,
    ``h = z * h + (1 - z) * n``, each gate with its own part of ``W``, ``R`` and ``b``.

    Input: (batch, features) and the state (batch, units).  Output: ``(h, h)``, the output and the new state.
    Parameters: ``<name>/kernel`` (1, 3 * units, features), ``<name>/recurrent_kernel``
    (1, 3 * units, units) and ``<name>/bias`` (1, 6 * units), that for x, then that for h; (1, 3 * units)
    without ``reset_after``. Gates in the order z, r, n.

    Args:
        units: size of the output and the state, at least 1.
        activation: an activation, or None for none.
        recurrent_activation: likewise that of the gates.
        use_bias: whether to add a bias.
        kernel_initializer: first values of the kernel.
        recurrent_initializer: first values of the recurrent kernel.
        bias_initializer: first values of the bias.
        kernel_regularizer: a penalty for the kernel in the loss.
        recurrent_regularizer: likewise for the recurrent kernel.
        bias_regularizer: likewise for the bias.
        kernel_constraint: what holds for the kernel after each update.
        recurrent_constraint: likewise for the recurrent kernel.
        bias_constraint: likewise for the bias.
        dropout: the share of inputs set to 0 in training, the same at all steps of a sequence.
        recurrent_dropout: only 0: ONNX has no dropout between steps.
        reset_after: whether r multiplies ``h @ R + b``, as above; else ``n`` uses ``(r * h) @ R`` instead.

    Raises:
        ValueError: an argument is not possible.
        ShapeError: the input is not of rank 2, its features are unknown, or the states are too many or few.

    >>> import neuromatic as nm
    >>> [y.shape for y in nm.layers.GRUCell(4)(nm.Input((3,)), nm.Input((4,)))]
    [('batch', 4), ('batch', 4)]
    """

    order: ClassVar[tuple[int, ...]] = (0, 1, 2)

    units: int
    activation: ActivationLike = "tanh"
    recurrent_activation: ActivationLike = "sigmoid"
    use_bias: bool = True
    kernel_initializer: InitializerLike = "glorot_uniform"
    recurrent_initializer: InitializerLike = "orthogonal"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    recurrent_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    recurrent_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    reset_after: bool = True

    def node(self) -> Node | None:
        """ONNX ``GRU``."""
        attributes = node_activations([self.recurrent_activation, self.activation], ["Sigmoid", "Tanh"])
        if attributes is None:
            return None
        return Node("GRU", 1, {**attributes, "linear_before_reset": int(self.reset_after)})

    def step(self, g: GraphBuilder, weights: Parameters, x: Value, states: States) -> States:
        """The new state."""
        (h,), units = states, self.units
        W, R = op.squeeze(g, weights.W, 0), op.squeeze(g, weights.R, 0)
        of_x, of_h = weights.bias, None
        if weights.bias is not None and self.reset_after:
            of_x, of_h = _halves(g, weights.bias, 3 * units)
        x_z, x_r, x_n = _gates(g, _product(g, x, W, of_x), 3, units)
        if self.reset_after:
            h_z, h_r, h_n = _gates(g, _product(g, h, R, of_h), 3, units)
            z, r = self._gate(g, x_z, h_z), self._gate(g, x_r, h_r)
            recurrent = g.add("Mul", r, h_n)
        else:
            gates, R_n = g.add_many("Split", R, g.ints(2 * units, units), outputs=2, axis=0)
            h_z, h_r = _gates(g, _product(g, h, gates), 2, units)
            z, r = self._gate(g, x_z, h_z), self._gate(g, x_r, h_r)
            recurrent = _product(g, g.add("Mul", r, h), R_n)
        new = activate(g, g.add("Add", x_n, recurrent), self.activation)
        return (g.add("Add", new, g.add("Mul", z, g.add("Sub", h, new))),)

    def _gate(self, g: GraphBuilder, of_x: Value, of_h: Value) -> Value:
        return activate(g, g.add("Add", of_x, of_h), self.recurrent_activation)

    def _bias_rows(self) -> int:
        return 2 if self.reset_after else 1


@dataclass(frozen=True, eq=False)
class StackedRNNCells(Cell):
    """Cells one after the other, as one cell: each takes the output of the one before (Keras' of that name).

    In ``RNN`` each becomes its own ONNX operator over the whole sequence, like layers one after the other.

    Input: (batch, features), then the states of all cells.  Output: that of the last cell, then the new
    states of all cells.
    Parameters: those of the cells, as ``<name>/cell_0/kernel``.

    Args:
        cells: the cells, at least one; each has a ``state_size`` and, called on an input and its states,
            gives its output and its new states.

    Raises:
        TypeError: there is no cell, or one is not a cell.
        ShapeError: the states are too many or too few.

    >>> import neuromatic as nm
    >>> stack = nm.layers.StackedRNNCells([nm.layers.GRUCell(4), nm.layers.SimpleRNNCell(2)])
    >>> nm.layers.RNN(stack)(nm.Input((5, 3))).shape
    ('batch', 2)
    """

    cells: Sequence[Layer]

    def __post_init__(self) -> None:
        if not isinstance(self.cells, Sequence) or not self.cells:
            raise TypeError(f"StackedRNNCells: cells must be a list of cells, got {self.cells!r}")
        for cell in self.cells:
            check_cell("StackedRNNCells", cell)
        object.__setattr__(self, "cells", tuple(self.cells))

    @property
    def state_size(self) -> tuple[int, ...]:
        """The sizes of the states of all cells, in order."""
        return tuple(size for cell in self.cells for size in state_sizes(cell))

    def emit(self, g: GraphBuilder, x: Value, *states: Value) -> tuple[Value, ...]:
        wanted = len(self.state_size)
        if len(states) != wanted:
            raise ShapeError(
                f"{g.scope}: StackedRNNCells takes an input and {wanted} states, got {len(states)} states"
            )
        new: list[Value] = []
        for i, (cell, own) in enumerate(zip(self.cells, self._shared(states), strict=True)):
            with g.layer(f"cell_{i}", inside=True):
                x, *after = one_step(g, cell, x, own)
            new += after
        return (x, *new)

    def scan(self, g: GraphBuilder, x: Value, scan: Scan) -> Scanned:
        """Run the first cell over the whole sequence, then the next one over its outputs."""
        given = self._shared(scan.initial) if scan.initial is not None else [None] * len(self.cells)
        states: list[Value] = []
        result = Scanned(x, None, ())
        for i, (cell, initial) in enumerate(zip(self.cells, given, strict=True)):
            inner = i < len(self.cells) - 1
            own = Scan(scan.backward, scan.sequences or inner, scan.states, scan.lengths, initial)
            with g.layer(f"cell_{i}", inside=True):
                result = run(g, cell, x, own)
            x = result.outputs if result.outputs is not None else x
            states += result.states
        return Scanned(result.outputs, result.last, tuple(states))

    def _shared(self, states: Sequence[Value]) -> list[States]:
        """The states of each cell."""
        given = iter(states)
        return [tuple(next(given) for _ in state_sizes(cell)) for cell in self.cells]
