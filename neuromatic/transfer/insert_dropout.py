"""Dropout where an exporter removed it."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from onnx import GraphProto, ModelProto

from neuromatic import layers
from neuromatic.errors import UnknownNameError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.traversal import data_inputs, fed, rewire
from neuromatic.ir.types import FLOATS
from neuromatic.recipe.compose import algorithm_builder
from neuromatic.recipe.sections import strip
from neuromatic.transfer._edit import include


def insert_dropout(model: ModelProto, patterns: Sequence[str], rate: float) -> ModelProto:
    """A copy, without its recipe, in which a Dropout stands between each matching value and what takes it.

    Raises:
        UnknownNameError: a pattern matches no value or node that computes floats from the data.
        ValueError: the rate is not possible, or nothing takes a value.
    """
    layer = layers.Dropout(rate)
    result = strip(model)
    g = algorithm_builder(result)
    for name in _matching(result.graph, patterns, g):
        done = len(g.graph.node)
        with g.layer(g.fresh(f"{name}/dropout")):
            dropped = layer.emit(g, g.value(name))
        if not rewire(result.graph.node, name, dropped.name):
            raise ValueError(
                f"insert_dropout: no node takes {name!r}, so that Dropout would do nothing there"
            )
        makers = [i for i, node in enumerate(result.graph.node) if name in node.output]
        include(result, g, makers[0] + 1 if makers else 0, g.graph.node[done:])
    return result


def _matching(graph: GraphProto, patterns: Sequence[str], g: GraphBuilder) -> list[str]:
    """The values that some patterns name, by themselves or by the node that computes them."""
    data = fed(graph)
    named = {name: name for name in data_inputs(graph)}
    for node in graph.node:
        named |= {name: name for name in node.output if name}
        if node.name and node.name not in named:
            named[node.name] = node.output[0]
    floats = {
        name: value
        for name, value in named.items()
        if value in data and g.knows(value) and g.value(value).dtype in FLOATS
    }
    found: dict[str, None] = {}
    for pattern in patterns:
        matched = fnmatch.filter(floats, pattern)
        if not matched:
            raise UnknownNameError("value or node of floats", pattern, floats)
        found |= dict.fromkeys(floats[name] for name in matched)
    return list(found)
