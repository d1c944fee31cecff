"""Random choice among augmentations in training."""

from __future__ import annotations

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
    shared,
)
from neuromatic.layers.augmentation._sampling import check_sampling
from neuromatic.layers.augmentation.color import RandomBrightness, RandomContrast
from neuromatic.layers.augmentation.detail import RandomSharpness
from neuromatic.layers.augmentation.geometry import RandomRotation, RandomShear, RandomTranslation
from neuromatic.layers.augmentation.tone import RandomColorDegeneration, RandomPosterization
from neuromatic.layers.base import Layer
from neuromatic.layers.preprocessing._shared import Range, positive, value_range
from neuromatic.layers.preprocessing.contrast import AutoContrast, Equalization, Solarization

__all__ = ["RandAugment"]


@dataclass(frozen=True, eq=False)
class RandAugment(Augmentation):
    """In training, ``num_ops`` changes one after the other, each drawn from eleven (Cubuk et al. 2019).

    These are ``RandomShear``, ``RandomTranslation``, ``RandomRotation``, ``RandomBrightness``,
    ``RandomColorDegeneration``, ``RandomContrast``, ``RandomSharpness``, ``RandomPosterization``,
    ``Solarization``, ``AutoContrast`` and ``Equalization``. All images of a batch have the same changes, with
    their own numbers; a change that is drawn twice has the same numbers twice, except for ``Solarization``
    (in Keras for it too). All eleven are computed each time. Keras ``RandAugment``; ONNX
    ``RandomUniformLike`` and ``Where``, in training alone: inference passes the input on.

    Input: (batch, channels, height, width) of known sizes with 1 or 3 channels, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        value_range: the lowest and the highest value of pixels.
        num_ops: how many changes.
        factor: the lowest and the highest ``factor`` of all of them, from 0 to 1; one number is the upper
            one, with 0 as lower. ``RandomPosterization`` gets 8 times the upper one.
        interpolation: ``"bilinear"`` or ``"nearest"``, of those that move pixels.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandAugment()(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    channels = (1, 3)

    value_range: Range = (0, 255)
    num_ops: int = 2
    factor: Factor = 0.5
    interpolation: str = "bilinear"
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandAugment", self.seed)
        value_range("RandAugment", self.value_range)
        positive("RandAugment", num_ops=self.num_ops)
        check_sampling("RandAugment", self.interpolation)
        self._limits()

    def _limits(self) -> Limits:
        return factor_limits("RandAugment", "factor", self.factor, 0, 1)

    def _random(self) -> list[Augmentation]:
        limits, values, seed = self._limits(), self.value_range, self.seed
        how = self.interpolation
        return [
            RandomShear(limits, limits, interpolation=how, seed=seed),
            RandomTranslation(limits, limits, interpolation=how, seed=seed),
            RandomRotation(limits, interpolation=how, seed=seed),
            RandomBrightness(limits, values, seed),
            RandomColorDegeneration(limits, values, seed),
            RandomContrast(limits, values, seed),
            RandomSharpness(limits, values, seed),
            RandomPosterization(max(1, int(8 * limits[1])), values, seed),
        ]

    def _others(self) -> list[Layer]:
        """Those that draw nothing, or draw by themselves."""
        limits, values = self._limits(), self.value_range
        return [Solarization(limits, limits, values), AutoContrast(values), Equalization(values)]

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        count = len(self._random()) + len(self._others())
        chosen = [b.add("Floor", shared(b, (0.0, float(count)), self.seed)) for _ in range(self.num_ops)]
        return chosen, [layer.draws(b, x) for layer in self._random()]

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        choices, numbers = drawn
        for chosen in choices:
            pairs = zip(self._random(), numbers, strict=True)
            changed = [layer.transformed(b, x, own) for layer, own in pairs]
            for layer in self._others():
                result = layer.emit(b, x)
                assert isinstance(result, Value)
                changed.append(result)
            for i, y in enumerate(changed):
                x = b.add("Where", b.add("Equal", chosen, b.const(float(i))), y, x)
        return x
