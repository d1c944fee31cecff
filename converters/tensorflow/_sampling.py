"""Values of an image, or of a volume, between its elements.

Images are channels last, (N, d1, ..., C). A point is one tensor of coordinates for each spatial axis, counted
in elements, all of one shape.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from itertools import product
from typing import Any, Literal

import tensorflow as tf

from neuromatic.converters.tensorflow._tensors import Tensor, dtype, shape

Mode = Literal["nearest", "linear", "cubic"]
Padding = Literal["zeros", "border", "reflection"]

_CUBIC = -0.75


def parts(
    x: Tensor,
    rows: Tensor,
    points: Sequence[Tensor],
    *,
    mode: Mode = "linear",
    padding: Padding = "zeros",
    borders: Sequence[tuple[Any, Any]] | None = None,
) -> list[Tensor]:
    """The elements around each point times their weights; the value at the point is their sum.

    Args:
        x: the images.
        rows: for each point the image it lies in; broadcasts to the points.
        points: coordinates by axis.
        mode: how elements around a point are weighted: 1, 2 or 4 for each axis.
        padding: what lies outside the image.
        borders: where ``"reflection"`` turns back, by axis.
    """
    sizes = shape(x)[1:-1]
    flat = tf.reshape(x, [-1, shape(x)[-1]])
    taps = [_taps(point, mode) for point in points]
    found = []
    for chosen in product(*taps):
        place, inside = tf.cast(rows, tf.int64), tf.constant(True)
        for axis, (index, _) in enumerate(chosen):
            size = tf.cast(sizes[axis], tf.int64)
            if padding == "zeros":
                inside &= (index >= 0) & (index < size)
            elif padding == "reflection" and borders is not None:
                index = tf.cast(reflected(tf.cast(index, dtype(x)), *borders[axis]), tf.int64)
            place = place * size + tf.clip_by_value(index, 0, size - 1)
        value = tf.gather(flat, place)
        if padding == "zeros":
            value = tf.where(tf.expand_dims(inside, -1), value, tf.zeros([], dtype(x)))
        weight = functools.reduce(operator.mul, (weight for _, weight in chosen))
        found.append(value * tf.expand_dims(tf.cast(weight, dtype(x)), -1))
    return found


def sampled(x: Tensor, rows: Tensor, points: Sequence[Tensor], **how: Any) -> Tensor:
    """The values at the points, (points ..., C); see :func:`parts`."""
    return functools.reduce(operator.add, parts(x, rows, points, **how))


def _taps(point: Tensor, mode: Mode) -> list[tuple[Tensor, Tensor]]:
    """The indices of the elements around a coordinate, and their weights."""
    if mode == "nearest":
        return [(tf.cast(tf.round(point), tf.int64), tf.ones_like(point))]
    below = tf.floor(point)
    t, first = point - below, tf.cast(below, tf.int64)
    if mode == "linear":
        return [(first, 1 - t), (first + 1, t)]
    return [(first + i, _cubic(tf.abs(t - i))) for i in (-1, 0, 1, 2)]


def _cubic(d: Tensor) -> Tensor:
    """Keys' kernel at a distance."""
    near = ((_CUBIC + 2) * d - (_CUBIC + 3)) * d * d + 1
    far = ((_CUBIC * d - 5 * _CUBIC) * d + 8 * _CUBIC) * d - 4 * _CUBIC
    return tf.where(d <= 1, near, far)


def reflected(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """A coordinate that turns back at each border as often as it takes to stay within them."""
    low, width = tf.cast(low, dtype(x)), tf.cast(high - low, dtype(x))
    period = tf.maximum(2 * width, tf.ones([], dtype(x)))
    t = tf.math.floormod(x - low, period)
    return low + tf.minimum(tf.minimum(t, tf.maximum(2 * width - t, tf.zeros([], dtype(x)))), width)
