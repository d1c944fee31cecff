"""Shapes that a graph computes from constants, worked out so that shape inference sees them."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

SMALL = 64
"""Shapes, axes and scalars have at most this many numbers."""
FOLDED = {
    *(
        "Abs",
        "Add",
        "Cast",
        "Ceil",
        "Concat",
        "Div",
        "Floor",
        "Gather",
        "Identity",
        "Max",
        "Min",
        "Mod",
        "Mul",
    ),
    *("Neg", "Pow", "ReduceMax", "ReduceProd", "ReduceSum", "Reshape", "Slice", "Squeeze", "Sub", "Sum"),
    *("Unsqueeze",),
}
"""Operators of which such are made."""
MOST_BROADCAST = 1 << 16
"""Of how many numbers the result may be when inputs are broadcast; more than any two of them make."""


def fold(model: ModelProto) -> None:
    """Put initializers in place of nodes that compute a few numbers from constants."""
    graph = model.graph
    known = {t.name: t for t in graph.initializer if prod(t.dims) <= SMALL}
    kept = []
    for node in graph.node:
        if node.op_type == "Constant" and node.output and node.attribute:
            tensor = node.attribute[0].t
            if tensor.data_type and prod(tensor.dims) <= SMALL:
                known[node.output[0]] = tensor
        value = computed(node, known, model)
        if value is None:
            kept.append(node)
        else:
            known[value.name] = value
            graph.initializer.append(value)
    if len(kept) < len(graph.node):
        copies = [NodeProto.FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(copies)


def _grows(shapes: Sequence[Sequence[int]]) -> bool:
    """Whether many numbers become of few, or shapes do not fit."""
    try:
        return prod(np.broadcast_shapes(*map(tuple, shapes))) > MOST_BROADCAST
    except ValueError:
        return True


def computed(node: NodeProto, known: Mapping[str, TensorProto], model: ModelProto) -> TensorProto | None:
    """What a node computes, if its inputs are known; None if it is not one of those that count here."""
    if node.op_type not in FOLDED or node.domain not in ("", "ai.onnx") or len(node.output) != 1:
        return None
    if not all(name in known for name in node.input if name):
        return None
    inputs = {name: numpy_helper.to_array(known[name]) for name in node.input if name}
    array = evaluated(node, inputs, model)
    return None if array is None else numpy_helper.from_array(array, node.output[0])


def evaluated(
    node: NodeProto, inputs: Mapping[str, np.ndarray[Any, Any]], model: ModelProto
) -> np.ndarray[Any, Any] | None:
    """The output of a node by ONNX' own implementation; None for many numbers, or where it has none."""
    if node.op_type in ("Max", "Min", "Sum") and _grows([array.shape for array in inputs.values()]):
        return None
    reference = importlib.import_module("onnx.reference")
    opsets = {o.domain if o.domain != "ai.onnx" else "": o.version for o in model.opset_import}
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            (array,) = reference.ReferenceEvaluator(node, opsets=opsets).run(None, dict(inputs))
            array = np.asarray(array)
            return array if array.size <= SMALL else None
    except Exception:  # the reference raises what it likes; what it cannot compute stays a node
        return None
