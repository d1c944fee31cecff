"""Nodes whose gradients are checked: control flow, sampling, selection, transforms, and opset 6."""

from __future__ import annotations

import numpy as np
from onnx import GraphProto, NodeProto, TypeProto, helper

from tests.conformance.gradients import Node, R, ints, nodes


def _body(name: str, nodes: list[NodeProto], inputs: str, outputs: str) -> GraphProto:
    """A graph of nodes; the names of inputs and outputs are separated by spaces."""
    given, results = (
        [helper.make_value_info(n, TypeProto()) for n in names.split()] for names in (inputs, outputs)
    )
    return helper.make_graph(nodes, name, given, results)


_node = helper.make_node
_STEP = _body(
    "step",
    [
        *(_node("Mul", ["a", "w"], ["p"]), _node("Tanh", ["p"], ["new"]), _node("Mul", ["new", "a"], ["y"])),
        *(_node("Identity", ["going"], ["goes"]), _node("Identity", ["w"], ["same"])),
    ],
    "i going a w",
    "goes new same y",
)
_RUNNING = _body(
    "running",
    [_node("Mul", ["a", "x"], ["p"]), _node("Sin", ["p"], ["new"]), _node("Add", ["new", "x"], ["y"])],
    "a x",
    "new y",
)
_ENDS = {"scan_input_axes": [1], "scan_input_directions": [1], "scan_output_axes": [-1]}
CONTROL: list[Node] = [
    *(Node("Loop", (np.array(steps), None, R(2), R(2)), {"body": _STEP}, outputs=3) for steps in (3, 70)),
    Node("Scan", (R(2), R(3, 2)), {"body": _RUNNING, "num_scan_inputs": 1}, outputs=2),
    Node("Scan", (R(2), R(70, 2)), {"body": _RUNNING, "num_scan_inputs": 1}, outputs=2),
    Node("Scan", (R(2), R(2, 3)), {"body": _RUNNING, "num_scan_inputs": 1, **_ENDS}, outputs=2),
    Node("Scan", (None, R(2, 2), R(2, 3, 2)), {"body": _RUNNING, "num_scan_inputs": 1}, opset=8, outputs=2),
]

_CHANNELS = (R(3), R(3), R(3), R(3, low=0.5, high=1.5))
_ALONG = {"broadcast": 1, "axis": 1}
FORMER: list[Node] = [
    *(Node(op, (R(2, 3, 2), R(3, low=0.5)), _ALONG, opset=6) for op in ("Add", "Sub", "Mul", "Div")),
    Node("Add", (R(2, 3), R(2, 3)), opset=6),
    Node("Pow", (R(2, 3, 2, low=0.3), R(3)), _ALONG, opset=6),
    Node("PRelu", (R(2, 3, 4), R(3)), opset=6),
    Node("Gemm", (R(2, 3), R(3, 4), R(4)), {"broadcast": 1}, opset=6),
    Node("AveragePool", (R(1, 2, 5, 4),), {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0]}, opset=6),
    Node(
        "BatchNormalization",
        (R(2, 3, 2), *_CHANNELS),
        {"is_test": 1},
        opset=6,
    ),
    Node("BatchNormalization", (R(2, 3, 2), *_CHANNELS), opset=6, outputs=5),
    Node("Dropout", (R(3, 4),), {"ratio": 0.4}, opset=6, training=True),
    Node("Upsample", (R(1, 2, 3, 2),), {"height_scale": 2.0, "width_scale": 1.0}, opset=6),
]

