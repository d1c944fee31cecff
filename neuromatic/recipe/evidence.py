"""What the use and the values of an initializer tell about whether it is a parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, TensorProto

from neuromatic.ir.tensors import array_of
from neuromatic.recipe.gradients import PASSING, origins

Array = NDArray[Any]

WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "BatchNormalization": (1, 2, 3, 4),
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "DeformConv": (1, 3),
    "Einsum": (0, 1, 2, 3),
    "GRU": (1, 2, 3),
    "Gather": (0,),
    "Gemm": (0, 1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LSTM": (1, 2, 3, 7),
    "LayerNormalization": (1, 2),
    "MatMul": (0, 1),
    "PRelu": (1,),
    "RMSNormalization": (1,),
    "RNN": (1, 2, 3),
}
"""The inputs of each operator that weights, biases and scales go to."""
PRODUCTS = frozenset({"Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"})
"""Operators to whose result a bias is added."""
IN_STEPS = frozenset({"ConvInteger", "MatMulInteger"})
"""Those to whose result it is added after a Cast and a Mul by a scale."""
NEVER: Mapping[str, tuple[int, ...]] = {
    "Clip": (1, 2),
    "Cos": (0,),
    "Mod": (1,),
    "Pad": (2,),
    "Pow": (1,),
    "Range": (0, 1, 2),
    "Sin": (0,),
}
"""Inputs where what a file stores is practically never a parameter."""
FEWEST, MOST = 5, 1 << 22
"""Of so many elements, values are looked at."""
MASKED = -1e4
"""From here down, an addend hides what it is added to."""
EXACT = 1e-3


def weights(graph: GraphProto) -> frozenset[str]:
    """The initializers that are an operator's weight or bias, as they are or in another form."""
    return _used(graph, WEIGHTS) | _biases(graph)


def settings(graph: GraphProto) -> frozenset[str]:
    """The initializers that go to inputs of :data:`NEVER` alone."""
    forms = origins(graph.node, (t.name for t in graph.initializer))
    others = {
        forms[x]
        for node in graph.node
        for i, x in enumerate(node.input)
        if x in forms and node.output[0] not in forms and i not in NEVER.get(node.op_type, ())
    }
    return _used(graph, NEVER) - others


def normalizing(graph: GraphProto) -> frozenset[str]:
    """The initializers with axes that only shift or scale an input of the graph, as fixed statistics do."""
    stored = {t.name: len(t.dims) for t in graph.initializer}
    forms = origins(graph.node, stored)
    plain = {i.name for i in graph.input} - stored.keys()
    found, others = set[str](), set[str]()
    for node in graph.node:
        given = [x for x in node.input if x in forms]
        if (
            node.op_type in ("Add", "Div", "Mul", "Sub")
            and len(given) == 1
            and plain.intersection(node.input)
        ):
            found.update(forms[x] for x in given if stored[forms[x]] > 0)
            plain.update(node.output)
        elif node.op_type in PASSING and node.input[0] in plain:
            plain.update(node.output)
        elif node.output and node.output[0] not in forms:
            others.update(forms[x] for x in given)
    return frozenset(found - others)


def _used(graph: GraphProto, places: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
    forms = origins(graph.node, (t.name for t in graph.initializer))
    return frozenset(
        forms[x]
        for node in graph.node
        for i, x in enumerate(node.input)
        if x in forms and i in places.get(node.op_type, ())
    )


def _biases(graph: GraphProto) -> frozenset[str]:
    """What has an axis and is added to a product, or scales and shifts what a node has normalized."""
    stored = {t.name: len(t.dims) for t in graph.initializer}
    forms = origins(graph.node, stored)
    made, normalized, steps, found = set[str](), set[str](), set[str](), set[str]()
    for node in graph.node:
        given = [forms[x] for x in node.input if x in forms and stored[forms[x]] > 0]
        scaled = node.op_type == "Mul" and len(given) == 1 and not normalized.isdisjoint(node.input)
        if scaled or (node.op_type == "Add" and not (made | normalized).isdisjoint(node.input)):
            found.update(given)
        if node.op_type in PRODUCTS or (node.op_type == "Mul" and not steps.isdisjoint(node.input)):
            made.update(node.output)
        elif node.op_type in IN_STEPS or (node.op_type == "Cast" and node.input[0] in steps):
            steps.update(node.output)
        elif node.op_type == "InstanceNormalization" or scaled:
            normalized.update(node.output)
        elif node.op_type in PASSING:
            for group in (made, normalized):
                group.update(node.output if node.input[0] in group else ())
    return frozenset(found)


def copies(graph: GraphProto, among: frozenset[str]) -> dict[str, str]:
    """Which of some matrices are another initializer, or its transpose."""
    matrices = [t for t in graph.initializer if len(t.dims) == 2 and not is_single(t)]
    found = {}
    for tensor in (t for t in matrices if t.name in among):
        others = [
            t
            for t in matrices
            if t.name not in among
            and t.data_type == tensor.data_type
            and sorted(t.dims) == sorted(tensor.dims)
        ]
        for other in others:
            a, b = array_of(tensor), array_of(other)
            if (a.shape == b.shape and np.array_equal(a, b)) or (
                a.shape == b.T.shape and np.array_equal(a, b.T)
            ):
                found[tensor.name] = other.name
                break
    return found


def is_single(tensor: TensorProto) -> bool:
    """Whether a tensor is one number."""
    return all(d == 1 for d in tensor.dims)


def looks_computed(tensor: TensorProto) -> str | None:
    """What a tensor is, if its numbers are a mask, steps, frequencies or waves rather than learnt ones."""
    array = array_of(tensor).astype(np.float64)
    if not FEWEST - 1 <= array.size <= MOST or array.min() == array.max():
        return None
    if np.isneginf(array).any() or (array <= MASKED).any() or set(np.unique(array)) <= {0.0, 1.0}:
        return "a mask"
    if not np.isfinite(array).all():
        return None
    flat = np.unique(array)
    if flat.size >= FEWEST and _is_even(np.diff(flat)):
        return "evenly spaced numbers"
    if flat.size >= FEWEST - 1 and flat.min() > 0 and _is_even(np.diff(np.log(flat))):
        return "frequencies"
    return "waves" if any(_is_wave(array, axis) for axis in range(array.ndim)) else None


def _is_even(steps: Array) -> bool:
    return bool(np.allclose(steps, steps.mean(), rtol=EXACT))


def _is_wave(array: Array, axis: int) -> bool:
    """Whether each line along an axis is a wave of one frequency, as in tables of positions.

    For these, x[i - 1] + x[i + 1] = 2 cos(frequency) x[i].
    """
    lines = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
    if len(lines) < FEWEST or np.abs(lines).max() > 1 + EXACT or np.median(np.ptp(lines, axis=0)) < EXACT:
        return False
    middle, sums = lines[1:-1], lines[:-2] + lines[2:]
    norms = (middle**2).sum(0)
    factor = (middle * sums).sum(0) / np.where(norms > 0, norms, 1)
    return bool((np.abs(factor) <= 2 + EXACT).all() and np.abs(sums - factor * middle).max() < EXACT)
