"""Random places in training: translation, zoom, rotation, shear."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers.augmentation._base import (
    Augmentation,
    Draws,
    Factor,
    Limits,
    check_seed,
    factor_limits,
    number,
    sign,
    uniform,
)
from neuromatic.layers.augmentation._sampling import check_sampling, size_of, transformed

__all__ = [
    "RandomRotation",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
]


@dataclass(frozen=True, eq=False)
class RandomTranslation(Augmentation):
    """In training, moves images down by ``height * f`` and to the right by ``width * g``.

    ``f`` and ``g`` are drawn for each image. Keras ``RandomTranslation``; ONNX ``RandomUniformLike`` and
    ``GatherND``, in training alone: inference passes the input on.

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        height_factor: the lowest and the highest ``f``, from -1 to 1; one number stands for
            ``(-factor, factor)``.
        width_factor: likewise of ``g``.
        fill_mode: what is outside of a, b, c, d: ``"reflect"`` d c b a | a b c d | d c b a, ``"wrap"``
            a b c d | a b c d | a b c d, ``"nearest"`` a a a a | a b c d | d d d d, or ``"constant"``.
        interpolation: ``"bilinear"`` or ``"nearest"``.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.
        fill_value: the number outside for ``"constant"``.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomTranslation(0.1, 0.1)(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    height_factor: Factor
    width_factor: Factor
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0

    def __post_init__(self) -> None:
        check_seed("RandomTranslation", self.seed)
        check_sampling("RandomTranslation", self.interpolation, self.fill_mode)
        self._limits()

    def _limits(self) -> tuple[Limits, Limits]:
        owner = "RandomTranslation"
        height = factor_limits(owner, "height_factor", self.height_factor, -1, 1)
        return height, factor_limits(owner, "width_factor", self.width_factor, -1, 1)

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        return tuple(uniform(b, x, limits, self.seed) for limits in self._limits())

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        down, right = (number(b, "Mul", f, -float(n)) for f, n in zip(drawn, size_of(x), strict=True))
        one = b.const(1.0)
        matrix = (one, None, right, None, one, down, None, None)
        return transformed(b, x, matrix, self.interpolation, self.fill_mode, self.fill_value)


@dataclass(frozen=True, eq=False)
class RandomZoom(Augmentation):
    """In training, shows ``height * (1 + f)`` by ``width * (1 + g)`` around the middle of images.

    ``f`` and ``g`` are drawn for each image; above 0 images become smaller. Keras ``RandomZoom``; ONNX
    ``RandomUniformLike`` and ``GatherND``, in training alone: inference passes the input on.

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        height_factor: the lowest and the highest ``f``, above -1 and up to 1; one number stands for
            ``(-factor, factor)``.
        width_factor: likewise of ``g``; None takes ``f``.
        fill_mode: what is outside, as in ``RandomTranslation``.
        interpolation: ``"bilinear"`` or ``"nearest"``.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.
        fill_value: the number outside for ``"constant"``.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomZoom(0.1)(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    height_factor: Factor
    width_factor: Factor | None = None
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0

    def __post_init__(self) -> None:
        check_seed("RandomZoom", self.seed)
        check_sampling("RandomZoom", self.interpolation, self.fill_mode)
        self._limits("height_factor", self.height_factor)
        if self.width_factor is not None:
            self._limits("width_factor", self.width_factor)

    @staticmethod
    def _limits(argument: str, factor: Factor) -> Limits:
        low, high = factor_limits("RandomZoom", argument, factor, -1, 1)
        if factor == -1 or (isinstance(factor, (tuple, list)) and low == -1):
            raise ValueError(f"RandomZoom: {argument} must be above -1, got {factor!r}")
        return 1.0 + low, 1.0 + high

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        down = uniform(b, x, self._limits("height_factor", self.height_factor), self.seed)
        if self.width_factor is None:
            return down, down
        return down, uniform(b, x, self._limits("width_factor", self.width_factor), self.seed)

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        down, across = drawn
        rows, columns = (
            number(b, "Mul", b.add("Sub", b.const(1.0), zoom), (size - 1) / 2)
            for zoom, size in zip(drawn, size_of(x), strict=True)
        )
        matrix = (across, None, columns, None, down, rows, None, None)
        return transformed(b, x, matrix, self.interpolation, self.fill_mode, self.fill_value)


@dataclass(frozen=True, eq=False)
class RandomRotation(Augmentation):
    """In training, turns images around their middle by ``360 * f`` degrees, counterclockwise above 0.

    ``f`` is drawn for each image. Keras ``RandomRotation``; ONNX ``RandomUniformLike``, ``Sin``, ``Cos`` and
    ``GatherND``, in training alone: inference passes the input on.

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        factor: the lowest and the highest ``f``, from -1 to 1; one number stands for ``(-factor, factor)``.
        fill_mode: what is outside, as in ``RandomTranslation``.
        interpolation: ``"bilinear"`` or ``"nearest"``.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.
        fill_value: the number outside for ``"constant"``.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomRotation(0.1)(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    factor: Factor
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0

    def __post_init__(self) -> None:
        check_seed("RandomRotation", self.seed)
        check_sampling("RandomRotation", self.interpolation, self.fill_mode)
        self._limits()

    def _limits(self) -> Limits:
        low, high = factor_limits("RandomRotation", "factor", self.factor, -1, 1)
        return 360.0 * low, 360.0 * high

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        return (number(b, "Mul", uniform(b, x, self._limits(), self.seed), math.pi / 180),)

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        cos, sin = b.add("Cos", drawn[0]), b.add("Sin", drawn[0])
        back = b.add("Neg", sin)
        middle_row, middle_column = ((size - 1) / 2 for size in size_of(x))

        def start(middle: float, across: Value, down: Value) -> Value:
            moved = [number(b, "Mul", f, -m) for f, m in ((across, middle_column), (down, middle_row))]
            return b.add("Add", number(b, "Add", moved[0], middle), moved[1])

        right, below = start(middle_column, cos, back), start(middle_row, sin, cos)
        matrix = (cos, back, right, sin, cos, below, None, None)
        return transformed(b, x, matrix, self.interpolation, self.fill_mode, self.fill_value)


@dataclass(frozen=True, eq=False)
class RandomShear(Augmentation):
    """In training, slants images: pixel (x, y) is the one at ``(x + s f y, y + s g x)``.

    ``f``, ``g`` and the sign ``s`` are drawn for each image. Keras ``RandomShear``; ONNX
    ``RandomUniformLike`` and ``GatherND``, in training alone: inference passes the input on.

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        x_factor: the lowest and the highest ``f``, from 0 to 1; one number stands for ``(-factor, factor)``.
        y_factor: likewise of ``g``.
        interpolation: ``"bilinear"`` or ``"nearest"``.
        fill_mode: what is outside, as in ``RandomTranslation``.
        fill_value: the number outside for ``"constant"``.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomShear(0.1, 0.1)(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    x_factor: Factor = 0.0
    y_factor: Factor = 0.0
    interpolation: str = "bilinear"
    fill_mode: str = "reflect"
    fill_value: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandomShear", self.seed)
        check_sampling("RandomShear", self.interpolation, self.fill_mode)
        self._limits("x_factor", self.x_factor)
        self._limits("y_factor", self.y_factor)

    @staticmethod
    def _limits(argument: str, factor: Factor) -> Limits:
        low, high = factor_limits("RandomShear", argument, factor, 0, 1)
        return (low, high) if isinstance(factor, (tuple, list)) else (-high, high)

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        turned = sign(b, x, self.seed)
        down = uniform(b, x, self._limits("y_factor", self.y_factor), self.seed)
        across = uniform(b, x, self._limits("x_factor", self.x_factor), self.seed)
        return b.add("Mul", across, turned), b.add("Mul", down, turned)

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        one = b.const(1.0)
        matrix = (one, drawn[0], None, drawn[1], one, None, None, None)
        return transformed(b, x, matrix, self.interpolation, self.fill_mode, self.fill_value)
