"""The planning of an ONNX graph, the same for every engine.

``plan`` resolves each node once: its lowering by schema version, its attributes (value, else the schema's
default, else None), the graphs that it carries, and, for operators without a lowering, the ONNX function
that defines them. All that is unsupported is reported together, before anything runs. ``run`` then calls
the lowerings in order (:mod:`neuromatic.converters.plans`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TypeProto

from neuromatic.converters.attributes import attribute_value, resolve_attributes
from neuromatic.converters.constants import dense
from neuromatic.converters.plans import Body, Context, Plan, Scope, Step, call_lowering, run
from neuromatic.converters.registry import OpKey, Registry, domain_name, find_schema
from neuromatic.errors import InvalidModelError, UnsupportedOpError
from neuromatic.ir import onnx_ml
from neuromatic.ir.onnx_errors import ONNX_ERRORS, reason_of
from neuromatic.ir.onnx_ml.types import stand_in_types
from neuromatic.ir.opsets import NEUROMATIC_DOMAIN, TRAINING_SUFFIX
from neuromatic.ir.shape_inference import infer
from neuromatic.ir.tensors import array_of
from neuromatic.ir.traversal import reads
from neuromatic.ir.types import combined, part_for
from neuromatic.ir.values import Value

__all__ = [
    "MAX_EXPANDED_NODES",
    "MAX_FUNCTION_DEPTH",
    "Body",
    "Context",
    "Plan",
    "Scope",
    "Step",
    "call_lowering",
    "describe",
    "initial_values",
    "plan",
    "plan_outputs",
    "resolve_attributes",
    "run",
]

Opsets = Mapping[str, int]

FunctionKey = tuple[str, str, str]
"""Domain, name and overload of a function."""

MAX_EXPANDED_NODES = 1_000_000
"""Refuse graphs whose functions expand to more nodes than this (a 4 kB file can ask for billions)."""

MAX_FUNCTION_DEPTH = 100
"""Refuse graphs whose functions and nodes' graphs stand in each other deeper than this."""


def plan(model: ModelProto, registry: Registry, *, training: bool = False) -> Plan:
    """Resolve every node of a model's graph against an engine's registry.

    Args:
        training: take the training meaning of model-local functions that have one.

    Raises:
        UnsupportedOpError: some nodes have neither a lowering nor a function; it lists them all.
    """
    return _Planner(model, registry, training).graph_plan()


def plan_outputs(
    model: ModelProto, registry: Registry, *, training: bool = False
) -> tuple[Plan, tuple[str, ...]]:
    """The plan of those outputs of a model that an engine can compute, and their names.

    Args:
        training: see :func:`plan`.

    Raises:
        UnsupportedOpError: it can compute none; lists what it lacks.
    """
    types = {o.name: Value.of(o.name, o.type) for o in model.graph.output}
    try:
        return plan(model, registry, training=training), tuple(types)
    except UnsupportedOpError:
        names = [name for name in types if _can_plan(part_for(model, [name], types), registry)]
        if not names:
            raise
    return plan(part_for(model, names, types), registry, training=training), tuple(names)


def _can_plan(model: ModelProto, registry: Registry) -> bool:
    try:
        plan(model, registry)
    except UnsupportedOpError:
        return False
    return True


def describe(node: NodeProto, key: OpKey | str) -> str:
    """A node as errors name it: by its name, or by its first output where it has none."""
    return f"{_where(node)} ({key})"


def _where(node: NodeProto) -> str:
    if node.name:
        return f"node {node.name!r}"
    return f"the node of output {node.output[0]!r}" if node.output else "a node without outputs"


