"""Models that parse and that no runtime can run, each by one mistake: attributes, versions, types, shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnx.numpy_helper import from_array

from tests.hostile.files import BOOL, DOMAIN, FLOAT, INT64, branch, call, floats, ints, model, node

STRING, DOUBLE = TensorProto.STRING, TensorProto.DOUBLE


def weights(name: str, *shape: int, dtype: type = np.float32) -> TensorProto:
    """An initializer."""
    return from_array(np.ones(shape, dtype), name)


def image(
    op_type: str, *initializers: TensorProto, others: str = "", size: Any = (3, 8, 8), **attributes: Any
) -> ModelProto:
    """One node over images."""
    return model(
        [node(op_type, f"x {others}", "y", **attributes)],
        initializers,
        inputs=[floats("x", ("N", *size))],
        outputs=[floats("y", [None] * (len(size) + 1))],  # type: ignore[list-item]
    )


def conv(*shape: int, size: Any = (3, 8, 8), **attributes: Any) -> ModelProto:
    return image("Conv", weights("w", *shape), others="w", size=size, **attributes)


def matrix(
    nodes: NodeProto | Iterable[NodeProto],
    *initializers: TensorProto,
    opset: int = 17,
    rank: int = 2,
    dtype: int = FLOAT,
) -> ModelProto:
    """From x (N, 4) to y."""
    found = model(
        [nodes] if isinstance(nodes, NodeProto) else nodes,
        initializers,
        outputs=[floats("y", [None] * rank, dtype)],  # type: ignore[list-item]
    )
    found.opset_import[0].version = opset
    return found


def changed(result: ModelProto, **fields: Any) -> ModelProto:
    """A model with other fields."""
    for key, value in fields.items():
        setattr(result, key, value)
    return result


def imports(result: ModelProto, domain: str, version: int) -> ModelProto:
    result.opset_import.add(domain=domain, version=version)
    return result


def recurrent(op_type: str, gates: int, hidden: int = 5, **attributes: Any) -> ModelProto:
    found = image(
        op_type,
        weights("w", 1, gates * 5, 4),
        weights("r", 1, gates * 5, hidden),
        others="w r",
        size=(2, 4),
        **attributes,
    )
    found.graph.output[0].CopyFrom(floats("y", [None] * 4))  # type: ignore[list-item]
    return found


def resized(scales: Sequence[float], **attributes: Any) -> ModelProto:
    result = image("Neg")
    del result.graph.node[:]
    result.graph.node.append(helper.make_node("Resize", ["x", "", "s"], ["y"], **attributes))
    result.graph.initializer.append(from_array(np.array(scales, np.float32), "s"))
    return result


def normalized(size: int) -> ModelProto:
    names = ("scale", "bias", "mean", "var")
    return image("BatchNormalization", *(weights(n, size) for n in names), others=" ".join(names))


def untyped_if() -> ModelProto:
    condition = from_array(np.array(1.0, np.float32), "c")
    arms = [branch(node("Neg", "x", "inner")), branch(node("Abs", "x", "inner"))]
    return model([node("If", "c", "y", then_branch=arms[0], else_branch=arms[1])], [condition])


BAD: dict[str, Callable[[], ModelProto]] = {
    "opset 999": lambda: matrix(node("Neg", "x"), opset=999),
    "opset 0": lambda: matrix(node("Neg", "x"), opset=0),
    "a negative opset": lambda: matrix(node("Neg", "x"), opset=-3),
    "IR version 99": lambda: changed(matrix(node("Neg", "x")), ir_version=99),
    "an operator that is newer than the opset": lambda: matrix(node("Gelu", "x"), opset=17),
    "an operator that was taken out": lambda: matrix(node("Upsample", "x", mode="nearest"), opset=17),
    "an unknown operator": lambda: matrix(node("Frobnicate", "x")),
    "an operator of an unknown domain": lambda: imports(
        matrix(node("Magic", "x", domain="com.example")), "com.example", 1
    ),
    "a domain that is not imported": lambda: matrix(node("Scaler", "x", domain="ai.onnx.ml")),
    "a function that is not there": lambda: imports(matrix(call("gone", "x", "y")), DOMAIN, 1),
    "ai.onnx.ml 99": lambda: imports(
        matrix(node("Normalizer", "x", domain="ai.onnx.ml", norm="L2")), "ai.onnx.ml", 99
    ),
    "a misspelt attribute": lambda: matrix(node("Softmax", "x", axes=1)),
    "an attribute of another type": lambda: matrix(node("Softmax", "x", axis=1.5)),
    "an attribute that is missing": lambda: matrix(node("Cast", "x")),
    "Cast to no type": lambda: matrix(node("Cast", "x", to=999)),
    "two nodes of one name": lambda: matrix(
        [node("Neg", "x", "v", name="same"), node("Neg", "v", "y", name="same")]
    ),
    "too few inputs": lambda: matrix(node("Add", "x")),
    "too many inputs": lambda: matrix(node("Neg", "x x")),
    "an input that is nowhere": lambda: matrix(node("Add", "x nowhere")),
    "an output that is nowhere": lambda: matrix(node("Neg", "x", "z")),
    "too many outputs": lambda: matrix(node("Neg", "x", "y z")),
    "a value made twice": lambda: matrix([node("Neg", "x", "y"), node("Abs", "x", "y")]),
    "nodes in the wrong order": lambda: matrix([node("Neg", "v", "y"), node("Abs", "x", "v")]),
    "numbers of two types": lambda: matrix(node("Add", "x w"), weights("w", 4, dtype=np.float64)),
    "text and numbers": lambda: matrix(node("Add", "x w"), from_array(np.array(["a"] * 4, object), "w")),
    "a declared type that is another": lambda: matrix(node("Neg", "x"), dtype=INT64),
    "MatMul of 4 by 5": lambda: matrix(node("MatMul", "x w"), weights("w", 5, 2)),
    "Gemm of 4 by 5": lambda: matrix(node("Gemm", "x w"), weights("w", 5, 2)),
    "Gemm of a cube": lambda: matrix(node("Gemm", "x w"), weights("w", 4, 2, 1)),
    "Gemm's bias of another size": lambda: matrix(node("Gemm", "x w b"), weights("w", 4, 2), weights("b", 3)),
    "Add of 4 and 3": lambda: matrix(node("Add", "x w"), weights("w", 3)),
    "Where of shapes that do not fit": lambda: matrix(
        node("Where", "c x w"), from_array(np.ones(4, bool), "c"), weights("w", 3)
    ),
    "Reshape to another size": lambda: matrix(node("Reshape", "w to"), weights("w", 6), ints("to", 4, 2)),
    "Reshape with two unknowns": lambda: matrix(node("Reshape", "x to"), ints("to", -1, -1)),
    "Reshape to -2": lambda: matrix(node("Reshape", "x to"), ints("to", -2, 4)),
    "Concat along an axis that is not there": lambda: matrix(node("Concat", "x x", axis=5)),
    "Concat of sizes that do not fit": lambda: matrix(
        node("Concat", "w v", axis=0), weights("w", 2, 4), weights("v", 2, 5)
    ),
    "Softmax along an axis that is not there": lambda: matrix(node("Softmax", "x", axis=7)),
    "Transpose by three": lambda: matrix(node("Transpose", "x", perm=[0, 1, 2])),
    "Transpose by the same twice": lambda: matrix(node("Transpose", "x", perm=[0, 0])),
    "Squeeze of a size of 4": lambda: matrix(node("Squeeze", "x axes"), ints("axes", 1), rank=1),
    "Unsqueeze at 9": lambda: matrix(node("Unsqueeze", "x axes"), ints("axes", 9), rank=3),
    "Gather beyond the end": lambda: matrix(node("Gather", "w i"), weights("w", 3, 2), ints("i", 7)),
    "Gather along an axis that is not there": lambda: matrix(node("Gather", "x i", axis=4), ints("i", 0)),
    "Split into what does not add up": lambda: model(
        [node("Split", "x s", "y z", axis=1)], [ints("s", 3, 3)], outputs=[floats("y", ("N", "a"))]
    ),
    "Slice along an axis that is not there": lambda: matrix(
        node("Slice", "x b e a"), ints("b", 0), ints("e", 1), ints("a", 6)
    ),
    "Slice by steps of 0": lambda: matrix(
        node("Slice", "x b e a s"), ints("b", 0), ints("e", 1), ints("a", 1), ints("s", 0)
    ),
    "Expand to what does not fit": lambda: matrix(node("Expand", "x to"), ints("to", 2, 5)),
    "Tile by one number": lambda: matrix(node("Tile", "x by"), ints("by", 2)),
    "Pad by three numbers": lambda: matrix(node("Pad", "x by"), ints("by", 1, 1, 1)),
    "Pad in an unknown way": lambda: matrix(node("Pad", "x by", mode="sideways"), ints("by", 0, 1, 0, 1)),
    "ReduceSum along an axis that is not there": lambda: matrix(node("ReduceSum", "x a"), ints("a", 5)),
    "ArgMax along an axis that is not there": lambda: matrix(node("ArgMax", "x", axis=3), dtype=INT64),
    "TopK of more than there are": lambda: model(
        [node("TopK", "x k", "y i")], [ints("k", 9)], outputs=[floats("y", ("N", "k"))]
    ),
    "Flatten at 9": lambda: matrix(node("Flatten", "x", axis=9)),
    "OneHot of negative depth": lambda: matrix(
        node("OneHot", "i d v"), ints("i", 1), ints("d", -3), from_array(np.array([0, 1], "f"), "v")
    ),
    "Conv in no groups": lambda: conv(2, 3, 3, 3, group=0),
    "Conv in negative groups": lambda: conv(2, 3, 3, 3, group=-1),
    "Conv in groups that do not fit": lambda: conv(2, 3, 3, 3, group=2),
    "Conv of other channels": lambda: conv(2, 5, 3, 3),
    "Conv of another kernel_shape": lambda: conv(2, 3, 3, 3, kernel_shape=[5, 5]),
    "Conv in a line over images": lambda: conv(2, 3, 3),
    "Conv padded SIDEWAYS": lambda: conv(2, 3, 3, 3, auto_pad="SIDEWAYS"),
    "Conv by strides of 0": lambda: conv(2, 3, 3, 3, strides=[0, 0]),
    "Conv by negative strides": lambda: conv(2, 3, 3, 3, strides=[-1, 1]),
    "Conv by three strides": lambda: conv(2, 3, 3, 3, strides=[1, 1, 1]),
    "Conv dilated by 0": lambda: conv(2, 3, 3, 3, dilations=[0, 0]),
    "Conv by three pads": lambda: conv(2, 3, 3, 3, pads=[1, 1, 1]),
    "Conv by negative pads": lambda: conv(2, 3, 3, 3, pads=[-1, -1, -1, -1]),
    "Conv with a kernel larger than the image": lambda: conv(2, 3, 9, 9),
    "Conv's bias of another size": lambda: image(
        "Conv", weights("w", 2, 3, 3, 3), weights("b", 5), others="w b"
    ),
    "ConvTranspose of other channels": lambda: image("ConvTranspose", weights("w", 5, 2, 3, 3), others="w"),
    "ConvTranspose in no groups": lambda: image(
        "ConvTranspose", weights("w", 3, 2, 3, 3), others="w", group=0
    ),
    "MaxPool without a kernel": lambda: image("MaxPool"),
    "MaxPool of size 0": lambda: image("MaxPool", kernel_shape=[0, 0]),
    "MaxPool in a line over images": lambda: image("MaxPool", kernel_shape=[2]),
    "MaxPool padded by more than its kernel": lambda: image(
        "MaxPool", kernel_shape=[2, 2], pads=[5, 5, 5, 5]
    ),
    "AveragePool padded SIDEWAYS": lambda: image("AveragePool", kernel_shape=[2, 2], auto_pad="SIDEWAYS"),
    "AveragePool by strides of 0": lambda: image("AveragePool", kernel_shape=[2, 2], strides=[0, 0]),
    "BatchNormalization of other channels": lambda: normalized(5),
    "InstanceNormalization of other channels": lambda: image(
        "InstanceNormalization", weights("s", 5), weights("b", 5), others="s b"
    ),
    "LayerNormalization of another size": lambda: matrix(node("LayerNormalization", "x s"), weights("s", 7)),
    "PRelu of another size": lambda: image("PRelu", weights("s", 7), others="s"),
    "Resize by 0": lambda: resized([1, 1, 0, 0]),
    "Resize by a negative number": lambda: resized([1, 1, -2, 2]),
    "Resize by three scales": lambda: resized([1, 1, 2]),
    "Resize in an unknown way": lambda: resized([1, 1, 2, 2], mode="magic"),
    "DepthToSpace by blocks of 3": lambda: image("DepthToSpace", blocksize=3),
    "DepthToSpace by blocks of 0": lambda: image("DepthToSpace", blocksize=0),
    "LSTM of other gates": lambda: recurrent("LSTM", 3),
    "LSTM of another hidden size": lambda: recurrent("LSTM", 4, hidden=6),
    "GRU in an unknown direction": lambda: recurrent("GRU", 3, hidden_size=5, direction="upwards"),
    "RNN with an unknown activation": lambda: recurrent("RNN", 1, hidden_size=5, activations=["Magic"]),
    "Einsum of letters that do not fit": lambda: matrix(
        node("Einsum", "x w", equation="ij,jk->ik"), weights("w", 5, 2)
    ),
    "Einsum without sense": lambda: matrix(node("Einsum", "x", equation="->->")),
    "If on a number": untyped_if,
    "a branch without an output": lambda: matrix(
        node(
            "If",
            "c",
            "y",
            then_branch=helper.make_graph([], "empty", [], []),
            else_branch=branch(node("Neg", "x", "inner")),
        ),
        from_array(np.array(True), "c"),
    ),
    "Clip from text": lambda: matrix(node("Clip", "x lo"), from_array(np.array("a", object), "lo")),
    "Neg of truth values": lambda: model(
        [node("Neg", "x")], inputs=[floats("x", ("N", 4), BOOL)], outputs=[floats("y", ("N", 4), BOOL)]
    ),
    "MatMul of text": lambda: model(
        [node("MatMul", "x x")], inputs=[floats("x", (4, 4), STRING)], outputs=[floats("y", (4, 4), STRING)]
    ),
    "an initializer that is an output of a node": lambda: matrix(node("Neg", "x"), weights("y", 4)),
    "an input declared twice": lambda: model(
        [node("Neg", "x")], inputs=[floats("x", ("N", 4)), floats("x", ("N", 4))]
    ),
    "ScatterND of other updates": lambda: matrix(
        node("ScatterND", "w i u"),
        weights("w", 4, 4),
        from_array(np.array([[0], [1]]), "i"),
        weights("u", 3, 4),
    ),
    "GatherND beyond the end": lambda: matrix(
        node("GatherND", "w i"), weights("w", 2, 2), from_array(np.array([[7, 7]]), "i"), rank=1
    ),
    "QuantizeLinear of another size": lambda: matrix(
        node("DequantizeLinear", "q s", axis=1), from_array(np.ones((2, 4), np.int8), "q"), weights("s", 3)
    ),
}
"""Each is refused by onnx' checker, onnxruntime or us."""
