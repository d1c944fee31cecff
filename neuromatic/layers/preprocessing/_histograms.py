"""Equalization of images by their histograms; of values from 0 to 255."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.portable_ops import cast, clip, reduce
from neuromatic.ir.values import Value
from neuromatic.layers.preprocessing._shared import Array

LEVELS = 256


def _counts(g: GraphBuilder, zeros: Value, places: Value) -> Value:
    """How often each place of a row occurs."""
    ones = g.add("Expand", g.const(1.0, zeros.dtype), g.add("Shape", places))
    return g.add("ScatterElements", zeros, places, ones, axis=1, reduction="add")


def equalized(g: GraphBuilder, x: Value, bins: int) -> Value:
    """Each channel of a batch of images (batch, channels, height, width) spread evenly over the range."""
    front = g.add("Transpose", x, perm=[1, 0, 2, 3])
    flat = g.add("Reshape", front, g.ints(0, -1))
    top = g.const(float(bins - 1), x.dtype)
    full = g.const(255.0, x.dtype)

    def index(position: Value) -> Value:
        return cast(g, clip(g, position, 0, bins - 1), TensorProto.INT64)

    zeros = g.const(np.zeros((int(x.dim(1) or 0), bins)), x.dtype)
    counts = _counts(g, zeros, index(g.add("Div", g.add("Mul", flat, top), full)))
    filled = g.add("Greater", counts, g.const(0.0, x.dtype))
    reached = g.add("CumSum", counts, g.const(1, TensorProto.INT64))
    whole = reduce(g, "ReduceMax", reached, (1,), keepdims=True)
    some = g.add("Greater", reached, g.const(0.0, x.dtype))
    least = reduce(g, "ReduceMin", g.add("Where", some, reached, whole), (1,), keepdims=True)
    rest = g.add("Sub", whole, least)
    rest = g.add("Max", rest, g.const(1.0, x.dtype))
    shares = g.add("Div", g.add("Mul", g.add("Sub", reached, least), full), rest)
    lookup = clip(g, g.add("Round", shares), 0, 255)
    # Keras divides first here and last above, so the same pixel may be in neighbouring bins
    found = g.add("GatherElements", lookup, index(g.add("Mul", g.add("Div", flat, full), top)), axis=1)
    several = reduce(g, "ReduceSum", cast(g, filled, TensorProto.FLOAT), (1,), keepdims=True)
    single = g.add("LessOrEqual", several, g.const(1.0))
    y = g.add("Reshape", g.add("Where", single, flat, found), g.add("Shape", front))
    return g.add("Transpose", y, perm=[1, 0, 2, 3])


@dataclass(frozen=True)
class Tiles:
    """Images of one size, cut into ``rows`` times ``columns`` tiles; missing pixels are mirrored ones."""

    channels: int
    height: int
    width: int
    rows: int
    columns: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a tile."""
        return math.ceil(self.height / self.rows), math.ceil(self.width / self.columns)

    def equalized(self, g: GraphBuilder, x: Value, clip_limit: float) -> Value:
        """Each tile spread evenly over the range, with soft borders."""
        lookup = self._lookup(g, self._padded(g, x), clip_limit)
        pixels = cast(g, clip(g, x, 0, LEVELS - 1), TensorProto.INT64)
        flat = g.add("Reshape", pixels, g.ints(0, -1))
        total: Value | None = None
        for below in (0, 1):
            for beside in (0, 1):
                tile, weight = self._corner(below, beside)
                places = g.add("Add", flat, g.const(self._start(tile).reshape(1, -1), TensorProto.INT64))
                value = g.add("GatherElements", lookup, places, axis=1)
                share = g.const(np.broadcast_to(weight, (self.channels, *weight.shape)).reshape(1, -1))
                value = g.add("Mul", value, share)
                total = value if total is None else g.add("Add", total, value)
        return g.add("Reshape", total, g.ints(0, self.channels, self.height, self.width))

    def _padded(self, g: GraphBuilder, x: Value) -> Value:
        """Images whose sizes are multiples of those of a tile."""
        for axis, old, new in (
            (2, self.height, self.size[0] * self.rows),
            (3, self.width, self.size[1] * self.columns),
        ):
            if new > old:
                places = np.pad(np.arange(old), (0, new - old), mode="symmetric")
                x = g.add("Gather", x, g.ints(*places.tolist()), axis=axis)
        return x

    def _start(self, tile: Array) -> Array:
        """Where the table of each pixel's tile and channel begins in a row of tables: (channels, ...)."""
        channel = np.arange(self.channels).reshape(-1, 1, 1)
        result: Array = (tile[None] * self.channels + channel) * LEVELS
        return result

    def _lookup(self, g: GraphBuilder, x: Value, clip_limit: float) -> Value:
        """The tables of all tiles and channels behind each other, a row for each image."""
        tile_height, tile_width = self.size
        count, area = self.rows * self.columns * self.channels, float(tile_height * tile_width)
        y, z = np.arange(tile_height * self.rows), np.arange(tile_width * self.columns)
        tile = (y // tile_height)[:, None] * self.columns + (z // tile_width)[None, :]
        pixels = cast(g, clip(g, x, 0, LEVELS - 1), TensorProto.INT64)
        flat = g.add("Reshape", pixels, g.ints(0, -1))
        places = g.add("Add", flat, g.const(self._start(tile).reshape(1, -1), TensorProto.INT64))
        size = g.add(
            "Concat",
            g.add("Slice", g.add("Shape", flat), g.ints(0), g.ints(1)),
            g.ints(count * LEVELS),
            axis=0,
        )
        counts = _counts(g, g.add("Expand", g.const([[0.0]]), size), places)
        counts = g.add("Reshape", counts, g.ints(0, count, LEVELS))
        if clip_limit > 0:
            limited = g.add("Min", counts, g.const(clip_limit * area / LEVELS))
            excess = reduce(g, "ReduceSum", g.add("Sub", counts, limited), (2,), keepdims=True)
            counts = g.add("Add", limited, g.add("Div", excess, g.const(float(LEVELS))))
        reached = g.add("CumSum", counts, g.const(2, TensorProto.INT64))
        least = reduce(g, "ReduceMin", reached, (2,), keepdims=True)
        rest = g.add("Sub", g.const(area), least)
        rest = g.add("Where", g.add("Equal", rest, g.const(0.0)), g.const(1.0), rest)
        shares = g.add("Div", g.add("Mul", g.add("Sub", reached, least), g.const(255.0)), rest)
        return g.add("Reshape", clip(g, shares, 0, 255), g.ints(0, -1))

    def _corner(self, below: int, beside: int) -> tuple[Array, Array]:
        """One of the four tiles nearest to each pixel, and its share of the pixel."""
        tiles, weights = [], []
        for number, tile, count, second in (
            (self.height, self.size[0], self.rows, below),
            (self.width, self.size[1], self.columns, beside),
        ):
            position = (np.arange(number) - tile / 2.0) / tile
            first = np.floor(position)
            tiles.append(np.clip(first + second, 0, count - 1).astype(np.int64))
            weights.append(np.abs(1 - second - (position - first)))
        return (
            tiles[0][:, None] * self.columns + tiles[1][None, :],
            weights[0][:, None] * weights[1][None, :],
        )
