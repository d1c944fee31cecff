"""Separable convolutions: a depthwise and a pointwise one; channels first, as in ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neuromatic.constraints import ConstraintLike
from neuromatic.initializers import InitializerLike
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers._parameters import parameter
from neuromatic.layers._windows import Padding, Sizes, Window, known_channels
from neuromatic.layers.activations.activation import ActivationLike
from neuromatic.layers.base import Layer
from neuromatic.layers.convolutional._shared import check_counts, convolved, depthwise_kernel, window
from neuromatic.regularizers import RegularizerLike

__all__ = ["SeparableConv1D", "SeparableConv2D", "SeparableConvolution1D", "SeparableConvolution2D"]


@dataclass(frozen=True, eq=False)
class _SeparableConv(Layer):
    """A depthwise convolution over ``rank`` spatial axes, and one over the channels of each place."""

    rank: ClassVar[int]

    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: Padding = "valid"
    dilation_rate: Sizes = 1
    depth_multiplier: int = 1
    activation: ActivationLike = None
    use_bias: bool = True
    depthwise_initializer: InitializerLike = "glorot_uniform"
    pointwise_initializer: InitializerLike = "glorot_uniform"
    bias_initializer: InitializerLike = "zeros"
    depthwise_regularizer: RegularizerLike = None
    pointwise_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    activity_regularizer: RegularizerLike = None
    depthwise_constraint: ConstraintLike = None
    pointwise_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_counts(owner, filters=self.filters, depth_multiplier=self.depth_multiplier)
        self._window()

    def _window(self) -> Window:
        owner, rate = type(self).__name__, self.dilation_rate
        return window(owner, self.rank, self.kernel_size, self.strides, rate, self.padding)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        owner, moving = type(self).__name__, self._window()
        channels = known_channels(g, owner, x, self.rank)
        depthwise = depthwise_kernel(
            g,
            "depthwise_kernel",
            x,
            channels,
            self.depth_multiplier,
            moving,
            initializer=self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )
        inner = channels * self.depth_multiplier
        pointwise = parameter(
            g,
            "pointwise_kernel",
            (self.filters, inner, *[1] * self.rank),
            initializer=self.pointwise_initializer,
            fans=(inner, self.filters),
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
            dtype=x.dtype,
        )
        y = g.add("Conv", x, depthwise, group=channels, **moving.attributes(g, owner, x))
        return convolved(g, self, "Conv", y, pointwise, self.filters)


@dataclass(frozen=True, eq=False)
class SeparableConv1D(_SeparableConv):
    """One-dimensional convolution in two: of each channel by itself, then of the channels at each place.

    Keras ``SeparableConv1D``; ONNX ``Conv``, first with a group for each channel, then of kernel size 1.
    ``y = activation(bias + pointwise_kernel * (depthwise_kernel * x))``.

    Input: (batch, channels, steps) of a float type: channels **first**, Keras' default is last.
    Output: (batch, filters, new steps).
    Sequences (batch, steps, features), as recurrent layers take them, need ``Permute((2, 1))`` before it.
    Parameters: ``<name>/depthwise_kernel`` (channels * depth_multiplier, 1, kernel steps),
    ``<name>/pointwise_kernel`` (filters, channels * depth_multiplier, 1), in ONNX' order, and
    ``<name>/bias`` (filters,).

    Args:
        filters: number of output channels, at least 1.
        kernel_size: number of steps that the kernel spans.
        strides: steps of the kernel.
        padding: ``"valid"`` for none; ``"same"`` for ``ceil(size / stride)`` outputs along each axis;
            or the number of zeros to add: one, or ``((before, after),)``.
        dilation_rate: distance between neighbours in the kernel.
        depth_multiplier: number of values that the first convolution makes of each channel.
        activation: an activation, or None for none.
        use_bias: whether to add a bias.
        depthwise_initializer: first values of the depthwise kernel.
        pointwise_initializer: likewise for the pointwise kernel.
        bias_initializer: likewise for the bias.
        depthwise_regularizer: a penalty for the depthwise kernel in the loss.
        pointwise_regularizer: likewise for the pointwise kernel.
        bias_regularizer: likewise for the bias.
        activity_regularizer: likewise for the output, divided by the batch size.
        depthwise_constraint: what holds for the depthwise kernel after each update.
        pointwise_constraint: likewise for the pointwise kernel.
        bias_constraint: likewise for the bias.

    Raises:
        ShapeError: the input has not these axes, its channels are unknown, or it is smaller than the kernel.

    >>> import neuromatic as nm
    >>> nm.layers.SeparableConv1D(8, 3)(nm.Input((4, 20))).shape
    ('batch', 8, 18)
    """

    rank = 1


@dataclass(frozen=True, eq=False)
class SeparableConv2D(_SeparableConv):
    """Two-dimensional convolution in two: of each channel by itself, then of the channels at each place.

    Keras ``SeparableConv2D``; ONNX ``Conv``, first with a group for each channel, then of kernel size 1.
    ``y = activation(bias + pointwise_kernel * (depthwise_kernel * x))``.

    Input: (batch, channels, height, width) of a float type: channels **first**, Keras' default is last.
    Output: (batch, filters, new height, new width).
    Parameters: ``<name>/depthwise_kernel`` (channels * depth_multiplier, 1, kernel height, kernel width),
    ``<name>/pointwise_kernel`` (filters, channels * depth_multiplier, 1, 1), in ONNX' order, and
    ``<name>/bias`` (filters,).

    Args:
        filters: number of output channels, at least 1.
        kernel_size: height and width of the kernel, or one integer for both.
        strides: steps of the kernel, likewise.
        padding: ``"valid"`` for none; ``"same"`` for ``ceil(size / stride)`` outputs along each axis;
            or the number of zeros to add: one, or for each axis one or ``(before, after)``.
        dilation_rate: distance between neighbours in the kernel.
        depth_multiplier: number of values that the first convolution makes of each channel.
        activation: an activation, or None for none.
        use_bias: whether to add a bias.
        depthwise_initializer: first values of the depthwise kernel.
        pointwise_initializer: likewise for the pointwise kernel.
        bias_initializer: likewise for the bias.
        depthwise_regularizer: a penalty for the depthwise kernel in the loss.
        pointwise_regularizer: likewise for the pointwise kernel.
        bias_regularizer: likewise for the bias.
        activity_regularizer: likewise for the output, divided by the batch size.
        depthwise_constraint: what holds for the depthwise kernel after each update.
        pointwise_constraint: likewise for the pointwise kernel.
        bias_constraint: likewise for the bias.

    Raises:
        ShapeError: the input has not these axes, its channels are unknown, or it is smaller than the kernel.

    >>> import neuromatic as nm
    >>> nm.layers.SeparableConv2D(8, 3, strides=2, padding="same")(nm.Input((4, 28, 28))).shape
    ('batch', 8, 14, 14)
    """

    rank = 2

    strides: Sizes = (1, 1)
    dilation_rate: Sizes = (1, 1)


SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D
