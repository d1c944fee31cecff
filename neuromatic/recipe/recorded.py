"""What is taken over from the recipe a file came with."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx.defs
from onnx import FunctionProto, ModelProto, NodeProto

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.opsets import NEUROMATIC_DOMAIN
from neuromatic.ir.traversal import upstream
from neuromatic.ir.types import value_types
from neuromatic.ir.values import Value


def copy_part(g: GraphBuilder, model: ModelProto, outputs: Sequence[str], targets: Collection[str]) -> None:
    """Copy what ``outputs`` need from a model's algorithm graph, except what is there already."""
    algorithm, types = model.training_info[0].algorithm, value_types(model)
    nodes = [n for n in upstream(algorithm.node, outputs) if not g.knows(n.output[0])]
    used = {name for node in nodes for name in node.input}
    for tensor in algorithm.initializer:
        if tensor.name in used and not g.knows(tensor.name):
            g.initializer(tensor.name, onnx.numpy_helper.to_array(tensor))
    for item in algorithm.input:
        if item.name in targets and not g.knows(item.name):
            value = types[item.name]
            g.input(value.name, value.dtype, value.shape or ())
    for function in _called(model, nodes):
        g.add_function(function)
    for node in nodes:
        g.include(node, [types.get(o, Value(o, 0, None)) for o in node.output if o])


def _called(model: ModelProto, nodes: Sequence[NodeProto]) -> list[FunctionProto]:
    """Neuromatic's functions that some nodes call, and those that these call."""
    bodies = {f.name: f for f in model.functions if f.domain == NEUROMATIC_DOMAIN}
    found: dict[str, FunctionProto] = {}
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if node.domain == NEUROMATIC_DOMAIN and node.op_type in bodies.keys() - found:
            found[node.op_type] = bodies[node.op_type]
            pending += bodies[node.op_type].node
    return list(found.values())
