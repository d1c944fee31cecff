"""Random detail in training: sharpness, blur, erased rectangles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuromatic.errors import ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.portable_ops import clip
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers.augmentation._base import (
    Augmentation,
    Draws,
    Factor,
    Limits,
    bell,
    check_seed,
    chosen,
    factor_limits,
    normal,
    number,
    shared,
    uniform,
)
from neuromatic.layers.preprocessing._shared import Range, positive, value_range

__all__ = ["RandomErasing", "RandomGaussianBlur", "RandomSharpness"]

SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
"""The shares of a pixel and its neighbours in a smoother image."""


def _filtered(b: GraphBuilder, x: Value, kernel: Value, size: Sequence[int]) -> Value:
    """Each channel convolved with the same kernel (1, 1, height, width); zeros around the image."""
    channels = x.dim(1)
    assert isinstance(channels, int)
    kernels = kernel if channels == 1 else b.add("Concat", *[kernel] * channels, axis=0)
    pads = [n // 2 for n in size]
    return b.add("Conv", x, kernels, kernel_shape=list(size), pads=[*pads, *pads], group=channels)


@dataclass(frozen=True, eq=False)
class RandomSharpness(Augmentation):
    """In training, makes images sharper or smoother: ``y = clip(x + (1 - 2 f) * (smooth - x), low, high)``.

    ``smooth`` is the image of the means over 3 x 3 pixels, the middle one counted 5 times and those outside
    as 0; ``f`` is drawn for each image: 0.5 changes nothing. Keras ``RandomSharpness``; ONNX
    ``RandomUniformLike``, ``Conv`` and ``Clip``, in training alone: inference passes the input on.

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        factor: the lowest and the highest ``f``, from 0 to 1; one number is the upper one, with 0 as lower.
        value_range: the lowest and the highest value of pixels.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomSharpness((0.4, 0.6))(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    factor: Factor
    value_range: Range = (0, 255)
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandomSharpness", self.seed)
        value_range("RandomSharpness", self.value_range)
        self._limits()

    def _limits(self) -> Limits:
        return factor_limits("RandomSharpness", "factor", self.factor, 0, 1)

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        return (uniform(b, x, self._limits(), self.seed),)

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        smooth = _filtered(b, x, b.const(SMOOTH[None, None]), SMOOTH.shape)
        share = b.add("Sub", b.const(1.0), number(b, "Mul", drawn[0], 2.0))
        y = b.add("Add", x, b.add("Mul", share, b.add("Sub", smooth, x)))
        return clip(b, y, *value_range("RandomSharpness", self.value_range))


@dataclass(frozen=True, eq=False)
class RandomGaussianBlur(Augmentation):
    """In training, blurs some images: a convolution with ``exp(-d**2 / (2 s**2))``, divided by its sum.

    ``d`` is the distance of a pixel, those outside are 0. Two ``s``, one for each direction, are drawn for
    all images of a batch. Each image is blurred with a probability that is drawn too; then all are limited
    to the range. Keras ``RandomGaussianBlur``; ONNX ``RandomUniformLike``, ``Exp``, ``Conv`` and ``Where``,
    in training alone: inference passes the input on.

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        factor: the lowest and the highest probability, from 0 to 1; one number is the upper one, with 0 as
            lower, so that 1.0 blurs half of all images.
        kernel_size: one or two odd numbers, the height and the width of the kernel.
        sigma: the lowest and the highest ``s``, from 0 to 1; one number is the upper one, with 0 as lower.
        value_range: the lowest and the highest value of pixels.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomGaussianBlur(kernel_size=5)(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    factor: Factor = 1.0
    kernel_size: int | Sequence[int] = 3
    sigma: Factor = 1.0
    value_range: Range = (0, 255)
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandomGaussianBlur", self.seed)
        value_range("RandomGaussianBlur", self.value_range)
        self._limits("factor", self.factor)
        self._limits("sigma", self.sigma)
        for size in self._size():
            positive("RandomGaussianBlur", kernel_size=size)
        if len(self._size()) != 2 or not all(size % 2 for size in self._size()):
            raise ValueError(
                f"RandomGaussianBlur: kernel_size must be one or two odd numbers, got {self.kernel_size!r}"
            )

    @staticmethod
    def _limits(argument: str, factor: Factor) -> Limits:
        return factor_limits("RandomGaussianBlur", argument, factor, 0, 1)

    def _size(self) -> tuple[int, ...]:
        given = self.kernel_size
        return tuple(given) if isinstance(given, (tuple, list)) else (given, given)  # type: ignore[return-value]

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        apply = chosen(b, x, self._limits("factor", self.factor), self.seed)
        limits = self._limits("sigma", self.sigma)
        return apply, *(number(b, "Add", shared(b, limits, self.seed), 1e-6) for _ in range(2))

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        apply, *deviations = drawn
        first, second = self._size()
        across, down = (bell(b, n // 2, d) for n, d in zip((first, second), deviations, strict=True))
        # as in Keras: the product has the sizes in the other order, and its elements keep theirs
        product = b.add("Mul", b.add("Reshape", down, b.ints(-1, 1)), b.add("Reshape", across, b.ints(1, -1)))
        kernel = b.add("Reshape", product, b.ints(1, 1, first, second))
        y = b.add("Where", apply, _filtered(b, x, kernel, (first, second)), x)
        return clip(b, y, *value_range("RandomGaussianBlur", self.value_range))


@dataclass(frozen=True, eq=False)
class RandomErasing(Augmentation):
    """In training, replaces a rectangle of some images by noise or by a colour (Zhong et al. 2017).

    Width and height of the rectangle are those of the image times ``sqrt(a)``, with an ``a`` for each; all
    places inside the image are as likely. Each image is changed with a probability that is drawn too. Keras
    ``RandomErasing``; ONNX ``RandomUniformLike``, ``RandomNormalLike`` and ``Where``, in training alone:
    inference passes the input on.

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        factor: the lowest and the highest probability, from 0 to 1; one number is the upper one, with 0 as
            lower, so that 1.0 changes half of all images.
        scale: the lowest and the highest ``a``, likewise.
        fill_value: a number, or one for each of three channels. None takes normal noise times the highest
            value. All are limited to the range.
        value_range: the lowest and the highest value of pixels.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image, or has not the channels of ``fill_value``.

    >>> import neuromatic as nm
    >>> nm.layers.RandomErasing()(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    factor: Factor = 1.0
    scale: Factor = (0.02, 0.33)
    fill_value: float | Sequence[float] | None = None
    value_range: Range = (0, 255)
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandomErasing", self.seed)
        value_range("RandomErasing", self.value_range)
        self._limits("factor", self.factor)
        self._limits("scale", self.scale)
        fill = self.fill_value
        if fill is not None and not isinstance(fill, (int, float)) and len(fill) != 3:
            raise ValueError(f"RandomErasing: fill_value must be one or three numbers or None, got {fill!r}")

    @staticmethod
    def _limits(argument: str, factor: Factor) -> Limits:
        return factor_limits("RandomErasing", argument, factor, 0, 1)

    def check(self, g: GraphBuilder, x: Value) -> None:
        super().check(g, x)
        if isinstance(self.fill_value, (tuple, list)) and x.dim(1) != 3:
            raise ShapeError(
                f"{g.scope}: RandomErasing with three numbers as fill_value takes images of 3 channels, got "
                f"{shape_text(x.shape)} from {x.name!r}; give one number"
            )

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        inside: Value | None = None
        for axis in (3, 2):
            size = x.dim(axis)
            assert isinstance(size, int)
            length = b.add("Sqrt", uniform(b, x, self._limits("scale", self.scale), self.seed))
            length = number(b, "Mul", length, float(size))
            rest = b.add("Sub", b.const(float(size)), length)
            start = b.add("Mul", uniform(b, x, (0.0, 1.0), self.seed), rest)
            places = b.const(np.arange(size).reshape((-1, 1) if axis == 2 else (1, -1)))
            before = b.add("Less", places, start)
            within = b.add("Less", places, b.add("Add", start, length))
            within = b.add("And", b.add("Not", before), within)
            inside = within if inside is None else b.add("And", inside, within)
        assert inside is not None
        return inside, chosen(b, x, self._limits("factor", self.factor), self.seed), self._filling(b, x)

    def _filling(self, b: GraphBuilder, x: Value) -> Value:
        low, high = value_range("RandomErasing", self.value_range)
        if self.fill_value is not None:
            colour = np.clip(np.asarray(self.fill_value, np.float64), low, high)
            return b.const(colour.reshape(1, -1, 1, 1))
        return clip(b, number(b, "Mul", normal(b, x, self.seed), high), low, high)

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        inside, apply, filling = drawn
        return b.add("Where", b.add("And", inside, apply), filling, x)
