"""Initial values that are drawn."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Literal, get_args

import numpy as np

from neuromatic.errors import ShapeError
from neuromatic.initializers.base import Array, Fans, Initializer, Shape

__all__ = [
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "LecunNormal",
    "LecunUniform",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
]

TRUNCATED_STDDEV = 0.87962566103423978
"""Standard deviation of the unit normal distribution cut off at two deviations."""


@dataclass(frozen=True)
class RandomInitializer(Initializer):
    """Base of the initializers that draw numbers.

    Args:
        seed: gives the values a stream of their own: the same for all parameters of a shape, and whatever
            the seed of the model. By default they follow from the model's seed and the parameter's name.
    """

    seed: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.seed is not None and (not isinstance(self.seed, int) or self.seed < 0):
            raise ValueError(
                f"{type(self).__name__}: seed must be an integer of at least 0, or None, got {self.seed!r}"
            )

    def __call__(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        return self.draw(rng if self.seed is None else np.random.default_rng(self.seed), shape, fans)

    @abstractmethod
    def draw(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        """Values of that shape from a generator."""


@dataclass(frozen=True)
class RandomNormal(RandomInitializer):
    """Normal distribution (Keras ``RandomNormal``).

    Args:
        mean: its mean.
        stddev: its standard deviation.
    """

    aliases = ("normal",)

    mean: float = 0.0
    stddev: float = 0.05

    def draw(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        return rng.normal(self.mean, self.stddev, shape)


@dataclass(frozen=True)
class TruncatedNormal(RandomInitializer):
    """Normal distribution, drawn again beyond two deviations (Keras ``TruncatedNormal``).

    Args:
        mean: the mean.
        stddev: the standard deviation before values are drawn again.
    """

    mean: float = 0.0
    stddev: float = 0.05

    def draw(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        return self.mean + self.stddev * _truncated_unit_normal(rng, shape)


@dataclass(frozen=True)
class RandomUniform(RandomInitializer):
    """Uniform distribution (Keras ``RandomUniform``).

    Args:
        minval: lower bound, included.
        maxval: upper bound, excluded.
    """

    aliases = ("uniform",)

    minval: float = -0.05
    maxval: float = 0.05

    def draw(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        return rng.uniform(self.minval, self.maxval, shape)


@dataclass(frozen=True)
class Orthogonal(RandomInitializer):
    """A random orthogonal matrix, times ``gain`` (Saxe et al. 2013, Keras ``Orthogonal``).

    Parameters of more axes are such matrices with one axis for outputs and the others taken together: the
    first axis for kernels of convolutions, as their fans tell, else the last.

    Args:
        gain: factor.

    Raises:
        ShapeError: when called, the parameter has fewer than two axes.
    """

    gain: float = 1.0

    def draw(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        if len(shape) < 2:
            raise ShapeError(f"Orthogonal: initializes two axes and more, got a parameter of shape {shape}")
        first = prod(shape[1:]) == fans[0] != prod(shape[:-1])
        outputs, inputs = (shape[0], prod(shape[1:])) if first else (shape[-1], prod(shape[:-1]))
        q, r = np.linalg.qr(rng.standard_normal((max(inputs, outputs), min(inputs, outputs))))
        q = q * np.sign(np.diag(r))  # without this, QR favours some matrices
        matrix = q if q.shape == (inputs, outputs) else q.T
        return self.gain * (matrix.T if first else matrix).reshape(shape)


Mode = Literal["fan_in", "fan_out", "fan_avg"]
Distribution = Literal["truncated_normal", "untruncated_normal", "uniform", "normal"]


@dataclass(frozen=True)
class ScaledInitializer(RandomInitializer):
    """Base of the initializers whose variance follows from the fans.

    Args:
        input_axes: with ``output_axes``, the axes whose sizes multiply to the first fan, in place of what
            the layer says.
        output_axes: likewise for the second fan.
    """

    input_axes: Sequence[int] | None = field(default=None, kw_only=True)
    output_axes: Sequence[int] | None = field(default=None, kw_only=True)

    def draw(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        if self.input_axes is not None and self.output_axes is not None:
            fans = prod(shape[i] for i in self.input_axes), prod(shape[i] for i in self.output_axes)
        scale, mode, distribution = self.law()
        counts = {"fan_in": fans[0], "fan_out": fans[1], "fan_avg": sum(fans) / 2.0}
        stddev = math.sqrt(scale / max(1.0, counts[mode]))
        if distribution == "uniform":
            limit = math.sqrt(3.0) * stddev
            return rng.uniform(-limit, limit, shape)
        if distribution == "untruncated_normal":
            return rng.normal(0.0, stddev, shape)
        return stddev / TRUNCATED_STDDEV * _truncated_unit_normal(rng, shape)

    @abstractmethod
    def law(self) -> tuple[float, Mode, Distribution]:
        """Scale, mode and distribution; see :class:`VarianceScaling`."""


@dataclass(frozen=True)
class VarianceScaling(ScaledInitializer):
    """Variance ``scale / n``, where ``n`` is one of the fans or their mean (Keras ``VarianceScaling``).

    Args:
        scale: the variance times ``n``, above 0.
        mode: what ``n`` is: ``"fan_in"``, ``"fan_out"`` or ``"fan_avg"``, at least 1 in any case.
        distribution: ``"truncated_normal"`` (or ``"normal"``), ``"untruncated_normal"`` or ``"uniform"``.

    Raises:
        ValueError: an argument is none of these.
    """

    scale: float = 1.0
    mode: Mode = "fan_in"
    distribution: Distribution = "truncated_normal"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.scale > 0:
            raise ValueError(f"VarianceScaling: scale must be above 0, got {self.scale!r}")
        for name, known in (("mode", get_args(Mode)), ("distribution", get_args(Distribution))):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"VarianceScaling: {name} must be one of {list(known)}, got {getattr(self, name)!r}"
                )

    def law(self) -> tuple[float, Mode, Distribution]:
        return self.scale, self.mode, self.distribution


@dataclass(frozen=True)
class GlorotUniform(ScaledInitializer):
    """Uniform in ±sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, Keras ``GlorotUniform``)."""

    def law(self) -> tuple[float, Mode, Distribution]:
        return 1.0, "fan_avg", "uniform"


@dataclass(frozen=True)
class GlorotNormal(ScaledInitializer):
    """Truncated normal of variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010, Keras ``GlorotNormal``)."""

    def law(self) -> tuple[float, Mode, Distribution]:
        return 1.0, "fan_avg", "truncated_normal"


@dataclass(frozen=True)
class HeUniform(ScaledInitializer):
    """Uniform in ±sqrt(6 / fan_in) (He et al. 2015, Keras ``HeUniform``)."""

    def law(self) -> tuple[float, Mode, Distribution]:
        return 2.0, "fan_in", "uniform"


@dataclass(frozen=True)
class HeNormal(ScaledInitializer):
    """Truncated normal of variance 2 / fan_in (He et al. 2015, Keras ``HeNormal``)."""

    def law(self) -> tuple[float, Mode, Distribution]:
        return 2.0, "fan_in", "truncated_normal"


@dataclass(frozen=True)
class LecunUniform(ScaledInitializer):
    """Uniform in ±sqrt(3 / fan_in) (LeCun et al. 1998, Keras ``LecunUniform``)."""

    def law(self) -> tuple[float, Mode, Distribution]:
        return 1.0, "fan_in", "uniform"


@dataclass(frozen=True)
class LecunNormal(ScaledInitializer):
    """Truncated normal of variance 1 / fan_in (LeCun et al. 1998, Keras ``LecunNormal``)."""

    def law(self) -> tuple[float, Mode, Distribution]:
        return 1.0, "fan_in", "truncated_normal"


def _truncated_unit_normal(rng: np.random.Generator, shape: Shape) -> Array:
    values = rng.standard_normal(shape)
    while (beyond := np.abs(values) > 2.0).any():
        values[beyond] = rng.standard_normal(int(beyond.sum()))
    return values
