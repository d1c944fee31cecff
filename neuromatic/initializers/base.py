"""What an initializer is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]
Fans = tuple[float, float]


class Initializer(ABC):
    """Base of all initializers."""

    @abstractmethod
    def __call__(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        """Values of that shape."""

    def for_fans(self, fan_in: float, fan_out: float) -> Callable[[np.random.Generator, Shape], Array]:
        """This initializer with the fans of one parameter, as ``GraphBuilder.param`` takes it."""
        return lambda rng, shape: self(rng, shape, (fan_in, fan_out))
