"""What all passes share: a walk over a graph that copies its nodes, or what a rule puts in their place.

A pass takes a model and the names of the initializers that are parameters, which no pass may compute with,
and returns a new model with the same inputs, outputs and parameters. It never changes the model it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.checker import ValidationError

from neuromatic.converters.formats.onnx_file import default_opset
from neuromatic.converters.lowering import resolve_attributes
from neuromatic.converters.registry import domain_name, find_schema
from neuromatic.errors import ModelError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.tensors import array_of, is_mapped
from neuromatic.ir.traversal import upstream
from neuromatic.ir.values import Dim, Shape, Value

Array = NDArray[Any]

Pass = Callable[[ModelProto, Collection[str]], ModelProto]
"""``pass(model, keep)``: see the module."""

MAX_INFERRED_ELEMENTS = 4096
"""Constants with more elements than this never are shapes or axes, so shape inference is not shown them."""


class NoFormError(Exception):
    """A rule's reason why a node cannot be said as it has to be."""


@dataclass(frozen=True)
class Node:
    """A node as a rule sees it.

    Attributes:
        proto: the node; its inputs are those of the graph that is being built.
        inputs: its inputs, None where one is left out.
        attributes: its attributes, with the defaults of its schema.
    """

    proto: NodeProto
    inputs: tuple[Value | None, ...]
    attributes: Mapping[str, Any]

    @property
    def op(self) -> str:
        return self.proto.op_type

    @property
    def x(self) -> Value:
        """The first input."""
        return self.required(0)

    def required(self, index: int) -> Value:
        """An input that has to be there."""
        value = self.input(index)
        if value is None:
            raise ModelError(f"{self.op} {self.proto.name!r} lacks input {index}")
        return value

    def input(self, index: int) -> Value | None:
        """An input; None if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def wants(self, output: int) -> bool:
        """Whether the node names its output of that index."""
        return output < len(self.proto.output) and self.proto.output[output] != ""

    def given(self) -> dict[str, Any]:
        """The attributes that the node has itself."""
        return {a.name: helper.get_attribute_value(a) for a in self.proto.attribute}


Results = Value | Sequence[Value] | None
"""What stands in place of a node's outputs; None to leave the node as it is."""

Rule = Callable[["Rewriter", Node], Results]


