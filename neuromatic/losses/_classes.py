"""What losses over classes share: class-index targets, one-hot, smoothed labels, log-probabilities."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Shape, Value, shape_text
from neuromatic.losses.base import EPSILON, class_axis, input_of, softplus
from neuromatic.losses.class_axis import softmax_axis


def index_targets(loss: str, prediction: Value, axis: int) -> tuple[int, Shape]:
    """Type and shape of class-index targets: int64, the prediction's shape without the class axis.

    Raises:
        ShapeError: the prediction has no class axis.
    """
    if prediction.rank < 2:
        raise ShapeError(
            f"{loss} takes (batch, ..., classes), got {shape_text(prediction.shape)} from {prediction.name!r}"
        )
    shape = list(prediction.shape or ())
    del shape[class_axis(prediction, axis)]
    return TensorProto.INT64, tuple(shape)


def class_count(prediction: Value, axis: int) -> int | None:
    """How many classes a prediction is about; None if that is unknown."""
    size = prediction.dim(class_axis(prediction, axis))
    return size if isinstance(size, int) else None


def class_axis_of(g: GraphBuilder, prediction: Value, axis: int) -> int:
    """A class axis; where it was left at -1, that of the Softmax that made the prediction, if one did."""
    found = softmax_axis(g, prediction) if axis == -1 else None
    return axis if found is None else found


def one_hot(g: GraphBuilder, y_true: Value, y_pred: Value, axis: int) -> Value:
    """Class indices as 0 and 1 along a class axis, of the prediction's type and shape.

    Raises:
        ShapeError: the number of classes is unknown.
    """
    classes = class_count(y_pred, axis)
    if classes is None:
        raise ShapeError(f"the number of classes of {y_pred.name!r} {shape_text(y_pred.shape)} is unknown")
    if g.opset < 9:  # there is no OneHot yet
        places = np.arange(classes).reshape(-1, *[1] * (y_pred.rank - 1 - axis))
        hot = op.equal(g, op.unsqueeze(g, y_true, axis), g.const(places, TensorProto.INT64))
    else:  # onnxruntime has no OneHot of float64
        hot = g.add("OneHot", y_true, g.ints(classes), g.const([0.0, 1.0]), axis=axis)
    return op.cast(g, hot, y_pred.dtype)


def smoothed_binary(g: GraphBuilder, y_true: Value, smoothing: float) -> Value:
    """Labels 0 and 1 moved towards one half."""
    if not smoothing:
        return y_true
    scaled = g.add("Mul", y_true, g.const(1 - smoothing, y_true.dtype))
    return g.add("Add", scaled, g.const(smoothing / 2, y_true.dtype))


def smoothed_categorical(g: GraphBuilder, y_true: Value, axis: int, smoothing: float) -> Value:
    """One-hot labels moved towards equal probabilities.

    Raises:
        ShapeError: the number of classes is unknown.
    """
    if not smoothing:
        return y_true
    classes = y_true.dim(axis)
    if not isinstance(classes, int):
        raise ShapeError(
            f"label_smoothing needs the number of classes, axis {axis} of {y_true.name!r} "
            f"{shape_text(y_true.shape)}"
        )
    scaled = g.add("Mul", y_true, g.const(1 - smoothing, y_true.dtype))
    return g.add("Add", scaled, g.const(smoothing / classes, y_true.dtype))


def log_probabilities(g: GraphBuilder, y_pred: Value, axis: int, *, from_logits: bool) -> Value:
    """The logarithms of probabilities along ``axis``, from logits where these are known."""
    logits = y_pred if from_logits else input_of(g, "Softmax", y_pred, axis)
    if logits is not None:
        return op.log_softmax(g, logits, axis)
    total = op.reduce(g, "ReduceSum", y_pred, (axis,), keepdims=True)
    return g.add("Log", op.clip(g, g.add("Div", y_pred, total), EPSILON, 1 - EPSILON))


def binary_crossentropy(g: GraphBuilder, y_true: Value, y_pred: Value, *, from_logits: bool) -> Value:
    """``-(y log p + (1 - y) log(1 - p))`` for each element, from logits where these are known."""
    logits = y_pred if from_logits else input_of(g, "Sigmoid", y_pred)
    one = g.const(1.0, y_pred.dtype)
    if logits is not None:
        # -log p is softplus(-z), which is exact at both ends and smooth at 0.
        hit = g.add("Mul", y_true, softplus(g, g.add("Neg", logits)))
        miss = g.add("Mul", g.add("Sub", one, y_true), softplus(g, logits))
        return g.add("Add", hit, miss)
    p = op.clip(g, y_pred, EPSILON, 1 - EPSILON)
    hit = g.add("Mul", y_true, g.add("Log", p))
    miss = g.add("Mul", g.add("Sub", one, y_true), g.add("Log", g.add("Sub", one, p)))
    return g.add("Neg", g.add("Add", hit, miss))
