"""The loss of sequences whose labels are not aligned with the steps: CTC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Shape, Value, shape_text
from neuromatic.losses._classes import class_count, one_hot
from neuromatic.losses.base import Loss, class_axis
from neuromatic.losses.similarity import NEVER

__all__ = ["CTC"]


@dataclass(frozen=True)
class CTC(Loss):
    """Connectionist temporal classification: ``-log`` of all alignments' probability (Keras ``CTC``).

    An alignment names a class or the blank at each step; the labels are what is left when repeats are taken
    once and blanks are dropped. The sum over alignments is written out step by step, in logarithms, so the
    graph grows with the number of steps, about 15 nodes for each.

    Predictions: (batch, steps, classes) float logits; class 0 is the blank. Targets: (batch, labels) int64,
    classes 1, 2 ..., filled up with 0 at the end. Where there are too few steps for the labels, the loss is
    about 1e30.
    """

    sparse: ClassVar[bool] = True

    def target_type(self, prediction: Value) -> tuple[int, Shape | None]:
        if prediction.rank != 3 or not all(isinstance(prediction.dim(i), int) for i in (1, 2)):
            raise ShapeError(
                f"ctc takes (batch, steps, classes) of known steps and classes, got "
                f"{shape_text(prediction.shape)} from {prediction.name!r}"
            )
        return TensorProto.INT64, (prediction.dim(0), "labels")

    def classes(self, prediction: Value) -> int | None:
        return class_count(prediction, -1)

    def classes_along(self, prediction: Value) -> int | None:
        return class_axis(prediction, -1)

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        steps = y_pred.dim(1)
        assert isinstance(steps, int)  # target_type has seen to it
        log_p = op.log_softmax(g, y_pred, 2)
        hot = one_hot(g, y_true, y_pred, 2)
        of_label = g.add("MatMul", hot, g.add("Transpose", log_p, perm=[0, 2, 1]))  # (batch, labels, steps)
        blank, label = _start(g, _at(g, of_label, 0, 2))
        skips = _no_skips(g, y_true, y_pred.dtype)
        for t in range(steps):
            before = _shifted(g, label)
            of_blank = op.unsqueeze(g, _at(g, _at(g, log_p, t, 1), 0, 1), 1)
            earlier = _first(g, before)
            label = _log_sum(g, label, _first(g, blank), g.add("Add", earlier, skips))
            blank = g.add("Add", _log_sum(g, blank, before), of_blank)
            label = g.add("Add", label, _at(g, of_label, t, 2))
        ends = _log_sum(g, blank, _shifted(g, label))
        return g.add("Neg", _pick_last(g, y_true, ends))


def _at(g: GraphBuilder, x: Value, index: int, axis: int) -> Value:
    """x[..., index, ...], without the axis."""
    return g.add("Gather", x, g.const(index, TensorProto.INT64), axis=axis)


def _start(g: GraphBuilder, like: Value) -> tuple[Value, Value]:
    """Before the first step: blank (batch, labels + 1) and label (batch, labels), only the first blank 1."""
    never = g.add("Add", g.add("Mul", like, g.const(0.0, like.dtype)), g.const(NEVER, like.dtype))
    return _with_first(g, never, 0.0), never


def _with_first(g: GraphBuilder, x: Value, number: float) -> Value:
    """A column of one number before (batch, labels)."""
    return g.add("Concat", g.add("Add", _column(g, x), g.const(number, x.dtype)), x, axis=1)


def _shifted(g: GraphBuilder, label: Value) -> Value:
    """(batch, labels + 1): at i the label before the blank i; none before the first."""
    return _with_first(g, label, NEVER)


def _first(g: GraphBuilder, x: Value) -> Value:
    """x without its last column."""
    if g.opset >= 10:
        return g.add("Slice", x, g.ints(0), g.ints(-1), g.ints(1))
    return g.add("Slice", x, starts=[0], ends=[-1], axes=[1])


def _no_skips(g: GraphBuilder, y_true: Value, dtype: int) -> Value:
    """(batch, labels): NEVER where a label repeats the one before, so that a blank has to be between."""
    labels = op.cast(g, y_true, dtype)
    same = op.equal(g, labels, _first(g, _with_first(g, labels, -1.0)))
    return g.add("Mul", op.cast(g, same, dtype), g.const(NEVER, dtype))


def _log_sum(g: GraphBuilder, *logs: Value) -> Value:
    stacked = g.add("Concat", *(op.unsqueeze(g, x, 1) for x in logs), axis=1)
    return op.reduce(g, "ReduceLogSumExp", stacked, (1,))


def _pick_last(g: GraphBuilder, y_true: Value, ends: Value) -> Value:
    """(batch,): of ``ends`` (batch, labels + 1) that after the last label."""
    zero = op.equal(g, y_true, g.const(0, y_true.dtype))
    full = op.cast(g, g.add("Not", zero), ends.dtype)
    # Labels are filled up at the end: 1 1 0 has its end where 1 1 1 0 turns to 1 1 0 0.
    after = _with_first(g, full, 1.0)
    closed = g.add("Concat", full, _column(g, full), axis=1)
    last = g.add("Sub", after, closed)
    return op.reduce(g, "ReduceSum", g.add("Mul", last, ends), (1,))


def _column(g: GraphBuilder, x: Value) -> Value:
    """(batch, 1) of zeros."""
    return op.reduce(g, "ReduceSum", g.add("Mul", x, g.const(0.0, x.dtype)), (1,), keepdims=True)
