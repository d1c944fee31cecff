"""Recurrent layers: SimpleRNN, LSTM, GRU, and RNN for any cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuromatic.constraints import ConstraintLike
from neuromatic.initializers import InitializerLike
from neuromatic.layers.activations.activation import ActivationLike
from neuromatic.layers.base import Layer
from neuromatic.layers.rnn._cell import check_cell, check_recurrent
from neuromatic.layers.rnn._layer import Recurrent, cell_of, check_layer
from neuromatic.layers.rnn.cells import GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from neuromatic.regularizers import RegularizerLike

__all__ = ["GRU", "LSTM", "RNN", "SimpleRNN"]


@dataclass(frozen=True, eq=False)
class RNN(Recurrent):
    """Runs a cell over the steps of a sequence (Keras ``RNN``).

    With the cells of this library it is ONNX ``RNN``, ``LSTM`` or ``GRU``. Any other layer with a
    ``state_size``, one integer or several, that gives its output and its new states for an input and its
    states, is written out step by step, for a known number of steps.

    Input: (batch, steps, ...), then the initial states, if not zeros, also by keyword as ``initial_state``.
    Output: (batch, ...) of the last step, or (batch, steps, ...) of all; with ``return_state`` the last
    states too.
    Parameters: those of the cell, as ``<name>/kernel``.
    With a mask, steps that do not count leave the states as they are and repeat the output before them, zeros
    at first.

    Args:
        cell: the cell, or a list of them, which is stacked.
        return_sequences: whether to return the outputs of all steps instead of the last one's.
        return_state: whether to return the last states too.
        go_backwards: whether to go from the last step to the first; the outputs are then in that order.
        stateful: only False: an ONNX model keeps nothing between two calls.
        unroll: accepted as in Keras; how steps are run is the engine's choice.
        zero_output_for_mask: whether steps that a mask does not count give zeros instead of what came before.
        activity_regularizer: a penalty for each result in the loss, divided by the batch size.

    Raises:
        ValueError: ``stateful`` is True.
        TypeError: the cell is no cell.
        ShapeError: the input is of too low a rank, or the initial states are too many or few.

    >>> import neuromatic as nm
    >>> nm.layers.RNN(nm.layers.LSTMCell(4), return_sequences=True)(nm.Input((5, 3))).shape
    ('batch', 5, 4)
    """

    cell: Layer | Sequence[Layer]
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = False
    activity_regularizer: RegularizerLike = None

    def __post_init__(self) -> None:
        if isinstance(self.cell, Sequence):
            object.__setattr__(self, "cell", StackedRNNCells(self.cell))
        check_cell("RNN", self.cell)
        check_layer(self)

    @property
    def inner(self) -> Layer:
        """The cell."""
        assert isinstance(self.cell, Layer)
        return self.cell


@dataclass(frozen=True, eq=False)
class SimpleRNN(Recurrent):
    """The plain recurrent layer, ``h = activation(x @ W + h @ R + b)`` (Keras ``SimpleRNN``; ONNX ``RNN``).

    Input: (batch, steps, features), then the initial state, (batch, units), if not zeros, also by keyword
    as ``initial_state``.
    Output: (batch, units) of the last step, or (batch, steps, units) of all; with ``return_state`` the last
    state too.
    Parameters: ``<name>/kernel`` (1, units, features), ``<name>/recurrent_kernel`` (1, units, units) and
    ``<name>/bias`` (1, units), as ONNX lays them out.
    With a mask, steps that do not count leave the states as they are and repeat the output before them, zeros
    at first. Activations that ONNX' operator lacks are written out step by step, for a known number of steps.

    Args:
        units: size of the output and of each state, at least 1.
        activation: an activation, or None for none.
        use_bias: whether to add a bias.
        kernel_initializer: first values of the kernel.
        recurrent_initializer: first values of the recurrent kernel.
        bias_initializer: first values of the bias.
        kernel_regularizer: a penalty for the kernel in the loss.
        recurrent_regularizer: likewise for the recurrent kernel.
        bias_regularizer: likewise for the bias.
        activity_regularizer: likewise for each result, divided by the batch size (Keras' ignores it here).
        kernel_constraint: what holds for the kernel after each update.
        recurrent_constraint: likewise for the recurrent kernel.
        bias_constraint: likewise for the bias.
        dropout: the share of inputs set to 0 in training, the same at all steps of a sequence.
        recurrent_dropout: only 0: ONNX has no dropout between steps.
        return_sequences: whether to return the outputs of all steps instead of the last one's.
        return_state: whether to return the last state too.
        go_backwards: whether to go from the last step to the first; the outputs are then in that order.
        stateful: only False: an ONNX model keeps nothing between two calls.
        unroll: accepted as in Keras; how steps are run is the engine's choice.
        zero_output_for_mask: whether steps that a mask does not count give zeros instead of what came before.

    Raises:
        ValueError: an argument is not possible.
        ShapeError: the input is not of rank 3, its features are unknown, or the number of initial
            states is wrong.

    >>> import neuromatic as nm
    >>> nm.layers.SimpleRNN(4)(nm.Input((5, 3))).shape
    ('batch', 4)
    """

    units: int
    activation: ActivationLike = "tanh"
    use_bias: bool = True
    kernel_initializer: InitializerLike = "glorot_uniform"
    recurrent_initializer: InitializerLike = "orthogonal"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    recurrent_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    activity_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    recurrent_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = False

    def __post_init__(self) -> None:
        check_recurrent(self)
        check_layer(self)

    @property
    def inner(self) -> SimpleRNNCell:
        """The cell with these arguments."""
        return cell_of(self, SimpleRNNCell)


@dataclass(frozen=True, eq=False)
class LSTM(Recurrent):
    """Long short-term memory (Hochreiter 1997, Keras ``LSTM``; ONNX ``LSTM``).

    ``i, o, f = recurrent_activation(x @ W + h @ R + b)``, ``c = f * c + i * activation(x @ W + h @ R + b)``,
    ``h = o * activation(c)``, each gate with its own part of ``W``, ``R`` and ``b``.

    Input: (batch, steps, features), then the initial states h and c, (batch, units) each, if not zeros,
    also by keyword as ``initial_state``.
    Output: (batch, units) of the last step, or (batch, steps, units) of all; with ``return_state`` the last
    states h and c too.
    Parameters: ``<name>/kernel`` (1, 4 * units, features), ``<name>/recurrent_kernel``
    (1, 4 * units, units) and ``<name>/bias`` (1, 4 * units), gates in ONNX' order i, o, f, c; in
    Keras' it is i, f, c, o.
    Initializers, regularizers and constraints see them in Keras' shape.
    With a mask, steps that do not count leave the states as they are and repeat the output before them, zeros
    at first. Activations that ONNX' operator lacks are written out step by step, for a known number of steps.

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
        activity_regularizer: likewise for each result, divided by the batch size.
        kernel_constraint: what holds for the kernel after each update.
        recurrent_constraint: likewise for the recurrent kernel.
        bias_constraint: likewise for the bias.
        dropout: the share of inputs set to 0 in training, the same at all steps of a sequence.
        recurrent_dropout: only 0: ONNX has no dropout between steps.
        return_sequences: whether to return the outputs of all steps instead of the last one's.
        return_state: whether to return the last states too.
        go_backwards: whether to go from the last step to the first; the outputs are then in that order.
        stateful: only False: an ONNX model keeps nothing between two calls.
        unroll: accepted as in Keras; how steps are run is the engine's choice.
        zero_output_for_mask: whether steps that a mask does not count give zeros instead of what came before.

    Raises:
        ValueError: an argument is not possible.
        ShapeError: the input is not of rank 3, its features are unknown, or the number of initial
            states is wrong.

    >>> import neuromatic as nm
    >>> nm.layers.LSTM(4)(nm.Input((5, 3))).shape
    ('batch', 4)
    """

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
    activity_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    recurrent_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = False

    def __post_init__(self) -> None:
        check_recurrent(self)
        check_layer(self)

    @property
    def inner(self) -> LSTMCell:
        """The cell with these arguments."""
        return cell_of(self, LSTMCell)


@dataclass(frozen=True, eq=False)
class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014, Keras ``GRU``; ONNX ``GRU``).

    ``z, r = recurrent_activation(x @ W + h @ R + b)``, ``n = activation(x @ W + r * (h @ R + b))``,
    ``h = z * h + (1 - z) * n``, each gate with its own part of ``W``, ``R`` and ``b``.

    Input: (batch, steps, features), then the initial state, (batch, units), if not zeros, also by keyword
    as ``initial_state``.
    Output: (batch, units) of the last step, or (batch, steps, units) of all; with ``return_state`` the last
    state too.
    Parameters: ``<name>/kernel`` (1, 3 * units, features), ``<name>/recurrent_kernel``
    (1, 3 * units, units) and ``<name>/bias`` (1, 6 * units), that for x, then that for h; (1, 3 * units)
    without ``reset_after``. Gates in the order z, r, n.
    Initializers, regularizers and constraints see them in Keras' shape.
    With a mask, steps that do not count leave the states as they are and repeat the output before them, zeros
    at first. Activations that ONNX' operator lacks are written out step by step, for a known number of steps.

    Args:
        units: size of the output and of each state, at least 1.
        activation: an activation, or None for none.
        recurrent_activation: likewise that of the gates.
        use_bias: whether to add a bias.
        kernel_initializer: first values of the kernel.
        recurrent_initializer: first values of the recurrent kernel.
        bias_initializer: first values of the bias.
        kernel_regularizer: a penalty for the kernel in the loss.
        recurrent_regularizer: likewise for the recurrent kernel.
        bias_regularizer: likewise for the bias.
        activity_regularizer: likewise for each result, divided by the batch size.
        kernel_constraint: what holds for the kernel after each update.
        recurrent_constraint: likewise for the recurrent kernel.
        bias_constraint: likewise for the bias.
        dropout: the share of inputs set to 0 in training, the same at all steps of a sequence.
        recurrent_dropout: only 0: ONNX has no dropout between steps.
        return_sequences: whether to return the outputs of all steps instead of the last one's.
        return_state: whether to return the last state too.
        go_backwards: whether to go from the last step to the first; the outputs are then in that order.
        stateful: only False: an ONNX model keeps nothing between two calls.
        unroll: accepted as in Keras; how steps are run is the engine's choice.
        reset_after: whether r multiplies ``h @ R + b``, as above; else ``n`` uses ``(r * h) @ R`` instead.
        zero_output_for_mask: whether steps that a mask does not count give zeros instead of what came before.

    Raises:
        ValueError: an argument is not possible.
        ShapeError: the input is not of rank 3, its features are unknown, or the number of initial
            states is wrong.

    >>> import neuromatic as nm
    >>> nm.layers.GRU(4)(nm.Input((5, 3))).shape
    ('batch', 4)
    """

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
    activity_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    recurrent_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    reset_after: bool = True
    zero_output_for_mask: bool = False

    def __post_init__(self) -> None:
        check_recurrent(self)
        check_layer(self)

    @property
    def inner(self) -> GRUCell:
        """The cell with these arguments."""
        return cell_of(self, GRUCell)
