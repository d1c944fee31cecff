"""Random colours in training: brightness, contrast, saturation, hue."""

from __future__ import annotations

from dataclasses import dataclass

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.portable_ops import clip, reduce
from neuromatic.ir.values import Value
from neuromatic.layers.augmentation._base import (
    Augmentation,
    Draws,
    Factor,
    Limits,
    check_seed,
    factor_limits,
    hsv,
    number,
    rgb,
    sign,
    uniform,
)
from neuromatic.layers.preprocessing._shared import Range, rescaled, value_range

__all__ = [
    "RandomBrightness",
    "RandomColorJitter",
    "RandomContrast",
    "RandomHue",
    "RandomSaturation",
]

UNIT = (0.0, 1.0)
EPSILON = 1e-7


@dataclass(frozen=True, eq=False)
class RandomBrightness(Augmentation):
    """In training, makes images brighter or darker: ``y = clip(x + f * (high - low), low, high)``.

    ``f`` is drawn for each image. Keras ``RandomBrightness``; ONNX ``RandomUniformLike``, ``Add`` and
    ``Clip``, in training alone: inference passes the input on.

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        factor: the lowest and the highest ``f``, from -1 to 1; one number stands for ``(-factor, factor)``.
        value_range: the lowest and the highest value of pixels.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomBrightness(0.2)(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    factor: Factor
    value_range: Range = (0, 255)
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandomBrightness", self.seed)
        value_range("RandomBrightness", self.value_range)
        self._limits()

    def _limits(self) -> Limits:
        return factor_limits("RandomBrightness", "factor", self.factor, -1, 1)

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        return (uniform(b, x, self._limits(), self.seed),)

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        low, high = value_range("RandomBrightness", self.value_range)
        return clip(b, b.add("Add", x, number(b, "Mul", drawn[0], high - low)), low, high)


@dataclass(frozen=True, eq=False)
class RandomContrast(Augmentation):
    """In training, changes contrast: ``y = clip((x - mean) * f + mean, low, high)``.

    ``mean`` is that of a channel of an image, ``f`` is drawn for each image, from ``1 - lower`` to
    ``1 + upper``. Keras ``RandomContrast``; ONNX ``RandomUniformLike``, ``ReduceMean`` and ``Clip``, in
    training alone: inference passes the input on.

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        factor: ``lower`` and ``upper``, from 0 to 1; one number is the upper one, with 0 as lower, so that
            contrast only grows (as in Keras 3.15).
        value_range: the lowest and the highest value of pixels.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomContrast(0.2)(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    factor: Factor
    value_range: Range = (0, 255)
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandomContrast", self.seed)
        value_range("RandomContrast", self.value_range)
        self._limits()

    def _limits(self) -> Limits:
        return factor_limits("RandomContrast", "factor", self.factor, 0, 1)

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        lower, upper = self._limits()
        return (uniform(b, x, (1.0 - lower, 1.0 + upper), self.seed),)

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        mean = reduce(b, "ReduceMean", x, (2, 3), keepdims=True)
        y = b.add("Add", b.add("Mul", b.add("Sub", x, mean), drawn[0]), mean)
        return clip(b, y, *value_range("RandomContrast", self.value_range))


@dataclass(frozen=True, eq=False)
class RandomSaturation(Augmentation):
    """In training, makes colours stronger or paler.

    ``saturation = clip(saturation * f / (1 - f), low, high)``, where ``f`` is drawn for each image: 0 gives
    shades of grey, 0.5 changes nothing, 1 gives the purest colours. Saturation is that of hue, saturation
    and value. Keras ``RandomSaturation``; ONNX ``RandomUniformLike``, ``Where`` and ``Clip``, in training
    alone: inference passes the input on.

    Input: (batch, 3, height, width) of known sizes, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        factor: the lowest and the highest ``f``, from -1 to 1; one number stands for ``(-factor, factor)``.
        value_range: ``low`` and ``high`` above, which limit saturation (as in Keras 3.15).
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomSaturation((0.4, 0.6))(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    channels = (3,)

    factor: Factor
    value_range: Range = (0, 255)
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandomSaturation", self.seed)
        value_range("RandomSaturation", self.value_range)
        self._limits()

    def _limits(self) -> Limits:
        return factor_limits("RandomSaturation", "factor", self.factor, -1, 1)

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        factor = uniform(b, x, self._limits(), self.seed)
        rest = number(b, "Add", b.add("Sub", b.const(1.0), factor), EPSILON)
        return (b.add("Div", factor, rest),)

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        hue, saturation, value = hsv(b, x)
        limits = value_range("RandomSaturation", self.value_range)
        return rgb(b, hue, clip(b, b.add("Mul", saturation, drawn[0]), *limits), value)


@dataclass(frozen=True, eq=False)
class RandomHue(Augmentation):
    """In training, turns colours around the colour wheel: ``hue = hue + f / 2`` or ``hue - f / 2``.

    ``f`` and the direction are drawn for each image. Keras ``RandomHue``; ONNX ``RandomUniformLike``,
    ``Where`` and ``Clip``, in training alone: inference passes the input on.

    Input: (batch, 3, height, width) of known sizes, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        factor: the lowest and the highest ``f``, from 0 to 1; one number is the upper one, with 0 as lower.
        value_range: the lowest and the highest value of pixels.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomHue(0.1)(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    channels = (3,)

    factor: Factor
    value_range: Range = (0, 255)
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandomHue", self.seed)
        value_range("RandomHue", self.value_range)
        self._limits()

    def _limits(self) -> Limits:
        return factor_limits("RandomHue", "factor", self.factor, 0, 1)

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        signed = b.add("Mul", sign(b, x, self.seed), uniform(b, x, self._limits(), self.seed))
        return (number(b, "Mul", signed, 0.5),)

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        limits = value_range("RandomHue", self.value_range)
        hue, saturation, value = hsv(b, rescaled(b, x, limits, UNIT))
        hue = b.add("Add", hue, drawn[0])
        hue = b.add("Where", number(b, "Greater", hue, 1.0), number(b, "Sub", hue, 1.0), hue)
        hue = b.add("Where", number(b, "Less", hue, 0.0), number(b, "Add", hue, 1.0), hue)
        return rescaled(b, clip(b, rgb(b, hue, saturation, value), 0.0, 1.0), UNIT, limits)


@dataclass(frozen=True, eq=False)
class RandomColorJitter(Augmentation):
    """In training, changes brightness, contrast, saturation and hue, in this order.

    These are ``RandomBrightness``, ``RandomContrast``, ``RandomSaturation`` and ``RandomHue``. Keras
    ``RandomColorJitter``; ONNX ``RandomUniformLike`` and ``Clip``, in training alone: inference passes the
    input on.

    Input: (batch, channels, height, width) of known sizes, channels **first**; 3 channels for
    ``saturation_factor`` and ``hue_factor``.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        value_range: the lowest and the highest value of pixels.
        brightness_factor: the ``factor`` of ``RandomBrightness``; None leaves brightness as it is.
        contrast_factor: likewise of ``RandomContrast``.
        saturation_factor: likewise of ``RandomSaturation``.
        hue_factor: likewise of ``RandomHue``.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomColorJitter(hue_factor=0.1)(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    value_range: Range = (0, 255)
    brightness_factor: Factor | None = None
    contrast_factor: Factor | None = None
    saturation_factor: Factor | None = None
    hue_factor: Factor | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandomColorJitter", self.seed)
        value_range("RandomColorJitter", self.value_range)
        self._layers()

    def _layers(self) -> list[Augmentation]:
        chain = (
            (RandomBrightness, self.brightness_factor),
            (RandomContrast, self.contrast_factor),
            (RandomSaturation, self.saturation_factor),
            (RandomHue, self.hue_factor),
        )
        return [kind(f, self.value_range, self.seed) for kind, f in chain if f is not None]

    def check(self, g: GraphBuilder, x: Value) -> None:
        super().check(g, x)
        for layer in self._layers():
            layer.check(g, x)

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        return tuple(layer.draws(b, x) for layer in self._layers())

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        for layer, numbers in zip(self._layers(), drawn, strict=True):
            x = layer.transformed(b, x, numbers)
        return x
