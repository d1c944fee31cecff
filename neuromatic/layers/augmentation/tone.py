"""Random tones in training: shades of grey, negatives, fewer levels."""

from __future__ import annotations

from dataclasses import dataclass

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.portable_ops import clip
from neuromatic.ir.values import Value
from neuromatic.layers.augmentation._base import (
    Augmentation,
    Draws,
    Factor,
    Limits,
    check_seed,
    chosen,
    factor_limits,
    grey,
    number,
    uniform,
)
from neuromatic.layers.preprocessing._shared import Range, rescaled, value_range

__all__ = ["RandomColorDegeneration", "RandomGrayscale", "RandomInvert", "RandomPosterization"]

BYTES = (0.0, 255.0)
BITS = 8


@dataclass(frozen=True, eq=False)
class RandomColorDegeneration(Augmentation):
    """In training, takes colour away: ``y = clip(x + f * (grey - x), low, high)``.

    ``grey = 0.2989 red + 0.587 green + 0.114 blue``; ``f`` is drawn for each image. Keras
    ``RandomColorDegeneration``; ONNX ``RandomUniformLike``, ``ReduceSum`` and ``Clip``, in training alone:
    inference passes the input on.

    Input: (batch, channels, height, width) of known sizes with 1 or 3 channels, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        factor: the lowest and the highest ``f``, from -1 to 1; one number stands for ``(-factor, factor)``.
        value_range: the lowest and the highest value of pixels.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomColorDegeneration(0.5)(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    channels = (1, 3)

    factor: Factor
    value_range: Range = (0, 255)
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandomColorDegeneration", self.seed)
        value_range("RandomColorDegeneration", self.value_range)
        self._limits()

    def _limits(self) -> Limits:
        return factor_limits("RandomColorDegeneration", "factor", self.factor, -1, 1)

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        return (uniform(b, x, self._limits(), self.seed),)

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        y = b.add("Add", x, b.add("Mul", drawn[0], b.add("Sub", grey(b, x), x)))
        return clip(b, y, *value_range("RandomColorDegeneration", self.value_range))


@dataclass(frozen=True, eq=False)
class RandomGrayscale(Augmentation):
    """In training, makes a share of the images grey: ``y = 0.2989 red + 0.587 green + 0.114 blue``.

    All channels of such an image are equal. Keras ``RandomGrayscale``; ONNX ``RandomUniformLike``,
    ``ReduceSum`` and ``Where``, in training alone: inference passes the input on.

    Input: (batch, channels, height, width) of known sizes with 1 or 3 channels, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        factor: the share, from 0 to 1.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomGrayscale()(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    channels = (1, 3)

    factor: float = 0.5
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandomGrayscale", self.seed)
        factor_limits("RandomGrayscale", "factor", (self.factor, self.factor), 0, 1)

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        return (chosen(b, x, (self.factor, self.factor), self.seed),)

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        return b.add("Where", drawn[0], grey(b, x), x)


@dataclass(frozen=True, eq=False)
class RandomInvert(Augmentation):
    """In training, turns some images into negatives: ``y = high - x``.

    Each image is one with a probability that is drawn too. Keras ``RandomInvert``; ONNX
    ``RandomUniformLike``, ``Sub`` and ``Where``, in training alone: inference passes the input on.

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        factor: the lowest and the highest probability, from 0 to 1; one number is the upper one, with 0 as
            lower, so that 1.0 inverts half of all images.
        value_range: the lowest and the highest value of pixels.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomInvert()(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    factor: Factor = 1.0
    value_range: Range = (0, 255)
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandomInvert", self.seed)
        value_range("RandomInvert", self.value_range)
        self._limits()

    def _limits(self) -> Limits:
        return factor_limits("RandomInvert", "factor", self.factor, 0, 1)

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        return (chosen(b, x, self._limits(), self.seed),)

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        _, high = value_range("RandomInvert", self.value_range)
        return b.add("Where", drawn[0], b.add("Sub", b.const(high), x), x)


@dataclass(frozen=True, eq=False)
class RandomPosterization(Augmentation):
    """In training, leaves images only the highest ``n`` of 8 bits.

    ``y = floor(x / s) * s`` with ``s = 2 ** (8 - n)``. This is for whole numbers from 0 to 255; other ranges
    are moved there and back. ``n`` is drawn for each image. Keras ``RandomPosterization``; ONNX
    ``RandomUniformLike``, ``Pow`` and ``Floor``, in training alone: inference passes the input on.

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        factor: the lowest ``n`` and the number above the highest, from 1 to 8; one number is the second one,
            with 1 as the first. Two equal numbers are ``n``.
        value_range: the lowest and the highest value of pixels.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomPosterization(4)(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    factor: Factor
    value_range: Range = (0, 255)
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandomPosterization", self.seed)
        value_range("RandomPosterization", self.value_range)
        self._limits()

    def _limits(self) -> Limits:
        low, high = factor_limits("RandomPosterization", "factor", self.factor, 1, BITS)
        return float(int(low)), float(int(high))

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        return (b.add("Floor", uniform(b, x, self._limits(), self.seed)),)

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        limits = value_range("RandomPosterization", self.value_range)
        whole = b.add("Floor", rescaled(b, x, limits, BYTES))
        step = b.add("Pow", b.const(2.0), b.add("Sub", b.const(float(BITS)), drawn[0]))
        # runtimes may compute powers and quotients a little too low: the former are whole numbers, the
        # latter multiples of 1 / 128
        step = b.add("Floor", number(b, "Add", step, 0.5))
        quotient = number(b, "Add", b.add("Div", whole, step), 1 / 512)
        y = b.add("Mul", b.add("Floor", quotient), step)
        return rescaled(b, y, BYTES, limits)
