"""Indices of categories as vectors."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.portable_ops import cast, reduce, squeeze, unsqueeze
from neuromatic.ir.values import Value, dtype_name, shape_text

MODES = ("one_hot", "multi_hot", "count")


def whole(g: GraphBuilder, owner: str, x: Value, dtype: int) -> Value:
    """Indices as integers of one type; what floats have after the point is cut off.

    Raises:
        ShapeError: the input is of another type than numbers.
    """
    if x.dtype in (TensorProto.STRING, TensorProto.BOOL):
        raise ShapeError(f"{g.scope}: {owner} takes integers, got {dtype_name(x.dtype)} from {x.name!r}")
    return cast(g, x, dtype)


def encode(
    g: GraphBuilder, owner: str, indices: Value, mode: str, depth: int, weights: Value | None = None
) -> Value:
    """Indices as float32 vectors of ``depth`` elements; an index outside 0 ... depth - 1 sets none of them.

    Args:
        mode: ``"one_hot"``: a vector for each index, in a new last axis, or in place of one of size 1.
            ``"multi_hot"``: 1 for each index that occurs in a row. ``"count"``: how often it does.
        weights: what each index counts, of the shape of ``indices``; 1 if None.

    Raises:
        ShapeError: the mode is of rows, and the indices are not (batch, samples).
    """
    rank = indices.rank
    if mode == "one_hot":
        if rank > 1 and indices.dim(-1) == 1:
            indices, rank = squeeze(g, indices, rank - 1), rank - 1
    elif rank != 2:
        raise ShapeError(
            f'{g.scope}: {owner} with output_mode="{mode}" takes (batch, samples), '
            f'got {shape_text(indices.shape)} from {indices.name!r}; use "one_hot", or a reshape() before it'
        )
    categories = g.const(np.arange(depth), indices.dtype)
    hot = cast(g, g.add("Equal", unsqueeze(g, indices, rank), categories), TensorProto.FLOAT)
    if mode == "one_hot":
        return hot
    if weights is not None:
        hot = g.add("Mul", hot, unsqueeze(g, weights, rank))
    return reduce(g, "ReduceMax" if mode == "multi_hot" else "ReduceSum", hot, (1,))
