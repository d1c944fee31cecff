"""The pass that says normalisations by means, products and roots."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from onnx import ModelProto

from neuromatic.converters.normalize.graph import Node, Results, Rewriter, is_float, rewrite, static
from neuromatic.converters.normalize.shapes import reshape
from neuromatic.ir.portable_ops import reduce
from neuromatic.ir.values import Value


def decompose_norms(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Say LayerNormalization, RMSNormalization, InstanceNormalization and GroupNormalization of floats by
    ReduceMean, Sub, Mul, Add, Sqrt and Div, where the sizes are known and only the first output is used."""
    rules = {
        "LayerNormalization": _layer,
        "RMSNormalization": _rms,
        "InstanceNormalization": _instance,
        "GroupNormalization": _group,
    }
    return rewrite(model, rules, keep)


def _divided_by_deviation(g: Rewriter, x: Value, axes: Sequence[int], epsilon: float) -> Value:
    """``x / sqrt(mean(x * x) + epsilon)``, the mean over ``axes``."""
    square = reduce(g, "ReduceMean", g.add("Mul", x, x), tuple(axes), keepdims=True)
    return g.add("Div", x, g.add("Sqrt", g.add("Add", square, g.like(epsilon, x))))


def _standardized(g: Rewriter, x: Value, axes: Sequence[int], epsilon: float) -> Value:
    centred = g.add("Sub", x, reduce(g, "ReduceMean", x, tuple(axes), keepdims=True))
    return _divided_by_deviation(g, centred, axes, epsilon)


def _scaled(g: Rewriter, x: Value, scale: Value, bias: Value | None) -> Value:
    y = g.add("Mul", x, scale)
    return y if bias is None else g.add("Add", y, bias)


def _last_axes(node: Node) -> list[int] | None:
    if node.x.shape is None or not is_float(node.x) or node.wants(1) or node.wants(2):
        return None
    return list(range(node.attributes["axis"] % node.x.rank, node.x.rank))


def _layer(g: Rewriter, node: Node) -> Results:
    axes = _last_axes(node)
    if axes is None:
        return None
    y = _standardized(g, node.x, axes, node.attributes["epsilon"])
    return _scaled(g, y, node.required(1), node.input(2))


def _rms(g: Rewriter, node: Node) -> Results:
    axes = _last_axes(node)
    if axes is None:
        return None
    return _scaled(
        g, _divided_by_deviation(g, node.x, axes, node.attributes["epsilon"]), node.required(1), None
    )


def _instance(g: Rewriter, node: Node) -> Results:
    if node.x.shape is None or node.x.rank < 3 or not is_float(node.x):
        return None
    y = _standardized(g, node.x, range(2, node.x.rank), node.attributes["epsilon"])
    return _by_channel(g, y, node)


def _group(g: Rewriter, node: Node) -> Results:
    sizes = static(node.x.shape[1:]) if node.x.shape else None
    if sizes is None or node.x.shape is None or not is_float(node.x):
        return None
    groups = node.attributes["num_groups"]
    apart = reshape(g, node.x, (node.x.shape[0], groups, math.prod(sizes) // groups))
    if apart is None:
        return None
    y = reshape(g, _standardized(g, apart, (2,), node.attributes["epsilon"]), node.x.shape)
    return None if y is None else _by_channel(g, y, node)


def _by_channel(g: Rewriter, y: Value, node: Node) -> Results:
    """``y`` (batch, channels, ...) with the node's scale and bias, which are vectors over the channels."""
    columns = []
    for vector in (node.required(1), node.required(2)):
        if vector.shape != (y.dim(1),):
            return None
        columns.append(reshape(g, vector, (y.dim(1), *[1] * (y.rank - 2))))
    scale, bias = columns
    return None if scale is None else _scaled(g, y, scale, bias)
