"""Encodings of positions in a sequence, after KerasHub."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.initializers import InitializerLike
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers._arguments import check_positive
from neuromatic.layers._parameters import parameter
from neuromatic.layers.attention import _masks as sequences
from neuromatic.layers.base import Layer
from neuromatic.regularizers import RegularizerLike

__all__ = ["PositionEmbedding", "RotaryEmbedding", "SinePositionEncoding"]


def _check_wavelength(owner: str, value: object) -> None:
    if not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(f"{owner}: max_wavelength must be a positive number, got {value!r}")


def _features(g: GraphBuilder, owner: str, x: Value, axis: int = -1) -> int:
    """The size of the features' axis.

    Raises:
        ShapeError: it is unknown, or there are no steps before it.
    """
    features = x.dim(axis) if x.rank >= 3 else None
    if not isinstance(features, int):
        raise ShapeError(
            f"{g.scope}: {owner} takes (batch, steps, features) with known features, got "
            f"{shape_text(x.shape)} from {x.name!r}; give the features a size"
        )
    return features


def _numbers(g: GraphBuilder, x: Value, axis: int, start_index: int, positions: Value | None) -> Value:
    """The given positions, else ``start_index``, ``start_index + 1`` ...: (steps,) or (batch, steps)."""
    if positions is not None:
        return positions
    found = sequences.positions(g, x, axis)
    return g.add("Add", found, g.const(start_index, TensorProto.INT64)) if start_index else found


def _angles(g: GraphBuilder, numbers: Value, frequencies: np.ndarray, dtype: int) -> Value:
    """``number * frequency`` along a new last axis."""
    return g.add(
        "Mul", op.unsqueeze(g, op.cast(g, numbers, dtype), numbers.rank), g.const(frequencies, dtype)
    )


def _for_each_row(g: GraphBuilder, encoding: Value, x: Value) -> Value:
    """An encoding (..., steps, features) in the shape of ``x``."""
    return g.add("Expand", encoding, g.add("Shape", x), types=[(encoding.dtype, x.shape)])


@dataclass(frozen=True, eq=False)
class SinePositionEncoding(Layer):
    """Sines and cosines of the position, of growing wavelengths (Vaswani et al. 2017).

    Feature 2i is ``sin(t / max_wavelength**(2i / features))``, feature 2i + 1 the cosine of the same
    (KerasHub ``SinePositionEncoding``, not in Keras itself; ONNX ``Sin``, ``Cos``). Its result is the
    encoding alone: add it to the input. By keyword: ``start_index``, the first position, and ``positions``
    (batch, steps), in place of 0, 1, 2 ...

    Input: (batch, ..., steps, features) of a float type, of which the shape counts alone.  Output: the same
    shape.

    Args:
        max_wavelength: the longest wavelength, over 2 pi.

    Raises:
        ValueError: ``max_wavelength`` is not positive.
        ShapeError: there are no steps, or the features are unknown.

    >>> import neuromatic as nm
    >>> nm.layers.SinePositionEncoding()(nm.Input((20, 8))).shape
    ('batch', 20, 8)
    """

    max_wavelength: float = 10000

    def __post_init__(self) -> None:
        _check_wavelength("SinePositionEncoding", self.max_wavelength)

    def emit(
        self, g: GraphBuilder, x: Value, *, start_index: int = 0, positions: Value | None = None
    ) -> Value:
        features = _features(g, "SinePositionEncoding", x)
        index = np.arange(features)
        frequencies = float(self.max_wavelength) ** -(2 * (index // 2) / features)
        angles = _angles(g, _numbers(g, x, -2, start_index, positions), frequencies, x.dtype)
        even = g.const(index % 2 == 0, TensorProto.BOOL)
        return _for_each_row(g, g.add("Where", even, g.add("Sin", angles), g.add("Cos", angles)), x)


@dataclass(frozen=True, eq=False)
class PositionEmbedding(Layer):
    """For each position a trained vector, ``y[t] = embeddings[t]``.

    KerasHub ``PositionEmbedding``, not in Keras itself; ONNX ``Slice``. Its result is the encoding alone: add
    it to the input. By keyword: ``start_index``, the first position, and ``positions`` (batch, steps) of
    integers, in place of 0, 1, 2 ... (ONNX ``Gather``).

    Input: (batch, ..., steps, features) of a float type, of which the shape counts alone.  Output: the same
    shape.
    Parameters: ``<name>/embeddings`` (sequence_length, features).

    Args:
        sequence_length: how many positions there are.
        initializer: first values of the vectors.
        regularizer: a penalty for them in the loss.

    Raises:
        ValueError: ``sequence_length`` is not a positive integer.
        ShapeError: there are no steps or more than positions, or the features are unknown.

    >>> import neuromatic as nm
    >>> nm.layers.PositionEmbedding(100)(nm.Input((20, 8))).shape
    ('batch', 20, 8)
    """

    sequence_length: int
    initializer: InitializerLike = "glorot_uniform"
    regularizer: RegularizerLike = None

    def __post_init__(self) -> None:
        check_positive("PositionEmbedding", "sequence_length", self.sequence_length)

    def emit(
        self, g: GraphBuilder, x: Value, *, start_index: int = 0, positions: Value | None = None
    ) -> Value:
        features = _features(g, "PositionEmbedding", x)
        steps = x.dim(-2)
        if positions is None and isinstance(steps, int) and start_index + steps > self.sequence_length:
            raise ShapeError(
                f"{g.scope}: PositionEmbedding has {self.sequence_length} positions, but "
                f"{shape_text(x.shape)} from {x.name!r} from {start_index} on needs {start_index + steps}; "
                f"raise sequence_length"
            )
        size = (self.sequence_length, features)
        table = parameter(
            g,
            "embeddings",
            size,
            initializer=self.initializer,
            fans=size,
            regularizer=self.regularizer,
            dtype=x.dtype,
        )
        if positions is not None:
            return _for_each_row(g, g.add("Gather", table, positions, axis=0), x)
        start = g.ints(start_index)
        end = g.add("Add", g.add("Reshape", sequences.size_of(g, x, -2), g.ints(1)), start)
        if isinstance(steps, int):
            end = g.ints(start_index + steps)
        return _for_each_row(g, g.add("Slice", table, start, end, g.ints(0)), x)


@dataclass(frozen=True, eq=False)
class RotaryEmbedding(Layer):
    """Turns pairs of features by angles that grow with the position (Su et al. 2021).

    Feature i of the first half and of the second are turned in their plane by
    ``t / scaling_factor / max_wavelength**(2i / features)`` (KerasHub ``RotaryEmbedding``, not in Keras
    itself; written in ONNX ``Sin``, ``Cos``, ``Mul``: the operator ``RotaryEmbedding`` is newer, opset 23).
    By keyword: ``start_index``, the first position, and ``positions`` (batch, steps), in place of 0, 1, 2 ...

    Input: (batch, steps, ..., features) of a float type.  Output: the same.

    Args:
        max_wavelength: the longest wavelength, over 2 pi.
        scaling_factor: what positions are divided by.
        sequence_axis: the axis of the steps.
        feature_axis: the axis of the features, an even number.

    Raises:
        ValueError: a number is not positive.
        ShapeError: the input lacks an axis, or the features are odd or unknown.

    >>> import neuromatic as nm
    >>> nm.layers.RotaryEmbedding()(nm.Input((20, 2, 8))).shape
    ('batch', 20, 2, 8)
    """

    max_wavelength: float = 10000
    scaling_factor: float = 1.0
    sequence_axis: int = 1
    feature_axis: int = -1

    def __post_init__(self) -> None:
        _check_wavelength("RotaryEmbedding", self.max_wavelength)
        if not isinstance(self.scaling_factor, (int, float)) or not self.scaling_factor > 0:
            raise ValueError(
                f"RotaryEmbedding: scaling_factor must be a positive number, got {self.scaling_factor!r}"
            )

    def emit(
        self, g: GraphBuilder, x: Value, *, start_index: int = 0, positions: Value | None = None
    ) -> Value:
        steps, axis = (a + x.rank if a < 0 else a for a in (self.sequence_axis, self.feature_axis))
        features = _features(g, "RotaryEmbedding", x, self.feature_axis)
        if features % 2 or len({0, steps, axis}) < 3:
            raise ShapeError(
                f"{g.scope}: RotaryEmbedding needs an even number of features and an axis each for batch, "
                f"steps and features, got {shape_text(x.shape)} from {x.name!r}; change the size or the axes"
            )
        half = features // 2
        frequencies = float(self.max_wavelength) ** -(2 * np.arange(half) / features) / self.scaling_factor
        angles = _angles(g, _numbers(g, x, steps, start_index, positions), frequencies, x.dtype)
        angles = self._placed(g, angles, x.rank, steps, axis)
        sine, cosine = g.add("Sin", angles), g.add("Cos", angles)
        first, second = g.add_many("Split", x, g.ints(half, half), outputs=2, axis=axis)
        left = g.add("Sub", g.add("Mul", first, cosine), g.add("Mul", second, sine))
        right = g.add("Add", g.add("Mul", second, cosine), g.add("Mul", first, sine))
        return g.add("Concat", left, right, axis=axis)

    @staticmethod
    def _placed(g: GraphBuilder, angles: Value, rank: int, steps: int, axis: int) -> Value:
        """Angles (steps, features) or (batch, steps, features) along the axes of an input of that rank."""
        if axis < steps:
            order = list(range(angles.rank))
            order[-2:] = order[-1], order[-2]
            angles = g.add("Transpose", angles, perm=order)
        batch = (0,) if angles.rank == 3 else ()
        return op.unsqueeze(g, angles, *(i for i in range(rank) if i not in (*batch, steps, axis)))
