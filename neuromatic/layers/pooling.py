"""Poolings over images; channels first, as in ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neuromatic.graph import GraphBuilder
from neuromatic.layers._windows import Pair, Window, check_padding, image_shape, pair
from neuromatic.layers.base import Layer
from neuromatic.values import Value

__all__ = ["AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "MaxPooling2D"]


@dataclass(frozen=True, eq=False)
class _Pooling2D(Layer):
    """A pooling by a moving window; subclasses name the ONNX operator."""

    op: ClassVar[str]

    pool_size: Pair = (2, 2)
    strides: Pair | None = None
    padding: str = "valid"

    def __post_init__(self) -> None:
        check_padding(type(self).__name__, self.padding)
        self._window()

    def _window(self) -> Window:
        owner = type(self).__name__
        pool_size = pair(owner, "pool_size", self.pool_size)
        strides = pool_size if self.strides is None else pair(owner, "strides", self.strides)
        return Window(pool_size, strides, padding=self.padding)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return g.add(self.op, x, **self._window().attributes(g, type(self).__name__, x))


@dataclass(frozen=True, eq=False)
class MaxPooling2D(_Pooling2D):
    """The largest value in each window (Keras ``MaxPooling2D``; ONNX ``MaxPool``).

    Input: (batch, channels, height, width) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels, new height, new width).

    Args:
        pool_size: height and width of the window, or one integer for both.
        strides: steps of the window, likewise; by default the window's size.
        padding: ``"valid"`` for none, or ``"same"`` for ``ceil(size / stride)`` outputs along each axis.

    Raises:
        ShapeError: the input is not such an image, or smaller than the window.

    >>> import neuromatic as nm
    >>> nm.layers.MaxPooling2D(2)(nm.Input((8, 28, 28))).shape
    ('batch', 8, 14, 14)
    """

    op = "MaxPool"


@dataclass(frozen=True, eq=False)
class AveragePooling2D(_Pooling2D):
    """The mean of each window (Keras ``AveragePooling2D``; ONNX ``AveragePool``).

    Input: (batch, channels, height, width) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels, new height, new width). Padding does not count in the mean.

    Args:
        pool_size: height and width of the window, or one integer for both.
        strides: steps of the window, likewise; by default the window's size.
        padding: ``"valid"`` for none, or ``"same"`` for ``ceil(size / stride)`` outputs along each axis.

    Raises:
        ShapeError: the input is not such an image, or smaller than the window.

    >>> import neuromatic as nm
    >>> nm.layers.AveragePooling2D(3, padding="same")(nm.Input((8, 28, 28))).shape
    ('batch', 8, 10, 10)
    """

    op = "AveragePool"


@dataclass(frozen=True, eq=False)
class _GlobalPooling2D(Layer):
    """A pooling over the whole image; subclasses name the ONNX operator."""

    op: ClassVar[str]

    keepdims: bool = False

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        image_shape(g, type(self).__name__, x)
        y = g.add(self.op, x)
        return y if self.keepdims else g.add("Flatten", y, axis=1)


@dataclass(frozen=True, eq=False)
class GlobalAveragePooling2D(_GlobalPooling2D):
    """The mean of each channel (Keras ``GlobalAveragePooling2D``; ONNX ``GlobalAveragePool``).

    Input: (batch, channels, height, width) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels).

    Args:
        keepdims: whether the output is (batch, channels, 1, 1) instead.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.GlobalAveragePooling2D()(nm.Input((8, 28, 28))).shape
    ('batch', 8)
    """

    op = "GlobalAveragePool"


@dataclass(frozen=True, eq=False)
class GlobalMaxPooling2D(_GlobalPooling2D):
    """The largest value of each channel (Keras ``GlobalMaxPooling2D``; ONNX ``GlobalMaxPool``).

    Input: (batch, channels, height, width) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels).

    Args:
        keepdims: whether the output is (batch, channels, 1, 1) instead.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.GlobalMaxPooling2D(keepdims=True)(nm.Input((8, 28, 28))).shape
    ('batch', 8, 1, 1)
    """

    op = "GlobalMaxPool"
