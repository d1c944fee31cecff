"""What CNTK's own ONNX import gets right, found by trying each form against onnxruntime.

CNTK checks neither the opset nor most of the forms that it cannot do: many give wrong numbers, and no error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from onnx import ModelProto, TensorProto

from neuromatic.converters.lowering import describe
from neuromatic.converters.normalize.forms import ENGINE
from neuromatic.converters.normalize.graph import Node, Results, Rewriter, rewrite, static
from neuromatic.ir.traversal import data_inputs
from neuromatic.ir.values import dtype_name, shape_text

FLOAT, BOOL, INT32, INT64 = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64

NATIVE_OPERATORS: frozenset[str] = frozenset(
    {
        "Abs", "Acos", "Add", "And", "ArgMax", "ArgMin", "Asin", "Atan", "AveragePool",
        "BatchNormalization", "Cast", "Ceil", "Clip", "Concat", "Conv", "ConvTranspose", "Cos",
        "DepthToSpace", "Div", "Dropout", "Elu", "Exp", "Floor", "GlobalAveragePool",
        "GlobalMaxPool", "Greater", "HardSigmoid", "Hardmax", "Identity", "LRN", "LeakyRelu",
        "Less", "Log", "LogSoftmax", "MatMul", "Max", "MaxPool", "Min", "Mul", "Neg", "Not", "Or",
        "PRelu", "Pad", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax",
        "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape",
        "Selu", "Sigmoid", "Sin", "Slice", "Softmax", "Softplus", "Softsign", "SpaceToDepth",
        "Sqrt", "Sub", "Tanh", "Transpose", "Xor",
    }
)  # fmt: skip
"""Operators whose values and gradients are right in CNTK, in the forms that the limits below leave."""

NAMELESS = ("Conv", "ConvTranspose", "MatMul")
"""Operators whose outputs lose their names in CNTK."""

TAKES_OTHER_TYPES = {
    **dict.fromkeys(("And", "Not", "Or", "Xor"), (BOOL,)),
    "Cast": (FLOAT, BOOL, INT32, INT64),
    "Identity": (FLOAT, BOOL, INT64),
    "Reshape": (FLOAT, INT64),
}
"""The element types of the first input of operators that do not take floats alone."""

Limit = Callable[[Rewriter, Node], "str | None"]
"""Why a node of a known operator is refused; None if it is not."""


def native_problems(
    model: ModelProto, keep: Collection[str] = (), refused: Collection[str] = ()
) -> dict[str, str]:
    """A sentence for each node, input and output of an opset-9 graph that CNTK does not import correctly.

    The keys are names of values: a node's first output, an input or an output of the graph. ``refused`` are
    the first outputs of nodes that are refused already; what follows only from them is not reported.
    """
    g = Rewriter(model, keep)
    problems = dict(_input_problems(g))
    inputs = len(problems)
    for proto in model.graph.node:
        node = g.node(proto)
        g.visit(proto, None)
        untyped = any(not g.value(name).dtype for name in proto.input if name)
        only_untyped = untyped and bool(problems or refused) and proto.op_type in NATIVE_OPERATORS
        if proto.output[0] in refused or only_untyped:
            continue
        reason = _reason(g, node) if node is not None else "it is not one of ONNX' operators of opset 9"
        if reason:
            name = describe(proto, proto.op_type)
            problems[proto.output[0]] = f"{ENGINE} cannot take {name}: {reason}"
    return problems if refused or len(problems) > inputs else problems | dict(_output_problems(g))


def name_outputs(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Put an ``Identity`` behind outputs of the graph that come from :data:`NAMELESS` operators."""
    return rewrite(model, dict.fromkeys(NAMELESS, _named), keep)


def _named(g: Rewriter, node: Node) -> Results:
    if node.proto.output[0] not in g.wanted:
        return None
    return g.add("Identity", g.add(node.op, *node.inputs, **node.given()))


def _input_problems(g: Rewriter) -> Iterator[tuple[str, str]]:
    for name in data_inputs(g.model.graph):
        value = g.value(name)
        if not value.shape or static(value.shape[1:]) is None or 0 in value.shape:
            yield (
                name,
                f"input {name!r} has shape {shape_text(value.shape)}; only the first dimension may be free",
            )


