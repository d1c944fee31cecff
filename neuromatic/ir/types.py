"""The types of a model's values, and the graph that a training step is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from onnx import GraphProto, ModelProto, TensorProto, helper

from neuromatic.errors import InvalidModelError
from neuromatic.ir.onnx_errors import ONNX_ERRORS, reason_of
from neuromatic.ir.onnx_ml.types import stand_in_types
from neuromatic.ir.opsets import DEFAULT_IR_VERSION
from neuromatic.ir.shape_inference import infer
from neuromatic.ir.tensors import is_mapped
from neuromatic.ir.traversal import reads, upstream
from neuromatic.ir.values import Value

FLOATS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})
"""The types of what can be trained."""
HALVES = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})
"""The types that have too few digits to add up small updates."""
SMALL = 1024
"""Initializers of at most this many elements may be shapes or axes, which shape inference needs to see."""


def combined(model: ModelProto, *, weights: bool = True, training: bool = True) -> ModelProto:
    """The training step as one graph: the inference graph followed by the algorithm, as ONNX defines it.

    Its IR version is one that allows functions and initializers that are no inputs, whatever the model's.

    Args:
        weights: with False, large initializers become inputs; for work on types alone.
        training: with False, the algorithm is left out.
    """
    merged = ModelProto(ir_version=max(model.ir_version, DEFAULT_IR_VERSION))
    merged.opset_import.extend(model.opset_import)
    merged.functions.extend(model.functions)
    merged.graph.name = model.graph.name
    parts = [model.graph, *(info.algorithm for info in model.training_info if training)]
    for part in parts:
        merged.graph.node.extend(part.node)
        merged.graph.input.extend(part.input)
        merged.graph.output.extend(part.output)
        merged.graph.value_info.extend(part.value_info)
        if weights:
            merged.graph.initializer.extend(part.initializer)
            merged.graph.sparse_initializer.extend(part.sparse_initializer)
        else:
            _declare_types(merged.graph, part)
    return merged


def _declare_types(graph: GraphProto, part: GraphProto) -> None:
    declared = {i.name for i in graph.input}
    for tensor in part.initializer:
        if prod(tensor.dims) <= SMALL and not is_mapped(tensor):
            graph.initializer.append(tensor)
        elif tensor.name not in declared:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    for sparse in part.sparse_initializer:
        graph.input.append(
            helper.make_tensor_value_info(sparse.values.name, sparse.values.data_type, sparse.dims)
        )


def value_types(model: ModelProto) -> dict[str, Value]:
    """Every value of a model's graphs, by name, with its type as far as shape inference finds it.

    Raises:
        InvalidModelError: the declared types contradict the inferred ones.
    """
    whole = combined(model, weights=False)
    stand_in_types(whole)
    try:
        graph = infer(whole)
    except ONNX_ERRORS as error:
        raise InvalidModelError(f"the types in the model do not fit: {reason_of(error)}") from error
    found = {v.name: Value.of(v.name, v.type) for v in [*graph.value_info, *graph.input, *graph.output]}
    for tensor in graph.initializer:
        found[tensor.name] = Value(tensor.name, tensor.data_type, tuple(tensor.dims))
    return found


def part_for(model: ModelProto, outputs: Sequence[str], types: Mapping[str, Value]) -> ModelProto:
    """The part of the combined graph that computes ``outputs``; for evaluation in any ONNX runtime."""
    whole = combined(model)
    graph = whole.graph
    nodes = upstream(graph.node, outputs)
    used = {name for node in nodes for name in reads(node)} | set(outputs)
    part = ModelProto(ir_version=whole.ir_version)
    part.opset_import.extend(model.opset_import)
    part.functions.extend(model.functions)
    part.graph.name = graph.name
    part.graph.node.extend(nodes)
    part.graph.input.extend(i for i in graph.input if i.name in used)
    part.graph.initializer.extend(t for t in graph.initializer if t.name in used)
    part.graph.sparse_initializer.extend(t for t in graph.sparse_initializer if t.values.name in used)
    part.graph.output.extend(helper.make_value_info(name, types[name].type_proto()) for name in outputs)
    return part
