"""Convolutions over one, two and three spatial axes; channels first, as in ONNX."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

from neuromatic.constraints import ConstraintLike
from neuromatic.initializers import InitializerLike
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers._parameters import parameter
from neuromatic.layers._windows import Padding, Sizes, Window, known_channels
from neuromatic.layers.activations.activation import ActivationLike
from neuromatic.layers.base import Layer
from neuromatic.layers.convolutional._shared import check_counts, check_steps, convolved, window
from neuromatic.regularizers import RegularizerLike

__all__ = ["Conv1D", "Conv2D", "Conv3D", "Convolution1D", "Convolution2D", "Convolution3D"]


@dataclass(frozen=True, eq=False)
class _Conv(Layer):
    """A convolution over ``rank`` spatial axes.

    ``y[m] = activation(bias[m] + sum of x[c] * kernel[m, c])``, where * is the cross-correlation.
    """

    rank: ClassVar[int]

    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: Padding = "valid"
    dilation_rate: Sizes = 1
    groups: int = 1
    activation: ActivationLike = None
    use_bias: bool = True
    kernel_initializer: InitializerLike = "glorot_uniform"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    activity_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_counts(owner, filters=self.filters, groups=self.groups)
        if self.filters % self.groups:
            raise ValueError(
                f"{owner}: filters must be divisible by groups, got filters={self.filters} "
                f"and groups={self.groups}"
            )
        check_steps(owner, self._window())

    def _window(self) -> Window:
        owner, rate = type(self).__name__, self.dilation_rate
        names = ("valid", "same", "causal") if self.rank == 1 else ("valid", "same")
        moving = window(owner, self.rank, self.kernel_size, self.strides, rate, self.padding, paddings=names)
        if moving.padding == "causal":
            return replace(moving, padding=((moving.extent[0] - 1, 0),))
        return moving

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        owner = type(self).__name__
        channels = known_channels(g, owner, x, self.rank, self.groups) // self.groups
        moving = self._window()
        area = prod(moving.kernel)
        kernel = parameter(
            g,
            "kernel",
            (self.filters, channels, *moving.kernel),
            initializer=self.kernel_initializer,
            fans=(channels * area, self.filters * area),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            dtype=x.dtype,
        )
        attributes = moving.attributes(g, owner, x)
        return convolved(g, self, "Conv", x, kernel, self.filters, group=self.groups, **attributes)


@dataclass(frozen=True, eq=False)
class Conv1D(_Conv):
    """One-dimensional convolution (Keras ``Conv1D``; ONNX ``Conv``).

    ``y[m] = activation(bias[m] + sum of x[c] * kernel[m, c])`` over the channels c, where * slides the kernel
    over the steps without turning it round.

    Input: (batch, channels, steps) of a float type: channels **first**, Keras' default is last.
    Output: (batch, filters, new steps).
    Sequences (batch, steps, features), as recurrent layers take them, need ``Permute((2, 1))`` before it.
    Parameters: ``<name>/kernel`` (filters, channels / groups, kernel steps),
    in ONNX' order, and ``<name>/bias`` (filters,).

    Args:
        filters: number of output channels, at least 1.
        kernel_size: number of steps that the kernel spans.
        strides: steps of the kernel.
        padding: ``"valid"`` for none; ``"same"`` for ``ceil(steps / stride)`` outputs; ``"causal"`` for zeros
            in front alone, so that no output depends on a later step; or how many zeros to add: one
            integer, or ``((before, after),)``.
        dilation_rate: distance between neighbours in the kernel; only with strides of 1, as in Keras.
        groups: number of groups into which channels and filters are split.
        activation: an activation, or None for none.
        use_bias: whether to add a bias.
        kernel_initializer: first values of the kernel.
        bias_initializer: first values of the bias.
        kernel_regularizer: a penalty for the kernel in the loss.
        bias_regularizer: likewise for the bias.
        activity_regularizer: likewise for the output, divided by the batch size.
        kernel_constraint: what holds for the kernel after each update.
        bias_constraint: likewise for the bias.

    Raises:
        ShapeError: the input has not these axes, its channels are unknown or not divisible by ``groups``,
            or it is smaller than the kernel.

    >>> import neuromatic as nm
    >>> nm.layers.Conv1D(8, 3, padding="causal")(nm.Input((4, 20))).shape
    ('batch', 8, 20)
    """

    rank = 1


@dataclass(frozen=True, eq=False)
class Conv2D(_Conv):
    """Two-dimensional convolution (Keras ``Conv2D``; ONNX ``Conv``).

    ``y[m] = activation(bias[m] + sum of x[c] * kernel[m, c])`` over the channels c, where * slides the kernel
    over the image without turning it round.

    Input: (batch, channels, height, width) of a float type: channels **first**, Keras' default is last.
    Output: (batch, filters, new height, new width).
    Parameters: ``<name>/kernel`` (filters, channels / groups, kernel height, kernel width),
    in ONNX' order, and ``<name>/bias`` (filters,).

    Args:
        filters: number of output channels, at least 1.
        kernel_size: height and width of the kernel, or one integer for both.
        strides: steps of the kernel, likewise.
        padding: ``"valid"`` for none; ``"same"`` for ``ceil(size / stride)`` outputs along each axis;
            or the number of zeros to add: one, or for each axis one or ``(before, after)``.
        dilation_rate: distance between neighbours in the kernel; only with strides of 1, as in Keras.
        groups: number of groups into which channels and filters are split.
        activation: an activation, or None for none.
        use_bias: whether to add a bias.
        kernel_initializer: first values of the kernel.
        bias_initializer: first values of the bias.
        kernel_regularizer: a penalty for the kernel in the loss.
        bias_regularizer: likewise for the bias.
        activity_regularizer: likewise for the output, divided by the batch size.
        kernel_constraint: what holds for the kernel after each update.
        bias_constraint: likewise for the bias.

    Raises:
        ShapeError: the input has not these axes, its channels are unknown or not divisible by ``groups``,
            or it is smaller than the kernel.

    >>> import neuromatic as nm
    >>> nm.layers.Conv2D(32, 3, strides=2, padding="same")(nm.Input((1, 28, 28))).shape
    ('batch', 32, 14, 14)
    """

    rank = 2

    strides: Sizes = (1, 1)
    dilation_rate: Sizes = (1, 1)


@dataclass(frozen=True, eq=False)
class Conv3D(_Conv):
    """Three-dimensional convolution (Keras ``Conv3D``; ONNX ``Conv``).

    ``y[m] = activation(bias[m] + sum of x[c] * kernel[m, c])`` over the channels c, where * slides the kernel
    over the volume without turning it round.

    Input: (batch, channels, depth, height, width) of a float type: channels **first**, Keras' default is
    last.  Output: (batch, filters, new depth, new height, new width).
    Parameters: ``<name>/kernel`` (filters, channels / groups, kernel depth, kernel height, kernel width),
    in ONNX' order, and ``<name>/bias`` (filters,).

    Args:
        filters: number of output channels, at least 1.
        kernel_size: depth, height and width of the kernel, or one integer for all.
        strides: steps of the kernel, likewise.
        padding: ``"valid"`` for none; ``"same"`` for ``ceil(size / stride)`` outputs along each axis;
            or the number of zeros to add: one, or for each axis one or ``(before, after)``.
        dilation_rate: distance between neighbours in the kernel; only with strides of 1, as in Keras.
        groups: number of groups into which channels and filters are split.
        activation: an activation, or None for none.
        use_bias: whether to add a bias.
        kernel_initializer: first values of the kernel.
        bias_initializer: first values of the bias.
        kernel_regularizer: a penalty for the kernel in the loss.
        bias_regularizer: likewise for the bias.
        activity_regularizer: likewise for the output, divided by the batch size.
        kernel_constraint: what holds for the kernel after each update.
        bias_constraint: likewise for the bias.

    Raises:
        ShapeError: the input has not these axes, its channels are unknown or not divisible by ``groups``,
            or it is smaller than the kernel.

    >>> import neuromatic as nm
    >>> nm.layers.Conv3D(8, 3)(nm.Input((1, 10, 12, 12))).shape
    ('batch', 8, 8, 10, 10)
    """

    rank = 3

    strides: Sizes = (1, 1, 1)
    dilation_rate: Sizes = (1, 1, 1)


Convolution1D = Conv1D
Convolution2D = Conv2D
Convolution3D = Conv3D
