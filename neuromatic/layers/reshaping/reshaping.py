"""Layers that give their input another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers.base import Layer

__all__ = ["Flatten", "Identity", "Permute", "RepeatVector", "Reshape"]


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


@dataclass(frozen=True, eq=False)
class Permute(Layer):
    """The axes after the batch in another order (Keras ``Permute``; ONNX ``Transpose``).

    Input: (batch, ...) of any type.  Output: axis i is axis ``dims[i - 1]`` of the input.

    Args:
        dims: the axes in their new order, counted from 1, the first after the batch; each once.

    Raises:
        ShapeError: the input has another number of axes.

    >>> import neuromatic as nm
    >>> nm.layers.Permute((2, 1))(nm.Input((10, 64))).shape
    ('batch', 64, 10)
    """

    dims: Sequence[int]

    def __post_init__(self) -> None:
        dims = list(self.dims) if isinstance(self.dims, (list, tuple)) else []
        if sorted(dims) != list(range(1, len(dims) + 1)) or not dims:
            raise ValueError(f"Permute: dims must be the numbers from 1 on, each once, got {self.dims!r}")

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        if x.rank != len(self.dims) + 1:
            raise ShapeError(
                f"{g.scope}: Permute orders {len(self.dims)} axes after the batch, got {shape_text(x.shape)} "
                f"from {x.name!r}; name each of its axes in dims"
            )
        return g.add("Transpose", x, perm=[0, *self.dims])


@dataclass(frozen=True, eq=False)
class RepeatVector(Layer):
    """A vector as each step of a sequence (Keras ``RepeatVector``; ONNX ``Unsqueeze`` and ``Expand``).

    Input: (batch, features) of any type.  Output: (batch, n, features).

    Args:
        n: number of steps, at least 1.

    Raises:
        ShapeError: the input is not of rank 2.

    >>> import neuromatic as nm
    >>> nm.layers.RepeatVector(3)(nm.Input((32,))).shape
    ('batch', 3, 32)
    """

    n: int

    def __post_init__(self) -> None:
        if not isinstance(self.n, int) or self.n < 1:
            raise ValueError(f"RepeatVector: n must be a positive integer, got {self.n!r}")

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        if x.rank != 2:
            raise ShapeError(
                f"{g.scope}: RepeatVector takes (batch, features), got {shape_text(x.shape)} "
                f"from {x.name!r}; put a flatten() before it"
            )
        return g.add("Expand", op.unsqueeze(g, x, 1), g.ints(1, self.n, 1))


@dataclass(frozen=True, eq=False)
class Identity(Layer):
    """Its input (Keras ``Identity``; ONNX ``Identity``).

    Input: any shape of any type.  Output: the same.

    >>> import neuromatic as nm
    >>> nm.layers.Identity()(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return g.add("Identity", x)
