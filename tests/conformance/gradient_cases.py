"""Nodes whose gradients are checked: at least one for each function of the registry that has gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.conformance.gradients import Input, Node, R, ints, nodes
from tests.conformance.graph_cases import CHOSEN, CONTROL, FORMER, SAMPLING
from tests.conformance.samples import LINEAR

Attributes = dict[str, Any]

NOT_DIFFERENTIABLE: dict[str, str] = {
    **dict.fromkeys(["Floor", "Ceil", "Round", "Sign", "Hardmax"], "constant between its jumps"),
    **dict.fromkeys(
        ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not"],
        "gives a truth",
    ),
    **dict.fromkeys(["IsNaN", "IsInf"], "gives a truth"),
    **dict.fromkeys(["ArgMax", "ArgMin", "Shape", "Size"], "gives integers"),
    **dict.fromkeys(["Constant", "ConstantOfShape", "EyeLike"], "has no float input to learn"),
    **dict.fromkeys(
        ["Bernoulli", "Multinomial", "RandomNormalLike", "RandomUniformLike"], "draws, whatever its input is"
    ),
    **dict.fromkeys(["BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot"], "of integers"),
    **dict.fromkeys(["BitCast"], "reads the same bits as other numbers"),
    **dict.fromkeys(["NonZero", "NonMaxSuppression", "SequenceLength"], "gives integers"),
    **dict.fromkeys(["OptionalHasElement"], "gives a truth"),
    **dict.fromkeys(["StringConcat", "StringSplit", "StringNormalizer", "RegexFullMatch"], "of strings"),
    **dict.fromkeys(["TfIdfVectorizer"], "counts integers or strings"),
    **dict.fromkeys(["MelWeightMatrix", "RandomNormal", "RandomUniform"], "has no float input to learn"),
    **dict.fromkeys(["MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv"], "of integers"),
    **dict.fromkeys(
        ["QuantizeLinear"], "rounds; its straight-through gradient is checked in test_quantize_tensorflow.py"
    ),
    **dict.fromkeys(
        [
            *("SequenceEmpty", "SequenceConstruct", "SequenceAt", "SequenceInsert", "SequenceErase"),
            *("SplitToSequence", "ConcatFromSequence", "SequenceMap", "Optional", "OptionalGetElement"),
        ],
        "hands tensors on; checked with others in test_control_flow_tensorflow.py",
    ),
    **dict.fromkeys(["If"], "is what its branches are; checked in test_control_flow_tensorflow.py"),
    **dict.fromkeys(
        ["DynamicQuantizeLinear"], "gives integers and their scale, of which only the largest values have one"
    ),
    **dict.fromkeys(["Gradient", "Adam", "Momentum", "Adagrad"], "is the end of a training step"),
}

_FLOATS = [
    *("Relu", "Sigmoid", "Tanh", "Erf", "Softplus", "Softsign", "HardSwish", "Mish"),
    *("Abs", "Neg", "Exp", "Sin", "Cos", "Atan", "Sinh", "Cosh", "Asinh", "Identity"),
]
ELEMENTWISE: list[Node] = [
    *(Node(op, (R(2, 3),)) for op in _FLOATS),
    *(Node(op, (R(2, 3, low=0.3, high=3),)) for op in ("Sqrt", "Log", "Reciprocal")),
    *(Node(op, (R(2, 3, low=-0.9, high=0.9),)) for op in ("Asin", "Acos", "Atanh", "Tan")),
    Node("Acosh", (R(2, 3, low=1.2, high=3),)),
    *nodes("Elu", [R(3, 4)], {"alpha": 1.0}, {"alpha": 0.3}),
    *nodes("Selu", [R(3, 4)]),
    *nodes("Celu", [R(3, 4)], {"alpha": 1.0}, {"alpha": 0.4}),
    *nodes("LeakyRelu", [R(3, 4)], {"alpha": 0.0}, {"alpha": 0.2}),
    *nodes("HardSigmoid", [R(3, 4)], {"alpha": 0.5}),
    *nodes("Gelu", [R(3, 4)], {}, {"approximate": "tanh"}),
    *nodes("ThresholdedRelu", [R(3, 4)], {"alpha": 0.5}),
    *nodes("Swish", [R(3, 4)], {"alpha": 1.5}, opset=24),
    *(Node("PRelu", (R(2, 3, 4), slope)) for slope in (R(1), R(3, 1), R(2, 3, 4))),
    *(Node(op, (R(2, 1, 3), R(4, 1))) for op in ("Add", "Sub", "Mul")),
    Node("Div", (R(2, 3), R(3, low=0.5, high=2))),
    Node("Pow", (R(2, 3, low=0.3), R(3))),
    Node("Pow", (R(2, 3), np.array(2.0))),
    Node("Pow", (R(2, 3), np.array([2, 3, 4], np.int64))),
    *(Node(op, (R(2, 3), R(3), R(1))) for op in ("Max", "Min", "Sum", "Mean")),
    Node("Max", (R(2, 3),)),
    Node("Clip", (R(3, 4),), {"min": -0.5, "max": 1.0}, opset=10),
    Node("Clip", (R(3, 4), np.array(-0.5), np.array(1.0))),
    Node("Clip", (R(3, 4), None, np.array(1.0))),
    Node("Clip", (R(3, 4), R(low=-0.6, high=-0.3), R(low=0.5, high=0.9))),
    Node("Mod", (R(2, 1, 3), R(4, 1, low=0.5)), {"fmod": 1}),
    Node("Mod", (R(2, 3), R(low=-0.9, high=-0.4)), {"fmod": 1}),
    *nodes("Mod", [R(2, 3), R(3, low=0.5)], {}, {"fmod": 1}, opset=28),
    Node("Where", (np.array([[True], [False]]), R(2, 3), R(3))),
    Node("Cast", (R(2, 3),), {"to": 11}),
    Node("CastLike", (R(2, 3), np.zeros(1))),
]

_SOFT: tuple[Attributes, ...] = ({}, {"axis": 0}, {"axis": 1})
NORMALIZING: list[Node] = [
    *nodes("Softmax", [R(2, 3, 2)], *_SOFT),
    *nodes("LogSoftmax", [R(2, 3, 2)], *_SOFT),
    *nodes("Softmax", [R(2, 3, 2)], *_SOFT, opset=12),
    *nodes("LogSoftmax", [R(2, 3, 2)], *_SOFT, opset=12),
    *nodes("LayerNormalization", [R(2, 3, 4), R(4), R(4)], {}, {"epsilon": 0.1}),
    *nodes("LayerNormalization", [R(2, 3, 4), R(3, 4)], {"axis": 1}, outputs=3),
    *nodes("InstanceNormalization", [R(2, 3, 4, 5), R(3), R(3)], {}, {"epsilon": 0.1}),
]
_STATISTICS = (R(3), R(3), R(3), R(3, low=0.5, high=1.5))
for _shape in ((4, 3), (2, 3, 4), (2, 3, 2, 2), (2, 3, 1, 2, 2)):
    _inputs = (R(*_shape), *_STATISTICS)
    NORMALIZING += [
        Node("BatchNormalization", _inputs),
        Node("BatchNormalization", _inputs, {"training_mode": 1, "momentum": 0.7}, outputs=3),
        Node("BatchNormalization", _inputs, training=True),
        Node("BatchNormalization", _inputs, opset=9),
        Node("BatchNormalization", _inputs, opset=9, outputs=5),
        Node("BatchNormalization", _inputs, opset=7, outputs=5),
    ]
NORMALIZING += [
    Node("Dropout", (R(3, 4), np.array(0.4, np.float32)), training=True),
    Node("Dropout", (R(3, 4),), {"ratio": 0.4}, opset=10, training=True),
    Node("Dropout", (R(3, 4),), {"ratio": 0.4}, opset=7, training=True, outputs=2),
    Node("Dropout", (R(3, 4),)),
]

PRODUCTS: list[Node] = [
    Node("Gemm", (R(2, 3), R(3, 4))),
    Node("Gemm", (R(2, 3), R(3, 4), R(4))),
    Node("Gemm", (R(3, 2), R(4, 3), R(1, 4)), {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 0.3}),
    Node("Gemm", (R(2, 3), R(3, 4), R(2, 1)), {"beta": 2.0}),
    Node("Gemm", (R(2, 3), R(3, 4), R(4)), {"alpha": 0.0}),
    *(
        Node("MatMul", (R(*a), R(*b)))
        for a, b in (
            ((2, 3), (3, 2)),
            ((3,), (3,)),
            ((3,), (3, 2)),
            ((2, 3), (3,)),
            ((2, 2, 3), (3, 2)),
            ((2, 1, 2, 3), (2, 3, 2)),
            ((3,), (2, 3, 2)),
        )
    ),
    *(
        Node("Einsum", tuple(R(*shape) for shape in shapes), {"equation": equation})
        for equation, *shapes in (
            ("bij, bjk -> bik", (2, 2, 3), (2, 3, 2)),
            ("...x,xy->...y", (2, 2, 3), (3, 2)),
            ("bhd,hde->bhe", (2, 2, 3), (2, 3, 2)),
            ("ij,jk", (2, 3), (3, 2)),
            ("ij,kj,k->i", (2, 3), (2, 3), (2,)),
            ("bij->bj", (2, 2, 3)),
        )
    ),
]

_REDUCTIONS = (
    *("ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2"),
    *("ReduceSumSquare", "ReduceLogSumExp"),
)
REDUCTIONS: list[Node] = [
    *(Node(op, (R(2, 3, 2), ints(-1, 0)), {"keepdims": 0}) for op in _REDUCTIONS),
    *(Node(op, (R(2, 3),), {"axes": [1]}, opset=11) for op in _REDUCTIONS),
    *(Node(op, (R(2, 3),)) for op in _REDUCTIONS),
    Node("ReduceLogSum", (R(2, 3, low=0.5), ints(1))),
    Node("ReduceLogSum", (R(2, 3, low=0.5),), {"axes": [1]}, opset=11),
    Node("ReduceSum", (R(2, 3),), {"noop_with_empty_axes": 1}),
    *nodes("CumSum", [R(3, 4), ints(1)], {}, {"exclusive": 1}, {"reverse": 1}),
    Node("CumProd", (R(3, 4, low=0.5), ints(0)), opset=26),
    *nodes("TopK", [R(3, 4), ints(2)], {}, {"largest": 0}, {"axis": 0}, outputs=2),
    Node("TopK", (R(3, 4), ints(2)), {"axis": 0}, opset=10, outputs=2),
    Node("TopK", (R(3, 4),), {"k": 2}, opset=9, outputs=2),
]

SHAPES: list[Node] = [
    Node("Reshape", (R(2, 6), ints(0, -1, 2))),
    *nodes("Flatten", [R(2, 3, 2)], {"axis": 0}, {"axis": 1}, {"axis": -1}),
    *nodes("Transpose", [R(2, 3, 4)], {}, {"perm": [1, 0, 2]}),
    Node("Squeeze", (R(2, 1, 3, 1), ints(-1))),
    Node("Squeeze", (R(2, 1, 3),), {"axes": [1]}, opset=11),
    Node("Unsqueeze", (R(2, 3), ints(-1, 0))),
    Node("Unsqueeze", (R(2, 3),), {"axes": [1]}, opset=11),
    Node("Concat", (R(2, 3), R(2, 1)), {"axis": -1}),
    Node("Split", (R(5, 2),), {"num_outputs": 2}, outputs=2),
    Node("Split", (R(5, 2), ints(2, 3)), opset=13, outputs=2),
    Node("Split", (R(5, 2),), {"split": [2, 3]}, opset=11, outputs=2),
    Node("Slice", (R(5, 4), ints(-1, 0), ints(-100, 3), ints(0, 1), ints(-2, 1))),
    Node("Slice", (R(5, 4),), {"starts": [1], "ends": [2**62]}, opset=9),
    Node("Expand", (R(3, 1), ints(2, 1, 4))),
    Node("Tile", (R(2, 3), ints(2, 1))),
    *nodes("Pad", [R(3, 4), ints(1, 0, 0, 2)], {}, {"mode": "reflect"}, {"mode": "edge"}, {"mode": "wrap"}),
    Node("Pad", (R(3, 4), ints(-1, 2), np.array(0.5), ints(1))),
    Node("Pad", (R(3, 4), ints(1, 0, 0, 2), R()), {}),
    Node("Pad", (R(3, 4), ints(1, 0, 0, 2)), opset=11),
    Node("Range", (R(low=0.1, high=0.2), np.array(5.0), R(low=0.7, high=0.8))),
    Node("Range", (R(low=0.1, high=0.2), np.array(-5.0), R(low=-0.8, high=-0.7)), opset=27),
    Node("Pad", (R(3, 4),), {"pads": [1, 0, 0, 2]}, opset=7),
    *nodes("DepthToSpace", [R(1, 8, 2, 1)], {"blocksize": 2}, {"blocksize": 2, "mode": "CRD"}),
    *nodes("SpaceToDepth", [R(1, 2, 2, 4)], {"blocksize": 2}),
    *nodes("Trilu", [R(3, 4)], {}, {"upper": 0}),
]

_ROWS = np.array([[0, 2], [-1, 0]], np.int64)
INDEXING: list[Node] = [
    *nodes("Gather", [R(3, 4), _ROWS], {}, {"axis": 1}),
    *nodes("GatherElements", [R(3, 4), _ROWS], {}, {"axis": 1}),
    Node("GatherND", (R(3, 4), _ROWS)),
    Node("GatherND", (R(2, 3, 4), np.array([[1], [-1]], np.int64)), {"batch_dims": 1}),
    Node("GatherND", (R(3, 4), _ROWS), opset=11),
    Node("OneHot", (_ROWS, ints(4), R(2))),
    *nodes("ScatterElements", [R(3, 4), _ROWS, R(2, 2)], {}, {"axis": 1}, {"reduction": "add"}),
    *nodes("ScatterElements", [R(3, 4), _ROWS, R(2, 2)], {"reduction": "mul"}, {"reduction": "max"}),
    *nodes("ScatterND", [R(3, 4), np.array([[2], [0]], np.int64), R(2, 4)], {}, {"reduction": "min"}),
    *nodes("ScatterND", [R(3, 4), np.array([[1], [1]], np.int64), R(2, 4)], {"reduction": "mul"}),
    Node("Scatter", (R(3, 4), _ROWS, R(2, 2)), opset=9),
]

_LABELS = np.array([[0, 2], [1, -1]], np.int64)
_REDUCED = ({"reduction": "mean"}, {"reduction": "sum"}, {"reduction": "none"})
_IGNORING = tuple({**r, "ignore_index": -1} for r in _REDUCED)
LOSSES: list[Node] = []
for _loss in ("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"):
    LOSSES += nodes(_loss, [R(3, 4), ints(0, 3, 1)], *_REDUCED)
    LOSSES += nodes(_loss, [R(2, 3, 2), _LABELS], *_IGNORING)
    LOSSES += nodes(_loss, [R(2, 3, 2), _LABELS, np.array([0.5, 1.0, 2.0])], *_IGNORING)
    LOSSES += nodes(_loss, [R(2, 3, 2), _LABELS, R(3, low=0.5)], *_IGNORING)
LOSSES.append(Node("SoftmaxCrossEntropyLoss", (R(3, 4), ints(0, 3, 1)), outputs=2))

_POOL_2D = (
    {"kernel_shape": [2, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [2, 1]},
    {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [2, 2], "dilations": [2, 1]},
    {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"},
)
POOLS: list[Node] = [
    *nodes("MaxPool", [R(1, 2, 5, 4)], *_POOL_2D),
    *nodes("MaxPool", [R(1, 2, 5, 4)], *_POOL_2D[:2], outputs=2),
    *nodes("AveragePool", [R(1, 2, 5, 4)], *_POOL_2D),
    *nodes("AveragePool", [R(1, 2, 5, 4)], *({**p, "count_include_pad": 1} for p in _POOL_2D)),
    *(Node(op, (R(2, 1, 6),), {"kernel_shape": [3], "pads": [2, 1]}) for op in ("MaxPool", "AveragePool")),
    *(
        Node(op, (R(1, 1, 4, 3, 2),), {"kernel_shape": [2, 2, 1], "pads": [1, 0, 0, 0, 1, 0]})
        for op in ("MaxPool", "AveragePool")
    ),
    *nodes("LpPool", [R(1, 2, 5, 4)], *_POOL_2D),
    Node("LpPool", (R(1, 2, 5),), {"kernel_shape": [2], "p": 3}, opset=11),
    *nodes("GlobalLpPool", [R(2, 2, 3, 2)], {}, {"p": 1}),
    Node("GlobalAveragePool", (R(2, 2, 3, 2),)),
    Node("GlobalMaxPool", (R(2, 2, 3, 2),)),
]

_CONV_2D: tuple[Attributes, ...] = (
    {},
    {"pads": [1, 1, 1, 1]},
    {"pads": [1, 0, 2, 1], "strides": [2, 1]},
    {"dilations": [2, 1], "pads": [1, 1, 1, 1]},
    {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
    {"auto_pad": "VALID"},
)
_TRANSPOSED: tuple[Attributes, ...] = (
    {},
    {"strides": [2, 1], "pads": [1, 0, 1, 1]},
    {"strides": [2, 2], "output_padding": [1, 1], "pads": [1, 1, 1, 1]},
    {"dilations": [2, 1]},
    {"strides": [2, 2], "output_shape": [5, 4]},
    {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
)
_SCALES = np.array([1, 1, 0.6, 2], np.float32)
RESIZES: list[Node] = [
    *nodes("Resize", [R(1, 2, 3, 4), None, _SCALES], *({"mode": m} for m in ("nearest", "linear", "cubic"))),
    Node("Resize", (R(1, 1, 4, 4), None, _SCALES), {"mode": "linear", "antialias": 1}),
    Node("Resize", (R(1, 2, 3, 4), None, None, ints(1, 2, 5, 2)), {"mode": "linear"}, opset=13),
    Node("Resize", (R(1, 2, 3, 4), _SCALES), {"mode": "linear"}, opset=10),
    Node("Upsample", (R(1, 2, 3, 4), _SCALES), {"mode": "nearest"}, opset=9),
    Node("Upsample", (R(1, 2, 3, 4),), {"mode": "linear", "scales": [1.0, 1.0, 2.0, 1.0]}, opset=7),
]
CONVOLUTIONS: list[Node] = [
    *nodes("Conv", [R(1, 2, 4, 5), R(3, 2, 3, 3), R(3)], *_CONV_2D),
    Node("Conv", (R(2, 4, 3, 3), R(6, 2, 2, 2)), {"group": 2}),
    Node("Conv", (R(2, 2, 2, 2), R(3, 2, 3, 3), R(3)), {"pads": [1, 1, 1, 1]}),
    Node("Conv", (R(2, 2, 2), R(4, 1, 5)), {"pads": [2, 2], "group": 2}),
    Node("Conv", (R(1, 2, 2, 1, 2), R(2, 2, 3, 3, 3)), {"pads": [1, 1, 1, 1, 1, 1]}),
    Node("Conv", (R(1, 3, 4, 4), R(6, 1, 3, 3), R(6)), {"group": 3, "pads": [1, 1, 1, 1]}),
    Node("Conv", (R(1, 3, 4, 4), R(3, 1, 3, 3)), {"group": 3, "strides": [2, 1]}),
    Node("Conv", (R(2, 2, 6), R(3, 2, 3)), {"strides": [2], "pads": [1, 1]}),
    Node("Conv", (R(1, 2, 3, 3, 2), R(2, 2, 2, 2, 1)), {"strides": [1, 2, 1]}),
    Node("Conv", (R(1, 4, 3, 2, 2), R(2, 2, 2, 1, 1)), {"group": 2}),
    Node("Conv", (R(2, 3, 5), R(6, 1, 2)), {"group": 3, "dilations": [2]}),
    Node(
        "Conv",
        (R(1, 2, 4, 3, 3), R(2, 1, 2, 2, 1)),
        {"group": 2, "dilations": [2, 1, 1], "pads": [1, 0, 0, 0, 1, 0]},
    ),
    *nodes("ConvTranspose", [R(1, 2, 2, 3), R(2, 3, 3, 2), R(3)], *_TRANSPOSED),
    Node("ConvTranspose", (R(1, 4, 2, 2), R(4, 2, 2, 2)), {"group": 2, "strides": [2, 2]}),
    Node("ConvTranspose", (R(1, 2, 3), R(2, 2, 3)), {"strides": [2]}),
    Node("ConvTranspose", (R(1, 2, 2, 2, 1), R(2, 1, 2, 2, 1)), {"strides": [2, 1, 1]}),
    Node("ConvTranspose", (R(1, 4, 3), R(4, 1, 2)), {"group": 2, "strides": [3], "output_padding": [1]}),
    Node("ConvTranspose", (R(1, 4, 2, 2, 1), R(4, 1, 2, 2, 1)), {"group": 2, "dilations": [1, 2, 1]}),
]

_LENGTHS = np.array([3, 1], np.int32)


def _recurrent(op: str, *more: Input, directions: int = 1, steps: int = 3) -> tuple[Input, ...]:
    """X, W, R, B and what follows, for two sequences of two features and two units."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    weights = (R(directions, 2 * gates, 2, low=-1, high=1) for _ in range(2))
    return (R(steps, 2, 2), *weights, R(directions, 4 * gates, low=-1, high=1), *more)


