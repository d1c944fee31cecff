"""Everything inside a model: its graphs, those that nodes carry, and all tensors."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
)

Body = GraphProto | FunctionProto


def bodies(model: ModelProto) -> Iterator[Body]:
    """The model's graph, the graphs of its training part, its functions, and all graphs inside these."""
    pending: list[Body] = [model.graph, *model.functions]
    for info in model.training_info:
        pending += [info.initialization, info.algorithm]
    while pending:
        body = pending.pop()
        yield body
        for attribute in attributes(body):
            pending += graphs_of(attribute)


def attributes(body: Body) -> Iterator[AttributeProto]:
    """The attributes of all nodes of a body, and the defaults of a function's own."""
    for node in body.node:
        yield from node.attribute
    if isinstance(body, FunctionProto):
        yield from body.attribute_proto


def graphs_of(attribute: AttributeProto) -> Iterator[GraphProto]:
    """The graphs that an attribute holds."""
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def graphs_in(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs that a node carries."""
    for attribute in node.attribute:
        yield from graphs_of(attribute)


def sparse_tensors(model: ModelProto) -> Iterator[SparseTensorProto]:
    """Every sparse tensor of a model."""
    for body in bodies(model):
        if isinstance(body, GraphProto):
            yield from body.sparse_initializer
        for attribute in attributes(body):
            if attribute.HasField("sparse_tensor"):
                yield attribute.sparse_tensor
            yield from attribute.sparse_tensors


def tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor of a model: initializers, values of attributes, and the parts of sparse tensors."""
    for body in bodies(model):
        if isinstance(body, GraphProto):
            yield from body.initializer
        for attribute in attributes(body):
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
    for sparse in sparse_tensors(model):
        yield sparse.values
        yield sparse.indices
