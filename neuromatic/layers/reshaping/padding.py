"""Layers that cut elements off, or add zeros, at the ends of the axes after the channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from neuromatic.errors import ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers.base import Layer

__all__ = [
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]

Pair = int | Sequence[int]
Pairs = int | Sequence[Pair]


def _pairs(owner: str, argument: str, value: Any, axes: int) -> list[tuple[int, int]]:
    """(before, after) for each axis.

    Raises:
        ValueError: ``value`` is not that, nor short for it, or has negative numbers.
    """
    given = [value] if axes == 1 else [value] * axes if isinstance(value, int) else value
    found = []
    if isinstance(given, (list, tuple)) and len(given) == axes:
        for item in given:
            pair = (item, item) if isinstance(item, int) else item
            if isinstance(pair, (list, tuple)) and len(pair) == 2:
                found.append((pair[0], pair[1]))
    if len(found) < axes or not all(isinstance(n, int) and n >= 0 for pair in found for n in pair):
        wanted = "two of them" if axes == 1 else f"{axes} of them or of pairs (before, after)"
        raise ValueError(f"{owner}: {argument} must be an integer of 0 or more or {wanted}, got {value!r}")
    return found


class _Ends(Layer):
    """What acts on the ends of ``axes`` axes after the channels."""

    axes: ClassVar[int]

    def _check_rank(self, g: GraphBuilder, x: Value) -> None:
        if x.rank != self.axes + 2:
            names = {1: "steps", 2: "height, width", 3: "depth, height, width"}[self.axes]
            raise ShapeError(
                f"{g.scope}: {type(self).__name__} takes (batch, channels, {names}), got "
                f"{shape_text(x.shape)} from {x.name!r}; put a reshape() before it"
            )

    def _cropped(self, g: GraphBuilder, x: Value, cropping: Any) -> Value:
        self._check_rank(g, x)
        pairs = _pairs(type(self).__name__, "cropping", cropping, self.axes)
        for (before, after), size in zip(pairs, (x.shape or ())[2:], strict=True):
            if isinstance(size, int) and before + after >= size:
                raise ShapeError(
                    f"{g.scope}: {type(self).__name__} cuts {before} + {after} elements off an axis, got "
                    f"{shape_text(x.shape)} from {x.name!r}; leave at least one"
                )
        cut = [(i + 2, before, after) for i, (before, after) in enumerate(pairs) if before or after]
        if not cut:
            return g.add("Identity", x)
        axes, starts, ends = zip(*cut, strict=True)
        last = [-end if end else TO_THE_END for end in ends]
        return g.add("Slice", x, g.ints(*starts), g.ints(*last), g.ints(*axes))

    def _padded(self, g: GraphBuilder, x: Value, padding: Any) -> Value:
        self._check_rank(g, x)
        pairs = _pairs(type(self).__name__, "padding", padding, self.axes)
        before, after = zip(*pairs, strict=True)
        return g.add("Pad", x, g.ints(0, 0, *before, 0, 0, *after))


TO_THE_END = (1 << 63) - 1


@dataclass(frozen=True, eq=False)
class Cropping1D(_Ends):
    """Without elements at the ends of the axis of steps (Keras ``Cropping1D``; ONNX ``Slice``).

    Input: (batch, channels, steps) of any type.  Output: smaller along the axis of steps.
    Keras' takes (batch, steps, features).

    Args:
        cropping: elements cut off before and after; one integer for both.

    Raises:
        ShapeError: the input is not of that rank, or nothing would be left.

    >>> import neuromatic as nm
    >>> nm.layers.Cropping1D((1, 2))(nm.Input((3, 10))).shape
    ('batch', 3, 7)
    """

    axes = 1

    cropping: Pair = (1, 1)

    def __post_init__(self) -> None:
        _pairs("Cropping1D", "cropping", self.cropping, self.axes)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return self._cropped(g, x, self.cropping)


@dataclass(frozen=True, eq=False)
class Cropping2D(_Ends):
    """Without elements at the ends of height and width (Keras ``Cropping2D``; ONNX ``Slice``).

    Input: (batch, channels, height, width) of any type.  Output: smaller along height and width.

    Args:
        cropping: elements cut off for height and width: one integer, or for each axis
            one integer or a pair (before, after).

    Raises:
        ShapeError: the input is not of that rank, or nothing would be left.

    >>> import neuromatic as nm
    >>> nm.layers.Cropping2D(((1, 2), 1))(nm.Input((3, 10, 10))).shape
    ('batch', 3, 7, 8)
    """

    axes = 2

    cropping: Pairs = ((0, 0), (0, 0))

    def __post_init__(self) -> None:
        _pairs("Cropping2D", "cropping", self.cropping, self.axes)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return self._cropped(g, x, self.cropping)


@dataclass(frozen=True, eq=False)
class Cropping3D(_Ends):
    """Without elements at the ends of the three axes (Keras ``Cropping3D``; ONNX ``Slice``).

    Input: (batch, channels, depth, height, width) of any type.  Output: smaller along the three axes.

    Args:
        cropping: elements cut off for the three axes: one integer, or for each axis
            one integer or a pair (before, after).

    Raises:
        ShapeError: the input is not of that rank, or nothing would be left.

    >>> import neuromatic as nm
    >>> nm.layers.Cropping3D(((1, 2), 1, 0))(nm.Input((3, 10, 10, 10))).shape
    ('batch', 3, 7, 8, 10)
    """

    axes = 3

    cropping: Pairs = ((1, 1), (1, 1), (1, 1))

    def __post_init__(self) -> None:
        _pairs("Cropping3D", "cropping", self.cropping, self.axes)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return self._cropped(g, x, self.cropping)


@dataclass(frozen=True, eq=False)
class ZeroPadding1D(_Ends):
    """With zeros at the ends of the axis of steps (Keras ``ZeroPadding1D``; ONNX ``Pad``).

    Input: (batch, channels, steps) of any type.  Output: larger along the axis of steps.
    Keras' takes (batch, steps, features).

    Args:
        padding: elements added before and after; one integer for both.

    Raises:
        ShapeError: the input is not of that rank.

    >>> import neuromatic as nm
    >>> nm.layers.ZeroPadding1D((1, 2))(nm.Input((3, 10))).shape
    ('batch', 3, 13)
    """

    axes = 1

    padding: Pair = 1

    def __post_init__(self) -> None:
        _pairs("ZeroPadding1D", "padding", self.padding, self.axes)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return self._padded(g, x, self.padding)


@dataclass(frozen=True, eq=False)
class ZeroPadding2D(_Ends):
    """With zeros at the ends of height and width (Keras ``ZeroPadding2D``; ONNX ``Pad``).

    Input: (batch, channels, height, width) of any type.  Output: larger along height and width.

    Args:
        padding: elements added for height and width: one integer, or for each axis
            one integer or a pair (before, after).

    Raises:
        ShapeError: the input is not of that rank.

    >>> import neuromatic as nm
    >>> nm.layers.ZeroPadding2D(((1, 2), 1))(nm.Input((3, 10, 10))).shape
    ('batch', 3, 13, 12)
    """

    axes = 2

    padding: Pairs = (1, 1)

    def __post_init__(self) -> None:
        _pairs("ZeroPadding2D", "padding", self.padding, self.axes)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return self._padded(g, x, self.padding)


@dataclass(frozen=True, eq=False)
class ZeroPadding3D(_Ends):
    """With zeros at the ends of the three axes (Keras ``ZeroPadding3D``; ONNX ``Pad``).

    Input: (batch, channels, depth, height, width) of any type.  Output: larger along the three axes.

    Args:
        padding: elements added for the three axes: one integer, or for each axis
            one integer or a pair (before, after).

    Raises:
        ShapeError: the input is not of that rank.

    >>> import neuromatic as nm
    >>> nm.layers.ZeroPadding3D(((1, 2), 1, 0))(nm.Input((3, 10, 10, 10))).shape
    ('batch', 3, 13, 12, 10)
    """

    axes = 3

    padding: Pairs = ((1, 1), (1, 1), (1, 1))

    def __post_init__(self) -> None:
        _pairs("ZeroPadding3D", "padding", self.padding, self.axes)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return self._padded(g, x, self.padding)
