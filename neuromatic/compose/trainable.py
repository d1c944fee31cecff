"""What a loss can train."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx.defs
from onnx import ModelProto, NodeProto, TensorProto
from onnx.defs import OpSchema, SchemaError

from neuromatic.compose.statistics import state_inputs
from neuromatic.graph import GraphBuilder
from neuromatic.recipe import FLOATS


def trainable_names(model: ModelProto, nodes: Sequence[NodeProto], loss: str, g: GraphBuilder) -> list[str]:
    """The float initializers that reach the loss through inputs that ONNX calls differentiable.

    In the order in which the file stores them. Running statistics, ratios, bounds, shapes and the values of
    ``Constant`` nodes are not among them.
    """
    needed = differentiable_values(model, nodes, [loss], g)
    stored = [t.name for t in model.graph.initializer if t.data_type in FLOATS]
    return [name for name in stored if name in needed]


def differentiable_values(
    model: ModelProto, nodes: Sequence[NodeProto], values: Collection[str], g: GraphBuilder
) -> set[str]:
    """What reaches one of some values through inputs that ONNX calls differentiable, they included."""
    needed = set(values)
    for node in reversed(nodes):
        if needed.intersection(node.output):
            states = set(state_inputs(model, node).values())
            needed.update(
                name
                for i, name in enumerate(node.input)
                if name
                and name not in states
                and _is_differentiable(node, i, g.opset)
                and _may_be_float(g, name)
            )
    return needed


def _may_be_float(g: GraphBuilder, name: str) -> bool:
    """Whether a value is of a float type, or of one that shape inference does not find."""
    return not g.knows(name) or g.value(name).dtype in (*FLOATS, TensorProto.UNDEFINED)


def _is_differentiable(node: NodeProto, index: int, opset: int) -> bool:
    if node.op_type == "BatchNormalization" and index >= 3:
        return False
    try:
        schema = onnx.defs.get_schema(node.op_type, opset if not node.domain else 1, node.domain)
    except SchemaError:  # a model-local function: its body decides
        return True
    formal = schema.inputs[min(index, len(schema.inputs) - 1)]
    return bool(formal.differentiation_category != OpSchema.DifferentiationCategory.NonDifferentiable)