_TWO = np.array([1, 3], np.int64)
_GRID = {"align_corners": 1}
SAMPLING: list[Node] = [
    *nodes("AffineGrid", [R(2, 2, 3), ints(1, 1, 2, 3)], {}, _GRID),
    Node("AffineGrid", (R(1, 3, 4), ints(1, 1, 2, 3, 2))),
    *nodes(
        "GridSample",
        [R(2, 2, 3, 4), R(2, 2, 2, 2, low=-1.3, high=1.3)],
        *(
            {"mode": mode, "padding_mode": padding} | _GRID
            for mode in ("linear", "cubic")
            for padding in ("zeros", "border", "reflection")
        ),
        {"mode": "linear"},
        opset=20,
    ),
    Node(
        "GridSample", (R(1, 1, 2, 3, 2), R(1, 2, 1, 1, 3, low=-0.9, high=0.9)), {"mode": "linear"}, opset=20
    ),
    Node("GridSample", (R(1, 2, 3, 4), R(1, 2, 2, 2, low=-0.9, high=0.9)), {"mode": "bilinear"}, opset=16),
    *nodes(
        "RoiAlign",
        [R(2, 2, 5, 4), np.array([[0.2, 0.3, 2.4, 3.1], [1.2, 0.7, 3.4, 4.6]]), ints(1, 0)],
        *(
            {"output_height": 2, "output_width": 3, "sampling_ratio": s, "mode": m}
            for s in (0, 2)
            for m in ("avg", "max")
        ),
    ),
    Node("RoiAlign", (R(1, 1, 4, 4), R(2, 4, low=0.2, high=0.9), ints(0, 0)), {"sampling_ratio": 1}),
    Node(
        "RoiAlign",
        (R(1, 1, 4, 4), np.array([[0.2, 0.3, 2.4, 3.1]]), ints(0)),
        {"sampling_ratio": 1},
        opset=10,
    ),
    *nodes(
        "DeformConv",
        [R(1, 2, 4, 4), R(2, 2, 2, 2), R(1, 8, 3, 3, low=0.1, high=0.4), R(2), R(1, 4, 3, 3)],
        {},
    ),
    Node(
        "DeformConv",
        (R(1, 4, 4, 3), R(2, 2, 2, 1), R(1, 8, 2, 3, low=0.1, high=0.4)),
        {"group": 2, "offset_group": 2, "strides": [2, 1], "pads": [1, 0, 0, 0]},
    ),
    *nodes("Col2Im", [R(1, 8, 9), ints(4, 4), ints(2, 2)], {}),
    Node(
        "Col2Im",
        (R(2, 4, 6), ints(4, 5), ints(2, 1)),
        {"dilations": [2, 1], "pads": [1, 0, 0, 0], "strides": [1, 3]},
    ),
    Node(
        "MaxUnpool",
        (R(1, 1, 2, 2), ints(5, 7, 13, 15).reshape(1, 1, 2, 2)),
        {"kernel_shape": [2, 2], "strides": [2, 2]},
    ),
]
CHOSEN: list[Node] = [
    *nodes("Compress", [R(3, 4), np.array([True, False, True])], {}, {"axis": 0}, {"axis": -1}),
    *nodes("Unique", [R(3, 2)], {}, {"axis": 0}, {"axis": 1, "sorted": 0}),
    Node("ReverseSequence", (R(4, 2, 3), _TWO)),
    Node("ReverseSequence", (R(2, 3, 2), _TWO), {"batch_axis": 0, "time_axis": 1}),
    *nodes("TensorScatter", [R(2, 4, 3), R(2, 2, 3), ints(1, 3)], {"mode": "circular"}, opset=24),
    Node("TensorScatter", (R(2, 3, 4), R(2, 3, 2)), {"axis": -1}, opset=24),
    Node("Det", (R(2, 3, 3),)),
    *nodes("DFT", [R(2, 5, 1), None, np.array(1)], {}, {"onesided": 1}),
    *nodes("DFT", [R(2, 4, 2), np.array(6)], {}, {"inverse": 1}, {"inverse": 1, "onesided": 1}),
    Node("DFT", (R(2, 4, 2), np.array(3)), {"axis": 1}, opset=17),
    *nodes("STFT", [R(2, 8, 1), np.array(2), R(4)], {}, {"onesided": 0}),
    Node("STFT", (R(2, 8, 2), np.array(2), None, np.array(4)), {"onesided": 0}),
    *nodes("LRN", [R(2, 5, 3)], {"size": 3}, {"size": 4, "alpha": 0.5, "bias": 2.0}),
    *nodes("LpNormalization", [R(3, 4)], {}, {"p": 1, "axis": 0}),
    Node("DequantizeLinear", (np.array([[3, 9]], np.uint8), R(1, low=1), np.array([4], np.uint8)), opset=10),
    Node(
        "DequantizeLinear", (np.array([[3, 9]], np.uint8), R(2, low=1), np.array([4, 1], np.uint8)), opset=13
    ),
    Node("DequantizeLinear", (np.array([[3, 9, 2]], np.int8), R(1, 2, low=1)), {"block_size": 2}, opset=21),
    Node("DequantizeLinear", (np.array([[3, 9]], np.int16), R(2, low=1)), opset=23),
]
