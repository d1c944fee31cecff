"""Types of what the operators of ai.onnx.ml compute, where ONNX itself infers none."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from neuromatic.ir.onnx_ml.nodes import DOMAIN
from neuromatic.ir.opsets import DEFAULT_OPSET
from neuromatic.ir.traversal import bodies

CRASHING = frozenset({"DictVectorizer", "LabelEncoder", "TreeEnsemble"})
"""Operators whose inference in onnx ends the process where the type of an input is not known."""
VALUES = {
    "values_strings": TensorProto.STRING,
    "values_int64s": TensorProto.INT64,
    "values_floats": TensorProto.FLOAT,
}
"""The lists that a LabelEncoder gives values of, and their types."""


def stand_in_types(model: ModelProto) -> None:
    """Put operators whose types ONNX infers in the place of those of ai.onnx.ml whose types it does not.

    For type inference only: they give the same types, and no sensible values. Those whose inference is not
    safe are left out, unless their input is one of the graph's.
    """
    changed = False
    for body in bodies(model):
        if any(node.domain == DOMAIN for node in body.node):
            typed = {v.name for v in [*body.input, *body.initializer]} if isinstance(body, GraphProto) else ()
            nodes = [stand_in for node in body.node for stand_in in _stand_ins(node, typed)]
            del body.node[:]
            body.node.extend(nodes)
            changed = True
    if changed and not any(item.domain in ("", "ai.onnx") for item in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", DEFAULT_OPSET))


def _stand_ins(node: NodeProto, typed: Collection[str]) -> list[NodeProto]:
    if node.domain != DOMAIN or len(node.output) != 1 or not node.input:
        return [node]
    y = node.output[0]
    if node.op_type == "Imputer":
        return [helper.make_node("Identity", node.input[:1], [y])]
    if node.op_type in ("Scaler", "Normalizer"):
        return [helper.make_node("Cast", node.input[:1], [y], to=TensorProto.FLOAT)]
    if node.op_type == "FeatureVectorizer":
        casts = [f"{y}/{i}/float" for i in range(len(node.input))]
        pairs = zip(node.input, casts, strict=True)
        made = [helper.make_node("Cast", [x], [c], to=TensorProto.FLOAT) for x, c in pairs]
        return [*made, helper.make_node("Concat", casts, [y], axis=1)]
    if node.op_type == "LinearRegressor":
        return _product(node, y)
    if node.op_type not in CRASHING or node.input[0] in typed:
        return [node]
    kinds = [VALUES[a.name] for a in node.attribute if a.name in VALUES]
    kinds += [a.t.data_type for a in node.attribute if a.name == "values_tensor"]
    return [helper.make_node("Cast", node.input[:1], [y], to=kind) for kind in kinds[:1]]


def _product(node: NodeProto, y: str) -> list[NodeProto]:
    """A product of the sizes of a LinearRegressor."""
    given = {a.name: a for a in node.attribute}
    targets = max(given["targets"].i, 1) if "targets" in given else 1
    features = len(given["coefficients"].floats) // targets if "coefficients" in given else 0
    weights = numpy_helper.from_array(np.zeros((features, targets), np.float32))
    return [
        helper.make_node("Cast", node.input[:1], [f"{y}/float"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], [f"{y}/weights"], value=weights),
        helper.make_node("MatMul", [f"{y}/float", f"{y}/weights"], [y]),
    ]
