"""Initial values of parameters, with Keras' names, arguments and distributions.

An initializer is called with a random generator, the parameter's shape and its fans: how many inputs reach
one of its outputs and how many outputs one of its inputs reaches. Fans are given, not guessed from the
shape, because ONNX lays kernels out differently than Keras: ``Conv`` takes (out, in, height, width).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromatic._lookup import from_name

Array = NDArray[Any]
Shape = tuple[int, ...]
Fans = tuple[float, float]

TRUNCATED_STDDEV = 0.87962566103423978
"""Standard deviation of the unit normal distribution cut off at two deviations."""


class Initializer(ABC):
    """Base of all initializers."""

    @abstractmethod
    def __call__(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        """Values of that shape."""

    def for_fans(self, fan_in: float, fan_out: float) -> Callable[[np.random.Generator, Shape], Array]:
        """This initializer with the fans of one parameter, as ``GraphBuilder.param`` takes it."""
        return lambda rng, shape: self(rng, shape, (fan_in, fan_out))


@dataclass(frozen=True)
class Zeros(Initializer):
    """All zero (Keras ``Zeros``)."""

    def __call__(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        return np.zeros(shape)


@dataclass(frozen=True)
class Ones(Initializer):
    """All one (Keras ``Ones``)."""

    def __call__(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        return np.ones(shape)


@dataclass(frozen=True)
class RandomNormal(Initializer):
    """Normal distribution (Keras ``RandomNormal``)."""

    mean: float = 0.0
    stddev: float = 0.05

    def __call__(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        return rng.normal(self.mean, self.stddev, shape)


@dataclass(frozen=True)
class TruncatedNormal(Initializer):
    """Normal distribution, drawn again beyond two deviations (Keras ``TruncatedNormal``)."""

    mean: float = 0.0
    stddev: float = 0.05

    def __call__(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        return self.mean + self.stddev * _truncated_unit_normal(rng, shape)


@dataclass(frozen=True)
class GlorotUniform(Initializer):
    """Uniform in ±sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, Keras ``GlorotUniform``)."""

    def __call__(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        limit = math.sqrt(6.0 / max(1.0, fans[0] + fans[1]))
        return rng.uniform(-limit, limit, shape)


@dataclass(frozen=True)
class HeNormal(Initializer):
    """Truncated normal of standard deviation sqrt(2 / fan_in) (He et al. 2015, Keras ``HeNormal``)."""

    def __call__(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        stddev = math.sqrt(2.0 / max(1.0, fans[0])) / TRUNCATED_STDDEV
        return stddev * _truncated_unit_normal(rng, shape)


def _truncated_unit_normal(rng: np.random.Generator, shape: Shape) -> Array:
    values = rng.standard_normal(shape)
    while (beyond := np.abs(values) > 2.0).any():
        values[beyond] = rng.standard_normal(int(beyond.sum()))
    return values


INITIALIZERS: dict[str, type[Initializer]] = {
    "zeros": Zeros,
    "ones": Ones,
    "random_normal": RandomNormal,
    "truncated_normal": TruncatedNormal,
    "glorot_uniform": GlorotUniform,
    "he_normal": HeNormal,
}


InitializerLike = str | type[Initializer] | Initializer


def get(initializer: InitializerLike) -> Initializer:
    """An initializer from its Keras name, its class or itself.

    >>> get("he_normal")
    HeNormal()

    Raises:
        UnknownNameError: there is none of that name.
    """
    return from_name("initializer", initializer, INITIALIZERS, Initializer)
