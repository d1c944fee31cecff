"""Which values of a graph depend on which others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from neuromatic.recipe import data_inputs, reads

INPUTS_UNTIL_IR = 4
"""Before this IR version each initializer is an input of the graph, too."""


def dependents(nodes: Sequence[NodeProto], names: Iterable[str]) -> set[str]:
    """The named values, and every value that is computed from one of them."""
    found = set(names)
    for node in nodes:
        if not found.isdisjoint(reads(node)):
            found.update(filter(None, node.output))
    return found


def fed(graph: GraphProto) -> set[str]:
    """The values that change with the data: the inputs and all that is computed from them."""
    return dependents(graph.node, data_inputs(graph))


def rewire(nodes: Iterable[NodeProto], old: str, new: str) -> int:
    """Let nodes, and the graphs that they carry, read ``new`` in place of ``old``; returns how often."""
    count = 0
    for node in nodes:
        for i, name in enumerate(node.input):
            if name == old:
                node.input[i] = new
                count += 1
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                count += rewire(graph.node, old, new)
    return count


def store(model: ModelProto, tensor: TensorProto) -> None:
    """Add an initializer, as the model's IR version wants it."""
    model.graph.initializer.append(tensor)
    if model.ir_version < INPUTS_UNTIL_IR:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
