"""Layers that act in training only: noise, and penalties for what passes through."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.ir import functions
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers._parameters import penalize_activity
from neuromatic.layers.base import Layer
from neuromatic.regularizers import L1L2

__all__ = [
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]

NoiseShape = Sequence[int | None] | None

SELU_LIMIT = -1.6732632423543772 * 1.0507009873554805
"""What selu(x) goes to for very negative x: what AlphaDropout puts in place of dropped values."""


def _check_share(owner: str, name: str, value: float, *, below: float | None = None) -> None:
    most = 1 if below is None else below
    valid = isinstance(value, (int, float)) and 0 <= value <= 1 and (below is None or value < below)
    if not valid:
        text = f"to {most}" if below is None else f"to below {most}"
        raise ValueError(f"{owner}: {name} must be a number from 0 {text}, got {value!r}")


def _check_noise(owner: str, seed: int | None, noise_shape: NoiseShape) -> None:
    if seed is not None and not isinstance(seed, int):
        raise ValueError(f"{owner}: seed must be an integer or None, got {seed!r}")
    if noise_shape is None:
        return
    valid = isinstance(noise_shape, (list, tuple)) and all(
        d is None or (isinstance(d, int) and d > 0) for d in noise_shape
    )
    if not valid:
        raise ValueError(f"{owner}: noise_shape must be positive integers or None, got {noise_shape!r}")


def _shared_axes(g: GraphBuilder, owner: str, x: Value, noise_shape: NoiseShape) -> tuple[int, ...]:
    """The axes along which one random number serves: those for which the noise has size 1."""
    if noise_shape is None:
        return ()
    shape = x.shape or ()
    if len(noise_shape) != len(shape) or any(
        n not in (None, 1) and isinstance(d, int) and n != d for n, d in zip(noise_shape, shape, strict=False)
    ):
        raise ShapeError(
            f"{g.scope}: {owner} takes inputs that noise_shape {tuple(noise_shape)} broadcasts to, got "
            f"{shape_text(shape)} from {x.name!r}; give it one number for each axis: 1, None or its size"
        )
    return tuple(i for i, n in enumerate(noise_shape) if n == 1 and shape[i] != 1)


def _sample_of(b: GraphBuilder, x: Value, axes: Sequence[int]) -> Value:
    """``x`` with size 1 along some axes."""
    if not axes:
        return x
    zeros, ones = [0] * len(axes), [1] * len(axes)
    return b.add("Slice", x, b.ints(*zeros), b.ints(*ones), b.ints(*axes))


def _kept(b: GraphBuilder, x: Value, rate: float, axes: Sequence[int], seed: int | None) -> Value:
    """1 with probability ``1 - rate``, else 0; of size 1 along some axes."""
    drawn = b.add("RandomUniformLike", _sample_of(b, x, axes), dtype=TensorProto.FLOAT, seed=_seed(seed))
    return op.cast(b, b.add("GreaterOrEqual", drawn, b.const(rate)), x.dtype)


def _seed(seed: int | None) -> float | None:
    return None if seed is None else float(seed)


@dataclass(frozen=True, eq=False)
class Dropout(Layer):
    """Sets a share of its inputs to 0 in training and divides the others by ``1 - rate``.

    Keras ``Dropout``; ONNX ``Dropout`` in its inference form, which passes its input on. A training step
    gives the node its training meaning. With a ``noise_shape``, or a rate of 1, it is a function that passes
    its input on, with a training meaning of its own.

    Input: any shape of a float type.  Output: the same.

    Args:
        rate: the share, from 0 to 1.
        noise_shape: for each axis, the batch included, 1 where all elements are kept or dropped together;
            else None or its size. None draws for each element.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the noise does not broadcast to the input.

    >>> import neuromatic as nm
    >>> nm.layers.Dropout(0.5)(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    rate: float
    noise_shape: NoiseShape = None
    seed: int | None = None

    def __post_init__(self) -> None:
        _check_share("Dropout", "rate", self.rate)
        _check_noise("Dropout", self.seed, self.noise_shape)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        axes = _shared_axes(g, "Dropout", x, self.noise_shape)
        if not axes and self.rate < 1:
            if g.opset < 12:  # the rate was an attribute, and there was no seed
                return g.add("Dropout", x, ratio=float(self.rate))
            return g.add("Dropout", x, g.const(self.rate), seed=self.seed)
        return _dropped(g, x, self.rate, axes, self.seed)


def _dropped(g: GraphBuilder, x: Value, rate: float, axes: Sequence[int], seed: int | None) -> Value:
    """Dropout that draws one number for all elements along some axes."""

    def training(b: GraphBuilder, x: Value) -> Value:
        if rate == 1:
            return b.add("Mul", x, b.const(0.0, x.dtype))
        factor = b.add("Mul", _kept(b, x, rate, axes, seed), b.const(1 / (1 - rate), x.dtype))
        return b.add("Mul", x, factor)

    return functions.call(g, "SharedDropout", x, inference=_passed_on, training=training)


def _passed_on(b: GraphBuilder, x: Value) -> Value:
    return b.add("Identity", x)


@dataclass(frozen=True, eq=False)
class _SpatialDropout(Layer):
    """Dropout of whole channels."""

    keeps_mask = True
    axes: ClassVar[str]

    rate: float
    seed: int | None = None

    def __post_init__(self) -> None:
        _check_share(type(self).__name__, "rate", self.rate)
        _check_noise(type(self).__name__, self.seed, None)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        names = self.axes.split(", ")
        if x.rank != 2 + len(names):
            raise ShapeError(
                f"{g.scope}: {type(self).__name__} takes (batch, channels, {self.axes}), got "
                f"{shape_text(x.shape)} from {x.name!r}; use dropout() for other ranks"
            )
        return _dropped(g, x, self.rate, range(2, x.rank), self.seed)


@dataclass(frozen=True, eq=False)
class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole channels of sequences (Keras ``SpatialDropout1D``; ONNX: in training alone).

    Input: (batch, channels, steps) of a float type; Keras' takes (batch, steps, features).
    Output: the same.

    Args:
        rate: the share of channels, from 0 to 1.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not of that rank.

    >>> import neuromatic as nm
    >>> nm.layers.SpatialDropout1D(0.5)(nm.Input((8, 5))).shape
    ('batch', 8, 5)
    """

    axes = "steps"


@dataclass(frozen=True, eq=False)
class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole channels of images (Keras ``SpatialDropout2D``; ONNX: in training alone).

    Input: (batch, channels, height, width) of a float type.  Output: the same.

    Args:
        rate: the share of channels, from 0 to 1.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not of that rank.

    >>> import neuromatic as nm
    >>> nm.layers.SpatialDropout2D(0.5)(nm.Input((8, 5, 5))).shape
    ('batch', 8, 5, 5)
    """

    axes = "height, width"


@dataclass(frozen=True, eq=False)
class SpatialDropout3D(_SpatialDropout):
    """Dropout of whole channels of volumes (Keras ``SpatialDropout3D``; ONNX: in training alone).

    Input: (batch, channels, depth, height, width) of a float type.  Output: the same.

    Args:
        rate: the share of channels, from 0 to 1.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not of that rank.

    >>> import neuromatic as nm
    >>> nm.layers.SpatialDropout3D(0.5)(nm.Input((8, 5, 5, 5))).shape
    ('batch', 8, 5, 5, 5)
    """

    axes = "depth, height, width"


@dataclass(frozen=True, eq=False)
class AlphaDropout(Layer):
    """Dropout after selu, which keeps mean 0 and variance 1 (Klambauer et al. 2017).

    Keras ``AlphaDropout``; ONNX: in training alone. A share of the inputs becomes the limit of selu, -1.7581;
    then all are scaled and moved to the mean and variance they had.

    Input: any shape of a float type.  Output: the same.

    Args:
        rate: the share, from 0 up to but not including 1, where nothing is left (Keras takes 1 too).
        noise_shape: as in ``Dropout``.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the noise does not broadcast to the input.

    >>> import neuromatic as nm
    >>> nm.layers.AlphaDropout(0.1)(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    rate: float
    noise_shape: NoiseShape = None
    seed: int | None = None

    def __post_init__(self) -> None:
        _check_share("AlphaDropout", "rate", self.rate, below=1)
        _check_noise("AlphaDropout", self.seed, self.noise_shape)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        axes = _shared_axes(g, "AlphaDropout", x, self.noise_shape)
        scale = ((1 - self.rate) * (1 + self.rate * SELU_LIMIT**2)) ** -0.5
        offset = -scale * SELU_LIMIT * self.rate

        def training(b: GraphBuilder, x: Value) -> Value:
            if not self.rate:
                return _passed_on(b, x)
            limit = b.const(SELU_LIMIT, x.dtype)
            kept = _kept(b, x, self.rate, axes, self.seed)
            # (x - limit) * kept + limit, which is x or the limit
            mixed = b.add("Add", b.add("Mul", b.add("Sub", x, limit), kept), limit)
            return b.add("Add", b.add("Mul", mixed, b.const(scale, x.dtype)), b.const(offset, x.dtype))

        return functions.call(g, "AlphaDropout", x, inference=_passed_on, training=training)


@dataclass(frozen=True, eq=False)
class GaussianNoise(Layer):
    """Adds normal noise in training (Keras ``GaussianNoise``; ONNX ``RandomNormalLike``).

    Input: any shape of a float type.  Output: the same.

    Args:
        stddev: standard deviation of the noise, from 0 to 1.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    >>> import neuromatic as nm
    >>> nm.layers.GaussianNoise(0.1)(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    stddev: float
    seed: int | None = None

    def __post_init__(self) -> None:
        _check_share("GaussianNoise", "stddev", self.stddev)
        _check_noise("GaussianNoise", self.seed, None)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        def training(b: GraphBuilder, x: Value) -> Value:
            return b.add("Add", x, _normal(b, x, 0.0, self.stddev, self.seed))

        return functions.call(g, "GaussianNoise", x, inference=_passed_on, training=training)


def _normal(b: GraphBuilder, x: Value, mean: float, scale: float, seed: int | None) -> Value:
    drawn = b.add(
        "RandomNormalLike", x, dtype=TensorProto.FLOAT, mean=float(mean), scale=float(scale), seed=_seed(seed)
    )
    return op.cast(b, drawn, x.dtype)


@dataclass(frozen=True, eq=False)
class GaussianDropout(Layer):
    """Multiplies by normal noise of mean 1 in training.

    Keras ``GaussianDropout``; ONNX ``RandomNormalLike``. The standard
    deviation ``sqrt(rate / (1 - rate))`` is that of Dropout's factors.

    Input: any shape of a float type.  Output: the same.

    Args:
        rate: from 0 up to but not including 1.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    >>> import neuromatic as nm
    >>> nm.layers.GaussianDropout(0.1)(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    rate: float
    seed: int | None = None

    def __post_init__(self) -> None:
        _check_share("GaussianDropout", "rate", self.rate, below=1)
        _check_noise("GaussianDropout", self.seed, None)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        stddev = math.sqrt(self.rate / (1 - self.rate))

        def training(b: GraphBuilder, x: Value) -> Value:
            return b.add("Mul", x, _normal(b, x, 1.0, stddev, self.seed))

        return functions.call(g, "GaussianDropout", x, inference=_passed_on, training=training)


@dataclass(frozen=True, eq=False)
class ActivityRegularization(Layer):
    """Adds ``l1 * sum(|x|) + l2 * sum(x**2)``, divided by the batch size, to the loss.

    Keras ``ActivityRegularization``; ONNX ``Identity``.

    Input: any shape of a float type.  Output: the same.

    Args:
        l1: the factor of the absolute values, at least 0.
        l2: the factor of the squares, at least 0.

    >>> import neuromatic as nm
    >>> nm.layers.ActivityRegularization(l2=0.01)(nm.Input((3,))).shape
    ('batch', 3)
    """

    keeps_mask = True

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        L1L2(self.l1, self.l2)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return penalize_activity(g, g.add("Identity", x), L1L2(self.l1, self.l2))
