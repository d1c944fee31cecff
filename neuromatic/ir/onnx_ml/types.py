"""Types of what the operators of ai.onnx.ml compute, where ONNX itself infers none."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from neuromatic.ir.onnx_ml.nodes import DOMAIN
from neuromatic.ir.opsets import DEFAULT_OPSET


def stand_in_types(model: ModelProto) -> None:
    """Put operators whose types ONNX infers in the place of those of ai.onnx.ml whose types it does not.

    For type inference only: they give the same types, and no sensible values.
    """
    if not any(node.domain == DOMAIN for node in model.graph.node):
        return
    nodes = [stand_in for node in model.graph.node for stand_in in _stand_ins(node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    if not any(item.domain in ("", "ai.onnx") for item in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", DEFAULT_OPSET))


def _stand_ins(node: NodeProto) -> list[NodeProto]:
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
    return [node]


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
