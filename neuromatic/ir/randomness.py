"""The nodes of a graph that draw random numbers also in inference, and the graph with their draws given.

Two runtimes draw different numbers. Given the numbers that one of them drew, the other computes everything
else from them, and both have to agree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper

from neuromatic.ir.traversal import graphs_in, reads, upstream
from neuromatic.ir.types import value_types
from neuromatic.ir.values import Value

RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
"""ONNX' operators that always draw; Dropout does where its ``training_mode`` is not false."""

Functions = Mapping[tuple[str, str], FunctionProto]


def drawing_nodes(model: ModelProto) -> list[NodeProto]:
    """The nodes of a model's graph that draw: by themselves, in their graphs, or in a function's body."""
    functions = {(f.domain, f.name): f for f in model.functions}
    return _drawing(model.graph, functions, ())


def _drawing(
    body: GraphProto | FunctionProto, functions: Functions, stack: tuple[tuple[str, str], ...]
) -> list[NodeProto]:
    off = _false_values(body)
    return [node for node in body.node if _draws(node, functions, off, stack)]


def _draws(
    node: NodeProto, functions: Functions, off: Collection[str], stack: tuple[tuple[str, str], ...]
) -> bool:
    key = (node.domain, node.op_type)
    if key in functions:
        return key not in stack and bool(_drawing(functions[key], functions, (*stack, key)))
    if node.domain in ("", "ai.onnx"):
        if node.op_type in RANDOM:
            return True
        if node.op_type == "Dropout":
            return len(node.input) > 2 and node.input[2] not in off
    return any(_drawing(graph, functions, stack) for graph in graphs_in(node))


def _false_values(body: GraphProto | FunctionProto) -> set[str]:
    """The constants of a body that are false, and the name of what is left out."""
    tensors = {t.name: t for t in body.initializer} if isinstance(body, GraphProto) else {}
    constants = [node for node in body.node if node.op_type == "Constant"]
    tensors |= {node.output[0]: a.t for node in constants for a in node.attribute if a.name == "value"}
    small = {name: t for name, t in tensors.items() if not list(t.dims) or list(t.dims) == [1]}
    return {""} | {name for name, t in small.items() if not numpy_helper.to_array(t).any()}


def drawn_values(model: ModelProto) -> list[str]:
    """The outputs of :func:`drawing_nodes`, in the order of the graph."""
    return [name for node in drawing_nodes(model) for name in node.output if name]


def with_draws_given(model: ModelProto, outputs: Sequence[str]) -> ModelProto:
    """A copy in which what is drawn is an input, and some values that are not drawn are the outputs."""
    drawn = set(drawn_values(model))
    rest = [node for node in model.graph.node if drawn.isdisjoint(node.output)]
    return _part(model, upstream(rest, outputs), drawn, outputs)


def draws_alone(model: ModelProto) -> tuple[ModelProto, list[str]]:
    """The drawing nodes of a model without anything else, and the computed values that they read.

    The values are inputs of the graph; its outputs are all that is drawn.
    """
    drawing = drawing_nodes(model)
    outputs = [name for node in drawing for name in node.output if name]
    computed = {name for node in model.graph.node for name in node.output}
    read = dict.fromkeys(name for node in drawing for name in reads(node) if name in computed)
    return _part(model, drawing, set(read) - set(outputs), outputs), list(read)


def _part(
    model: ModelProto, nodes: Iterable[NodeProto], given: Collection[str], outputs: Sequence[str]
) -> ModelProto:
    """A copy with some of the nodes, some values as more inputs, and others as outputs."""
    types = value_types(model)
    part = ModelProto(ir_version=model.ir_version)
    part.opset_import.extend(model.opset_import)
    part.functions.extend(model.functions)
    part.graph.name = model.graph.name
    part.graph.node.extend(nodes)
    used = {name for node in part.graph.node for name in reads(node)} | set(outputs)
    part.graph.input.extend(i for i in model.graph.input if i.name in used)
    part.graph.input.extend(_info(types.get(name), name) for name in sorted(used.intersection(given)))
    part.graph.initializer.extend(t for t in model.graph.initializer if t.name in used)
    part.graph.sparse_initializer.extend(t for t in model.graph.sparse_initializer if t.values.name in used)
    part.graph.output.extend(_info(types.get(name), name) for name in outputs)
    return part


def _info(value: Value | None, name: str) -> ValueInfoProto:
    """A value of its type; its shape is left to the runtime."""
    if value is None or not value.dtype:
        return helper.make_empty_tensor_value_info(name)
    return helper.make_tensor_value_info(name, value.dtype, None)
