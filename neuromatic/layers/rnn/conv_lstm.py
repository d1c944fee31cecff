"""LSTM with convolutions in place of matrix products; channels first, as in ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from neuromatic import initializers
from neuromatic.constraints import ConstraintLike
from neuromatic.errors import ShapeError
from neuromatic.initializers import InitializerLike
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers._parameters import parameter
from neuromatic.layers._windows import AXES, Padding, Sizes, Window
from neuromatic.layers.activations.activation import ActivationLike, activate
from neuromatic.layers.convolutional._shared import check_counts, check_steps, window
from neuromatic.layers.rnn._cell import Cell, check_dropouts
from neuromatic.layers.rnn._gates import ForgetOnes, TransposedInitializer
from neuromatic.layers.rnn._layer import Recurrent, check_layer
from neuromatic.layers.rnn._scan import Scan, Scanned, States, batch_first, dropped, unrolled
from neuromatic.regularizers import RegularizerLike

__all__ = ["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"]


@dataclass(frozen=True, eq=False)
class _ConvLSTM(Recurrent):
    """An LSTM over images with ``rank`` spatial axes."""

    rank: ClassVar[int]

    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: Padding = "valid"
    dilation_rate: Sizes = 1
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
    zero_output_for_mask: bool = False

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_counts(owner, filters=self.filters)
        if not isinstance(self.padding, str):
            raise ValueError(f'{owner}: padding must be "valid" or "same", got {self.padding!r}')
        check_steps(owner, self.window)
        check_dropouts(self)
        check_layer(self)

    @property
    def window(self) -> Window:
        """The window over the input."""
        owner, rate = type(self).__name__, self.dilation_rate
        return window(owner, self.rank, self.kernel_size, self.strides, rate, self.padding)

    @property
    def inner(self) -> _ConvLSTMCell:
        """The cell."""
        return _ConvLSTMCell(self)


@dataclass(frozen=True, eq=False)
class _ConvLSTMCell(Cell):
    """One step of a ConvLSTM layer, which has its arguments."""

    layer: _ConvLSTM

    @property
    def state_size(self) -> tuple[int, ...]:
        """The channels of h and c."""
        return (self.layer.filters, self.layer.filters)

    def emit(self, g: GraphBuilder, x: Value, h: Value, c: Value) -> tuple[Value, ...]:
        layer, owner = self.layer, type(self.layer).__name__
        kernel = self._kernel(g, "kernel", x)
        recurrent = self._kernel(g, "recurrent_kernel", h)
        inputs = [x, kernel, self._bias(g, x.dtype)] if layer.use_bias else [x, kernel]
        ones = (1,) * layer.rank
        over_h = Window(layer.window.kernel, ones, ones, "same").attributes(g, owner, h)
        of_x = g.add("Conv", *inputs, **layer.window.attributes(g, owner, x))
        total = g.add("Add", of_x, g.add("Conv", h, recurrent, **over_h))
        parts = g.add_many("Split", total, g.ints(*[layer.filters] * 4), outputs=4, axis=1)
        i, f, o = (activate(g, parts[k], layer.recurrent_activation) for k in (0, 1, 3))
        new = activate(g, parts[2], layer.activation)
        c = g.add("Add", g.add("Mul", f, c), g.add("Mul", i, new))
        h = g.add("Mul", o, activate(g, c, layer.activation))
        return h, h, c

    def scan(self, g: GraphBuilder, x: Value, scan: Scan) -> Scanned:
        """Run over a time-major sequence of images, step by step."""
        layer = self.layer
        match x.shape:
            case (_, _, int(_), *axes) if len(axes) == layer.rank and all(isinstance(n, int) for n in axes):
                pass
            case _:
                wanted = shape_text(("batch", "steps", "channels", *AXES[layer.rank]))
                raise ShapeError(
                    f"{g.scope}: {type(layer).__name__} takes {wanted} with known sizes, channels first, "
                    f"got {batch_first(x)}"
                )
        state = (layer.filters, *_positions(layer.window, [int(n or 0) for n in axes]))

        def step(x: Value, states: States) -> tuple[Value, ...]:
            return self.emit(g, x, *states)

        return unrolled(g, step, dropped(g, x, layer.dropout), [state, state], scan)

    def _kernel(self, g: GraphBuilder, name: str, x: Value) -> Value:
        """A kernel (4 * filters, channels of ``x``, ...), with first values as for Keras' (..., in, out)."""
        layer, inputs = self.layer, int(x.dim(1) or 0)
        area, outputs = prod(layer.window.kernel), 4 * layer.filters
        prefix = name.removesuffix("_kernel")
        first = initializers.get(getattr(layer, f"{prefix}_initializer"))
        return parameter(
            g,
            name,
            (outputs, inputs, *layer.window.kernel),
            initializer=TransposedInitializer(
                first, (*layer.window.kernel, inputs, outputs), _channels_first
            ),
            fans=(inputs * area, outputs * area),
            regularizer=getattr(layer, f"{prefix}_regularizer"),
            constraint=getattr(layer, f"{prefix}_constraint"),
            dtype=x.dtype,
        )

    def _bias(self, g: GraphBuilder, dtype: int) -> Value:
        layer = self.layer
        first = initializers.get(layer.bias_initializer)
        return parameter(
            g,
            "bias",
            (4 * layer.filters,),
            initializer=ForgetOnes(first) if layer.unit_forget_bias else first,
            regularizer=layer.bias_regularizer,
            constraint=layer.bias_constraint,
            dtype=dtype,
        )


