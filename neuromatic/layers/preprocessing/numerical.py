"""Preprocessing of numbers: Rescaling, Normalization, Discretization."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from onnx import TensorProto

from neuromatic.errors import ModelError, ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.portable_ops import cast, reduce, unsqueeze
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers.base import Layer
from neuromatic.layers.preprocessing import _quantiles
from neuromatic.layers.preprocessing._encoding import MODES, encode
from neuromatic.layers.preprocessing._shared import Array, after_batch, as_float, batches, choice

__all__ = ["Discretization", "Normalization", "Rescaling"]

EPSILON = 1e-7


@dataclass(frozen=True, eq=False)
class Rescaling(Layer):
    """``y = x * scale + offset`` (Keras ``Rescaling``; ONNX ``Mul`` and ``Add``).

    Input: any shape of numbers.  Output: the same shape, float32 where the input is not of a float type.

    Args:
        scale: a number, or an array whose axes are those of the input after the batch: one number for each
            channel of an image, for each feature of a row. (In Keras only of images, channels first.)
        offset: likewise.

    Raises:
        ShapeError: such an array does not fit the input.

    >>> import neuromatic as nm
    >>> nm.layers.Rescaling(1 / 255)(nm.Input((3, 28, 28), "uint8")).shape
    ('batch', 3, 28, 28)
    """

    keeps_mask: ClassVar[bool] = True

    scale: ArrayLike
    offset: ArrayLike = 0.0

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        x = as_float(g, x)
        for argument, numbers in (("scale", self.scale), ("offset", self.offset)):
            shape = np.shape(numbers)
            fits = zip(shape, (x.shape or ())[1:], strict=False)
            if len(shape) > x.rank - 1 or any(n not in (1, d) and isinstance(d, int) for n, d in fits):
                raise ShapeError(
                    f"{g.scope}: Rescaling: {argument} of shape {shape} does not fit the axes after "
                    f"the batch of {shape_text(x.shape)} from {x.name!r}"
                )
        y = g.add("Mul", x, after_batch(g, self.scale, x))
        return g.add("Add", y, after_batch(g, self.offset, x)) if np.any(self.offset) else y


@dataclass(frozen=True, eq=False)
class Normalization(Layer):
    """``y = (x - mean) / max(sqrt(variance), 1e-7)`` (Keras ``Normalization``; ONNX ``Sub`` and ``Div``).

    Mean and variance are given, or found by :meth:`adapt`. They are constants of the graph, which no
    training changes and every file and runtime keeps.

    Input: any shape of numbers.  Output: the same shape, float32 where the input is not of a float type.

    Args:
        axis: the axis or axes that have a mean and a variance for each of their elements, None for one mean
            of all; 1 here, where channels are first (Keras' default is -1). Not the batch.
        mean: a number, or an array whose axes are the last ones of ``axis``.
        variance: likewise.
        invert: compute ``x * max(sqrt(variance), 1e-7) + mean`` instead.

    Raises:
        ModelError: the layer has no mean and variance.
        ShapeError: the input has no such axis, or its size is not that of the mean.

    >>> import neuromatic as nm, numpy as np
    >>> layer = nm.layers.Normalization().adapt(np.array([[1.0, 0.0], [3.0, 8.0]]))
    >>> layer.mean.tolist(), layer.variance.tolist()
    ([2.0, 4.0], [1.0, 16.0])
    >>> nm.layers.Normalization(mean=[2.0, 4.0], variance=[1.0, 16.0])(nm.Input((2,))).shape
    ('batch', 2)
    """

    keeps_mask: ClassVar[bool] = True

    axis: int | Sequence[int] | None = 1
    mean: ArrayLike | None = None
    variance: ArrayLike | None = None
    invert: bool = False

    def __post_init__(self) -> None:
        if not all(isinstance(a, int) for a in self._axes()):
            raise ValueError(f"Normalization: axis must be an integer, several or None, got {self.axis!r}")
        if (self.mean is None) != (self.variance is None):
            raise ValueError(
                f"Normalization: mean and variance are given together, "
                f"got mean={self.mean!r} and variance={self.variance!r}"
            )
        if self.mean is not None and self.variance is not None:
            shapes = np.shape(self.mean), np.shape(self.variance)
            if shapes[0] != shapes[1] or len(shapes[0]) > len(self._axes()):
                raise ValueError(
                    f"Normalization: mean and variance must have one shape of at most "
                    f"{len(self._axes())} axes, got {shapes[0]} and {shapes[1]}"
                )

    def _axes(self) -> tuple[Any, ...]:
        if self.axis is None:
            return ()
        return tuple(self.axis) if isinstance(self.axis, Sequence) else (self.axis,)

    def _kept(self, rank: int) -> list[int] | None:
        """The axes from the front, sorted; None if there is one that ``rank`` axes do not have."""
        kept = sorted({a + rank if a < 0 else a for a in self._axes()})
        return kept if all(0 < a < rank for a in kept) else None

    def adapt(self, data: Array | Iterable[Any]) -> Normalization:
        """A new layer with the mean and the variance of ``data``.

        Layers are immutable: this one stays as it is, where Keras' changes.

        Args:
            data: an array with the batch in front, or an iterable of such batches, which are weighted by
                their sizes; of a tuple, its first array.

        Raises:
            TypeError: ``data`` is neither.
            ValueError: there is no batch, or it has no such axis.
        """
        count, mean, variance = 0.0, np.zeros(()), np.zeros(())
        for batch in batches("Normalization", data):
            kept = self._kept(batch.ndim)
            if kept is None:
                raise ValueError(
                    f"Normalization: adapt needs data with axis {self.axis!r} besides the batch, "
                    f"got shape {batch.shape}"
                )
            reduced = tuple(i for i in range(batch.ndim) if i not in kept)
            batch = batch.astype(np.float64)
            n = float(np.prod([batch.shape[i] for i in reduced]))
            own = batch.mean(reduced)
            total = count + n
            new = mean * (count / total) + own * (n / total)
            within = (variance + (mean - new) ** 2) * (count / total)
            variance = within + (batch.var(reduced) + (own - new) ** 2) * (n / total)
            count, mean = total, new
        return replace(self, mean=mean, variance=variance)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        if self.mean is None or self.variance is None:
            raise ModelError(
                f"{g.scope}: Normalization has no mean and variance; give them, or use layer.adapt(data)"
            )
        x = as_float(g, x)
        mean = self._constant(g, np.asarray(self.mean, np.float64), x)
        deviation = np.maximum(np.sqrt(np.asarray(self.variance, np.float64)), EPSILON)
        scale = self._constant(g, deviation, x)
        if self.invert:
            return g.add("Add", mean, g.add("Mul", x, scale))
        return g.add("Div", g.add("Sub", x, mean), scale)

    def _constant(self, g: GraphBuilder, numbers: Array, x: Value) -> Value:
        """Numbers for the kept axes, as they broadcast with ``x``."""
        if not numbers.ndim:
            return g.const(numbers, x.dtype)
        kept = self._kept(x.rank)
        places = (kept or [])[len(kept or []) - numbers.ndim :]
        sizes = [x.dim(a) for a in places]
        if kept is None or any(n not in (1, d) for n, d in zip(numbers.shape, sizes, strict=True)):
            raise ShapeError(
                f"{g.scope}: Normalization with axis={self.axis!r} and a mean of shape {numbers.shape} does "
                f"not fit {shape_text(x.shape)} from {x.name!r}; adapt it to such data"
            )
        wide = np.ones(x.rank - places[0], int)
        for place, n in zip(places, numbers.shape, strict=True):
            wide[place - places[0]] = n
        return g.const(numbers.reshape(wide), x.dtype)


@dataclass(frozen=True, eq=False)
class Discretization(Layer):
    """The bin of each number: how many of the ``bin_boundaries`` are at most it.

    Keras ``Discretization``; ONNX ``Less``, ``Not`` and ``ReduceSum``. The boundaries 0, 1, 2 have the bins
    (-inf, 0), [0, 1), [1, 2) and [2, inf).

    Input: (batch, ...) of numbers.  Output: the same shape in int32; in other modes than ``"int"`` float32
    with as many elements as bins in the last axis, see :class:`CategoryEncoding`.

    Args:
        bin_boundaries: the boundaries, ascending.
        num_bins: how many bins :meth:`adapt` shall find, instead of boundaries.
        epsilon: how exact it shall be, as a share of the data.
        output_mode: ``"int"``, ``"one_hot"``, ``"multi_hot"`` or ``"count"``. (Keras' ``sparse`` is not
            there: outputs are dense.)

    Raises:
        ModelError: the layer has no boundaries yet.
        ShapeError: the input does not fit the output mode.

    >>> import neuromatic as nm
    >>> nm.layers.Discretization([0.0, 1.0, 2.0])(nm.Input((4,))).shape
    ('batch', 4)
    """

    bin_boundaries: Sequence[float] | None = None
    num_bins: int | None = None
    epsilon: float = 0.01
    output_mode: str = "int"

    def __post_init__(self) -> None:
        choice("Discretization", "output_mode", self.output_mode, ("int", *MODES))
        if (self.num_bins is None) == (self.bin_boundaries is None):
            raise ValueError(
                f"Discretization: give either bin_boundaries or num_bins, "
                f"got {self.bin_boundaries!r} and {self.num_bins!r}"
            )
        if self.num_bins is not None and (not isinstance(self.num_bins, int) or self.num_bins < 1):
            raise ValueError(f"Discretization: num_bins must be a positive integer, got {self.num_bins!r}")
        if self.bin_boundaries is not None and np.any(np.diff(self.bin_boundaries) < 0):
            raise ValueError(f"Discretization: bin_boundaries must ascend, got {list(self.bin_boundaries)!r}")

    def adapt(self, data: Array | Iterable[Any], steps: int | None = None) -> Discretization:
        """A new layer with the boundaries of ``num_bins`` bins that hold equal shares of ``data``.

        Layers are immutable: this one stays as it is, where Keras' changes.

        Args:
            data: an array, or an iterable of batches.
            steps: how many batches to look at; None for all.

        Raises:
            TypeError: ``data`` is neither.
            ValueError: there is no batch, or the layer was made with boundaries.
        """
        if self.num_bins is None:
            raise ValueError(
                "Discretization: adapt finds boundaries for num_bins; this layer was given its own"
            )
        found = _quantiles.boundaries(batches("Discretization", data, steps), self.num_bins, self.epsilon)
        return replace(self, bin_boundaries=found, num_bins=None)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        if self.bin_boundaries is None:
            raise ModelError(
                f"{g.scope}: Discretization has no boundaries; give bin_boundaries, or use layer.adapt(data)"
            )
        x = as_float(g, x)
        boundaries = g.const(self.bin_boundaries, x.dtype)
        below = g.add(
            "Less", unsqueeze(g, x, x.rank), boundaries
        )  # Not of it counts NaN as above, like Keras
        reached = cast(g, g.add("Not", below), TensorProto.FLOAT)
        bins = cast(g, reduce(g, "ReduceSum", reached, (x.rank,)), TensorProto.INT32)
        if self.output_mode == "int":
            return bins
        return encode(g, "Discretization", bins, self.output_mode, len(self.bin_boundaries) + 1)
