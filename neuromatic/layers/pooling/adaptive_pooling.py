"""Poolings to a given size, by windows that share the input out evenly; channels first, as in ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers._windows import AXES, Sizes, image_shape, sizes
from neuromatic.layers.base import Layer

__all__ = [
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
]


def _bounds(size: int, count: int) -> list[tuple[int, int]]:
    """Where each of ``count`` windows begins and ends: floor(i size / count), ceil((i + 1) size / count)."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


@dataclass(frozen=True, eq=False)
class _AdaptivePooling(Layer):
    """A pooling of ``rank`` spatial axes to ``output_size``.

    Where the size is a multiple of the output's, the windows are those of an ordinary pooling, the ONNX
    operator ``op``.
    """

    rank: ClassVar[int]
    op: ClassVar[str]

    output_size: Sizes

    def __post_init__(self) -> None:
        self._counts()

    def _counts(self) -> tuple[int, ...]:
        return sizes(type(self).__name__, "output_size", self.output_size, self.rank)

    def _known_sizes(self, g: GraphBuilder, x: Value) -> list[int]:
        owner = type(self).__name__
        dims = image_shape(g, owner, x, self.rank)[2:]
        known = [size for size in dims if isinstance(size, int)]
        if len(known) < len(dims):
            raise ShapeError(
                f"{g.scope}: {owner} needs a known {' and '.join(AXES[self.rank])}, "
                f"got {shape_text(x.shape)} from {x.name!r}; name the sizes of the input"
            )
        return known

    def _pool(self, g: GraphBuilder, x: Value, kernel: list[int]) -> Value:
        """The pooling by windows side by side; ``x`` itself where they have one element."""
        return x if max(kernel) == 1 else g.add(self.op, x, kernel_shape=kernel, strides=kernel)


