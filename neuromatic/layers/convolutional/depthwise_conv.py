"""Depthwise convolutions; channels first, as in ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neuromatic.constraints import ConstraintLike
from neuromatic.initializers import InitializerLike
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers._windows import Padding, Sizes, Window, known_channels
from neuromatic.layers.activations.activation import ActivationLike
from neuromatic.layers.base import Layer
from neuromatic.layers.convolutional._shared import check_counts, convolved, depthwise_kernel, window
from neuromatic.regularizers import RegularizerLike

__all__ = ["DepthwiseConv1D", "DepthwiseConv2D"]


@dataclass(frozen=True, eq=False)
class _DepthwiseConv(Layer):
    """A convolution of each channel by itself, over ``rank`` spatial axes."""

    rank: ClassVar[int]

    kernel_size: Sizes
    strides: Sizes = 1
    padding: Padding = "valid"
    depth_multiplier: int = 1
    dilation_rate: Sizes = 1
    activation: ActivationLike = None
    use_bias: bool = True
    depthwise_initializer: InitializerLike = "glorot_uniform"
    bias_initializer: InitializerLike = "zeros"
    depthwise_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    activity_regularizer: RegularizerLike = None
    depthwise_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None

    def __post_init__(self) -> None:
        check_counts(type(self).__name__, depth_multiplier=self.depth_multiplier)
        self._window()

    def _window(self) -> Window:
        owner, rate = type(self).__name__, self.dilation_rate
        return window(owner, self.rank, self.kernel_size, self.strides, rate, self.padding)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        owner, moving = type(self).__name__, self._window()
        channels = known_channels(g, owner, x, self.rank)
        kernel = depthwise_kernel(
            g,
            "kernel",
            x,
            channels,
            self.depth_multiplier,
            moving,
            initializer=self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )
        outputs = channels * self.depth_multiplier
        attributes = moving.attributes(g, owner, x)
        return convolved(g, self, "Conv", x, kernel, outputs, group=channels, **attributes)


@dataclass(frozen=True, eq=False)
class DepthwiseConv1D(_DepthwiseConv):
    """One-dimensional convolution of each channel by itself.

    Keras ``DepthwiseConv1D``; ONNX ``Conv`` with a group for each channel.
    ``y[c * d + i] = activation(bias[c * d + i] + x[c] * kernel[c * d + i])`` with ``d = depth_multiplier``.

    Input: (batch, channels, steps) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels * depth_multiplier, new steps).
    Sequences (batch, steps, features), as recurrent layers take them, need ``Permute((2, 1))`` before it.
    Parameters: ``<name>/kernel`` (channels * depth_multiplier, 1, kernel steps),
    in ONNX' order, and ``<name>/bias`` (channels * depth_multiplier,).

    Args:
        kernel_size: number of steps that the kernel spans.
        strides: steps of the kernel.
        padding: ``"valid"`` for none; ``"same"`` for ``ceil(size / stride)`` outputs along each axis;
            or the number of zeros to add: one, or ``((before, after),)``.
        depth_multiplier: number of outputs for each channel.
        dilation_rate: distance between neighbours in the kernel.
        activation: an activation, or None for none.
        use_bias: whether to add a bias.
        depthwise_initializer: first values of the kernel.
        bias_initializer: first values of the bias.
        depthwise_regularizer: a penalty for the kernel in the loss.
        bias_regularizer: likewise for the bias.
        activity_regularizer: likewise for the output, divided by the batch size.
        depthwise_constraint: what holds for the kernel after each update.
        bias_constraint: likewise for the bias.

    Raises:
        ShapeError: the input has not these axes, its channels are unknown, or it is smaller than the kernel.

    >>> import neuromatic as nm
    >>> nm.layers.DepthwiseConv1D(3, depth_multiplier=2)(nm.Input((4, 20))).shape
    ('batch', 8, 18)
    """

    rank = 1


@dataclass(frozen=True, eq=False)
class DepthwiseConv2D(_DepthwiseConv):
    """Two-dimensional convolution of each channel by itself.

    Keras ``DepthwiseConv2D``; ONNX ``Conv`` with a group for each channel.
    ``y[c * d + i] = activation(bias[c * d + i] + x[c] * kernel[c * d + i])`` with ``d = depth_multiplier``.

    Input: (batch, channels, height, width) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels * depth_multiplier, new height, new width).
    Parameters: ``<name>/kernel`` (channels * depth_multiplier, 1, kernel height, kernel width),
    in ONNX' order, and ``<name>/bias`` (channels * depth_multiplier,).

    Args:
        kernel_size: height and width of the kernel, or one integer for both.
        strides: steps of the kernel, likewise.
        padding: ``"valid"`` for none; ``"same"`` for ``ceil(size / stride)`` outputs along each axis;
            or the number of zeros to add: one, or for each axis one or ``(before, after)``.
        depth_multiplier: number of outputs for each channel.
        dilation_rate: distance between neighbours in the kernel.
        activation: an activation, or None for none.
        use_bias: whether to add a bias.
        depthwise_initializer: first values of the kernel.
        bias_initializer: first values of the bias.
        depthwise_regularizer: a penalty for the kernel in the loss.
        bias_regularizer: likewise for the bias.
        activity_regularizer: likewise for the output, divided by the batch size.
        depthwise_constraint: what holds for the kernel after each update.
        bias_constraint: likewise for the bias.

    Raises:
        ShapeError: the input has not these axes, its channels are unknown, or it is smaller than the kernel.

    >>> import neuromatic as nm
    >>> nm.layers.DepthwiseConv2D(3, padding="same")(nm.Input((4, 28, 28))).shape
    ('batch', 4, 28, 28)
    """

    rank = 2

    strides: Sizes = (1, 1)
    dilation_rate: Sizes = (1, 1)
