"""The weights of linear models, which ai.onnx.ml keeps in attributes, become initializers.

The node gives way to the few plain nodes that compute the same: ONNX has no LinearRegressor whose weights are
inputs. They are named after the node (``LinearClassifier/coefficients``); the values that it computed keep
their names.
"""

from __future__ import annotations

from typing import Any

from onnx import GraphProto, ModelProto, NodeProto, helper

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.onnx_ml._forms import NoFormError
from neuromatic.ir.onnx_ml.nodes import DOMAIN, write
from neuromatic.ir.opsets import DEFAULT_OPSET, opset_of
from neuromatic.ir.traversal import reads, store
from neuromatic.ir.types import value_types

LINEAR = frozenset({"LinearRegressor", "LinearClassifier"})


def linear_models(graph: GraphProto) -> list[NodeProto]:
    """The nodes of a graph whose weights are attributes."""
    return [node for node in graph.node if node.domain == DOMAIN and node.op_type in LINEAR]


def with_initializers(model: ModelProto) -> ModelProto:
    """A copy in which the weights of linear models are initializers; what has no plain form stays."""
    lifted = ModelProto()
    lifted.CopyFrom(model)
    nodes = linear_models(lifted.graph)
    if not nodes:
        return lifted
    opset = opset_of(model)
    if opset is None:
        opset = DEFAULT_OPSET
        lifted.opset_import.append(helper.make_opsetid("", opset))
    g = _builder(model, {name for node in nodes for name in node.output}, opset)
    read = {name for node in model.graph.node for name in reads(node)}
    wanted = read | {o.name for o in model.graph.output}
    for node in nodes:
        _replace(lifted, node, g, wanted)
    if not any(node.domain == DOMAIN for node in lifted.graph.node):
        for item in [o for o in lifted.opset_import if o.domain == DOMAIN]:
            lifted.opset_import.remove(item)
    return lifted


def _builder(model: ModelProto, computed: set[str], opset: int) -> GraphBuilder:
    """A builder that knows every value of a model but those that are to be computed anew."""
    g = GraphBuilder(opset=opset)
    for value in value_types(model).values():
        if value.name not in computed:
            g.declare(value)
    g.reserve(node.name for node in model.graph.node)
    return g


def _replace(model: ModelProto, node: NodeProto, g: GraphBuilder, wanted: set[str]) -> None:
    before = len(g.graph.node)
    attributes = {a.name: _value(helper.get_attribute_value(a)) for a in node.attribute}
    try:
        with g.layer(node.name or node.op_type):
            outputs = write(g, node, [g.value(name) for name in node.input], attributes, wanted)
            for name, value in zip(node.output, outputs, strict=False):
                if value is not None:
                    g.output(value, name)
    except NoFormError:  # an engine that cannot lower the node says why
        del g.graph.node[before:]
        return
    weights = next(new.input[1:] for new in g.graph.node[before:] if new.op_type == "Gemm")
    place = list(model.graph.node).index(node)
    model.graph.node.remove(node)
    for new in g.graph.node[before:]:
        if new.output[0] in weights:
            tensor = new.attribute[0].t
            tensor.name = new.output[0]
            store(model, tensor)
        else:
            model.graph.node.insert(place, new)
            place += 1


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, list):
        return [_value(v) for v in value]
    return value
