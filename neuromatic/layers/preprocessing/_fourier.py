"""Windows, waves and mel bands for spectrograms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers.preprocessing._shared import Array

_WINDOWS = {"hann": np.hanning, "hamming": np.hamming}


def window(owner: str, given: str | Sequence[float] | Array | None, length: int, periodic: bool) -> Array:
    """The numbers of a window.

    Raises:
        ValueError: no window has that name, or its length is another one.
    """
    if given is None:
        return np.ones(length)
    if isinstance(given, str):
        if given not in _WINDOWS:
            raise ValueError(
                f"{owner}: window must be 'hann', 'hamming', {length} numbers or None, got {given!r}"
            )
        if length == 1:
            return np.ones(1)
        return _WINDOWS[given](length + 1)[:-1] if periodic else _WINDOWS[given](length)
    numbers = np.asarray(given, np.float64)
    if numbers.shape != (length,):
        raise ValueError(f"{owner}: window must have {length} numbers, got shape {numbers.shape}")
    return numbers


def period(length: int, part: str) -> Array:
    """One period of the real or the imaginary part of ``exp(-i t)``."""
    angle = -2 * np.pi * np.arange(length) / length
    return np.cos(angle) if part == "real" else np.sin(angle)


def mel_matrix(bands: int, frequencies: int, rate: float, low: float, high: float) -> Array:
    """The share of each frequency in each mel band (bands, frequencies); the constant part has none."""

    def mel(hertz: Array | float) -> Array:
        return np.asarray(1127.0 * np.log(1.0 + np.asarray(hertz) / 700.0))

    points = mel(np.linspace(0.0, rate / 2.0, frequencies))
    edges = np.linspace(mel(low), mel(high), bands + 2)[:, None]
    start, centre, end = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (points - start) / (centre - start), (end - points) / (end - centre)
    shares = np.maximum(0.0, np.minimum(rising, falling))
    shares[:, 0] = 0.0
    return shares


def angle(g: GraphBuilder, x: Value, y: Value) -> Value:
    """``atan2(y, x)``; ONNX has only ``Atan``, of which both signs choose the half turn to add."""

    def number(value: float) -> Value:
        return g.const(value, x.dtype)

    zero = number(0.0)
    upright = g.add("Equal", x, zero)
    left = g.add("Less", x, zero)
    slope = g.add("Div", y, g.add("Where", upright, number(1.0), x))
    below = g.add("Less", y, zero)
    half_turn = g.add("Where", below, number(-math.pi), number(math.pi))
    turned = g.add("Add", g.add("Atan", slope), g.add("Where", left, half_turn, zero))
    quarter = g.add("Mul", g.add("Sign", y), number(math.pi / 2))
    return g.add("Where", upright, quarter, turned)