_H = R(1, 2, 2)
_H2 = R(2, 2, 2)
RECURRENCES: list[Node] = [
    *nodes("LSTM", _recurrent("LSTM"), {}, {"direction": "reverse"}, {"input_forget": 1}, outputs=3),
    Node("LSTM", _recurrent("LSTM")[:3]),
    Node("LSTM", _recurrent("LSTM", _LENGTHS, _H, _H, R(1, 6)), {"direction": "reverse"}, outputs=3),
    Node("LSTM", _recurrent("LSTM", None, _H, _H, R(1, 6)), {"layout": 0, "clip": 1.5}, outputs=3),
    Node(
        "LSTM",
        _recurrent("LSTM", None, R(3, 2, 2), R(3, 2, 2), directions=2),  # three sequences of two steps
        {"direction": "bidirectional", "layout": 1},
        outputs=3,
    ),
    Node(
        "LSTM",
        _recurrent("LSTM", directions=2),
        {
            "direction": "bidirectional",
            "activations": ["HardSigmoid", "LeakyRelu", "Softsign", "Elu", "ScaledTanh", "Softplus"],
            "activation_alpha": [0.1, 0.3, 0.5, 0.7],
            "activation_beta": [0.4, 0.8],
        },
        outputs=3,
    ),
    *nodes("GRU", _recurrent("GRU"), {}, {"linear_before_reset": 1, "clip": 1.5}, outputs=2),
    Node("GRU", _recurrent("GRU")[:3], {"linear_before_reset": 1}, opset=7),
    *nodes(
        "GRU",
        _recurrent("GRU", np.array([1, 3], np.int32), _H2, directions=2),
        {"direction": "bidirectional"},
        {"direction": "bidirectional", "linear_before_reset": 1},
        outputs=2,
    ),
    *nodes("RNN", _recurrent("RNN", None, _H), {}, {"direction": "reverse", "clip": 2.0}, outputs=2),
    Node(
        "RNN",
        _recurrent("RNN", _LENGTHS, _H2, directions=2),
        {
            "direction": "bidirectional",
            "activations": ["Affine", "ThresholdedRelu"],
            "activation_alpha": [0.5, 0.1],
            "activation_beta": [0.2],
        },
        outputs=2,
    ),
    Node("RNN", _recurrent("RNN", steps=40), {}, opset=22, outputs=2),  # longer than what is unrolled
]

