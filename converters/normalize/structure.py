"""Passes over the graph as a whole: functions, identities, the batch dimension, names."""

from __future__ import annotations

import math
from collections.abc import Collection

import onnx.inliner
from onnx import ModelProto

from neuromatic.converters.normalize.graph import Node, Results, Rewriter, rewrite
from neuromatic.errors import UnsupportedFeatureError
from neuromatic.ir.opsets import BATCH
from neuromatic.ir.traversal import data_inputs
from neuromatic.ir.values import Value, shape_text
from neuromatic.recipe.sections import strip

EXPANDED = (
    "Celu",
    "Gelu",
    "HardSwish",
    "MeanVarianceNormalization",
    "Mish",
    "SwiGLU",
    "Swish",
)
"""The operators that :func:`expand_functions` replaces by the functions with which ONNX defines them."""


def inline_functions(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Put the bodies of the model's own functions in place of their calls; the recipe is left out."""
    stripped = strip(model)
    return onnx.inliner.inline_local_functions(stripped) if stripped.functions else stripped


def expand_functions(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Put the functions with which ONNX defines the operators :data:`EXPANDED` in their place."""
    if not any(node.op_type in EXPANDED for node in model.graph.node):
        return rewrite(model, {}, keep)
    complete = rewrite(model, {**dict.fromkeys(EXPANDED, _with_defaults), "Gelu": _gelu}, keep)
    known = [("", op) for op in EXPANDED]
    return onnx.inliner.inline_selected_functions(complete, known, inline_schema_functions=True)


def _with_defaults(g: Rewriter, node: Node) -> Results:
    """The node with all its attributes: the inliner knows only those that are written."""
    return g.add(node.op, *node.inputs, **node.attributes)


def _gelu(g: Rewriter, node: Node) -> Results:
    """The exact form said here, so that the ``Erf`` which few can do is named after the node."""
    if node.attributes["approximate"] == "tanh":
        return _with_defaults(g, node)
    erf = g.add("Erf", g.add("Mul", node.x, g.like(math.sqrt(0.5), node.x)))
    half = g.add("Mul", node.x, g.like(0.5, node.x))
    return g.add("Mul", half, g.add("Add", erf, g.like(1.0, node.x)))


def drop_identities(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Remove ``Identity`` nodes, except where a graph output would lose its name.

    >>> import onnx
    >>> text = "g (float[N] x) => (float[N] y) {a = Identity(x) y = Neg(a)}"
    >>> model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["": 17]>' + text)
    >>> [(node.op_type, list(node.input)) for node in drop_identities(model).graph.node]
    [('Neg', ['x'])]
    """
    return rewrite(model, {"Identity": lambda g, node: node.x}, keep)


def drop_unused(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Remove nodes that no output needs, initializers that no node takes unless they are parameters, and
    initializers from the inputs of the graph."""
    result = rewrite(model, {}, keep)
    graph = result.graph
    used = {name for node in graph.node for name in node.input} | {o.name for o in graph.output} | {*keep}
    initializers = [t for t in graph.initializer if t.name in used]
    inputs = [i for i in graph.input if i.name in set(data_inputs(graph))]
    del graph.initializer[:], graph.input[:]
    graph.initializer.extend(initializers)
    graph.input.extend(inputs)
    return result


def free_batch(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Give all inputs one symbolic leading dimension, and the outputs the shapes that follow from it.

    A batch of fixed size becomes free; shapes inside the graph that name that size have to be relative
    before (:func:`~neuromatic.converters.normalize.shapes.relative_reshapes`). The symbol is the first
    one that stands in front of an input, else ``batch``.

    Raises:
        UnsupportedFeatureError: an input is no tensor with a leading dimension.
    """
    freed = ModelProto()
    freed.CopyFrom(model)
    symbol = Rewriter(model).batch or BATCH
    for item in freed.graph.input:
        if item.name not in data_inputs(model.graph):
            continue
        shape = Value.of(item.name, item.type).shape
        if not shape:
            raise UnsupportedFeatureError(
                f"input {item.name!r} has shape {shape_text(shape)}; it needs a leading batch dimension"
            )
        item.type.tensor_type.shape.dim[0].dim_param = symbol
    for item in freed.graph.output:
        if item.type.HasField("tensor_type"):
            item.type.tensor_type.ClearField("shape")
    return rewrite(freed, {}, keep)


def name_nodes(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Name each node after its first output, so that names are unique and values found by theirs."""
    result = ModelProto()
    result.CopyFrom(model)
    for node in result.graph.node:
        node.name = next((name for name in node.output if name), "")
    return result