class Rewriter(GraphBuilder):
    """The graph under construction.

    Args:
        model: the model that is copied.
        keep: names of parameters, which count as unknown.
        opset: the version of ONNX' operators to build for; by default the model's.
    """

    def __init__(self, model: ModelProto, keep: Collection[str] = (), opset: int | None = None) -> None:
        self.source_opset = default_opset(model)
        super().__init__(opset=opset or self.source_opset)
        self.model = model
        self.keep = frozenset(keep)
        self.tensors: dict[str, TensorProto] = {}
        self.wanted = {o.name for o in model.graph.output}
        names = {name for node in model.graph.node for name in (node.name, *node.output)}
        self.reserve({*names, *(i.name for i in model.graph.input)})
        for tensor in model.graph.initializer:
            self._take(tensor)
        for item in model.graph.input:
            self.graph.input.append(item)
            if not self.knows(item.name):
                self.declare(Value.of(item.name, item.type))

    @property
    def batch(self) -> str | None:
        """The symbol of the batch dimension: the leading one of the first input that has one."""
        stored = self.tensors.keys()
        shapes = (Value.of(i.name, i.type).shape for i in self.graph.input if i.name not in stored)
        return next((s[0] for s in shapes if s and isinstance(s[0], str)), None)

    def array(self, value: Value | None) -> Array | None:
        """What a value holds if it is a constant; None for parameters and all that is computed."""
        if value is None or value.name in self.keep:
            return None
        if value.name in self.tensors:
            return array_of(self.tensors[value.name])
        producer = self.producer(value)
        return constant_array(producer) if producer is not None else None

    def integers(self, value: Value | None) -> list[int] | None:
        """The integers a constant holds, as a flat list."""
        array = self.array(value)
        return None if array is None else [int(i) for i in array.ravel()]

    def const(self, value: ArrayLike, dtype: int = TensorProto.FLOAT) -> Value:
        """A constant, as an initializer that is no parameter."""
        array = np.asarray(value, helper.tensor_dtype_to_np_dtype(dtype))
        key = (dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._unique(self._scoped("constant"))
            self._constants[key] = self._take(numpy_helper.from_array(array, name))
        return self._constants[key]

    def like(self, value: ArrayLike, x: Value) -> Value:
        """A constant of the element type of another value."""
        return self.const(value, x.dtype)

    def node(self, proto: NodeProto) -> Node | None:
        """A node of the source, with the inputs it gets here; None if ONNX does not define the operator."""
        schema = find_schema(proto.op_type, self.source_opset)
        if schema is None or domain_name(proto.domain) != "":
            return None
        attributes = resolve_attributes(proto, schema.attributes, {})
        return Node(proto, tuple(self.value(name) if name else None for name in proto.input), attributes)

    def visit(self, node: NodeProto, rule: Rule | None) -> None:
        """Copy a node, or put in its place what the rule makes of it."""
        proto = NodeProto()
        proto.CopyFrom(node)
        inputs = tuple(self.value(name) if name else None for name in node.input)
        proto.input[:] = [value.name if value is not None else "" for value in inputs]
        known = self.node(proto) if rule is not None else None
        start = len(self.graph.node)
        results: Results = None
        if rule is not None and known is not None:
            with self.layer(next((name for name in node.output if name), "unused")):
                results = rule(self, known)
        if results is None:
            self.include(proto, self.outputs(proto, inputs))
            return
        values = (results,) if isinstance(results, Value) else results
        for name, value in zip(node.output, values, strict=False):
            if name:
                self._adopt(name, value, start, node.name)

    def result(self) -> ModelProto:
        """The model that was built, without nodes that nothing uses."""
        model = ModelProto()
        for descriptor, field in self.model.ListFields():
            if descriptor.name != "graph":
                _copy_field(model, descriptor.name, field)
        graph, source = model.graph, self.model.graph
        graph.name, graph.doc_string = source.name, source.doc_string
        graph.metadata_props.extend(source.metadata_props)
        graph.sparse_initializer.extend(source.sparse_initializer)
        graph.node.extend(upstream(self.graph.node, self.wanted))
        graph.initializer.extend(self.tensors.values())
        graph.input.extend(self.graph.input)
        graph.output.extend(self._output(item) for item in source.output)
        return model

    def _output(self, declared: ValueInfoProto) -> ValueInfoProto:
        """An output of the graph with the type found, where anything was found, else the declared one."""
        found, before = self.value(declared.name), Value.of(declared.name, declared.type)
        shape = _merged(found.shape, before.shape)
        if not found.dtype or shape is None:
            return declared
        return helper.make_value_info(declared.name, helper.make_tensor_type_proto(found.dtype, shape))

    def _take(self, tensor: TensorProto) -> Value:
        if is_mapped(tensor):  # the result is to hold all its values
            tensor = numpy_helper.from_array(array_of(tensor), tensor.name)
        self.tensors[tensor.name] = tensor
        return self.declare(Value(tensor.name, tensor.data_type, tuple(tensor.dims)))

    def outputs(self, node: NodeProto, inputs: Sequence[Value | None]) -> list[Value]:
        """The outputs of a node as far as ONNX can tell what they are."""
        try:
            schema = self.schema(node.op_type, domain_name(node.domain))
            types = self._infer(node, schema, [x for x in inputs if x is not None])
        except (ModelError, ValidationError):
            types = [(TensorProto.UNDEFINED, None)] * len(node.output)
        outputs = zip(node.output, types, strict=True)
        return [Value(name, *kind) for name, kind in outputs if name]

    def _adopt(self, name: str, value: Value, start: int, node_name: str) -> None:
        """Make a value known under the name of the output it replaces, and its node under the old node's."""
        made = [i for i in range(start, len(self.graph.node)) if value.name in self.graph.node[i].output]
        if made and value.name not in self.wanted:
            for node in self.graph.node[start:]:
                node.input[:] = [name if used == value.name else used for used in node.input]
            producer = self.graph.node[made[0]]
            producer.output[list(producer.output).index(value.name)] = name
            producer.name = node_name
            self.declare(Value(name, value.dtype, value.shape), producer)
        elif name in self.wanted:
            self.include(helper.make_node("Identity", [value.name], [name], name=node_name), [])
            self.declare(Value(name, value.dtype, value.shape), self.graph.node[-1])
        else:
            self._values[name] = value

    def _constant_tensor(self, value: Value) -> TensorProto | None:
        if math.prod(static(value.shape) or ()) > MAX_INFERRED_ELEMENTS:
            return None
        array = self.array(value)
        return None if array is None else numpy_helper.from_array(array, value.name)


def rewrite(
    model: ModelProto,
    rules: Mapping[str, Rule],
    keep: Collection[str] = (),
    *,
    default: Rule | None = None,
    opset: int | None = None,
) -> ModelProto:
    """A copy of a model in which rules have replaced nodes.

    Args:
        model: a model whose nodes are in order, as ONNX wants it.
        rules: for operators, by name.
        keep: names of parameters.
        default: the rule for all other operators.
        opset: the version of ONNX' operators that the rules make; by default the model's.
    """
    g = Rewriter(model, keep, opset)
    for node in model.graph.node:
        g.visit(node, rules.get(node.op_type, default))
    result = g.result()
    if opset is not None:
        del result.opset_import[:]
        result.opset_import.append(helper.make_opsetid("", opset))
    return result


def constant_array(node: NodeProto) -> Array | None:
    """What a ``Constant`` node holds, numbers only; None for other nodes."""
    if node.op_type != "Constant" or len(node.attribute) != 1:
        return None
    value = helper.get_attribute_value(node.attribute[0])
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64}
    name = node.attribute[0].name
    if name == "value":
        return numpy_helper.to_array(value)
    if name in kinds or name == "value_ints":
        return np.asarray(value, kinds.get(name, np.int64))
    return None


