"""Walking over a model: its graphs and those inside them, its tensors, and what depends on what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    helper,
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


def data_inputs(graph: GraphProto) -> list[str]:
    """The inputs that data are fed to: those without an initializer."""
    initialized = {t.name for t in graph.initializer}
    return [i.name for i in graph.input if i.name not in initialized]


def computed_values(graph: GraphProto) -> list[str]:
    """The values that a loss may be of: the outputs, and what any node computes."""
    inner = (name for node in graph.node for name in node.output if name)
    return list(dict.fromkeys([*(o.name for o in graph.output), *inner]))


def upstream(nodes: Sequence[NodeProto], names: Iterable[str]) -> list[NodeProto]:
    """The nodes that the named values depend on, in order."""
    needed = set(names)
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(reads(node))
    return kept[::-1]


def reads(node: NodeProto) -> Iterator[str]:
    """The values that a node reads, those inside the graphs that it carries included."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs]:
            for inner in graph.node:
                yield from reads(inner)
            yield from (output.name for output in graph.output)


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


def layer_of(node: NodeProto) -> str:
    """The layer that a node belongs to: its name up to the last slash, or its output where it has none."""
    return node.name.rsplit("/", 1)[0] or node.output[0]