@dataclass(frozen=True, eq=False)
class _AdaptiveAveragePooling(_AdaptivePooling):
    """Axes with windows of different sizes are multiplied by a matrix of the weights of each mean."""

    op = "AveragePool"

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        known, counts = self._known_sizes(g, x), self._counts()
        even = [size % count == 0 for size, count in zip(known, counts, strict=True)]
        y = self._pool(g, x, [s // c if e else 1 for s, c, e in zip(known, counts, even, strict=True)])
        for axis, (size, count) in enumerate(zip(known, counts, strict=True), start=2):
            if size % count:
                y = _multiplied(g, y, axis, _means(size, count))
        return y


def _means(size: int, count: int) -> NDArray[np.float64]:
    """A matrix (size, count) with a mean over one window in each column."""
    matrix = np.zeros((size, count))
    for column, (begin, end) in enumerate(_bounds(size, count)):
        matrix[begin:end, column] = 1 / (end - begin)
    return matrix


def _multiplied(g: GraphBuilder, x: Value, axis: int, matrix: NDArray[np.float64]) -> Value:
    """The product of an axis with a constant matrix."""
    constant = g.const(matrix, x.dtype)
    if axis == x.rank - 1:
        return g.add("MatMul", x, constant)
    order = list(range(x.rank))
    order[axis], order[-1] = order[-1], order[axis]
    return g.add("Transpose", g.add("MatMul", g.add("Transpose", x, perm=order), constant), perm=order)


@dataclass(frozen=True, eq=False)
class _AdaptiveMaxPooling(_AdaptivePooling):
    """Windows of different sizes are made equal by taking their last element again."""

    op = "MaxPool"

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        kernel = []
        for axis, (size, count) in enumerate(
            zip(self._known_sizes(g, x), self._counts(), strict=True), start=2
        ):
            bounds = _bounds(size, count)
            longest = max(end - begin for begin, end in bounds)
            places = [min(begin + i, end - 1) for begin, end in bounds for i in range(longest)]
            if places != list(range(size)):
                x = g.add("Gather", x, g.const(places, TensorProto.INT64), axis=axis)
            kernel.append(longest)
        return self._pool(g, x, kernel)


@dataclass(frozen=True, eq=False)
class AdaptiveAveragePooling1D(_AdaptiveAveragePooling):
    """The mean of each of as many windows as the output has elements.

    Keras ``AdaptiveAveragePooling1D``; ONNX ``AveragePool``, and ``MatMul`` for axes whose size is not a
    multiple of the output's.
    Along an axis, output i is from the elements ``floor(i * size / output_size)`` to before
    ``ceil((i + 1) * size / output_size)``.

    Input: (batch, channels, steps) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels, output_size).
    Sequences (batch, steps, features), as recurrent layers take them, need ``Permute((2, 1))`` before it.

    Args:
        output_size: number of steps of the output.

    Raises:
        ShapeError: the input has not these axes, or their sizes are unknown.

    >>> import neuromatic as nm
    >>> nm.layers.AdaptiveAveragePooling1D(4)(nm.Input((8, 10))).shape
    ('batch', 8, 4)
    """

    rank = 1


@dataclass(frozen=True, eq=False)
class AdaptiveAveragePooling2D(_AdaptiveAveragePooling):
    """The mean of each of as many windows as the output has elements.

    Keras ``AdaptiveAveragePooling2D``; ONNX ``AveragePool``, and ``MatMul`` for axes whose size is not a
    multiple of the output's.
    Along an axis, output i is from the elements ``floor(i * size / output_size)`` to before
    ``ceil((i + 1) * size / output_size)``.

    Input: (batch, channels, height, width) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels, *output_size).

    Args:
        output_size: height and width of the output, or one integer for both.

    Raises:
        ShapeError: the input has not these axes, or their sizes are unknown.

    >>> import neuromatic as nm
    >>> nm.layers.AdaptiveAveragePooling2D(7)(nm.Input((8, 24, 32))).shape
    ('batch', 8, 7, 7)
    """

    rank = 2


@dataclass(frozen=True, eq=False)
class AdaptiveAveragePooling3D(_AdaptiveAveragePooling):
    """The mean of each of as many windows as the output has elements.

    Keras ``AdaptiveAveragePooling3D``; ONNX ``AveragePool``, and ``MatMul`` for axes whose size is not a
    multiple of the output's.
    Along an axis, output i is from the elements ``floor(i * size / output_size)`` to before
    ``ceil((i + 1) * size / output_size)``.

    Input: (batch, channels, depth, height, width) of a float type: channels **first**, Keras' default is
    last.  Output: (batch, channels, *output_size).

    Args:
        output_size: depth, height and width of the output, or one integer for all.

    Raises:
        ShapeError: the input has not these axes, or their sizes are unknown.

    >>> import neuromatic as nm
    >>> nm.layers.AdaptiveAveragePooling3D((2, 4, 4))(nm.Input((8, 5, 12, 10))).shape
    ('batch', 8, 2, 4, 4)
    """

    rank = 3


@dataclass(frozen=True, eq=False)
class AdaptiveMaxPooling1D(_AdaptiveMaxPooling):
    """The largest value of each of as many windows as the output has elements.

    Keras ``AdaptiveMaxPooling1D``; ONNX ``MaxPool``, and ``Gather`` for axes whose size is no multiple of the
    output's.
    Along an axis, output i is from the elements ``floor(i * size / output_size)`` to before
    ``ceil((i + 1) * size / output_size)``.

    Input: (batch, channels, steps) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels, output_size).
    Sequences (batch, steps, features), as recurrent layers take them, need ``Permute((2, 1))`` before it.

    Args:
        output_size: number of steps of the output.

    Raises:
        ShapeError: the input has not these axes, or their sizes are unknown.

    >>> import neuromatic as nm
    >>> nm.layers.AdaptiveMaxPooling1D(4)(nm.Input((8, 10))).shape
    ('batch', 8, 4)
    """

    rank = 1


@dataclass(frozen=True, eq=False)
class AdaptiveMaxPooling2D(_AdaptiveMaxPooling):
    """The largest value of each of as many windows as the output has elements.

    Keras ``AdaptiveMaxPooling2D``; ONNX ``MaxPool``, and ``Gather`` for axes whose size is no multiple of the
    output's.
    Along an axis, output i is from the elements ``floor(i * size / output_size)`` to before
    ``ceil((i + 1) * size / output_size)``.

    Input: (batch, channels, height, width) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels, *output_size).

    Args:
        output_size: height and width of the output, or one integer for both.

    Raises:
        ShapeError: the input has not these axes, or their sizes are unknown.

    >>> import neuromatic as nm
    >>> nm.layers.AdaptiveMaxPooling2D(7)(nm.Input((8, 24, 32))).shape
    ('batch', 8, 7, 7)
    """

    rank = 2


@dataclass(frozen=True, eq=False)
class AdaptiveMaxPooling3D(_AdaptiveMaxPooling):
    """The largest value of each of as many windows as the output has elements.

    Keras ``AdaptiveMaxPooling3D``; ONNX ``MaxPool``, and ``Gather`` for axes whose size is no multiple of the
    output's.
    Along an axis, output i is from the elements ``floor(i * size / output_size)`` to before
    ``ceil((i + 1) * size / output_size)``.

    Input: (batch, channels, depth, height, width) of a float type: channels **first**, Keras' default is
    last.  Output: (batch, channels, *output_size).

    Args:
        output_size: depth, height and width of the output, or one integer for all.

    Raises:
        ShapeError: the input has not these axes, or their sizes are unknown.

    >>> import neuromatic as nm
    >>> nm.layers.AdaptiveMaxPooling3D((2, 4, 4))(nm.Input((8, 5, 12, 10))).shape
    ('batch', 8, 2, 4, 4)
    """

    rank = 3