def static(shape: Shape | None) -> tuple[int, ...] | None:
    """A shape whose dimensions are all numbers; None for others."""
    if shape is None or not all(isinstance(dim, int) for dim in shape):
        return None
    return tuple(dim for dim in shape if isinstance(dim, int))


def is_float(value: Value) -> bool:
    """Whether the elements are floating point numbers of 32 or 64 bits."""
    return value.dtype in (TensorProto.FLOAT, TensorProto.DOUBLE)


def axes_of(g: Rewriter, node: Node, index: int = 1, name: str = "axes") -> list[int]:
    """Axes that an attribute gives or, in newer opsets, an input; [] if neither does.

    Raises:
        NoFormError: the input is not a constant.
    """
    if node.attributes.get(name) is not None:
        return list(node.attributes[name])
    if node.input(index) is None:
        return []
    found = g.integers(node.input(index))
    if found is None:
        raise NoFormError(f"its {name} are not constant")
    return found


def _merged(found: Shape | None, declared: Shape | None) -> Shape | None:
    """The dimensions found, where known, else those declared."""
    if found is None or declared is None or len(found) != len(declared):
        return found if found is not None else declared
    both: list[tuple[Dim, Dim]] = list(zip(found, declared, strict=True))
    return tuple(a if a is not None else b for a, b in both)


def _copy_field(model: ModelProto, name: str, field: Any) -> None:
    if name in ("opset_import", "metadata_props", "functions", "training_info"):
        getattr(model, name).extend(field)
    else:
        setattr(model, name, field)