def _output_problems(g: Rewriter) -> Iterator[tuple[str, str]]:
    for output in g.model.graph.output:
        value = g.value(output.name)
        if not value.shape or value.shape[0] != g.batch:
            shape = shape_text(value.shape)
            yield (
                value.name,
                f"output {value.name!r} has shape {shape}; its first dimension has to be the batch",
            )


def _reason(g: Rewriter, node: Node) -> str | None:
    if node.op not in NATIVE_OPERATORS:
        return "CNTK lacks it or computes it wrongly"
    outputs = [g.value(name) for name in node.proto.output if name]
    if len(outputs) > 1:
        return "CNTK gives its first output alone"
    if any(value.shape is None or 0 in value.shape for value in outputs):
        return "the rank of its output is unknown, or it has no elements"
    limit = _LIMITS.get(node.op)
    return _type_reason(g, node) or (limit(g, node) if limit is not None else None)


def _type_reason(g: Rewriter, node: Node) -> str | None:
    allowed = TAKES_OTHER_TYPES.get(node.op, (FLOAT,))
    for value in node.inputs[:1] if node.op == "Reshape" else node.inputs:
        if value is None:
            continue
        kind = dtype_name(value.dtype)
        if value.dtype not in allowed:
            return f"its input {value.name!r} is {kind}"
        if value.dtype == BOOL and g.producer(value) is None:
            return f"its input {value.name!r} is {kind} and not computed, which CNTK reads wrongly"
    return None


def _conv(g: Rewriter, node: Node) -> str | None:
    if node.required(1).name not in g.tensors:
        return "its weights are computed"
    if any(d != 1 for d in node.attributes["dilations"] or ()):
        return "CNTK has no dilated convolution on the CPU"
    if node.attributes["group"] != 1 and (node.op != "Conv" or node.x.rank != 4):
        return "CNTK has groups for two-dimensional convolutions alone"
    if node.input(2) is not None and node.x.rank != 4:
        return "CNTK takes its bias for two-dimensional convolutions alone"
    return _window(g, node)


def _window(g: Rewriter, node: Node) -> str | None:
    mode = node.attributes["auto_pad"]
    return None if mode == "NOTSET" else f"its auto_pad is {mode} and the sizes of its input are not known"


def _matmul(g: Rewriter, node: Node) -> str | None:
    a, b = node.x.shape, node.required(1).shape
    if a is None or b is None or min(len(a), len(b)) < 2:
        return "an input has fewer than two dimensions"
    if min(len(a), len(b)) == 2 or (len(a) == len(b) and a[:-2] == b[:-2] and None not in a[:-2]):
        return None
    return f"CNTK does not broadcast {shape_text(a)} with {shape_text(b)}"


def _reshape(g: Rewriter, node: Node) -> str | None:
    target = g.integers(node.required(1))
    if target is None:
        return "its target is not constant"
    if node.x.shape and g.batch in node.x.shape and (node.x.shape[0] != g.batch or target[:1] != [0]):
        return f"it does not keep the batch in front: {shape_text(node.x.shape)} to {target}"
    return None


def _not_the_batch(g: Rewriter, node: Node) -> str | None:
    axes = node.attributes.get("axes") or [node.attributes.get("axis", 1)]
    return "it works along the batch" if 0 in axes else None


def _pad(g: Rewriter, node: Node) -> str | None:
    mode, pads = node.attributes["mode"], node.attributes["pads"]
    if mode == "edge" or min(pads, default=0) < 0:
        return f"its mode is {mode} and its pads are {list(pads)}"
    return "it pads the batch" if pads[0] or pads[len(pads) // 2] else None


def _cast(g: Rewriter, node: Node) -> str | None:
    to = node.attributes["to"]
    return None if to == FLOAT else f"it casts to {dtype_name(to)}"


def _batch_norm(g: Rewriter, node: Node) -> str | None:
    computed = [x.name for x in node.inputs[1:] if x is not None and x.name not in g.tensors]
    return f"its input {computed[0]!r} is computed" if computed else None


_LIMITS: dict[str, Limit] = {
    "AveragePool": _window,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Concat": _not_the_batch,
    "Conv": _conv,
    "ConvTranspose": _conv,
    "Hardmax": _not_the_batch,
    "LogSoftmax": _not_the_batch,
    "MatMul": _matmul,
    "MaxPool": _window,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _not_the_batch,
    "Softmax": _not_the_batch,
}
