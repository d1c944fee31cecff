"""An estimate of the floating-point operations of a graph, from shapes alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from onnx import ModelProto, NodeProto, helper

from neuromatic.ir.values import Value

FREE = {
    *("Cast", "CastLike", "Concat", "Constant", "ConstantOfShape", "DepthToSpace", "Dropout", "Expand"),
    *("EyeLike", "Flatten", "Gather", "GatherElements", "GatherND", "Identity", "OneHot", "Pad", "Range"),
    *("Reshape", "ScatterElements", "ScatterND", "Shape", "Size", "Slice", "SpaceToDepth", "Split"),
    *("Squeeze", "Tile", "Transpose", "Unsqueeze", "Where"),
}
"""Operators that move numbers or look at shapes."""
PER_ELEMENT = {"BatchNormalization": 2, "Softmax": 5, "LogSoftmax": 5, "LayerNormalization": 8, "Gelu": 8}
"""Operations for each element of the output, where it is not one."""

Sizes = Mapping[str, tuple[int, ...]]


def sizes(types: Mapping[str, Value], batch: int = 1) -> dict[str, tuple[int, ...]]:
    """Shapes as numbers: what is symbolic or unknown counts as ``batch``; unknown ranks are left out."""
    return {
        name: tuple(d if isinstance(d, int) else batch for d in value.shape)
        for name, value in types.items()
        if value.shape is not None
    }


def estimate(model: ModelProto, node: NodeProto, shapes: Sizes) -> int:
    """How many floating-point operations a node needs; a multiplication and an addition are two.

    A call of a function is what its nodes would cost if each had the call's output shape.

    Args:
        model: holds the functions.
        node: the node.
        shapes: of its inputs and outputs, by name; a node of unknown shapes, or of some that do not fit it,
            counts as none.
    """
    if node.op_type in FREE and node.domain in ("", "ai.onnx"):
        return 0
    wanted = next(filter(None, node.output), "")
    known = [shapes.get(name) for name in (*node.input[:2], wanted)]
    inputs, output = known[:-1], known[-1]
    if output is None or any(shape is None for shape in inputs):
        return 0
    function = next((f for f in model.functions if (f.domain, f.name) == (node.domain, node.op_type)), None)
    if function is not None:
        return prod(output) * sum(n.op_type not in FREE for n in function.node)
    if node.op_type in _PRODUCTS:
        operands = [shapes.get(name, ()) for name in node.input]
        try:
            return _PRODUCTS[node.op_type](node, operands, output)
        except IndexError:  # shapes that do not fit the operator
            return 0
    if node.op_type.startswith(("Reduce", "Global")) or node.op_type in ("ArgMax", "ArgMin"):
        return prod(inputs[0] or ())
    return PER_ELEMENT.get(node.op_type, 1) * prod(output)


Operands = list[tuple[int, ...]]
Count = Callable[[NodeProto, Operands, tuple[int, ...]], int]


def _attribute(node: NodeProto, name: str, default: int) -> int:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def _conv(node: NodeProto, operands: Operands, output: tuple[int, ...]) -> int:
    """Each output is a product of a kernel (channels / group, window)."""
    return 2 * prod(output) * prod(operands[1][1:]) + (prod(output) if len(operands) > 2 else 0)


def _conv_transpose(node: NodeProto, operands: Operands, output: tuple[int, ...]) -> int:
    """Each input is spread by a kernel (channels, filters / group, window)."""
    return 2 * prod(operands[0]) * prod(operands[1][1:]) + (prod(output) if len(operands) > 2 else 0)


def _gemm(node: NodeProto, operands: Operands, output: tuple[int, ...]) -> int:
    inner = operands[0][0 if _attribute(node, "transA", 0) else -1]
    return 2 * prod(output) * inner + (prod(output) if len(operands) > 2 else 0)


def _matmul(node: NodeProto, operands: Operands, output: tuple[int, ...]) -> int:
    return 2 * prod(output) * operands[0][-1]


def _recurrent(node: NodeProto, operands: Operands, output: tuple[int, ...]) -> int:
    """W (directions, gates * hidden, inputs) and R (directions, gates * hidden, hidden), at each step."""
    steps, batch = operands[0][:2]
    return 2 * steps * batch * (prod(operands[1]) + prod(operands[2]))


def _pool(node: NodeProto, operands: Operands, output: tuple[int, ...]) -> int:
    window = next((helper.get_attribute_value(a) for a in node.attribute if a.name == "kernel_shape"), [1])
    return prod(output) * prod(window)


def _einsum(node: NodeProto, operands: Operands, output: tuple[int, ...]) -> int:
    """Every combination of letters is a multiplication and an addition."""
    equation = helper.get_attribute_value(node.attribute[0]).decode().replace(" ", "")
    letters = dict[str, int]()
    for term, shape in zip(equation.split("->")[0].split(","), operands, strict=False):
        letters.update(zip(term.replace("...", "")[::-1], shape[::-1], strict=False))
    return 2 * prod(letters.values())


_PRODUCTS: dict[str, Count] = {
    "AveragePool": _pool,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Einsum": _einsum,
    "GRU": _recurrent,
    "Gemm": _gemm,
    "LSTM": _recurrent,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "RNN": _recurrent,
}
