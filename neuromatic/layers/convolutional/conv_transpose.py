"""Transposed convolutions over one, two and three spatial axes; channels first, as in ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from neuromatic.constraints import ConstraintLike
from neuromatic.errors import ShapeError
from neuromatic.initializers import InitializerLike
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers._parameters import parameter
from neuromatic.layers._windows import Padding, Sizes, Window, known_channels, onnx_pads, sizes
from neuromatic.layers.activations.activation import ActivationLike
from neuromatic.layers.base import Layer
from neuromatic.layers.convolutional._shared import check_counts, check_steps, convolved, window
from neuromatic.regularizers import RegularizerLike

__all__ = [
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "Convolution1DTranspose",
    "Convolution2DTranspose",
    "Convolution3DTranspose",
]


@dataclass(frozen=True, eq=False)
class _ConvTranspose(Layer):
    """A transposed convolution over ``rank`` spatial axes."""

    rank: ClassVar[int]

    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: Padding = "valid"
    output_padding: Sizes | None = None
    dilation_rate: Sizes = 1
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
        check_counts(owner, filters=self.filters)
        moving = self._window()
        check_steps(owner, moving)
        extra = self._output_padding()
        if extra is not None and any(e >= s for e, s in zip(extra, moving.strides, strict=True)):
            raise ValueError(
                f"{owner}: output_padding must be below strides along each axis, "
                f"got output_padding={extra} and strides={moving.strides}"
            )

    def _window(self) -> Window:
        owner, rate = type(self).__name__, self.dilation_rate
        return window(owner, self.rank, self.kernel_size, self.strides, rate, self.padding)

    def _output_padding(self) -> tuple[int, ...] | None:
        if self.output_padding is None:
            return None
        return sizes(type(self).__name__, "output_padding", self.output_padding, self.rank, least=0)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        owner = type(self).__name__
        channels = known_channels(g, owner, x, self.rank)
        moving = self._window()
        area = prod(moving.kernel)
        kernel = parameter(
            g,
            "kernel",
            (channels, self.filters, *moving.kernel),
            initializer=self.kernel_initializer,
            fans=(self.filters * area, channels * area),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            dtype=x.dtype,
        )
        attributes = self._attributes(g, x, moving)
        return convolved(g, self, "ConvTranspose", x, kernel, self.filters, **attributes)

    def _attributes(self, g: GraphBuilder, x: Value, moving: Window) -> dict[str, Any]:
        """The ONNX attributes: what is cut off before and after each axis, and zeros added at its end."""
        cut = self._cut(moving)
        for size, step, extent, (before, after) in zip(
            (x.shape or ())[2:], moving.strides, moving.extent, cut, strict=True
        ):
            if isinstance(size, int) and (size - 1) * step + extent - before - after < 1:
                raise ShapeError(
                    f"{g.scope}: {type(self).__name__} with padding={self.padding!r} leaves nothing of "
                    f"{shape_text(x.shape)} from {x.name!r}; pad less or give it a larger input"
                )
        result = moving.steps
        kept = [(before, max(after, 0)) for before, after in cut]
        added = [max(-after, 0) for _, after in cut]
        if any(map(any, kept)):
            result = {**result, "pads": onnx_pads(kept)}
        return {**result, "output_padding": added} if any(added) else result

    def _cut(self, moving: Window) -> list[tuple[int, int]]:
        """By how much each axis is shorter than ``stride * (size - 1) + extent``, before and after.

        Negative where it is longer. The odd one is cut off the end.
        """
        extra = self._output_padding()
        result = []
        for axis, (extent, step) in enumerate(zip(moving.extent, moving.strides, strict=True)):
            if not isinstance(moving.padding, str):
                before, after = moving.padding[axis]
                result.append((before, after - (extra[axis] if extra else 0)))
                continue
            if moving.padding == "same":
                total = extent - step if extra is None else extent - extent % 2 - extra[axis]
            else:
                total = min(extent - step, 0) if extra is None else -extra[axis]
            before = max(total, 0) // 2
            result.append((before, total - before))
        return result


@dataclass(frozen=True, eq=False)
class Conv1DTranspose(_ConvTranspose):
    """One-dimensional transposed convolution (Keras ``Conv1DTranspose``; ONNX ``ConvTranspose``).

    ``y[m] = activation(bias[m] + sum of the kernels kernel[c, m], each weighted by an element of x[c])``,
    with ``strides`` between neighbours: what takes a ``Conv1D``'s output back to the shape of its input.

    Input: (batch, channels, steps) of a float type: channels **first**, Keras' default is last.
    Output: (batch, filters, new steps).
    Sequences (batch, steps, features), as recurrent layers take them, need ``Permute((2, 1))`` before it.
    Parameters: ``<name>/kernel`` (channels, filters, kernel steps),
    in ONNX' order, and ``<name>/bias`` (filters,).

    Args:
        filters: number of output channels, at least 1.
        kernel_size: number of steps that the kernel spans.
        strides: distance between the places of the kernel in the output.
        padding: ``"valid"`` for all outputs, ``(size - 1) * stride + max(kernel, stride)`` along an axis;
            ``"same"`` for ``size * stride`` of them; or how many to cut off: one integer, or
            ``((before, after),)``.
        output_padding: how many to add at the end of each axis, less than its stride: to
            ``(size - 1) * stride + kernel`` for ``"valid"`` (or less what is cut off), and to
            ``(size - 1) * stride + kernel % 2`` for ``"same"``; None for the numbers above.
        dilation_rate: distance between neighbours in the kernel; only with strides of 1, as in Keras.
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
        ShapeError: the input has not these axes, its channels are unknown, or ``padding`` leaves nothing.

    >>> import neuromatic as nm
    >>> nm.layers.Conv1DTranspose(8, 3, strides=2, padding="same")(nm.Input((4, 20))).shape
    ('batch', 8, 40)
    """

    rank = 1


@dataclass(frozen=True, eq=False)
class Conv2DTranspose(_ConvTranspose):
    """Two-dimensional transposed convolution (Keras ``Conv2DTranspose``; ONNX ``ConvTranspose``).

    ``y[m] = activation(bias[m] + sum of the kernels kernel[c, m], each weighted by an element of x[c])``,
    with ``strides`` between neighbours: what takes a ``Conv2D``'s output back to the shape of its input.

    Input: (batch, channels, height, width) of a float type: channels **first**, Keras' default is last.
    Output: (batch, filters, new height, new width).
    Parameters: ``<name>/kernel`` (channels, filters, kernel height, kernel width),
    in ONNX' order, and ``<name>/bias`` (filters,).

    Args:
        filters: number of output channels, at least 1.
        kernel_size: height and width of the kernel, or one integer for both.
        strides: distance between the places of the kernel in the output, likewise.
        padding: ``"valid"`` for all outputs, ``(size - 1) * stride + max(kernel, stride)`` along an axis;
            ``"same"`` for ``size * stride`` of them; or how many to cut off: one integer, or
            for each axis one or ``(before, after)``.
        output_padding: how many to add at the end of each axis, less than its stride: to
            ``(size - 1) * stride + kernel`` for ``"valid"`` (or less what is cut off), and to
            ``(size - 1) * stride + kernel % 2`` for ``"same"``; None for the numbers above.
        dilation_rate: distance between neighbours in the kernel; only with strides of 1, as in Keras.
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
        ShapeError: the input has not these axes, its channels are unknown, or ``padding`` leaves nothing.

    >>> import neuromatic as nm
    >>> nm.layers.Conv2DTranspose(8, 3, strides=2, padding="same")(nm.Input((4, 7, 7))).shape
    ('batch', 8, 14, 14)
    """

    rank = 2

    strides: Sizes = (1, 1)
    dilation_rate: Sizes = (1, 1)


@dataclass(frozen=True, eq=False)
class Conv3DTranspose(_ConvTranspose):
    """Three-dimensional transposed convolution (Keras ``Conv3DTranspose``; ONNX ``ConvTranspose``).

    ``y[m] = activation(bias[m] + sum of the kernels kernel[c, m], each weighted by an element of x[c])``,
    with ``strides`` between neighbours: what takes a ``Conv3D``'s output back to the shape of its input.

    Input: (batch, channels, depth, height, width) of a float type: channels **first**, Keras' default is
    last.  Output: (batch, filters, new depth, new height, new width).
    Parameters: ``<name>/kernel`` (channels, filters, kernel depth, kernel height, kernel width),
    in ONNX' order, and ``<name>/bias`` (filters,).

    Args:
        filters: number of output channels, at least 1.
        kernel_size: depth, height and width of the kernel, or one integer for all.
        strides: distance between the places of the kernel in the output, likewise.
        padding: ``"valid"`` for all outputs, ``(size - 1) * stride + max(kernel, stride)`` along an axis;
            ``"same"`` for ``size * stride`` of them; or how many to cut off: one integer, or
            for each axis one or ``(before, after)``.
        output_padding: how many to add at the end of each axis, less than its stride: to
            ``(size - 1) * stride + kernel`` for ``"valid"`` (or less what is cut off), and to
            ``(size - 1) * stride + kernel % 2`` for ``"same"``; None for the numbers above.
        dilation_rate: distance between neighbours in the kernel; only with strides of 1, as in Keras.
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
        ShapeError: the input has not these axes, its channels are unknown, or ``padding`` leaves nothing.

    >>> import neuromatic as nm
    >>> nm.layers.Conv3DTranspose(8, 3)(nm.Input((4, 5, 6, 6))).shape
    ('batch', 8, 7, 8, 8)
    """

    rank = 3

    strides: Sizes = (1, 1, 1)
    dilation_rate: Sizes = (1, 1, 1)


Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