_LINEAR = {"q_num_heads": 2, "kv_num_heads": 2}
_WIDE = {"stash_type": 11}
_HEADS = (R(1, 2, 3, 4), R(1, 2, 2, 4), R(1, 2, 2, 4))
FUNCTIONS: list[Node] = [
    *nodes("Attention", [*_HEADS, R(3, 2)], {"softmax_precision": 11}, {"softcap": 1.5}, opset=23),
    Node(
        "Attention",
        (*_HEADS, R(3, 5), R(1, 2, 3, 4), R(1, 2, 3, 4)),
        {"softmax_precision": 11, "is_causal": 1},
        opset=24,
        outputs=3,
    ),
    Node("CausalConvWithState", (R(2, 3, 4), R(3, 1, 2), R(3), R(2, 3, 1)), opset=27, outputs=2),
    Node("CenterCropPad", (R(3, 4), ints(5)), {"axes": [1]}),
    Node("GroupNormalization", (R(2, 4, 3), R(4), R(4)), {"num_groups": 2, **_WIDE}),
    *(
        Node(
            "LinearAttention",
            (R(2, 3, 4), R(2, 3, 4), R(2, 3, 4), R(2, 2, 2, 2), decay, beta),
            {**_LINEAR, "update_rule": rule},
            opset=27,
            outputs=2,
            single=True,
        )
        for rule, decay, beta in (
            ("linear", None, None),
            ("gated", R(2, 3, 2, low=-0.9, high=-0.1), None),
            ("delta", None, R(2, 3, 2, low=0.1, high=0.9)),
            ("gated_delta", R(2, 3, 2, low=-0.9, high=-0.1), R(2, 3, 2, low=0.1, high=0.9)),
        )
    ),
    Node("MeanVarianceNormalization", (R(2, 3, 2, 2),)),
    *nodes("RMSNormalization", [R(2, 3, 4), R(4)], _WIDE, {**_WIDE, "epsilon": 0.1}, opset=23),
    Node("RotaryEmbedding", (R(1, 2, 3, 4), R(1, 3, 2), R(1, 3, 2)), opset=23),
    *nodes("Shrink", [R(3, 4)], {}, {"lambd": 0.3, "bias": 0.1}),
    *nodes("SwiGLU", [R(3, 4), R(3, 4)], {}, {"alpha": 1.5}, opset=28),
]
"""Operators that ONNX defines by a function of others."""


ALL = [
    *(ELEMENTWISE + NORMALIZING + PRODUCTS + REDUCTIONS + SHAPES),
    *(FORMER + CONTROL + SAMPLING + CHOSEN),
    *(FUNCTIONS + LINEAR),
    *(INDEXING + LOSSES + POOLS + RESIZES + CONVOLUTIONS + RECURRENCES),
]
