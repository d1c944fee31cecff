"""The walk over an ONNX graph, the same for every engine.

``plan`` resolves each node once: its lowering by schema version, its attributes (value, else the schema's
default, else None), and, for operators without a lowering, the ONNX function that defines them. All that
is unsupported is reported together, before anything runs. ``run`` then calls the lowerings in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto, TypeProto, numpy_helper

from neuromatic.converters.registry import Lowering, OpKey, Registry, domain_name, find_schema
from neuromatic.errors import UnsupportedOpError
from neuromatic.graph import NEUROMATIC_DOMAIN, TRAINING_SUFFIX

Opsets = Mapping[str, int]

FunctionKey = tuple[str, str, str]
"""Domain, name and overload of a function."""

MAX_EXPANDED_NODES = 1_000_000
"""Refuse graphs whose functions expand to more nodes than this (a 4 kB file can ask for billions)."""

MAX_FUNCTION_DEPTH = 100
"""Refuse graphs whose functions call each other deeper than this."""


@dataclass
class Context:
    """What holds for a whole run of a plan; engines add what their lowerings need.

    Attributes:
        training: whether Dropout and BatchNormalization have their training meaning.
        updated: names of the initializers that this step updates; BatchNormalization takes batch
            statistics only if its running statistics are among them.
    """

    training: bool = False
    updated: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Scope:
    """What a lowering may know besides its inputs and attributes.

    Attributes:
        node: the node as errors name it, for instance ``node 'conv_1' (Conv-11)``.
        inputs: names of the node's inputs, ``""`` where one is left out.
        outputs: names of the node's outputs, ``""`` where one is not wanted.
        context: see :class:`Context`.
        within: the calls of functions that the node stands in; with an output's name it is unique in a run.
    """

    node: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    context: Any
    within: str = ""

    def wants(self, output: int) -> bool:
        """Whether the node names its output of that index, so that it has to be computed."""
        return output < len(self.outputs) and self.outputs[output] != ""


@dataclass(frozen=True)
class Step:
    """One node, resolved: either a lowering to call or a nested plan (a function's body) to run."""

    node: str
    action: Lowering | Plan
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Resolved nodes in order. ``inputs`` and ``outputs`` name the values of a function's body."""

    steps: tuple[Step, ...]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


Caller = Callable[[Lowering, Scope, Sequence[Any], Mapping[str, Any]], Any]


def call_lowering(
    lowering: Lowering, scope: Scope, inputs: Sequence[Any], attributes: Mapping[str, Any]
) -> Any:
    """Call a lowering as it is; engines wrap this to fold constants or to assign layouts."""
    return lowering.function(scope, *inputs, **attributes)


def plan(model: ModelProto, registry: Registry, *, training: bool = False) -> Plan:
    """Resolve every node of a model's graph against an engine's registry.

    Args:
        training: take the training meaning of model-local functions that have one.

    Raises:
        UnsupportedOpError: some nodes have neither a lowering nor a function; it lists them all.
    """
    return _Planner(model, registry, training).graph_plan()


def run(
    plan: Plan,
    values: MutableMapping[str, Any],
    context: Any,
    call: Caller = call_lowering,
    within: str = "",
) -> None:
    """Run a plan: read inputs from ``values`` by name and add each node's outputs to it."""
    for step in plan.steps:
        inputs = [values[name] if name else None for name in step.inputs]
        if isinstance(step.action, Plan):
            inside = f"{within}{next(filter(None, step.outputs), '')}/"
            results = _run_function(step.action, inputs, context, call, inside)
        else:
            scope = Scope(step.node, step.inputs, step.outputs, context, within)
            results = call(step.action, scope, inputs, step.attributes)
        if not isinstance(results, tuple):
            results = (results,)
        for name, result in zip(step.outputs, results, strict=False):
            if name:
                values[name] = result


def _run_function(
    body: Plan, inputs: Sequence[Any], context: Any, call: Caller, within: str
) -> tuple[Any, ...]:
    values: dict[str, Any] = dict.fromkeys(body.inputs)
    values.update(zip(body.inputs, inputs, strict=False))
    run(body, values, context, call, within)
    return tuple(values.get(name) for name in body.outputs)  # a body may leave optional ones out


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
            problem = f"the graph's functions call each other more than {MAX_FUNCTION_DEPTH} deep"
        elif nodes > MAX_EXPANDED_NODES:
            problem = f"the graph's functions expand to more than {MAX_EXPANDED_NODES:,} nodes"
        if problem:
            raise UnsupportedOpError(self.registry.engine, [problem])

    def size(self, nodes: Iterable[NodeProto], above: int) -> tuple[int, int]:
        """How many nodes these expand to, and how deep; ``above`` is how deep they stand themselves."""
        total, depth = 0, 0
        for node in nodes:
            total += 1
            key = (domain_name(node.domain), node.op_type, node.overload)
            if key not in self.functions or above > MAX_FUNCTION_DEPTH:
                depth = max(depth, above if key in self.functions else 0)
                continue
            if key not in self.sizes:
                self.sizes[key] = (0, 0)  # while it is counted: one that calls itself is reported later
                self.sizes[key] = self.size(self.functions[key].node, above + 1)
            inner, deeper = self.sizes[key]
            total, depth = total + inner, max(depth, deeper + 1)
        return total, depth

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
        if lowering is not None:
            attributes = resolve_attributes(node, lowering.schema.attributes, bound)
            where = describe(node, lowering.key)
            return Step(where, lowering, tuple(node.input), tuple(node.output), attributes)
        body = self.schema_function(node, opset, domain, bound, stack)
        if body is not None:
            return self.function_step(node, body, bound, stack)
        self.problems.append(self.problem(node, opset, domain))
        return None

    def function_step(
        self, node: NodeProto, body: FunctionProto, bound: Mapping[str, Any], stack: tuple[FunctionKey, ...]
    ) -> Step:
        given = {a.name: _attribute_value(a, bound) for a in node.attribute}
        defaults = {a.name: _attribute_value(a, {}) for a in body.attribute_proto}
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

    def value_types(self) -> dict[str, TypeProto]:
        if self.types is None:
            inferred = onnx.shape_inference.infer_shapes(self.model, data_prop=True).graph
            known = [*inferred.input, *inferred.output, *inferred.value_info]
            self.types = {v.name: v.type for v in known}
            for tensor in inferred.initializer:
                kind = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
                self.types[tensor.name] = kind
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


def resolve_attributes(
    node: NodeProto, schema_attributes: Mapping[str, onnx.defs.OpSchema.Attribute], bound: Mapping[str, Any]
) -> dict[str, Any]:
    """The value of each of a schema's attributes: the node's, else the schema's default, else None.

    Strings come as ``str``, lists as tuples, tensors as arrays. ``bound`` holds the attributes of the
    function that the node stands in, for references to them.
    """
    given = {a.name: a for a in node.attribute}
    resolved: dict[str, Any] = {}
    for name, attribute in schema_attributes.items():
        if name in given:
            resolved[name] = _attribute_value(given[name], bound)
        else:
            resolved[name] = None
        if resolved[name] is None and attribute.default_value.name:
            resolved[name] = _attribute_value(attribute.default_value, {})
    return resolved


def _attribute_value(attribute: AttributeProto, bound: Mapping[str, Any]) -> Any:
    if attribute.ref_attr_name:
        return bound.get(attribute.ref_attr_name)
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Iterable):
        return tuple(v.decode() if isinstance(v, bytes) else v for v in value)
    return value


def initial_values(model: ModelProto) -> dict[str, np.ndarray[Any, Any]]:
    """The initializers of a model's graph as arrays, by name."""
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
