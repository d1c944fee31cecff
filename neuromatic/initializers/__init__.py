"""Initial values of parameters, with Keras' names, arguments and distributions.

An initializer is called with a random generator, the parameter's shape and its fans: how many inputs reach
one of its outputs and how many outputs one of its inputs reaches. Fans are given, not guessed from the
shape, because ONNX lays kernels out differently than Keras: ``Conv`` takes (out, in, height, width).
"""

from __future__ import annotations

from typing import Any

from neuromatic._names import by_name, from_name
from neuromatic.initializers import constant, random
from neuromatic.initializers.base import Array, Fans, Initializer, Shape
from neuromatic.initializers.constant import *
from neuromatic.initializers.random import *

__all__ = ["INITIALIZERS", "Array", "Fans", "Initializer", "InitializerLike", "Shape", "get"]
__all__ += constant.__all__
__all__ += random.__all__

INITIALIZERS: dict[str, type[Initializer]] = by_name(Initializer, constant, random)

InitializerLike = str | type[Initializer] | Initializer


def get(initializer: InitializerLike, **arguments: Any) -> Initializer:
    """An initializer from its Keras name, its class or itself.

    >>> get("random_normal", stddev=0.1)
    RandomNormal(seed=None, mean=0.0, stddev=0.1)

    Raises:
        UnknownNameError: there is none of that name.
    """
    return from_name("initializer", initializer, INITIALIZERS, Initializer, **arguments)
