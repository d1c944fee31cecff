"""Convolutions over images; channels first, as in ONNX."""

from __future__ import annotations

from dataclasses import dataclass

from neuromatic import initializers
from neuromatic.errors import ShapeError
from neuromatic.graph import GraphBuilder
from neuromatic.initializers import Initializer
from neuromatic.layers._windows import Pair, Window, check_padding, image_shape, pair
from neuromatic.layers.activation import ActivationLike, activate
from neuromatic.layers.base import Layer
from neuromatic.values import Value, shape_text

__all__ = ["Conv2D"]


@dataclass(frozen=True, eq=False)
class Conv2D(Layer):
    """Two-dimensional convolution (Keras ``Conv2D``; ONNX ``Conv``).

    Input: (batch, channels, height, width) of a float type: channels **first**, Keras' default is last.
    Output: (batch, filters, new height, new width).
    Parameters: ``<name>/kernel`` (filters, channels / groups, kernel height, kernel width), in ONNX' order,
    and ``<name>/bias`` (filters,).

    Args:
        filters: number of output channels, at least 1.
        kernel_size: height and width of the kernel, or one integer for both.
        strides: steps of the kernel, likewise.
        padding: ``"valid"`` for none, or ``"same"`` for ``ceil(size / stride)`` outputs along each axis.
        dilation_rate: distance between neighbours in the kernel; only with strides of 1, as in Keras.
        groups: number of groups into which channels and filters are split.
        activation: an activation, or None for none.
        use_bias: whether to add a bias.
        kernel_initializer: first values of the kernel.
        bias_initializer: first values of the bias.

    Raises:
        ShapeError: the input is not such an image, its channels are unknown or not divisible by ``groups``,
            or it is smaller than the kernel.

    >>> import neuromatic as nm
    >>> nm.layers.Conv2D(32, 3, strides=2, padding="same")(nm.Input((1, 28, 28))).shape
    ('batch', 32, 14, 14)
    """

    filters: int
    kernel_size: Pair
    strides: Pair = (1, 1)
    padding: str = "valid"
    dilation_rate: Pair = (1, 1)
    groups: int = 1
    activation: ActivationLike = None
    use_bias: bool = True
    kernel_initializer: str | Initializer = "glorot_uniform"
    bias_initializer: str | Initializer = "zeros"

    def __post_init__(self) -> None:
        for argument in ("filters", "groups"):
            value = getattr(self, argument)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"Conv2D: {argument} must be a positive integer, got {value!r}")
        if self.filters % self.groups:
            raise ValueError(
                f"Conv2D: filters must be divisible by groups, got filters={self.filters} "
                f"and groups={self.groups}"
            )
        check_padding("Conv2D", self.padding)
        window = self._window()
        if max(window.strides) > 1 and max(window.dilations) > 1:
            raise ValueError(
                f"Conv2D: strides above 1 and dilation_rate above 1 exclude each other, "
                f"got strides={self.strides!r} and dilation_rate={self.dilation_rate!r}"
            )

    def _window(self) -> Window:
        return Window(
            pair("Conv2D", "kernel_size", self.kernel_size),
            pair("Conv2D", "strides", self.strides),
            pair("Conv2D", "dilation_rate", self.dilation_rate),
            self.padding,
        )

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        channels = image_shape(g, "Conv2D", x)[1]
        if not isinstance(channels, int) or channels % self.groups:
            raise ShapeError(
                f"{g.scope}: Conv2D takes (batch, channels, height, width) with known channels divisible by "
                f"groups={self.groups}, got {shape_text(x.shape)} from {x.name!r}; images are channels first"
            )
        window = self._window()
        area = window.kernel[0] * window.kernel[1]
        shape = (self.filters, channels // self.groups, *window.kernel)
        fans = (shape[1] * area, self.filters * area)
        inputs = [
            x,
            g.param("kernel", initializers.get(self.kernel_initializer).for_fans(*fans), shape, x.dtype),
        ]
        if self.use_bias:
            bias_init = initializers.get(self.bias_initializer).for_fans(self.filters, self.filters)
            inputs.append(g.param("bias", bias_init, (self.filters,), x.dtype))
        y = g.add("Conv", *inputs, group=self.groups, **window.attributes(g, "Conv2D", x))
        return activate(g, y, self.activation)
