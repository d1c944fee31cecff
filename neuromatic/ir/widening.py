"""Models of bfloat16 as onnxruntime can run them: in float32, which holds every bfloat16 exactly."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TypeProto,
    helper,
    numpy_helper,
)

from neuromatic.ir.tensors import array_of

BFLOAT16 = np.dtype(helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16))
TYPE_ATTRIBUTES = ("dtype", "to", "output_dtype", "stash_type")
"""Attributes of nodes that are element types."""


def has_bfloat16(model: ModelProto) -> bool:
    """Whether a model stores, takes or gives bfloat16."""
    graph = model.graph
    declared = (v.type.tensor_type.elem_type for v in (*graph.input, *graph.output))
    return TensorProto.BFLOAT16 in (*declared, *(t.data_type for t in graph.initializer))


def widened(model: ModelProto) -> ModelProto:
    """A copy that computes in float32 what the model computes in bfloat16.

    onnxruntime has almost no kernels for bfloat16 on a CPU. Values are then rounded less often.
    """
    result = ModelProto()
    result.CopyFrom(model)
    _widen_graph(result.graph)
    for function in result.functions:
        _widen_nodes(function.node)
        _widen_values(function)
    return result


def _widen_graph(graph: GraphProto) -> None:
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        _widen_type(value.type)
    _widen_nodes(graph.node)


def _widen_values(function: FunctionProto) -> None:
    for value in function.value_info:
        _widen_type(value.type)


def _widen_nodes(nodes: Iterable[NodeProto]) -> None:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.INT and attribute.name in TYPE_ATTRIBUTES:
                attribute.i = TensorProto.FLOAT if attribute.i == TensorProto.BFLOAT16 else attribute.i
            if attribute.type == AttributeProto.TENSOR:
                _widen_tensor(attribute.t)
            for graph in (attribute.g, *attribute.graphs):
                _widen_graph(graph)


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.BFLOAT16:
        tensor.CopyFrom(numpy_helper.from_array(array_of(tensor).astype(np.float32), tensor.name))


def _widen_type(kind: TypeProto) -> None:
    inner = kind.tensor_type
    if kind.HasField("sequence_type"):
        _widen_type(kind.sequence_type.elem_type)
    elif kind.HasField("optional_type"):
        _widen_type(kind.optional_type.elem_type)
    elif inner.elem_type == TensorProto.BFLOAT16:
        inner.elem_type = TensorProto.FLOAT
