"""Random distortions in training: perspective, elastic."""

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
    bell,
    check_seed,
    chosen,
    factor_limits,
    normal,
    number,
    shared,
    uniform,
)
from neuromatic.layers.augmentation._sampling import check_sampling, displaced, grid, size_of, transformed
from neuromatic.layers.preprocessing._shared import Range, value_range

__all__ = ["RandomElasticTransform", "RandomPerspective"]

STRENGTH, SMOOTHNESS = 0.1, 0.05
"""How far elastic transforms move pixels, and over how many they agree, as shares of the image's size."""


@dataclass(frozen=True, eq=False)
class RandomPerspective(Augmentation):
    """In training, shows some images as if seen from aside: a projection that moves their corners.

    Each coordinate of a corner is multiplied by ``1 + f`` with its own ``f``; that at (0, 0) stays. Each
    image is changed with a probability that is drawn too. Keras ``RandomPerspective``; ONNX
    ``RandomUniformLike``, ``GatherND`` and ``Where``, in training alone: inference passes the input on.

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        factor: the lowest and the highest probability, from 0 to 1; one number is the upper one, with 0 as
            lower, so that 1.0 changes half of all images.
        scale: from 0 to 1; ``f`` is drawn from ``-scale / 2`` to ``scale / 2``.
        interpolation: ``"bilinear"`` or ``"nearest"``.
        fill_value: the number outside of images.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomPerspective(scale=0.3)(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    factor: Factor = 1.0
    scale: float = 1.0
    interpolation: str = "bilinear"
    fill_value: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandomPerspective", self.seed)
        check_sampling("RandomPerspective", self.interpolation)
        factor_limits("RandomPerspective", "factor", self.factor, 0, 1)
        factor_limits("RandomPerspective", "scale", (self.scale, self.scale), 0, 1)

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        probability = factor_limits("RandomPerspective", "factor", self.factor, 0, 1)
        apply = chosen(b, x, probability, self.seed)
        half = 0.5 * self.scale
        # x of the second corner, y of the third, x and y of the fourth: the other coordinates are 0
        return apply, *(number(b, "Add", uniform(b, x, (-half, half), self.seed), 1.0) for _ in range(4))

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        apply, right, bottom, far_right, far_bottom = drawn
        height, width = size_of(x)
        # The projection from the moved corners (0, 0), (r w, 0), (0, b h), (p w, q h) back to the rectangle
        # has, with u = p / r and v = q / b: a0 = (u + v - 1) / p, b1 = (u + v - 1) / q,
        # c0 = (v - 1) / (p w), c1 = (u - 1) / (q h); the others are 0.
        u, v = b.add("Div", far_right, right), b.add("Div", far_bottom, bottom)
        rest_u, rest_v = number(b, "Sub", u, 1.0), number(b, "Sub", v, 1.0)
        common = b.add("Add", u, rest_v)
        a0, b1 = b.add("Div", common, far_right), b.add("Div", common, far_bottom)
        c0 = b.add("Div", rest_v, number(b, "Mul", far_right, max(width - 1.0, 1.0)))
        c1 = b.add("Div", rest_u, number(b, "Mul", far_bottom, max(height - 1.0, 1.0)))
        matrix = (a0, None, None, None, b1, None, c0, c1)
        moved = transformed(b, x, matrix, self.interpolation, "constant", self.fill_value)
        return b.add("Where", apply, moved, x)


@dataclass(frozen=True, eq=False)
class RandomElasticTransform(Augmentation):
    """In training, moves the pixels of some images by smooth noise.

    ``y[r, c] = x[r + a n[r, c], c + a n[r, c]]`` with ``a = 0.1 f max(height, width)``; ``n`` is normal noise
    of deviation ``s = 0.05 f min(height, width)``, blurred by a Gaussian of deviation ``s``. ``f`` is drawn
    for all images of a batch. Each image is changed with a probability that is drawn too. As in Keras 3.15,
    rows and columns move by the same noise; then all images are limited to the range. Keras
    ``RandomElasticTransform``; ONNX ``RandomNormalLike``, ``Conv``, ``GatherND`` and ``Where``, in training
    alone: inference passes the input on.

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        factor: the lowest and the highest probability, from 0 to 1; one number is the upper one, with 0 as
            lower, so that 1.0 changes half of all images.
        scale: the lowest and the highest ``f``, likewise.
        interpolation: ``"bilinear"`` or ``"nearest"``.
        fill_mode: what is outside: ``"reflect"`` (before an image without its first pixel), ``"wrap"``,
            ``"nearest"`` or ``"constant"``.
        fill_value: the number outside for ``"constant"``.
        value_range: the lowest and the highest value of pixels.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomElasticTransform(scale=0.5)(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    factor: Factor = 1.0
    scale: Factor = 1.0
    interpolation: str = "bilinear"
    fill_mode: str = "reflect"
    fill_value: float = 0.0
    value_range: Range = (0, 255)
    seed: int | None = None

    def __post_init__(self) -> None:
        owner = "RandomElasticTransform"
        check_seed(owner, self.seed)
        check_sampling(owner, self.interpolation, self.fill_mode)
        value_range(owner, self.value_range)
        self._probability()
        self._strength()

    def _probability(self) -> Limits:
        return factor_limits("RandomElasticTransform", "factor", self.factor, 0, 1)

    def _strength(self) -> Limits:
        return factor_limits("RandomElasticTransform", "scale", self.scale, 0, 1)

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        apply = chosen(b, x, self._probability(), self.seed)
        first = b.add("Slice", x, b.ints(0), b.ints(1), b.ints(1))
        return apply, shared(b, self._strength(), self.seed), normal(b, first, self.seed)

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        if self._probability()[1] == 0 or self._strength()[1] == 0:
            return x
        apply, strength, noise = drawn
        height, width = size_of(x)
        deviation = number(b, "Mul", strength, SMOOTHNESS * min(height, width))
        moved = b.add("Mul", self._smoothed(b, noise, deviation, min(height, width)), strength)
        moved = number(b, "Mul", moved, STRENGTH * max(height, width))
        columns, rows = grid(b, x)
        places = [b.add("Add", rows, moved), b.add("Add", columns, moved)]
        y = displaced(b, x, places, self.interpolation, self.fill_mode, self.fill_value)
        limits = value_range("RandomElasticTransform", self.value_range)
        return clip(b, b.add("Where", apply, y, x), *limits)

    def _smoothed(self, b: GraphBuilder, noise: Value, deviation: Value, size: int) -> Value:
        """The noise times the deviation, blurred. The kernel reaches 3 times its whole part."""
        reach = 3 * int(SMOOTHNESS * self._strength()[1] * size)
        y = b.add("Mul", noise, deviation)
        if reach == 0:
            return y
        used = number(b, "Mul", b.add("Floor", deviation), 3.0)
        weights = bell(b, reach, number(b, "Max", deviation, 1e-6), used)
        count = 2 * reach + 1
        for shape in ((1, 1, count, 1), (1, 1, 1, count)):
            pads = [n // 2 for n in shape[2:]]
            kernel = b.add("Reshape", weights, b.ints(*shape))
            y = b.add("Conv", y, kernel, kernel_shape=list(shape[2:]), pads=[*pads, *pads])
        return y
