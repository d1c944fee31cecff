"""Along which axis of a prediction the classes lie, as the nodes of a graph tell it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from onnx import NodeProto, helper, numpy_helper

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value

Producer = Callable[[str], NodeProto | None]
"""The node that computes the value of a name; None for what is given."""

UNARY = ("Abs", "Cast", "Clip", "Dropout", "Exp", "Identity", "Log", "Neg", "Relu", "Sigmoid", "Sqrt")
SAME_PLACES = frozenset([*UNARY, "Add", "Div", "Max", "Min", "Mul", "Pow", "Sub", "Where"])
"""Operators that leave every element in its place."""
INDEXED = ("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss")
"""The losses of ONNX, whose classes lie along axis 1."""
NORMALIZED = ("Softmax", "LogSoftmax")
SUMMED = ("ReduceSum", "ReduceLogSumExp")


@dataclass(frozen=True)
class Classes:
    """What a loss takes for classes.

    Attributes:
        axis: of the prediction, counted from the front.
        indices: whether targets are class indices.
        ignored: a label whose samples do not count.
    """

    axis: int
    indices: bool = False
    ignored: int | None = None


def classes_in(
    nodes: Iterable[NodeProto], prediction: Value, producer: Producer, opset: int
) -> Classes | None:
    """The classes of a loss from its nodes; None where these do not tell.

    ``SoftmaxCrossEntropyLoss`` and its like tell most, then ``Softmax`` and ``LogSoftmax`` of the prediction,
    then a sum along one axis, then the ``Softmax`` that made the prediction.

    Args:
        nodes: of the loss, in order.
        prediction: of known rank.
    """
    places = {prediction.name: tuple(range(prediction.rank))}
    made_by = softmax_of(prediction.name, producer)
    if made_by is not None:
        places[made_by.input[0]] = places[prediction.name]
    found: dict[str, Classes] = {}
    for node in nodes:
        own = next((places[name] for name in node.input if name in places), None)
        if own is None or node.domain not in ("", "ai.onnx"):
            continue
        if node.op_type in INDEXED and len(own) > 1:
            return Classes(own[1], indices=True, ignored=_attribute(node, "ignore_index"))
        axis = _softmax_axis(node, len(own), opset) if node.op_type in NORMALIZED else None
        if axis is not None:
            found.setdefault("softmax", Classes(own[axis]))
        if node.op_type in SUMMED:
            axes = _axes(node, producer)
            if len(axes) == 1 and -len(own) <= axes[0] < len(own) and own[axes[0]]:
                found.setdefault("sum", Classes(own[axes[0]]))
        if node.op_type == "Transpose":
            order = _attribute(node, "perm") or range(len(own))[::-1]
            if sorted(order) == list(range(len(own))):
                places[node.output[0]] = tuple(own[i] for i in order)
        elif node.op_type in SAME_PLACES or node.op_type in NORMALIZED:
            places[node.output[0]] = own
    if not found and made_by is not None:
        axis = _softmax_axis(made_by, prediction.rank, opset)
        return None if axis is None else Classes(axis)
    return found.get("softmax") or found.get("sum")


def producers_of(g: GraphBuilder) -> Producer:
    """The nodes that a builder knows."""
    return lambda name: g.producer(g.value(name)) if g.knows(name) else None


def softmax_of(name: str, producer: Producer) -> NodeProto | None:
    """The Softmax or LogSoftmax that made a value; its type or logarithm may have been taken after that."""
    node = producer(name)
    while node is not None and node.op_type in ("Identity", "Cast", "Log") and node.domain in ("", "ai.onnx"):
        node = producer(node.input[0])
    ours = node is not None and node.op_type in NORMALIZED and node.domain in ("", "ai.onnx")
    return node if ours else None


def softmax_axis(g: GraphBuilder, value: Value) -> int | None:
    """The axis of the Softmax that made a value, counted from the front; None if none did."""
    node = softmax_of(value.name, producers_of(g))
    return None if node is None or value.shape is None else _softmax_axis(node, value.rank, g.opset)


def has_one_channel(prediction: Value) -> bool:
    """Whether a value has the form of images of one channel, (batch, 1, height, width)."""
    shape = prediction.shape or ()
    return len(shape) > 3 and shape[1] == 1 != shape[-1]


def _softmax_axis(node: NodeProto, rank: int, opset: int) -> int | None:
    """The axis of a Softmax; None where it runs over several, as it may before opset 13."""
    given = _attribute(node, "axis")
    axis = (-1 if opset >= 13 else 1) if given is None else given
    if not -rank <= axis < rank:
        return None
    axis %= rank
    return int(axis) if axis and (opset >= 13 or axis == rank - 1) else None


def _axes(node: NodeProto, producer: Producer) -> Sequence[int]:
    given = _attribute(node, "axes")
    if given is None and len(node.input) > 1:
        maker = producer(node.input[1])
        tensor = None if maker is None or maker.op_type != "Constant" else _attribute(maker, "value")
        given = [] if tensor is None else numpy_helper.to_array(tensor).ravel().tolist()
    return given or []


def _attribute(node: NodeProto, name: str) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), None)
