"""Weights that an exporter wrote as ``Constant`` nodes become initializers, which can be trained.

A constant is taken for a weight by where it goes, see :data:`WEIGHTS`, and by what it is: floats, of rank 1
or more, at least two of them. Scalars, shapes, axes, bounds and resize scales stay constants, and so does
what is added as a mask. The initializer has the name that the constant had, so that nothing else of the
graph changes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from neuromatic.ir.tensors import array_of
from neuromatic.ir.traversal import dependents, fed, store
from neuromatic.ir.types import FLOATS

WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "Add": (0, 1),
    "BatchNormalization": (1, 2, 3, 4),
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
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
PASSING = frozenset({"Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators through which a weight may go on its way there."""
LARGEST = 1e4
"""An addend with values from here on, or infinite ones, is a mask."""
SEPARATING = frozenset({"neuromatic", "pytorch"})
"""Programs whose ``Constant`` nodes hold no parameters, but for instance GroupNorm's dummy scale."""


def liftable(graph: GraphProto) -> list[str]:
    """The outputs of ``Constant`` nodes that hold weights, in order."""
    data, outputs = fed(graph), {o.name for o in graph.output}
    found = []
    for node in graph.node:
        tensor = _value(node)
        if tensor is None or node.output[0] in outputs or not _may_be_weight(tensor):
            continue
        operators = _uses(graph, node.output[0], data)
        if operators and not ("Add" in operators and _is_mask(tensor)):
            found.append(node.output[0])
    return found


def lift(model: ModelProto) -> ModelProto:
    """A copy whose weights in ``Constant`` nodes are initializers of the same names and values."""
    names = set(liftable(model.graph))
    lifted = ModelProto()
    lifted.CopyFrom(model)
    graph = lifted.graph
    for node in [n for n in graph.node if n.op_type == "Constant" and n.output[0] in names]:
        tensor = TensorProto()
        tensor.CopyFrom(_value(node) or tensor)
        tensor.name = node.output[0]
        store(lifted, tensor)
        graph.node.remove(node)
    return lifted


def hidden_weights(model: ModelProto) -> list[str]:
    """What :func:`liftable` finds, but nothing in files of :data:`SEPARATING` programs."""
    return [] if model.producer_name in SEPARATING else liftable(model.graph)


def _value(node: NodeProto) -> TensorProto | None:
    """What a ``Constant`` node holds, if it is a tensor or a list of floats."""
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return None
    for attribute in node.attribute:
        if attribute.name == "value" and attribute.type == AttributeProto.TENSOR:
            tensor: TensorProto = attribute.t
            return tensor
        if attribute.name == "value_floats":
            return numpy_helper.from_array(np.array(attribute.floats, np.float32))
    return None


def _may_be_weight(tensor: TensorProto) -> bool:
    return tensor.data_type in FLOATS and len(tensor.dims) >= 1 and int(np.prod(tensor.dims)) >= 2


def _is_mask(tensor: TensorProto) -> bool:
    largest = np.abs(array_of(tensor).astype(np.float64)).max()
    return not bool(largest < LARGEST)


def _uses(graph: GraphProto, name: str, data: set[str]) -> set[str]:
    """The operators that take a constant as a weight, together with data."""
    passed = dependents([n for n in graph.node if n.op_type in PASSING and n.input[0] not in data], [name])
    return {
        node.op_type
        for node in graph.node
        if node.domain in ("", "ai.onnx") and not data.isdisjoint(node.output)
        for i, given in enumerate(node.input)
        if given in passed and i in WEIGHTS.get(node.op_type, ())
    }
