"""Which values a gradient reaches: through operators, functions and the graphs inside nodes.

That is a question of mathematics; what of it is trained is :mod:`neuromatic.recipe.trainable`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import onnx.defs
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper
from onnx.defs import SchemaError

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.inference_form import is_batch_normalization
from neuromatic.ir.traversal import graphs_in
from neuromatic.ir.types import FLOATS
from neuromatic.recipe.differentiable import DIFFERENTIABLE
from neuromatic.recipe.running_statistics import state_inputs, training_function

STRAIGHT_THROUGH = {"DequantizeLinear": "x", "QuantizeLinear": "x"}
"""Rounding is constant between its jumps, but gradients pass it as if it were not there."""
FIXED = {"Dropout": {"ratio"}, "Resize": {"roi", "scales"}, "Upsample": {"scales"}}
"""Inputs whose gradient no engine takes: a draw's probability, and what decides sizes."""
SETTINGS = {
    "DequantizeLinear": {"x_scale"},
    "NegativeLogLikelihoodLoss": {"weight"},
    "RotaryEmbedding": {"cos_cache", "sin_cache"},
    "STFT": {"window"},
    "SoftmaxCrossEntropyLoss": {"weights"},
}
"""Inputs that are no parameters where the file stores their values: calibration, class weights, tables."""
PASSING = frozenset({"Cast", "Expand", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators that hand on what is stored, in another form."""
SKIPPED_INPUTS = {"If": 1, "Loop": 2}
"""How many inputs of a node do not go into its graph."""
STATISTICS = slice(3, 5)

Opsets = Mapping[str, int]


def differentiable_values(
    model: ModelProto,
    nodes: Sequence[NodeProto],
    values: Collection[str],
    g: GraphBuilder,
    asked: Collection[str] = (),
) -> set[str]:
    """What reaches one of some values with a gradient, they included.

    Not followed are running statistics and other states of layers, and initializers that are the setting of
    an operator, see :data:`SETTINGS`, unless they are asked for.
    """
    opsets = {o.domain: o.version for o in model.opset_import} | {"": g.opset}
    stored = {t.name for t in model.graph.initializer}
    walk = _Walk(model, origins(nodes, stored), frozenset(asked))
    # What QuantizeLinear makes are integers, but gradients pass straight through it.
    quantized = {node.output[0] for node in nodes if node.op_type == "QuantizeLinear"}

    def is_kept(name: str) -> bool:
        return (
            name in quantized or not g.knows(name) or g.value(name).dtype in (*FLOATS, TensorProto.UNDEFINED)
        )

    return walk.reached(nodes, values, opsets, is_kept)


def origins(nodes: Iterable[NodeProto], stored: Iterable[str]) -> dict[str, str]:
    """For each value that is an initializer in this or another form, which one it is."""
    found = {name: name for name in stored}
    for node in nodes:
        if node.op_type in PASSING and not node.domain and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


class _Walk:
    """Steps from outputs of nodes to the inputs that their gradients go to."""

    def __init__(self, model: ModelProto, stored: Mapping[str, str], asked: frozenset[str]) -> None:
        self._model = model
        self._functions = {(f.domain, f.name): f for f in model.functions}
        self._known: dict[tuple[str, str, frozenset[int]], frozenset[int]] = {}
        self._stored, self._asked = stored, asked

    def reached(
        self,
        nodes: Sequence[NodeProto],
        values: Iterable[str],
        opsets: Opsets,
        is_kept: Callable[[str], bool] = bool,
    ) -> set[str]:
        """What reaches some values, they included."""
        needed = set(values)
        for node in reversed(nodes):
            wanted = frozenset(i for i, name in enumerate(node.output) if name in needed)
            if wanted:
                needed.update(filter(is_kept, self._inputs(node, wanted, opsets)))
        return needed

    def _inputs(self, node: NodeProto, wanted: frozenset[int], opsets: Opsets) -> Iterator[str]:
        """The inputs and outer values to which gradients go from some outputs of a node."""
        function = training_function(self._model, node) or self._functions.get((node.domain, node.op_type))
        if function is not None:
            states = set(state_inputs(self._model, node).values())
            reached = self._through(function, wanted)
            yield from (x for i, x in enumerate(node.input) if i in reached and x not in states)
            return
        graphs = list(graphs_in(node))
        for graph in graphs:
            yield from self._into(node, graph, opsets)
        if not graphs:
            yield from (x for i, x in enumerate(node.input) if x and self._carries(node, i, opsets))

    def _through(self, function: FunctionProto, wanted: frozenset[int]) -> frozenset[int]:
        """The inputs of a function to which gradients go from some of its outputs."""
        key = (function.domain, function.name, wanted)
        if key not in self._known:
            self._known[key] = frozenset()  # should it call itself
            opsets = {o.domain: o.version for o in function.opset_import}
            goals = [name for i, name in enumerate(function.output) if i in wanted]
            found = self.reached(function.node, goals, opsets)
            self._known[key] = frozenset(i for i, name in enumerate(function.input) if name in found)
        return self._known[key]

    def _into(self, node: NodeProto, graph: GraphProto, opsets: Opsets) -> Iterator[str]:
        """What the graph of a control flow operator takes from outside, and the inputs that it is given."""
        found = self.reached(graph.node, [o.name for o in graph.output], opsets)
        given = list(node.input)[SKIPPED_INPUTS.get(node.op_type, 0) :]
        formals = [i.name for i in graph.input][-len(given) :] if given else []
        yield from (x for x, formal in zip(given, formals, strict=False) if x and formal in found)
        own = {i.name for i in (*graph.input, *graph.initializer)}
        yield from found - own.union(*(n.output for n in graph.node))

    def _carries(self, node: NodeProto, index: int, opsets: Opsets) -> bool:
        op, origin = node.op_type, self._stored.get(node.input[index])
        if is_batch_normalization(node) and index >= STATISTICS.start:
            return origin is None
        if op == "Cast" and not node.domain:
            return helper.get_node_attr_value(node, "to") in FLOATS
        name = _formal(node, index, opsets)
        if name is None:
            return True
        if not node.domain:
            if name == STRAIGHT_THROUGH.get(op):
                return True
            if name in FIXED.get(op, ()):
                return False
            if name in SETTINGS.get(op, ()) and origin is not None:
                return origin in self._asked
        return name in DIFFERENTIABLE[_label(node)]


def _label(node: NodeProto) -> str:
    domain = "" if node.domain == "ai.onnx" else node.domain
    return f"{domain}.{node.op_type}" if domain else node.op_type


def _formal(node: NodeProto, index: int, opsets: Opsets) -> str | None:
    """What ONNX calls an input; None where it, or the table, does not know the operator."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    if _label(node) not in DIFFERENTIABLE:
        return None
    try:
        schema = onnx.defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
    except SchemaError:
        return None
    formals = schema.inputs
    return str(formals[min(index, len(formals) - 1)].name) if formals else None
