"""What layers over sequences share: the numbers of steps, and which step may look at which."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value


def size_of(g: GraphBuilder, x: Value, axis: int) -> Value:
    """The size of one axis as an int64 scalar, computed where it is not known."""
    size = x.dim(axis)
    if isinstance(size, int):
        return g.const(size, TensorProto.INT64)
    return g.add("Gather", g.add("Shape", x), g.const(axis % x.rank, TensorProto.INT64), axis=0)


def positions(g: GraphBuilder, x: Value, axis: int) -> Value:
    """0, 1, 2 ... along one axis of ``x``: an int64 vector."""
    size = x.dim(axis)
    if isinstance(size, int):
        return g.const(np.arange(size), TensorProto.INT64)
    zero, one = (g.const(n, TensorProto.INT64) for n in (0, 1))
    return g.add("Range", zero, size_of(g, x, axis), one)


def visible(
    g: GraphBuilder, query: Value, key: Value, *, causal: bool, window: int | None = None
) -> Value | None:
    """Which steps of ``key`` each step of ``query`` may look at: (1, queries, keys) of booleans, or None.

    Args:
        query: (batch, queries, ...).
        key: (batch, keys, ...).
        causal: none after its own.
        window: those less than this far away.
    """
    if not causal and window is None:
        return None
    rows = op.unsqueeze(g, positions(g, query, 1), 0, 2)
    columns = op.unsqueeze(g, positions(g, key, 1), 0, 1)
    found = []
    if causal:
        found.append(g.add("GreaterOrEqual", rows, columns))
    if window is not None:
        distance = g.add("Abs", g.add("Sub", rows, columns))
        found.append(g.add("Less", distance, g.const(window, TensorProto.INT64)))
    return both(g, *found)


def both(g: GraphBuilder, *masks: Value | None) -> Value | None:
    """Where all of the masks hold, leaving out those that are None; None if all are."""
    result: Value | None = None
    for mask in masks:
        if mask is not None:
            result = mask if result is None else g.add("And", result, mask)
    return result


def unmasked(g: GraphBuilder, mask: Value, *axes: int) -> Value:
    """A mask (batch, steps) as booleans, with axes of size 1 put in."""
    return op.unsqueeze(g, op.cast(g, mask, TensorProto.BOOL), *axes)
