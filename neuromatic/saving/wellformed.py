"""What the checker of ``onnx`` passes and no one can read: text that is none, attributes without a value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto

from neuromatic.errors import InvalidModelError
from neuromatic.ir import traversal as _walk

MOST_NAME = 2000
"""How many characters a name may have."""
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters that a name may not have: they would change what a terminal or a log shows."""
SINGLE = {
    AttributeProto.TENSOR: "t",
    AttributeProto.GRAPH: "g",
    AttributeProto.SPARSE_TENSOR: "sparse_tensor",
    AttributeProto.TYPE_PROTO: "tp",
}
"""The types of attributes of one message, and the fields that hold it."""


def check_texts(model: ModelProto) -> None:
    """Check that all text is text (protobuf gives bytes where it is none), and names are short and plain.

    Raises:
        InvalidModelError: shows the text.
    """
    try:
        names = list(_texts(model))
        others = list(_free_texts(model))
    except UnicodeDecodeError as error:
        raise InvalidModelError(f"a text in it is not UTF-8: {error.object[:40]!r}") from error
    for text in chain(names, others):
        if not isinstance(text, str):
            raise InvalidModelError(f"a text in it is not UTF-8: {text[:40]!r}")
    if CONTROL.search("".join(names)):
        name = next(filter(CONTROL.search, names))
        raise InvalidModelError(f"the name {name[:60]!r} has a control character")
    longest = max(names, key=len)
    if len(longest) > MOST_NAME:
        raise InvalidModelError(
            f"the name '{longest[:60]}...' has {len(longest):,} characters, more than {MOST_NAME:,}"
        )


def _texts(model: ModelProto) -> Iterator[Any]:
    """Every text that messages and tables may show."""
    yield from (model.producer_name, model.producer_version, model.domain)
    yield from (i.domain for i in model.opset_import)
    for function in model.functions:
        yield from (function.domain, *function.input, *function.output, *function.attribute)
    for body in _walk.bodies(model):
        yield body.name
        for node in body.node:
            yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
            yield from (attribute.name for attribute in node.attribute)
        for value in values_of(body):
            yield value.name
            yield from (d.dim_param for d in value.type.tensor_type.shape.dim)
    for tensor in _walk.tensors(model):
        yield tensor.name
        for entry in tensor.external_data:
            yield from (entry.key, entry.value)


def _free_texts(model: ModelProto) -> Iterator[Any]:
    """All other texts, which may be of any characters."""
    described: list[Any] = [model, *model.functions, *_walk.tensors(model)]
    for info in model.training_info:
        for binding in (*info.initialization_binding, *info.update_binding):
            yield from (binding.key, binding.value)
    for body in _walk.bodies(model):
        described += [body, *body.node, *values_of(body)]
        for attribute in _walk.attributes(body):
            yield from (attribute.doc_string, attribute.ref_attr_name)
        for value in values_of(body):
            yield value.type.denotation
            yield from (d.denotation for d in value.type.tensor_type.shape.dim)
    for item in described:
        yield item.doc_string
        yield from (text for prop in item.metadata_props for text in (prop.key, prop.value))
    yield from (text for f in model.functions for text in (f.name, f.overload))
    yield from (node.overload for body in _walk.bodies(model) for node in body.node)


def check_text(data: bytes, where: str) -> None:
    """Check a text that protobuf keeps as bytes.

    Raises:
        InvalidModelError: it is no UTF-8.
    """
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise InvalidModelError(f"{where} has text that is not UTF-8: {data[:40]!r}") from error


def check_nodes(model: ModelProto) -> None:
    """Check that attributes have what their types say, and that only optional inputs are left out.

    onnxruntime ends the process where a node lacks an input that it needs.

    Raises:
        InvalidModelError: names the attribute, or the node and the input.
    """
    for body in _walk.bodies(model):
        for attribute in _walk.attributes(body):
            _check_attribute(attribute)
    graphs = [model.graph, *(g for i in model.training_info for g in (i.initialization, i.algorithm))]
    for node in _nodes_in(graphs):
        for name in (a.name for a in node.attribute if a.ref_attr_name):
            raise InvalidModelError(f"attribute {name!r} refers to that of a function, but is in none")
    _check_inputs(_nodes_in(graphs), model.opset_import)
    for function in model.functions:
        _check_inputs(_nodes_in([function]), function.opset_import)


def _nodes_in(bodies: Iterable[_walk.Body]) -> Iterator[NodeProto]:
    """The nodes of some bodies and of all graphs inside these."""
    pending = list(bodies)
    while pending:
        for node in pending.pop().node:
            yield node
            pending += _walk.graphs_in(node)


def _check_attribute(attribute: AttributeProto) -> None:
    """An attribute is of a type that there is, has what it is to hold, and text in it is text."""
    for item in (attribute.s, *attribute.strings):
        check_text(item, f"attribute {attribute.name!r}")
    if attribute.ref_attr_name:
        return
    if not attribute.type:
        raise InvalidModelError(f"attribute {attribute.name!r} has no type")
    field = SINGLE.get(attribute.type)
    if field is not None and not attribute.HasField(field):
        kind = AttributeProto.AttributeType.Name(attribute.type)
        raise InvalidModelError(f"attribute {attribute.name!r} of type {kind} has no value")


def _check_inputs(nodes: Iterable[NodeProto], imports: Iterable[OperatorSetIdProto]) -> None:
    versions = {domain_key(item.domain): item.version for item in imports}
    for node in nodes:
        missing = [i for i, name in enumerate(node.input) if not name]
        domain = domain_key(node.domain)
        if not missing or domain not in versions:
            continue
        try:
            formal = onnx.defs.get_schema(node.op_type, versions[domain], domain).inputs
        except (TypeError, onnx.defs.SchemaError):
            continue  # an operator of others, or a call of a function
        for place in missing if formal else ():
            wanted = formal[min(place, len(formal) - 1)]  # the last one may stand for several
            if wanted.option != onnx.defs.OpSchema.FormalParameterOption.Optional:
                where = f"node {node.name!r} ({node.op_type})"
                raise InvalidModelError(f"{where} leaves out its input {wanted.name!r}, which it needs")


def values_of(body: _walk.Body) -> Iterator[ValueInfoProto]:
    """The values that a graph or function declares types of."""
    if isinstance(body, GraphProto):
        yield from body.input
        yield from body.output
    yield from body.value_info


def domain_key(domain: str) -> str:
    """The one name of a domain; ONNX' own has two."""
    return "" if domain == "ai.onnx" else domain
