"""Images seen through moved pixels: transforms of coordinates, and what is outside an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from onnx import TensorProto

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.portable_ops import cast, clip
from neuromatic.ir.values import Value
from neuromatic.layers.augmentation._base import number
from neuromatic.layers.preprocessing._shared import choice

FILL_MODES = ("reflect", "wrap", "constant", "nearest")
INTERPOLATIONS = ("nearest", "bilinear")

Matrix = Sequence[Value | None]
"""a0, a1, a2, b0, b1, b2, c0, c1 of ``x' = (a0 x + a1 y + a2) / k``, ``y' = (b0 x + b1 y + b2) / k``,
``k = c0 x + c1 y + 1``; None for 0."""

Safe = Callable[[GraphBuilder, Value, int], tuple[Value, Value | None]]
"""From places along an axis of some size to places inside, and whether they were inside (None: all)."""


def check_sampling(owner: str, interpolation: str, fill_mode: str = "constant") -> None:
    """Refuse unknown names.

    Raises:
        ValueError: it names the class, the argument and what it can be.
    """
    choice(owner, "interpolation", interpolation, INTERPOLATIONS)
    choice(owner, "fill_mode", fill_mode, FILL_MODES)


def size_of(x: Value) -> tuple[int, int]:
    """Height and width of images."""
    height, width = x.dim(2), x.dim(3)
    assert isinstance(height, int)
    assert isinstance(width, int)
    return height, width


def grid(b: GraphBuilder, x: Value) -> tuple[Value, Value]:
    """The columns (1, 1, 1, width) and the rows (1, 1, height, 1) of images."""
    height, width = size_of(x)
    across = np.arange(width).reshape(1, 1, 1, -1)
    return b.const(across), b.const(np.arange(height).reshape(1, 1, -1, 1))


# -- transforms --------------------------------------------------------------------------------------------


def transformed(
    b: GraphBuilder, x: Value, matrix: Matrix, interpolation: str, fill_mode: str, fill_value: float
) -> Value:
    """Images whose pixel (x, y) is the one that a matrix (batch, 1, 1, 1) each moves it to.

    Outside, coordinates are folded back as TensorFlow's ``ImageProjectiveTransformV3`` does, which is what
    Keras runs.
    """
    columns, rows = grid(b, x)
    across, down = (_linear(b, columns, rows, matrix[i : i + 3]) for i in (0, 3))
    if matrix[6] is not None or matrix[7] is not None:
        k = number(b, "Add", _linear(b, columns, rows, [*matrix[6:8], None]), 1.0)
        zero = b.add("Equal", k, b.const(0.0))
        k = b.add("Where", zero, b.const(1.0), k)
        far = b.const(-2.0)  # outside, so that it becomes the fill value
        across, down = (b.add("Where", zero, far, b.add("Div", v, k)) for v in (across, down))
    places = [_folded(b, v, size, fill_mode) for v, size in zip((down, across), size_of(x), strict=True)]
    safe = _within if fill_mode == "constant" else _nearest
    return sampled(b, x, places, interpolation, safe, _half_away, fill_value)


def _linear(b: GraphBuilder, columns: Value, rows: Value, factors: Matrix) -> Value:
    terms = [b.add("Mul", v, f) for v, f in zip((columns, rows), factors, strict=False) if f is not None]
    terms += [f for f in factors[2:] if f is not None]
    total = terms[0]
    for term in terms[1:]:
        total = b.add("Add", total, term)
    return total


def _folded(b: GraphBuilder, place: Value, size: int, fill_mode: str) -> Value:
    """Coordinates inside an axis, except for ``"constant"``."""
    if fill_mode == "constant":
        return clip(b, place, -1.0, float(size))
    if size > 1 and fill_mode == "reflect":
        place = _reflected(b, place, float(size))
    elif size > 1 and fill_mode == "wrap":
        place = _wrapped(b, place, float(size))
    return clip(b, place, 0.0, size - 1.0)


def _reflected(b: GraphBuilder, place: Value, size: float) -> Value:
    """Of a, b, c, d: ... d c b a | a b c d | d c b a ..."""
    distance = b.add("Abs", place)
    rounds = b.add("Floor", number(b, "Div", distance, 2 * size))
    rest = b.add("Sub", distance, number(b, "Mul", rounds, 2 * size))
    back = b.add("Sub", b.const(2 * size), rest)
    before = b.add("Where", number(b, "Greater", rest, size), back, number(b, "Sub", rest, 1.0))
    after = b.add("Where", number(b, "Less", rest, size), rest, number(b, "Sub", back, 1.0))
    return b.add("Where", number(b, "Less", place, 0.0), before, after)


def _wrapped(b: GraphBuilder, place: Value, size: float) -> Value:
    """Of a, b, c, d: ... a b c d | a b c d | a b c d ..."""

    def rounds(distance: Value) -> Value:
        return b.add("Floor", number(b, "Div", distance, size - 1))

    missing = number(b, "Add", rounds(b.add("Neg", place)), 1.0)
    before = b.add("Add", place, number(b, "Mul", missing, size))
    after = b.add("Sub", place, number(b, "Mul", rounds(place), size))
    beyond = b.add("Where", number(b, "Greater", place, size - 1), after, place)
    return b.add("Where", number(b, "Less", place, 0.0), before, beyond)


def _half_away(b: GraphBuilder, place: Value) -> Value:
    """The nearest whole number, halves away from 0."""
    return b.add("Mul", b.add("Sign", place), b.add("Floor", number(b, "Add", b.add("Abs", place), 0.5)))


def _nearest(b: GraphBuilder, place: Value, size: int) -> tuple[Value, Value | None]:
    return clip(b, place, 0.0, size - 1.0), None


def _within(b: GraphBuilder, place: Value, size: int) -> tuple[Value, Value | None]:
    safe = clip(b, place, 0.0, size - 1.0)
    return safe, b.add("Equal", safe, place)


# -- displacements -----------------------------------------------------------------------------------------


def displaced(
    b: GraphBuilder,
    x: Value,
    places: Sequence[Value],
    interpolation: str,
    fill_mode: str,
    fill_value: float,
) -> Value:
    """Images whose pixels are those at given rows and columns, folded back as ``map_coordinates`` does."""

    def rounded(b: GraphBuilder, place: Value) -> Value:
        return b.add("Round", place)

    return sampled(b, x, places, interpolation, _FOLDS[fill_mode], rounded, fill_value)


def _rest(b: GraphBuilder, place: Value, size: float) -> Value:
    rounds = b.add("Floor", number(b, "Div", place, size))
    return b.add("Sub", place, number(b, "Mul", rounds, size))


def _mirrored(b: GraphBuilder, place: Value, size: int) -> tuple[Value, Value | None]:
    rest = _rest(b, b.add("Abs", place), 2.0 * size)
    back = b.add("Sub", b.const(2.0 * size - 1), rest)
    return b.add("Where", number(b, "Less", rest, float(size)), rest, back), None


def _repeated(b: GraphBuilder, place: Value, size: int) -> tuple[Value, Value | None]:
    return _rest(b, place, float(size)), None


_FOLDS: dict[str, Safe] = {
    "reflect": _mirrored,
    "wrap": _repeated,
    "constant": _within,
    "nearest": _nearest,
}


# -- pixels ------------------------------------------------------------------------------------------------


def sampled(
    b: GraphBuilder,
    x: Value,
    places: Sequence[Value],
    interpolation: str,
    safe: Safe,
    rounded: Callable[[GraphBuilder, Value], Value],
    fill_value: float,
) -> Value:
    """The pixels of images at rows and columns that are not whole numbers.

    Args:
        places: rows and columns, of shapes that broadcast to (batch, 1, height, width).
        interpolation: ``"nearest"`` or ``"bilinear"``.
        safe: brings whole numbers inside.
        rounded: gives the nearest whole number.
        fill_value: what pixels outside are.
    """
    pixels = b.add("Transpose", x, perm=[0, 2, 3, 1])
    pixels = b.add("Reshape", pixels, b.ints(0, -1, int(x.dim(1) or 0)))
    corners: list[list[tuple[Value, Value | None]]] = []
    for place in places:
        if interpolation == "nearest":
            corners.append([(rounded(b, place), None)])
        else:
            low = b.add("Floor", place)
            share = b.add("Sub", place, low)
            corners.append([(low, b.add("Sub", b.const(1.0), share)), (number(b, "Add", low, 1.0), share)])
    total: Value | None = None
    for row, row_share in corners[0]:
        for column, column_share in corners[1]:
            value = _picked(b, x, pixels, (row, column), safe, fill_value)
            if row_share is not None and column_share is not None:
                value = b.add("Mul", value, _listed(b, b.add("Mul", row_share, column_share)))
            total = value if total is None else b.add("Add", total, value)
    height, width = size_of(x)
    y = b.add("Reshape", total, b.ints(0, height, width, int(x.dim(1) or 0)))
    return b.add("Transpose", y, perm=[0, 3, 1, 2])


def _listed(b: GraphBuilder, numbers: Value) -> Value:
    """(batch, 1, height, width) as (batch, height * width, 1)."""
    return b.add("Reshape", numbers, b.ints(0, -1, 1))


def _picked(
    b: GraphBuilder, x: Value, pixels: Value, place: tuple[Value, Value], safe: Safe, fill_value: float
) -> Value:
    height, width = size_of(x)
    (row, row_inside), (column, column_inside) = (
        safe(b, v, size) for v, size in zip(place, (height, width), strict=True)
    )
    index = cast(b, b.add("Add", number(b, "Mul", row, float(width)), column), TensorProto.INT64)
    value = b.add("GatherND", pixels, _listed(b, index), batch_dims=1)
    if row_inside is None or column_inside is None:
        return value
    inside = _listed(b, b.add("And", row_inside, column_inside))
    return b.add("Where", inside, value, b.const(fill_value))
