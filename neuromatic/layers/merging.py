"""Layers that make one value of several, element by element or side by side."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from onnx import TensorProto, helper

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Dim, Value, shape_text
from neuromatic.layers.base import Layer
from neuromatic.layers.normalization._statistics import of_unit_length

__all__ = ["Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract"]

SHORTEST = 1e-7
"""Keras' lower bound for the lengths that Dot divides by."""


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
    """Merges inputs element by element; subclasses say how.

    Where all inputs have masks, a step counts that counts in one of them.
    """

    merges = True

    def emit(self, g: GraphBuilder, *xs: Value) -> Value:
        _check_count(g, self, xs)
        y = self._merge(g, self._aligned(g, xs))
        masks = [g.mask(x) for x in xs]
        known = [mask for mask in masks if mask is not None]
        if len(known) == len(xs):
            g.set_mask(y, _fold(g, "Or", known))
        return y

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
        return [op.unsqueeze(g, x, *range(1, n + 1)) if n else x for x, n in zip(xs, missing, strict=True)]


def _fold(g: GraphBuilder, op_type: str, xs: list[Value]) -> Value:
    result, *others = xs
    for x in others:
        result = g.add(op_type, result, x)
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
        y = g.add("Concat", *xs, axis=self.axis)
        mask = _concatenated_mask(g, xs, axis)
        if mask is not None:
            g.set_mask(y, mask)
        return y


def _concatenated_mask(g: GraphBuilder, xs: tuple[Value, ...], axis: int) -> Value | None:
    """Which steps count: those of each input one after the other, or those that count in one of them."""
    masks = [g.mask(x) for x in xs]
    known = [mask for mask in masks if mask is not None]
    if not known or (axis != 1 and len(known) < len(xs)):  # an input without a mask counts everywhere
        return None
    if axis != 1:
        return _fold(g, "Or", known)
    parts = [_all_true(g, x) if mask is None else mask for x, mask in zip(xs, masks, strict=True)]
    return g.add("Concat", *parts, axis=1)


def _all_true(g: GraphBuilder, x: Value) -> Value:
    """A mask for which all steps count."""
    shape = g.add("Slice", g.add("Shape", x), g.ints(0), g.ints(2))
    return g.add("ConstantOfShape", shape, value=helper.make_tensor("true", TensorProto.BOOL, [1], [True]))


@dataclass(frozen=True, eq=False)
class Dot(Layer):
    """The sums of products of two inputs along an axis of each (Keras ``Dot``; ONNX ``MatMul``).

    Inputs: two of one float type and rank 2 or more, with equal batches.
    Output: (batch, the other axes of the first one, those of the second one); (batch, 1) for vectors.

    Args:
        axes: the axis of both, or a pair with that of each; not 0, the batch.
        normalize: whether to divide both by their lengths along the axes first, which gives cosines.

    Raises:
        ShapeError: not two inputs, axes of different sizes, or an unknown size in an input of rank above 3.

    >>> import neuromatic as nm
    >>> nm.layers.Dot(axes=(1, 2))([nm.Input((3, 5)), nm.Input((10, 3))]).shape
    ('batch', 5, 10)
    """

    merges = True

    axes: int | Sequence[int]
    normalize: bool = False

    def __post_init__(self) -> None:
        axes = self.axes
        pair = (axes, axes) if isinstance(axes, int) else axes
        valid = isinstance(pair, (list, tuple)) and len(pair) == 2
        if not valid or not all(isinstance(a, int) and a != 0 for a in pair):
            raise ValueError(f"Dot: axes must be an integer other than 0 or two of them, got {axes!r}")

    def emit(self, g: GraphBuilder, *xs: Value) -> Value:
        if len(xs) != 2 or min(x.rank for x in xs) < 2:
            raise ShapeError(
                f"{g.scope}: Dot takes two inputs (batch, ...) of rank 2 or more, got {_shapes_text(xs)}; "
                f"call it on a list of two"
            )
        x, y = xs
        first, second = self._axes(g, x, y)
        if self.normalize:
            x = of_unit_length(g, x, (first,), SHORTEST)
            y = of_unit_length(g, y, (second,), SHORTEST)
        if x.rank == y.rank == 2:
            return op.reduce(g, "ReduceSum", g.add("Mul", x, y), (1,), keepdims=True)
        rows, before = _matrix(g, x, first, last=True)
        columns, after = _matrix(g, y, second, last=False)
        result = g.add("MatMul", rows, columns)
        if len(before) == len(after) == 1:
            return result
        sizes = [n for n in (*before, *after) if isinstance(n, int)]
        if len(sizes) < len(before) + len(after):
            raise ShapeError(
                f"{g.scope}: Dot needs known sizes for inputs of rank above 3 or a vector, got "
                f"{_shapes_text(xs)}; give the sizes of all axes but the batch"
            )
        return g.add("Reshape", result, g.ints(0, *sizes))

    def _axes(self, g: GraphBuilder, x: Value, y: Value) -> tuple[int, int]:
        pair = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        first, second = (a + v.rank if a < 0 else a for a, v in zip(pair, (x, y), strict=True))
        fits = 0 < first < x.rank and 0 < second < y.rank
        if not fits or len({d for d in (x.dim(first), y.dim(second)) if isinstance(d, int)}) > 1:
            raise ShapeError(
                f"{g.scope}: Dot sums along axes {self.axes}, which have to be of one size after the "
                f"batch, got {_shapes_text((x, y))}; choose other axes"
            )
        return first, second


def _matrix(g: GraphBuilder, x: Value, axis: int, *, last: bool) -> tuple[Value, list[Dim]]:
    """A stack of matrices whose last, or else first, axis is the given one; the sizes of the others."""
    others = [i for i in range(1, x.rank) if i != axis]
    order = [0, *others, axis] if last else [0, axis, *others]
    turned = x if order == sorted(order) else g.add("Transpose", x, perm=order)
    sizes = [x.dim(i) for i in others]
    if len(others) == 1:
        return turned, sizes
    if not others:
        return op.unsqueeze(g, turned, 1 if last else 2), sizes
    size = x.dim(axis)
    if not isinstance(size, int):
        raise ShapeError(
            f"{g.scope}: Dot needs a known size along axis {axis} of {x.name!r}; give it to the input"
        )
    return g.add("Reshape", turned, g.ints(0, -1, size) if last else g.ints(0, size, -1)), sizes