class _Planner:
    def __init__(self, model: ModelProto, registry: Registry, training: bool) -> None:
        self.model = model
        self.registry = registry
        self.opsets = {domain_name(o.domain): o.version for o in model.opset_import}
        self.functions = {(domain_name(f.domain), f.name, f.overload): f for f in model.functions}
        self.types: dict[str, TypeProto] | None = None
        if training:
            for domain, name, overload in list(self.functions):
                sibling = self.functions.get((domain, name + TRAINING_SUFFIX, overload))
                if domain == NEUROMATIC_DOMAIN and sibling is not None:
                    self.functions[domain, name, overload] = sibling
        self.problems: list[str] = []
        self.sizes: dict[FunctionKey, tuple[int, int]] = {}

    def graph_plan(self) -> Plan:
        self.refuse_huge_functions()
        steps = self.steps(self.model.graph.node, self.opsets, {}, ())
        if self.problems:
            raise UnsupportedOpError(self.registry.engine, self.problems)
        return Plan(steps)

    def refuse_huge_functions(self) -> None:
        """Count what the functions expand to, before any is expanded."""
        nodes, depth = self.size(self.model.graph.node, 0)
        problem = ""
        if depth > MAX_FUNCTION_DEPTH:
            problem = (
                "the graph's functions call each other, or its nodes' graphs stand in each other, "
                f"more than {MAX_FUNCTION_DEPTH} deep"
            )
        elif nodes > MAX_EXPANDED_NODES:
            problem = f"the graph's functions expand to more than {MAX_EXPANDED_NODES:,} nodes"
        if problem:
            raise UnsupportedOpError(self.registry.engine, [problem])

    def size(self, nodes: Iterable[NodeProto], above: int) -> tuple[int, int]:
        """How many nodes these expand to, and how deep; ``above`` is how deep they stand themselves."""
        total, depth = 0, 0
        for node in nodes:
            total += 1
            for inner, deeper in self.sizes_inside(node, above):
                total, depth = total + inner, max(depth, deeper)
        return total, depth

    def sizes_inside(self, node: NodeProto, above: int) -> Iterator[tuple[int, int]]:
        """``size`` of the function that a node calls and of the graphs that it carries."""
        if above > MAX_FUNCTION_DEPTH:  # deep enough to be refused
            yield 0, above
            return
        for graph in _graphs_of(node):
            inner, deeper = self.size(graph.node, above + 1)
            yield inner, deeper + 1
        key = (domain_name(node.domain), node.op_type, node.overload)
        if key not in self.functions:
            return
        if key not in self.sizes:
            self.sizes[key] = (0, 0)  # while it is counted: one that calls itself is reported later
            self.sizes[key] = self.size(self.functions[key].node, above + 1)
        inner, deeper = self.sizes[key]
        yield inner, deeper + 1

    def steps(
        self,
        nodes: Iterable[NodeProto],
        opsets: Opsets,
        bound: Mapping[str, Any],
        stack: tuple[FunctionKey, ...],
    ) -> tuple[Step, ...]:
        resolved = (self.step(node, opsets, bound, stack) for node in nodes)
        return tuple(step for step in resolved if step is not None)

    def step(
        self, node: NodeProto, opsets: Opsets, bound: Mapping[str, Any], stack: tuple[FunctionKey, ...]
    ) -> Step | None:
        domain = domain_name(node.domain)
        local = self.functions.get((domain, node.op_type, node.overload))
        if local is not None:
            identity = (domain, node.op_type, node.overload)
            if identity in stack:
                self.problems.append(f"function {node.op_type!r} calls itself")
                return None
            return self.function_step(node, local, bound, (*stack, identity))
        opset = opsets.get(domain, 1 if domain else 0)
        lowering = self.registry.find(node.op_type, opset, domain)
        reason = ""
        if lowering is None:
            body = self.schema_function(node, opset, domain, bound, stack)
            if body is None and domain == onnx_ml.DOMAIN and node.op_type in onnx_ml.FORMS:
                try:
                    body = self.ml_function(node, opset, bound, stack)
                except onnx_ml.NoFormError as error:
                    reason = f": {error}"
            if body is not None:
                return self.function_step(node, body, bound, stack)
            lowering = self.registry.otherwise(node.op_type, opset, domain)
        if lowering is None:
            self.problems.append(self.problem(node, opset, domain) + reason)
            return None
        attributes = {
            name: self.graph_of_node(value, opsets, bound, stack) if isinstance(value, GraphProto) else value
            for name, value in resolve_attributes(node, lowering.schema.attributes, bound).items()
        }
        where = describe(node, lowering.key)
        return Step(where, lowering, tuple(node.input), tuple(node.output), attributes)

    def graph_of_node(
        self, graph: GraphProto, opsets: Opsets, bound: Mapping[str, Any], stack: tuple[FunctionKey, ...]
    ) -> Plan:
        """The plan of a graph that a node carries."""
        steps = self.steps(graph.node, opsets, bound, stack)
        inputs, outputs = (tuple(v.name for v in values) for values in (graph.input, graph.output))
        constants = {t.name: array_of(t) for t in graph.initializer}
        own = {*inputs, *constants, *(name for step in steps for name in step.outputs)}
        read = dict.fromkeys(name for step in steps for name in step.reads) | dict.fromkeys(outputs)
        return Plan(steps, inputs, outputs, tuple(name for name in read if name not in own), constants)

    def function_step(
        self, node: NodeProto, body: FunctionProto, bound: Mapping[str, Any], stack: tuple[FunctionKey, ...]
    ) -> Step:
        given = {a.name: attribute_value(a, bound) for a in node.attribute}
        defaults = {a.name: attribute_value(a, {}) for a in body.attribute_proto}
        opsets = dict(self.opsets)  # for bodies that import too little
        opsets |= {domain_name(o.domain): o.version for o in body.opset_import}
        names = dict.fromkeys(body.attribute) | defaults | given
        steps = self.steps(body.node, opsets, names, stack)
        nested = Plan(
            steps, tuple(body.input), tuple(body.output)
        )  # more outputs than the node names are left
        return Step(describe(node, node.op_type), nested, tuple(node.input), tuple(node.output))

    def schema_function(
        self,
        node: NodeProto,
        opset: int,
        domain: str,
        bound: Mapping[str, Any],
        stack: tuple[FunctionKey, ...],
    ) -> FunctionProto | None:
        """The ONNX function that defines an operator, for this node's attributes and input types."""
        schema = find_schema(node.op_type, opset, domain)
        if schema is None:
            return None
        if schema.has_function:  # type: ignore[attr-defined]  # onnx's stubs lack it
            body = FunctionProto()
            body.CopyFrom(schema.function_body)
        elif schema.has_context_dependent_function and not stack:  # type: ignore[attr-defined]
            types = [self.value_types().get(name, TypeProto()) for name in node.input]
            try:
                data = schema.get_context_dependent_function(  # type: ignore[attr-defined]
                    node.SerializeToString(), [t.SerializeToString() for t in types]
                )
            except RuntimeError:  # the types do not suffice
                return None
            body = FunctionProto.FromString(data)
        else:
            return None
        # A schema's defaults hold inside its function.
        for name, attribute in schema.attributes.items():
            known = {a.name for a in body.attribute_proto}
            if name not in known and attribute.default_value.name:
                body.attribute_proto.append(attribute.default_value)
        return body

    def ml_function(
        self, node: NodeProto, opset: int, bound: Mapping[str, Any], stack: tuple[FunctionKey, ...]
    ) -> FunctionProto:
        """The function that stands for an operator of ai.onnx.ml.

        Raises:
            NoFormError: there is none.
        """
        schema = find_schema(node.op_type, opset, onnx_ml.DOMAIN)
        if schema is None:
            raise onnx_ml.NoFormError("there is no such version of it")
        attributes = resolve_attributes(node, schema.attributes, bound)
        if stack:  # inside a function, names mean something else
            return onnx_ml.function(node, {}, attributes, node.output)
        known = self.value_types()
        types = {name: Value.of(name, known[name]) for name in node.input if name in known}
        return onnx_ml.function(node, types, attributes, self.used)

    @cached_property
    def used(self) -> frozenset[str]:
        """The names of the values that the graph reads or gives."""
        read = {name for node in self.model.graph.node for name in reads(node)}
        return frozenset(read | {o.name for o in self.model.graph.output})

    def value_types(self) -> dict[str, TypeProto]:
        """The inferred types of the graph's values, and of those in the graphs of its nodes, by name."""
        if self.types is None:
            model = combined(self.model, weights=False)
            stand_in_types(model)
            try:
                inferred = infer(model)
            except ONNX_ERRORS as error:
                raise InvalidModelError(f"the types in the model do not fit: {reason_of(error)}") from error
            self.types = dict(_types_in(inferred))
        return self.types

    def problem(self, node: NodeProto, opset: int, domain: str) -> str:
        schema = find_schema(node.op_type, opset, domain)
        prefix = f"{domain}." if domain else ""
        version = "" if schema is None else f"-{schema.since_version}"
        where = _where(node)
        has = self.registry.versions(node.op_type, domain)
        rest = f"; versions it has: {has}" if has else ""
        return (
            f"{self.registry.engine} has no lowering for {prefix}{node.op_type}{version} "
            f"({where}, opset {opset}){rest}"
        )


def _graphs_of(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g


def _types_in(graph: GraphProto) -> Iterator[tuple[str, TypeProto]]:
    for node in graph.node:
        for inner in _graphs_of(node):
            yield from _types_in(inner)
    for tensor in graph.initializer:
        yield tensor.name, onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.name, value.type


def initial_values(model: ModelProto) -> dict[str, np.ndarray[Any, Any]]:
    """The initializers of a model's graph as arrays, by name."""
    arrays = {t.name: array_of(t) for t in model.graph.initializer}
    return arrays | {s.values.name: dense(s) for s in model.graph.sparse_initializer}
