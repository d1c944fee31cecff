"""The attributes of a node as Python values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import onnx
from onnx import AttributeProto, NodeProto, numpy_helper


def resolve_attributes(
    node: NodeProto, schema_attributes: Mapping[str, onnx.defs.OpSchema.Attribute], bound: Mapping[str, Any]
) -> dict[str, Any]:
    """The value of each of a schema's attributes: the node's, else the schema's default, else None.

    Strings come as ``str``, lists as tuples, tensors as arrays, graphs as they are. ``bound`` holds the
    attributes of the function that the node stands in, for references to them.
    """
    given = {a.name: a for a in node.attribute}
    resolved: dict[str, Any] = {}
    for name, attribute in schema_attributes.items():
        if name in given:
            resolved[name] = attribute_value(given[name], bound)
        else:
            resolved[name] = None
        if resolved[name] is None and attribute.default_value.name:
            resolved[name] = attribute_value(attribute.default_value, {})
    return resolved


def attribute_value(attribute: AttributeProto, bound: Mapping[str, Any]) -> Any:
    """The value of one attribute, or of the one in ``bound`` that it refers to."""
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
