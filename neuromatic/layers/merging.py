"""Layers that make one value of several, element by element or side by side."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from neuromatic.errors import ShapeError
from neuromatic.graph import GraphBuilder
from neuromatic.layers.base import Layer
from neuromatic.values import Value, shape_text

__all__ = ["Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"]


def _check_count(g: GraphBuilder, layer: Layer, xs: tuple[Value, ...]) -> None:
    if len(xs) < 2:
        raise ShapeError(
            f"{g.scope}: {type(layer).__name__} merges two inputs or more, got {len(xs)}; "
            f"call it on a list of them"
        )


def _shapes_text(xs: tuple[Value, ...]) -> str:
    return ", ".join(f"{shape_text(x.shape)} from {x.name!r}" for x in xs)


@dataclass(frozen=True, eq=False)
class _Elementwise(Layer):
    """Merges inputs element by element; subclasses say how."""

    merges = True

    def emit(self, g: GraphBuilder, *xs: Value) -> Value:
        _check_count(g, self, xs)
        return self._merge(g, self._aligned(g, xs))

    @abstractmethod
    def _merge(self, g: GraphBuilder, xs: list[Value]) -> Value:
        """Merge inputs of equal rank."""

    def _aligned(self, g: GraphBuilder, xs: tuple[Value, ...]) -> list[Value]:
        """The inputs at one rank, by axes of size 1 after the batch as Keras does; checked to broadcast."""
        rank = max(x.rank for x in xs)
        shapes = [(*(x.shape or ())[:1], *(1,) * (rank - x.rank), *(x.shape or ())[1:]) for x in xs]
        for dims in zip(*shapes, strict=True):
            if len({d for d in dims if isinstance(d, int) and d != 1}) > 1:
                raise ShapeError(
                    f"{g.scope}: {type(self).__name__} takes inputs of one shape, or of sizes 1 where they "
                    f"differ, got {_shapes_text(xs)}; make their shapes equal"
                )
        missing = [rank - x.rank for x in xs]
        return [
            g.add("Unsqueeze", x, g.ints(*range(1, n + 1))) if n else x
            for x, n in zip(xs, missing, strict=True)
        ]


def _fold(g: GraphBuilder, op: str, xs: list[Value]) -> Value:
    result, *others = xs
    for x in others:
        result = g.add(op, result, x)
    return result


@dataclass(frozen=True, eq=False)
class Add(_Elementwise):
    """The sum of its inputs (Keras ``Add``; ONNX ``Add``).

    Inputs: two or more of one shape and type, or with sizes 1 that broadcast; an input of lower rank gets
    axes of size 1 after its batch.  Output: the common shape.

    Raises:
        ShapeError: fewer than two inputs, or shapes that do not broadcast.

    >>> import neuromatic as nm
    >>> nm.layers.Add()([nm.Input((3,)), nm.Input((3,))]).shape
    ('batch', 3)
    """

    def _merge(self, g: GraphBuilder, xs: list[Value]) -> Value:
        return _fold(g, "Add", xs)


@dataclass(frozen=True, eq=False)
class Subtract(_Elementwise):
    """The first input minus the second (Keras ``Subtract``; ONNX ``Sub``).

    Inputs: two, as ``Add`` takes them.  Output: the common shape.

    Raises:
        ShapeError: not two inputs, or shapes that do not broadcast.

    >>> import neuromatic as nm
    >>> nm.layers.Subtract()([nm.Input((3,)), nm.Input((3,))]).shape
    ('batch', 3)
    """

    def _merge(self, g: GraphBuilder, xs: list[Value]) -> Value:
        if len(xs) != 2:
            raise ShapeError(f"{g.scope}: Subtract takes two inputs, got {len(xs)}; chain it for more")
        return g.add("Sub", *xs)


@dataclass(frozen=True, eq=False)
class Multiply(_Elementwise):
    """The product of its inputs (Keras ``Multiply``; ONNX ``Mul``).

    Inputs: two or more, as ``Add`` takes them.  Output: the common shape.

    Raises:
        ShapeError: fewer than two inputs, or shapes that do not broadcast.

    >>> import neuromatic as nm
    >>> nm.layers.Multiply()([nm.Input((3, 8, 8)), nm.Input((3, 1, 1))]).shape
    ('batch', 3, 8, 8)
    """

    def _merge(self, g: GraphBuilder, xs: list[Value]) -> Value:
        return _fold(g, "Mul", xs)


@dataclass(frozen=True, eq=False)
class Average(_Elementwise):
    """The mean of its inputs (Keras ``Average``; ONNX ``Add`` and ``Div``).

    Inputs: two or more, as ``Add`` takes them.  Output: the common shape.

    Raises:
        ShapeError: fewer than two inputs, or shapes that do not broadcast.

    >>> import neuromatic as nm
    >>> nm.layers.Average()([nm.Input((3,)), nm.Input((3,))]).shape
    ('batch', 3)
    """

    def _merge(self, g: GraphBuilder, xs: list[Value]) -> Value:
        return g.add("Div", _fold(g, "Add", xs), g.const(len(xs), xs[0].dtype))


@dataclass(frozen=True, eq=False)
class Maximum(_Elementwise):
    """The largest of its inputs, element by element (Keras ``Maximum``; ONNX ``Max``).

    Inputs: two or more, as ``Add`` takes them.  Output: the common shape.

    Raises:
        ShapeError: fewer than two inputs, or shapes that do not broadcast.

    >>> import neuromatic as nm
    >>> nm.layers.Maximum()([nm.Input((3,)), nm.Input((3,))]).shape
    ('batch', 3)
    """

    def _merge(self, g: GraphBuilder, xs: list[Value]) -> Value:
        return g.add("Max", *xs)


@dataclass(frozen=True, eq=False)
class Minimum(_Elementwise):
    """The smallest of its inputs, element by element (Keras ``Minimum``; ONNX ``Min``).

    Inputs: two or more, as ``Add`` takes them.  Output: the common shape.

    Raises:
        ShapeError: fewer than two inputs, or shapes that do not broadcast.

    >>> import neuromatic as nm
    >>> nm.layers.Minimum()([nm.Input((3,)), nm.Input((3,))]).shape
    ('batch', 3)
    """

    def _merge(self, g: GraphBuilder, xs: list[Value]) -> Value:
        return g.add("Min", *xs)


@dataclass(frozen=True, eq=False)
class Concatenate(Layer):
    """Its inputs side by side (Keras ``Concatenate``; ONNX ``Concat``).

    Inputs: two or more of one type and rank, equal in all axes but one.  Output: that axis added up.

    Args:
        axis: the axis; -1, the last one, as in Keras. The channels of an image are at 1 here, where images
            are channels first.

    Raises:
        ShapeError: fewer than two inputs, or shapes that differ in another axis.

    >>> import neuromatic as nm
    >>> nm.layers.Concatenate(axis=1)([nm.Input((3, 8, 8)), nm.Input((5, 8, 8))]).shape
    ('batch', 8, 8, 8)
    """

    merges = True

    axis: int = -1

    def __post_init__(self) -> None:
        if not isinstance(self.axis, int) or self.axis == 0:
            raise ValueError(f"Concatenate: axis must be an integer other than 0, got {self.axis!r}")

    def emit(self, g: GraphBuilder, *xs: Value) -> Value:
        _check_count(g, self, xs)
        rank = xs[0].rank
        axis = self.axis if self.axis > 0 else self.axis + rank
        others = [[d for i, d in enumerate(x.shape or ()) if i != axis] for x in xs]
        fits = all(x.rank == rank for x in xs) and 0 < axis < rank
        if not fits or any(
            len({d for d in dims if isinstance(d, int)}) > 1 for dims in zip(*others, strict=True)
        ):
            raise ShapeError(
                f"{g.scope}: Concatenate takes inputs of one rank that differ in axis {self.axis} alone, "
                f"got {_shapes_text(xs)}; choose another axis or make the others equal"
            )
        return g.add("Concat", *xs, axis=self.axis)
