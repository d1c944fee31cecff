"""Passes that say ``Gather`` by slices and products."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from onnx import ModelProto, TensorProto

from neuromatic.converters.normalize.graph import Node, Results, Rewriter, rewrite
from neuromatic.converters.normalize.shapes import reshape, slice_axis
from neuromatic.ir.values import Value

MAX_SLICES = 64
"""Constant indices that need more slices are left to ``Gather``."""

MAX_ROWS = 2**16
"""Tables with more rows are not multiplied by one-hot vectors."""

NEGATIVE_SINCE = 11
"""The opset from which indices may count from the end."""


def constant_gathers(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Say ``Gather`` with a constant index or vector of indices as slices, joined by ``Concat``."""
    return rewrite(model, {"Gather": _by_slices}, keep)


def embeddings_to_matmul(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Say ``Gather`` of rows of a float matrix by computed indices as MatMul with one-hot vectors.

    Greater and Less make the vectors. An index that is out of range gives zeros.
    """
    return rewrite(model, {"Gather": _by_product}, keep)


def _by_slices(g: Rewriter, node: Node) -> Results:
    x, index = node.x, g.array(node.required(1))
    if index is None or index.ndim > 1 or index.size == 0 or x.shape is None:
        return None
    axis = node.attributes["axis"] % x.rank
    size = x.shape[axis]
    picked = [int(i) for i in index.ravel()]
    if min(picked) < 0:
        if not isinstance(size, int):
            return None
        picked = [i + size if i < 0 else i for i in picked]
    runs = list(_runs(picked))
    if len(runs) > MAX_SLICES:
        return None
    parts = [slice_axis(g, x, axis, first, last + 1) for first, last in runs]
    joined = parts[0] if len(parts) == 1 else g.add("Concat", *parts, axis=axis)
    kept = tuple(dim for i, dim in enumerate(x.shape) if i != axis)
    return joined if index.ndim else reshape(g, joined, kept)


def _runs(numbers: Iterable[int]) -> Iterable[tuple[int, int]]:
    """The first and last of each run of consecutive numbers."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _by_product(g: Rewriter, node: Node) -> Results:
    table, ids = node.x, node.required(1)
    rows = table.shape[0] if table.shape is not None and table.rank == 2 else None
    if not isinstance(rows, int) or rows > MAX_ROWS or table.dtype != TensorProto.FLOAT:
        return None
    if node.attributes["axis"] % 2 != 0 or not ids.shape or g.array(ids) is not None:
        return None
    number = g.add("Cast", ids, to=TensorProto.FLOAT)
    if g.opset >= NEGATIVE_SINCE:
        negative = g.add("Cast", g.add("Less", number, g.const(0.0)), to=TensorProto.FLOAT)
        number = g.add("Add", number, g.add("Mul", negative, g.const(float(rows))))
    column = reshape(g, number, (*ids.shape, 1))
    return None if column is None else g.add("MatMul", _one_hot(g, column, rows), table)


def _one_hot(g: Rewriter, column: Value, rows: int) -> Value:
    """Vectors with a one where the number of the element is that of the column."""
    numbers = g.const(np.arange(rows))
    other = g.add("Or", g.add("Greater", column, numbers), g.add("Less", column, numbers))
    return g.add("Cast", g.add("Not", other), to=TensorProto.FLOAT)
