"""How far onnxruntime may be from an engine, by the types that a model computes in."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto

from neuromatic.ir.traversal import reads, upstream
from neuromatic.ir.types import HALVES, value_types
from neuromatic.ir.values import Value

Tolerance = tuple[float | None, float | None]
"""Absolute, and relative to the value; None for what the types allow."""
ALLOWED = 1e-4
"""Absolutely and relatively, where float32 or float64 is the narrowest type."""
ROUNDINGS: dict[int, float] = {TensorProto.FLOAT16: 2.0**-11, TensorProto.BFLOAT16: 2.0**-8}
"""The largest relative error of one rounding, by type."""
FACTOR = 8.0


def allowed(model: ModelProto, output: str, value: NDArray[Any], given: Tolerance) -> tuple[float, float]:
    """The tolerance of an output, absolute and relative, where it is not given.

    In half precision each node rounds once, and engines add up in different orders and types. Independent
    errors add up by the root of their number; sums of terms that cancel are off by a share of the largest
    value. So with n nodes in a row, both tolerances are 8 sqrt(n) roundings, of the largest value (or of 1)
    and of each.

    Args:
        model: the model.
        output: the name of one of its values.
        value: what onnxruntime gave.
    """
    rounding, depth = _rounding_and_depth(model, output) if _has_halves(model.graph) else (0.0, 0)
    if not rounding:
        found = (ALLOWED, ALLOWED)
    else:
        share = FACTOR * sqrt(depth) * rounding
        largest = float(np.abs(value.astype(np.float64)).max(initial=0.0))
        found = (share * max(1.0, largest), share)
    atol, rtol = given
    return found[0] if atol is None else atol, found[1] if rtol is None else rtol


def _has_halves(graph: GraphProto) -> bool:
    """Whether a graph may compute in half precision; quick, since most do not."""
    declared = {v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)}
    made = {a.i for node in graph.node if node.op_type == "Cast" for a in node.attribute if a.name == "to"}
    return not HALVES.isdisjoint(declared | made | {t.data_type for t in graph.initializer})


def _rounding_and_depth(model: ModelProto, output: str) -> tuple[float, int]:
    """One rounding of the narrowest type before an output, or 0, and how many such nodes are in a row."""
    types: dict[str, Value] = value_types(model)
    depths: dict[str, int] = {}
    rounding = 0.0
    for node in upstream(model.graph.node, [output]):
        kinds = [types[name].dtype for name in [*node.input, *node.output] if name in types]
        rounding = max([rounding, *(ROUNDINGS.get(kind, 0.0) for kind in kinds)])
        halves = any(kind in ROUNDINGS for kind in kinds)
        depth = max([0, *(depths.get(name, 0) for name in reads(node))]) + halves
        depths |= dict.fromkeys(node.output, depth)
    return rounding, max([1, *depths.values()])
