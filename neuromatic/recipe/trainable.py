"""What a loss can train."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx.defs
from onnx import ModelProto, NodeProto, TensorProto
from onnx.defs import OpSchema, SchemaError

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.types import FLOATS
from neuromatic.recipe.exporters import exported_constants
from neuromatic.recipe.running_statistics import state_inputs


def trainable_names(model: ModelProto, nodes: Sequence[NodeProto], loss: str, g: GraphBuilder) -> list[str]:
    """The float initializers that reach the loss through inputs that ONNX calls differentiable.

    In the order in which the file stores them. Running statistics, ratios, bounds, shapes, the values of
    ``Constant`` nodes and what the exporter of the file wrote as a constant are not among them.
    """
    constants = exported_constants(model)
    needed = differentiable_values(model, nodes, [loss], g)
    stored = [t.name for t in model.graph.initializer if t.data_type in FLOATS]
    return [name for name in stored if name in needed and name not in constants]


def differentiable_values(
    model: ModelProto, nodes: Sequence[NodeProto], values: Collection[str], g: GraphBuilder
) -> set[str]:
    """What reaches one of some values through inputs that ONNX calls differentiable, they included."""
    needed = set(values)
    # What QuantizeLinear makes are integers, but gradients pass straight through it.
    quantized = {node.output[0] for node in nodes if node.op_type == "QuantizeLinear"}
    for node in reversed(nodes):
        if needed.intersection(node.output):
            states = set(state_inputs(model, node).values())
            reached = [name for i, name in enumerate(node.input) if _is_differentiable(node, i, g.opset)]
            kept = [name for name in reached if name and name not in states]
            needed.update(name for name in kept if name in quantized or _may_be_float(g, name))
            for attribute in node.attribute:
                for graph in (attribute.g, *attribute.graphs):
                    needed |= differentiable_values(model, graph.node, [o.name for o in graph.output], g)
    return needed


def _may_be_float(g: GraphBuilder, name: str) -> bool:
    """Whether a value is of a float type, or of one that shape inference does not find."""
    return not g.knows(name) or g.value(name).dtype in (*FLOATS, TensorProto.UNDEFINED)


def _is_differentiable(node: NodeProto, index: int, opset: int) -> bool:
    if node.op_type == "BatchNormalization" and index >= 3:
        return False
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return index == 0  # straight through; scales and zero points are what calibration made them
    try:
        schema = onnx.defs.get_schema(node.op_type, opset if not node.domain else 1, node.domain)
    except SchemaError:  # a model-local function: its body decides
        return True
    formal = schema.inputs[min(index, len(schema.inputs) - 1)]
    return bool(formal.differentiation_category != OpSchema.DifferentiationCategory.NonDifferentiable)
