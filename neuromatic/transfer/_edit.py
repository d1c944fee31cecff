"""Edits that several transfers share: finding a value, including and pruning nodes."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import GraphProto, ModelProto, NodeProto, helper

from neuromatic.errors import UnknownNameError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.opsets import DEFAULT_IR_VERSION, NEUROMATIC_DOMAIN
from neuromatic.ir.traversal import data_inputs, layer_of, reads, store, upstream


def value_named(graph: GraphProto, name: str) -> str:
    """The value of that name; else the first output of that node, or what that layer gives.

    Raises:
        UnknownNameError: there is none.
    """
    found = find_value(graph, name)
    if found is None:
        inner = (o for node in graph.node for o in (*node.output, layer_of(node)) if o)
        known = dict.fromkeys([*data_inputs(graph), *inner])
        raise UnknownNameError("value, node or layer", name, known)
    return found


def find_value(graph: GraphProto, name: str) -> str | None:
    """As :func:`value_named`, but None where there is none."""
    values = [*data_inputs(graph), *(o for node in graph.node for o in node.output if o)]
    if name in values:
        return name
    named: list[NodeProto] = [node for node in graph.node if node.name == name]
    named += [node for node in reversed(graph.node) if layer_of(node) == name]
    if named:
        found: str = named[0].output[0]
        return found
    return None


def prune(graph: GraphProto, values: Sequence[str]) -> None:
    """Leave the nodes that some values need, and what is stored or declared for them."""
    nodes = upstream(graph.node, values)
    before = {name for node in graph.node for name in reads(node)}
    after = {name for node in nodes for name in reads(node)} | set(values)
    gone = before - after | {o for node in graph.node for o in node.output} - after
    del graph.node[:]
    graph.node.extend(nodes)
    for items in (graph.initializer, graph.input, graph.value_info):
        keep(items, [item for item in items if item.name not in gone])
    keep(graph.sparse_initializer, [t for t in graph.sparse_initializer if t.values.name not in gone])


def keep(items: object, kept: Sequence[object]) -> None:
    del items[:]  # type: ignore[attr-defined]
    items.extend(kept)  # type: ignore[attr-defined]


def include(
    model: ModelProto, g: GraphBuilder, position: int, nodes: Sequence[NodeProto] | None = None
) -> None:
    """Add what a builder has made to a model, its nodes (or some of them) at a position.

    The IR version is raised where new functions need that.
    """
    graph = model.graph
    rest = list(graph.node)
    new = list(g.graph.node if nodes is None else nodes)
    keep(graph.node, [*rest[:position], *new, *rest[position:]])
    present = {(f.domain, f.name) for f in model.functions}
    functions = [f for f in g.functions.values() if (f.domain, f.name) not in present]
    if functions:
        model.functions.extend(functions)
        model.ir_version = max(model.ir_version, DEFAULT_IR_VERSION)
    known = {t.name for t in graph.initializer}
    for tensor in (t for t in g.graph.initializer if t.name not in known):
        store(model, tensor)
    if NEUROMATIC_DOMAIN in {n.domain for n in new} - {o.domain for o in model.opset_import}:
        model.opset_import.append(helper.make_opsetid(NEUROMATIC_DOMAIN, 1))
