"""What random augmentation layers share: the layer itself, arguments, draws, colours."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.ir import functions
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.portable_ops import cast, clip, reduce
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers.base import Layer
from neuromatic.layers.preprocessing._shared import as_float, image_sizes

Factor = float | Sequence[float]
Limits = tuple[float, float]
Draws = tuple[Any, ...]
"""Values, or tuples of them for a layer made of layers."""

GREY = (0.2989, 0.5870, 0.1140)
"""The shares of red, green and blue in the brightness of a pixel."""


@dataclass(frozen=True, eq=False)
class Augmentation(Layer):
    """Changes images at random in training, computed in float32, and passes them on in inference.

    Attributes:
        channels: how many channels images may have; None for any number.
    """

    channels: ClassVar[tuple[int, ...] | None] = None

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        self.check(g, x)
        owner = type(self).__name__
        return functions.call(g, owner, as_float(g, x), inference=self.inferred, training=self.trained)

    def check(self, g: GraphBuilder, x: Value) -> None:
        """Refuse images that this layer cannot change.

        Raises:
            ShapeError: their sizes are unknown, or they have another number of channels.
        """
        owner = type(self).__name__
        found, _, _ = image_sizes(g, owner, x)
        if self.channels is not None and found not in self.channels:
            wanted = " or ".join(str(c) for c in self.channels)
            raise ShapeError(
                f"{g.scope}: {owner} takes images of {wanted} channels, got {shape_text(x.shape)} "
                f"from {x.name!r}; channels are the axis after the batch"
            )

    def inferred(self, b: GraphBuilder, x: Value) -> Value:
        """What inference computes."""
        return x

    def trained(self, b: GraphBuilder, x: Value) -> Value:
        """What a training step computes."""
        images = cast(b, x, TensorProto.FLOAT)
        return cast(b, self.transformed(b, images, self.draws(b, images)), x.dtype)

    @abstractmethod
    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        """The random numbers for a batch: (batch, 1, 1, 1), or scalars where they serve all images."""

    @abstractmethod
    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        """The images, changed as these numbers say."""


# -- arguments ---------------------------------------------------------------------------------------------


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def factor_limits(owner: str, argument: str, factor: Factor, low: float, high: float) -> Limits:
    """Between which numbers to draw: the two given ones, or from ``-factor`` (but at least ``low``) to it.

    Raises:
        ValueError: this is neither one number nor a pair of numbers from ``low`` to ``high``.
    """
    pair = isinstance(factor, (tuple, list))
    given: list[Any] = list(factor) if isinstance(factor, (tuple, list)) else [factor]
    if len(given) != 1 + pair or not all(_is_number(f) and low <= f <= high for f in given):
        raise ValueError(
            f"{owner}: {argument} must be one or two numbers from {low:g} to {high:g}, got {factor!r}"
        )
    first, last = (min(given), max(given)) if pair else (max(-abs(given[0]), low), abs(given[0]))
    return float(first), float(last)


def check_seed(owner: str, seed: int | None) -> None:
    """Refuse a seed that is no integer.

    Raises:
        ValueError: it names the class and the value.
    """
    if seed is not None and not isinstance(seed, int):
        raise ValueError(f"{owner}: seed must be an integer or None, got {seed!r}")


# -- draws -------------------------------------------------------------------------------------------------


def _like(b: GraphBuilder, sample: Value, low: float, high: float, seed: int | None) -> Value:
    number = None if seed is None else float(seed)
    return b.add("RandomUniformLike", sample, low=float(low), high=float(high), seed=number)


def uniform(b: GraphBuilder, x: Value, limits: Limits, seed: int | None) -> Value:
    """A number for each image, (batch, 1, 1, 1)."""
    return _like(b, b.add("Slice", x, b.ints(0, 0, 0), b.ints(1, 1, 1), b.ints(1, 2, 3)), *limits, seed)


def shared(b: GraphBuilder, limits: Limits, seed: int | None) -> Value:
    """One number for all images, a scalar."""
    return b.const(limits[0]) if limits[0] == limits[1] else _like(b, b.const(0.0), *limits, seed)


def normal(b: GraphBuilder, x: Value, seed: int | None) -> Value:
    """Normal noise of mean 0 and deviation 1 in the shape of ``x``."""
    return b.add("RandomNormalLike", x, dtype=TensorProto.FLOAT, seed=None if seed is None else float(seed))


def chosen(b: GraphBuilder, x: Value, probability: Limits, seed: int | None) -> Value:
    """For each image a boolean, true with a probability that is drawn too."""
    return b.add("Less", uniform(b, x, (0.0, 1.0), seed), uniform(b, x, probability, seed))


def sign(b: GraphBuilder, x: Value, seed: int | None) -> Value:
    """1 or -1 for each image."""
    above = b.add("Greater", uniform(b, x, (0.0, 1.0), seed), b.const(0.5))
    return b.add("Where", above, b.const(-1.0), b.const(1.0))


def number(b: GraphBuilder, op: str, x: Value, value: float) -> Value:
    """``x`` and a number, added, multiplied ..."""
    return b.add(op, x, b.const(value))


def bell(b: GraphBuilder, reach: int, deviation: Value, used: Value | None = None) -> Value:
    """``exp(-d**2 / (2 deviation**2))`` for ``d`` from ``-reach`` to ``reach``, divided by its sum.

    ``used`` is the largest ``|d|`` that does not get 0.
    """
    distance = b.const(np.arange(-reach, reach + 1))
    ratio = b.add("Div", distance, deviation)
    weights = b.add("Exp", number(b, "Mul", b.add("Mul", ratio, ratio), -0.5))
    if used is not None:
        outside = b.add("Greater", b.add("Abs", distance), used)
        weights = b.add("Where", outside, b.const(0.0), weights)
    return b.add("Div", weights, reduce(b, "ReduceSum", weights, (0,), keepdims=True))


# -- colours -----------------------------------------------------------------------------------------------


def channel(b: GraphBuilder, x: Value, index: int) -> Value:
    """One channel of images, (batch, 1, height, width)."""
    return b.add("Slice", x, b.ints(index), b.ints(index + 1), b.ints(1))


def grey(b: GraphBuilder, x: Value) -> Value:
    """The brightness of images of one or three channels, (batch, 1, height, width)."""
    if x.dim(1) == 1:
        return x
    weighted = b.add("Mul", x, b.const(np.reshape(GREY, (1, 3, 1, 1))))
    return reduce(b, "ReduceSum", weighted, (1,), keepdims=True)


def hsv(b: GraphBuilder, x: Value) -> tuple[Value, Value, Value]:
    """Hue, saturation and value of images of three channels."""
    red, green, blue = (channel(b, x, i) for i in range(3))
    value = reduce(b, "ReduceMax", x, (1,), keepdims=True)
    span = b.add("Sub", value, reduce(b, "ReduceMin", x, (1,), keepdims=True))
    lit, coloured = (number(b, "Greater", v, 0.0) for v in (value, span))
    one, zero = b.const(1.0), b.const(0.0)
    saturation = b.add("Where", lit, b.add("Div", span, b.add("Where", lit, value, one)), zero)
    sixth = b.add("Mul", b.add("Where", coloured, span, one), b.const(6.0))

    def hue(first: Value, second: Value, start: float) -> Value:
        return number(b, "Add", b.add("Div", b.add("Sub", first, second), sixth), start)

    most_red, most_green = (b.add("Equal", c, value) for c in (red, green))
    turn = b.add("Where", most_green, hue(blue, red, 2 / 6), hue(red, green, 4 / 6))
    turn = b.add("Where", most_red, hue(green, blue, 0.0), turn)
    turn = b.add("Where", coloured, turn, zero)
    turn = b.add("Where", number(b, "Less", turn, 0.0), number(b, "Add", turn, 1.0), turn)
    return turn, saturation, value


def rgb(b: GraphBuilder, hue: Value, saturation: Value, value: Value) -> Value:
    """Images of three channels from hue, saturation and value."""
    turn = number(b, "Mul", hue, 6.0)

    def distance(place: float) -> Value:
        return b.add("Abs", number(b, "Sub", turn, place))

    parts = [
        number(b, "Sub", distance(3.0), 1.0),
        b.add("Sub", b.const(2.0), distance(2.0)),
        b.add("Sub", b.const(2.0), distance(4.0)),
    ]
    pure = b.add("Concat", *(clip(b, p, 0.0, 1.0) for p in parts), axis=1)
    pale = b.add("Sub", b.const(1.0), saturation)
    return b.add("Mul", b.add("Add", pale, b.add("Mul", saturation, pure)), value)
