"""Brightness of images: AutoContrast, Equalization (also adaptive), Solarization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onnx import TensorProto

from neuromatic.ir import functions
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.portable_ops import cast, clip, reduce
from neuromatic.ir.values import Value
from neuromatic.layers.base import Layer
from neuromatic.layers.preprocessing import _histograms
from neuromatic.layers.preprocessing._shared import (
    Range,
    as_float,
    image_sizes,
    positive,
    rescaled,
    value_range,
)

__all__ = ["AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization", "Equalization", "Solarization"]

BYTES = (0.0, 255.0)
"""The range of values in which these layers compute, as Keras' do."""


@dataclass(frozen=True, eq=False)
class AutoContrast(Layer):
    """Stretches each channel of each image over the whole range.

    ``y = (x - min) / (max - min) * (high - low) + low``.

    Keras ``AutoContrast``; ONNX ``ReduceMin``, ``ReduceMax``, ``Div`` and ``Where``. A channel of a single
    value stays as it is.

    Input: (batch, channels, height, width), channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        value_range: the lowest and the highest value of pixels.

    Raises:
        ShapeError: the input is not such an image of known sizes.

    >>> import neuromatic as nm
    >>> nm.layers.AutoContrast()(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    value_range: Range = (0, 255)

    def __post_init__(self) -> None:
        value_range("AutoContrast", self.value_range)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        image_sizes(g, "AutoContrast", x)
        limits = value_range("AutoContrast", self.value_range)
        x = as_float(g, x)
        y = rescaled(g, x, limits, BYTES)
        low, high = (reduce(g, op, y, (2, 3), keepdims=True) for op in ("ReduceMin", "ReduceMax"))
        flat = g.add("Equal", low, high)
        span = g.add("Where", flat, g.const(1.0, x.dtype), g.add("Sub", high, low))
        scale = g.add("Div", g.const(255.0, x.dtype), span)
        offset = g.add("Mul", g.add("Neg", low), scale)
        stretched = clip(g, g.add("Add", g.add("Mul", y, scale), offset), *BYTES)
        return g.add("Where", flat, x, rescaled(g, stretched, BYTES, limits))


@dataclass(frozen=True, eq=False)
class Equalization(Layer):
    """In training, spreads the values of each channel evenly over the whole range.

    ``y = lookup[bin(x)]``, where ``lookup`` is the share of the pixels of that channel, in all images of the
    batch, that are in lower bins. In inference the input passes, as in Keras.

    Keras ``Equalization``; ONNX ``ScatterElements``, ``CumSum`` and ``GatherElements``.

    Input: (batch, channels, height, width), channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        value_range: the lowest and the highest value of pixels.
        bins: how many bins values fall into.

    Raises:
        ShapeError: the input is not such an image of known sizes.

    >>> import neuromatic as nm
    >>> nm.layers.Equalization()(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    value_range: Range = (0, 255)
    bins: int = 256

    def __post_init__(self) -> None:
        value_range("Equalization", self.value_range)
        positive("Equalization", bins=self.bins)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        image_sizes(g, "Equalization", x)
        limits = value_range("Equalization", self.value_range)

        def training(b: GraphBuilder, x: Value) -> Value:
            y = _histograms.equalized(b, rescaled(b, x, limits, BYTES), self.bins)
            return rescaled(b, y, BYTES, limits)

        return functions.call(g, "Equalization", as_float(g, x), inference=lambda b, x: x, training=training)


@dataclass(frozen=True, eq=False)
class ContrastLimitedAdaptiveHistogramEqualization(Layer):
    """Spreads the values of each part of an image over the whole range (Pizer et al. 1987, CLAHE).

    An image is cut into tiles. Each has a lookup table from the shares of its pixels, none of them above
    ``clip_limit`` times the mean share; a pixel's new value lies between those that the four nearest tiles
    give it. Pixels are first cut down to whole numbers from 0 to 255.

    Keras ``ContrastLimitedAdaptiveHistogramEqualization``; ONNX ``ScatterElements``, ``CumSum`` and
    ``GatherElements``.

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: the same shape and type.

    Args:
        value_range: the lowest and the highest value of pixels.
        clip_limit: see above; 0 for none.
        tile_grid_size: how many tiles below and beside each other.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> layer = nm.layers.ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=(4, 4))
    >>> layer(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    value_range: Range = (0, 255)
    clip_limit: float = 4.0
    tile_grid_size: Sequence[int] = (8, 8)

    def __post_init__(self) -> None:
        owner = type(self).__name__
        value_range(owner, self.value_range)
        if len(self.tile_grid_size) != 2:
            raise ValueError(f"{owner}: tile_grid_size must be two integers, got {self.tile_grid_size!r}")
        for count in self.tile_grid_size:
            positive(owner, tile_grid_size=count)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        sizes = image_sizes(g, type(self).__name__, x)
        limits = value_range(type(self).__name__, self.value_range)
        rows, columns = self.tile_grid_size
        tiles = _histograms.Tiles(*sizes, rows, columns)
        y = rescaled(g, cast(g, x, TensorProto.FLOAT), limits, BYTES)
        y = rescaled(g, tiles.equalized(g, y, self.clip_limit), BYTES, limits)
        return cast(g, y, x.dtype)


@dataclass(frozen=True, eq=False)
class Solarization(Layer):
    """In training, inverts bright pixels.

    ``y = x + a`` where that is below ``t``, else ``high + low - (x + a)``. Of values from 0 to 255, ``a`` and
    ``t`` are drawn for each image, uniform from the lower to 255 times the upper factor (Keras does not
    multiply the lower one); ``x + a`` stays in the range. In inference the input passes, as in Keras.

    Keras ``Solarization``; ONNX ``RandomUniformLike``, ``Clip`` and ``Where``.

    Input: (batch, channels, height, width), channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        addition_factor: the factors of ``a``, from 0 to 1; a single number is the upper one, with 0 as lower.
        threshold_factor: likewise those of ``t``.
        value_range: the lowest and the highest value of pixels.

    Raises:
        ShapeError: the input is not such an image of known sizes.

    >>> import neuromatic as nm
    >>> nm.layers.Solarization()(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    addition_factor: float | Sequence[float] = 0.0
    threshold_factor: float | Sequence[float] = 0.0
    value_range: Range = (0, 255)

    def __post_init__(self) -> None:
        value_range("Solarization", self.value_range)
        self._limits("addition_factor", self.addition_factor)
        self._limits("threshold_factor", self.threshold_factor)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        image_sizes(g, "Solarization", x)
        limits = value_range("Solarization", self.value_range)
        added = self._limits("addition_factor", self.addition_factor)
        threshold = self._limits("threshold_factor", self.threshold_factor)

        def training(b: GraphBuilder, x: Value) -> Value:
            y = rescaled(b, x, limits, BYTES)
            y = clip(b, b.add("Add", y, _drawn(b, x, added)), *BYTES)
            dark = b.add("Less", y, _drawn(b, x, threshold))
            y = b.add("Where", dark, y, b.add("Sub", b.const(255.0, x.dtype), y))
            return rescaled(b, y, BYTES, limits)

        return functions.call(g, "Solarization", as_float(g, x), inference=lambda b, x: x, training=training)

    @staticmethod
    def _limits(argument: str, factor: float | Sequence[float]) -> tuple[float, float]:
        """The lowest and the highest number to draw."""
        given: list[Any] = list(factor) if isinstance(factor, (tuple, list)) else [0.0, factor]
        if len(given) != 2 or not all(isinstance(f, (int, float)) and 0 <= f <= 1 for f in given):
            raise ValueError(
                f"Solarization: {argument} must be one or two numbers from 0 to 1, got {factor!r}"
            )
        low, high = sorted(float(f) for f in given)
        return low, 255.0 * high


def _drawn(b: GraphBuilder, x: Value, limits: tuple[float, float]) -> Value:
    """A uniform random number for each image."""
    if limits[0] == limits[1]:
        return b.const(limits[0], x.dtype)
    one = b.add("Slice", x, b.ints(0, 0, 0), b.ints(1, 1, 1), b.ints(1, 2, 3))
    return b.add("RandomUniformLike", one, low=limits[0], high=limits[1])