def _channels_first(kernel: NDArray[Any]) -> NDArray[Any]:
    """(..., in, out) to (out, in, ...)."""
    return np.moveaxis(kernel, (-1, -2), (0, 1))


def _positions(window: Window, sizes: Sequence[int]) -> tuple[int, ...]:
    """How many places the window has along each axis."""
    axes = zip(sizes, window.extent, window.strides, strict=True)
    if window.padding == "same":
        return tuple(-(-size // stride) for size, _, stride in axes)
    return tuple((size - extent) // stride + 1 for size, extent, stride in axes)


@dataclass(frozen=True, eq=False)
class ConvLSTM1D(_ConvLSTM):
    """LSTM over sequences of rows, its products convolutions (Keras ``ConvLSTM1D``; ONNX ``Conv``).

    Shi et al. 2015: ``i, f, o = recurrent_activation(W * x + R * h + b)``, ``c = f * c + i * activation(W * x
    + R * h + b)``, ``h = o * activation(c)``, each gate with its own part of ``W``, ``R`` and ``b``. The
    steps are written out one by one.

    Input: (batch, steps, channels, length), channels **first**, with known sizes, then the initial states h
    and c, (batch, filters, new length), if not zeros, also by keyword as ``initial_state``.
    Output: (batch, filters, new length) of the last step, or (batch, steps, filters, new length) of all; with
    ``return_state`` the last h and c too.
    Parameters: ``<name>/kernel`` (4 * filters, channels, kernel length), ``<name>/recurrent_kernel``
    (4 * filters, filters, kernel length) and ``<name>/bias`` (4 * filters,), gates in the order i, f, c, o.
    With a mask, steps that do not count leave the states as they are and repeat the output before them, zeros
    at first.

    Args:
        filters: number of output channels, at least 1.
        kernel_size: length of the kernel.
        strides: steps of the kernel over the input; over h it always moves by 1.
        padding: ``"valid"`` for none or ``"same"``, of the input; h is always padded to keep its size.
        dilation_rate: distance between neighbours in the kernel over the input; only with strides of 1.
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
        dropout: the share of inputs set to 0 in training, the same at all steps of a sequence and for all
            gates (Keras draws anew for each gate).
        recurrent_dropout: only 0, as in LSTM.
        return_sequences: whether to return the outputs of all steps instead of the last one's.
        return_state: whether to return the last states too.
        go_backwards: whether to go from the last step to the first; the outputs are then in that order.
        stateful: only False: an ONNX model keeps nothing between two calls.
        zero_output_for_mask: whether steps that a mask does not count give zeros instead of what came before.

    Raises:
        ValueError: an argument is not possible.
        ShapeError: the input has not these axes, or one of their sizes is unknown.

    >>> import neuromatic as nm
    >>> nm.layers.ConvLSTM1D(2, 3, padding="same")(nm.Input((5, 1, 8))).shape
    ('batch', 2, 8)
    """

    rank: ClassVar[int] = 1


@dataclass(frozen=True, eq=False)
class ConvLSTM2D(_ConvLSTM):
    """LSTM over sequences of images, its products convolutions (Keras ``ConvLSTM2D``; ONNX ``Conv``).

    Shi et al. 2015: ``i, f, o = recurrent_activation(W * x + R * h + b)``, ``c = f * c + i * activation(W * x
    + R * h + b)``, ``h = o * activation(c)``, each gate with its own part of ``W``, ``R`` and ``b``. The
    steps are written out one by one.

    Input: (batch, steps, channels, height, width), channels **first**, with known sizes, then the initial
    states h and c, (batch, filters, new height, new width), if not zeros, also by keyword as
    ``initial_state``.
    Output: (batch, filters, new height, new width) of the last step, or (batch, steps, filters, new height,
    new width) of all; with ``return_state`` the last h and c too.
    Parameters: ``<name>/kernel`` (4 * filters, channels, kernel height, kernel width),
    ``<name>/recurrent_kernel`` (4 * filters, filters, kernel height, kernel width) and ``<name>/bias`` (4 *
    filters,), gates in the order i, f, c, o. With a mask, steps that do not count leave the states as they
    are and repeat the output before them, zeros at first.

    Args:
        filters: number of output channels, at least 1.
        kernel_size: height and width of the kernel, or one integer for both.
        strides: steps of the kernel over the input; over h it always moves by 1.
        padding: ``"valid"`` for none or ``"same"``, of the input; h is always padded to keep its size.
        dilation_rate: distance between neighbours in the kernel over the input; only with strides of 1.
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
        dropout: the share of inputs set to 0 in training, the same at all steps of a sequence and for all
            gates (Keras draws anew for each gate).
        recurrent_dropout: only 0, as in LSTM.
        return_sequences: whether to return the outputs of all steps instead of the last one's.
        return_state: whether to return the last states too.
        go_backwards: whether to go from the last step to the first; the outputs are then in that order.
        stateful: only False: an ONNX model keeps nothing between two calls.
        zero_output_for_mask: whether steps that a mask does not count give zeros instead of what came before.

    Raises:
        ValueError: an argument is not possible.
        ShapeError: the input has not these axes, or one of their sizes is unknown.

    >>> import neuromatic as nm
    >>> nm.layers.ConvLSTM2D(2, 3, padding="same")(nm.Input((5, 1, 8, 8))).shape
    ('batch', 2, 8, 8)
    """

    rank: ClassVar[int] = 2


@dataclass(frozen=True, eq=False)
class ConvLSTM3D(_ConvLSTM):
    """LSTM over sequences of volumes, its products convolutions (Keras ``ConvLSTM3D``; ONNX ``Conv``).

    Shi et al. 2015: ``i, f, o = recurrent_activation(W * x + R * h + b)``, ``c = f * c + i * activation(W * x
    + R * h + b)``, ``h = o * activation(c)``, each gate with its own part of ``W``, ``R`` and ``b``. The
    steps are written out one by one.

    Input: (batch, steps, channels, depth, height, width), channels **first**, with known sizes, then the
    initial states h and c, (batch, filters, new depth, new height, new width), if not zeros, also by keyword
    as ``initial_state``.
    Output: (batch, filters, new depth, new height, new width) of the last step, or (batch, steps, filters,
    new depth, new height, new width) of all; with ``return_state`` the last h and c too.
    Parameters: ``<name>/kernel`` (4 * filters, channels, kernel depth, height, width),
    ``<name>/recurrent_kernel`` (4 * filters, filters, kernel depth, height, width) and ``<name>/bias`` (4 *
    filters,), gates in the order i, f, c, o. With a mask, steps that do not count leave the states as they
    are and repeat the output before them, zeros at first.

    Args:
        filters: number of output channels, at least 1.
        kernel_size: depth, height and width of the kernel, or one integer for all.
        strides: steps of the kernel over the input; over h it always moves by 1.
        padding: ``"valid"`` for none or ``"same"``, of the input; h is always padded to keep its size.
        dilation_rate: distance between neighbours in the kernel over the input; only with strides of 1.
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
        dropout: the share of inputs set to 0 in training, the same at all steps of a sequence and for all
            gates (Keras draws anew for each gate).
        recurrent_dropout: only 0, as in LSTM.
        return_sequences: whether to return the outputs of all steps instead of the last one's.
        return_state: whether to return the last states too.
        go_backwards: whether to go from the last step to the first; the outputs are then in that order.
        stateful: only False: an ONNX model keeps nothing between two calls.
        zero_output_for_mask: whether steps that a mask does not count give zeros instead of what came before.

    Raises:
        ValueError: an argument is not possible.
        ShapeError: the input has not these axes, or one of their sizes is unknown.

    >>> import neuromatic as nm
    >>> nm.layers.ConvLSTM3D(2, 3, padding="same")(nm.Input((5, 1, 4, 4, 4))).shape
    ('batch', 2, 4, 4, 4)
    """

    rank: ClassVar[int] = 3
