"""Weights that a file stores as integers, which no gradient trains."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import GraphProto, ModelProto, NodeProto

from neuromatic.ir.types import FLOATS
from neuromatic.recipe.gradients import PASSING

QUANTIZED: Mapping[str, tuple[int, ...]] = {
    "ConvInteger": (1,),
    "DequantizeLinear": (0,),
    "MatMulInteger": (0, 1),
    "QGemm": (3,),
    "QLinearConv": (3,),
    "QLinearMatMul": (0, 3),
}
"""Where operators, QGemm of onnxruntime among them, take integers that stand for floats."""
CARRYING = PASSING | {"Gather"}
"""Operators that such integers may go through before."""
ADVICE = (
    "dequantize(), or neuromatic convert --dequantize, makes floats of them, and dequantize(rounding=True) "
    "keeps the rounding between layers, so that training is aware of it; quantize the trained file anew"
)
"""How to train such a model all the same."""


def integer_weights(model: ModelProto) -> list[str]:
    """The stored arrays of integers that are weights of operators for quantized numbers, in file order."""
    stored = stored_integers(model.graph)
    forms = {name: name for name in stored}
    for node in model.graph.node:
        if node.op_type in CARRYING and node.input[0] in forms:
            forms[node.output[0]] = forms[node.input[0]]
    used = {forms[name] for node in model.graph.node for name in quantized_inputs(node) if name in forms}
    return [name for name in stored if name in used]


def quantized_inputs(node: NodeProto) -> list[str]:
    """The inputs of a node that are integers in place of floats."""
    if node.domain not in ("", "ai.onnx") and (node.domain, node.op_type) != ("com.microsoft", "QGemm"):
        return []
    return [node.input[i] for i in QUANTIZED.get(node.op_type, ()) if i < len(node.input)]


def stored_integers(graph: GraphProto) -> list[str]:
    """The initializers and constants with axes that hold no floats."""
    found = [t.name for t in graph.initializer if t.data_type not in FLOATS and t.dims]
    for node in graph.node:
        if node.op_type == "Constant":
            tensors = [a.t for a in node.attribute if a.name == "value"]
            found += [node.output[0] for t in tensors if t.data_type not in FLOATS and t.dims]
    return found


def note(model: ModelProto) -> str | None:
    """That, and how, a model with integer weights is to be trained; None for one without."""
    names = integer_weights(model)
    if not names:
        return None
    some = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
    return f"{len(names)} weights are integers, which are not trained ({some}): {ADVICE}"
