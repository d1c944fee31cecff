"""Poolings by a moving window; channels first, as in ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers._windows import Padding, Sizes, Window, pads, sizes
from neuromatic.layers.base import Layer

__all__ = [
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
]


@dataclass(frozen=True, eq=False)
class _Pooling(Layer):
    """A pooling over ``rank`` spatial axes by the ONNX operator ``op``."""

    rank: ClassVar[int]
    op: ClassVar[str]

    pool_size: Sizes
    strides: Sizes | None = None
    padding: Padding = "valid"

    def __post_init__(self) -> None:
        window = self._window()
        if isinstance(window.padding, str):
            return
        if any(max(pad) >= size for pad, size in zip(window.padding, window.kernel, strict=True)):
            raise ValueError(
                f"{type(self).__name__}: padding must be below pool_size, so that no window is empty, "
                f"got padding={self.padding!r} and pool_size={self.pool_size!r}"
            )

    def _window(self) -> Window:
        owner, rank = type(self).__name__, self.rank
        pool_size = sizes(owner, "pool_size", self.pool_size, rank)
        strides = pool_size if self.strides is None else sizes(owner, "strides", self.strides, rank)
        return Window(pool_size, strides, (1,) * rank, pads(owner, self.padding, rank))

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return g.add(self.op, x, **self._window().attributes(g, type(self).__name__, x))


@dataclass(frozen=True, eq=False)
class MaxPooling1D(_Pooling):
    """The largest value in each window (Keras ``MaxPooling1D``; ONNX ``MaxPool``).

    Input: (batch, channels, steps) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels, new steps).
    Sequences (batch, steps, features), as recurrent layers take them, need ``Permute((2, 1))`` before it.

    Args:
        pool_size: number of steps of the window.
        strides: steps of the window; by default the window's size.
        padding: ``"valid"`` for none; ``"same"`` for ``ceil(steps / stride)`` outputs; or by how many to
            widen the input: one integer, or ``((before, after),)``.

    Raises:
        ShapeError: the input has not these axes, or is smaller than the window.

    >>> import neuromatic as nm
    >>> nm.layers.MaxPooling1D(2)(nm.Input((8, 20))).shape
    ('batch', 8, 10)
    """

    rank = 1
    op = "MaxPool"

    pool_size: Sizes = 2


@dataclass(frozen=True, eq=False)
class MaxPooling2D(_Pooling):
    """The largest value in each window (Keras ``MaxPooling2D``; ONNX ``MaxPool``).

    Input: (batch, channels, height, width) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels, new height, new width).

    Args:
        pool_size: height and width of the window, or one integer for both.
        strides: steps of the window, likewise; by default the window's size.
        padding: ``"valid"`` for none; ``"same"`` for ``ceil(size / stride)`` outputs along each axis;
            or by how many to widen the input: one integer, or for each axis one or ``(before, after)``.

    Raises:
        ShapeError: the input has not these axes, or is smaller than the window.

    >>> import neuromatic as nm
    >>> nm.layers.MaxPooling2D(2)(nm.Input((8, 28, 28))).shape
    ('batch', 8, 14, 14)
    """

    rank = 2
    op = "MaxPool"

    pool_size: Sizes = (2, 2)


@dataclass(frozen=True, eq=False)
class MaxPooling3D(_Pooling):
    """The largest value in each window (Keras ``MaxPooling3D``; ONNX ``MaxPool``).

    Input: (batch, channels, depth, height, width) of a float type: channels **first**, Keras' default is
    last.  Output: (batch, channels, new depth, new height, new width).

    Args:
        pool_size: depth, height and width of the window, or one integer for all.
        strides: steps of the window, likewise; by default the window's size.
        padding: ``"valid"`` for none; ``"same"`` for ``ceil(size / stride)`` outputs along each axis;
            or by how many to widen the input: one integer, or for each axis one or ``(before, after)``.

    Raises:
        ShapeError: the input has not these axes, or is smaller than the window.

    >>> import neuromatic as nm
    >>> nm.layers.MaxPooling3D(2)(nm.Input((8, 6, 28, 28))).shape
    ('batch', 8, 3, 14, 14)
    """

    rank = 3
    op = "MaxPool"

    pool_size: Sizes = (2, 2, 2)


@dataclass(frozen=True, eq=False)
class AveragePooling1D(_Pooling):
    """The mean of each window (Keras ``AveragePooling1D``; ONNX ``AveragePool``).

    Input: (batch, channels, steps) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels, new steps).
    Sequences (batch, steps, features), as recurrent layers take them, need ``Permute((2, 1))`` before it.
    Padding does not count in the mean.

    Args:
        pool_size: number of steps of the window.
        strides: steps of the window; by default the window's size.
        padding: ``"valid"`` for none; ``"same"`` for ``ceil(steps / stride)`` outputs; or by how many to
            widen the input: one integer, or ``((before, after),)``.

    Raises:
        ShapeError: the input has not these axes, or is smaller than the window.

    >>> import neuromatic as nm
    >>> nm.layers.AveragePooling1D(3, strides=1, padding="same")(nm.Input((8, 20))).shape
    ('batch', 8, 20)
    """

    rank = 1
    op = "AveragePool"


@dataclass(frozen=True, eq=False)
class AveragePooling2D(_Pooling):
    """The mean of each window (Keras ``AveragePooling2D``; ONNX ``AveragePool``).

    Input: (batch, channels, height, width) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels, new height, new width).
    Padding does not count in the mean.

    Args:
        pool_size: height and width of the window, or one integer for both.
        strides: steps of the window, likewise; by default the window's size.
        padding: ``"valid"`` for none; ``"same"`` for ``ceil(size / stride)`` outputs along each axis;
            or by how many to widen the input: one integer, or for each axis one or ``(before, after)``.

    Raises:
        ShapeError: the input has not these axes, or is smaller than the window.

    >>> import neuromatic as nm
    >>> nm.layers.AveragePooling2D(3, padding="same")(nm.Input((8, 28, 28))).shape
    ('batch', 8, 10, 10)
    """

    rank = 2
    op = "AveragePool"


@dataclass(frozen=True, eq=False)
class AveragePooling3D(_Pooling):
    """The mean of each window (Keras ``AveragePooling3D``; ONNX ``AveragePool``).

    Input: (batch, channels, depth, height, width) of a float type: channels **first**, Keras' default is
    last.  Output: (batch, channels, new depth, new height, new width).
    Padding does not count in the mean.

    Args:
        pool_size: depth, height and width of the window, or one integer for all.
        strides: steps of the window, likewise; by default the window's size.
        padding: ``"valid"`` for none; ``"same"`` for ``ceil(size / stride)`` outputs along each axis;
            or by how many to widen the input: one integer, or for each axis one or ``(before, after)``.

    Raises:
        ShapeError: the input has not these axes, or is smaller than the window.

    >>> import neuromatic as nm
    >>> nm.layers.AveragePooling3D((1, 2, 2))(nm.Input((8, 6, 28, 28))).shape
    ('batch', 8, 6, 14, 14)
    """

    rank = 3
    op = "AveragePool"


AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D
