"""Layers that give their input another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from neuromatic.errors import ShapeError
from neuromatic.graph import GraphBuilder
from neuromatic.layers.base import Layer
from neuromatic.values import Value, shape_text

__all__ = ["Flatten", "Reshape"]


@dataclass(frozen=True, eq=False)
class Flatten(Layer):
    """All of a sample's values in one row (Keras ``Flatten``; ONNX ``Flatten``).

    Input: (batch, ...) of any type.  Output: (batch, values).
    The values of an image come channel by channel, because images are channels first here; a model of Keras
    with channels last has them pixel by pixel, so the next kernel's rows are in another order there.

    Raises:
        ShapeError: the input has no axes.

    >>> import neuromatic as nm
    >>> nm.layers.Flatten()(nm.Input((1, 28, 28))).shape
    ('batch', 784)
    """

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        if x.rank < 1:
            raise ShapeError(
                f"{g.scope}: Flatten takes (batch, ...), got the scalar {x.name!r}; give it a batch axis"
            )
        return g.add("Flatten", x, axis=1)


@dataclass(frozen=True, eq=False)
class Reshape(Layer):
    """The same values in another shape (Keras ``Reshape``; ONNX ``Reshape``).

    Input: (batch, ...) of any type.  Output: (batch, *target_shape).

    Args:
        target_shape: the shape without the batch; one dimension may be -1, which stands for what is left.

    Raises:
        ShapeError: the input has another number of values.

    >>> import neuromatic as nm
    >>> nm.layers.Reshape((1, 28, -1))(nm.Input((784,))).shape
    ('batch', 1, 28, 28)
    """

    target_shape: Sequence[int]

    def __post_init__(self) -> None:
        shape = self.target_shape
        valid = isinstance(shape, Sequence) and all(isinstance(d, int) and (d > 0 or d == -1) for d in shape)
        if not valid or list(shape).count(-1) > 1:
            raise ValueError(
                f"Reshape: target_shape must be positive integers with at most one -1, got {shape!r}"
            )

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        if x.rank < 1:
            raise ShapeError(
                f"{g.scope}: Reshape takes (batch, ...), got the scalar {x.name!r}; give it a batch axis"
            )
        self._check_size(g, x)
        return g.add("Reshape", x, g.ints(0, *self.target_shape))

    def _check_size(self, g: GraphBuilder, x: Value) -> None:
        dims = (x.shape or ())[1:]
        sizes = [d for d in dims if isinstance(d, int)]
        if len(sizes) < len(dims):
            return
        found, wanted = math.prod(sizes), math.prod(d for d in self.target_shape if d != -1)
        if found != wanted and (-1 not in self.target_shape or found % wanted):
            target = shape_text(("batch", *self.target_shape))
            raise ShapeError(
                f"{g.scope}: Reshape to {target} needs {wanted} values"
                f"{' or a multiple' if -1 in self.target_shape else ''} for each sample, got {found} in "
                f"{shape_text(x.shape)} from {x.name!r}; put -1 in place of one dimension or correct it"
            )
