"""Running a cell over the steps of a sequence: as one ONNX node, or written out; and masks.

Inside, sequences are time-major, (steps, batch, ...), as ONNX' recurrent operators take them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from neuromatic.errors import ShapeError
from neuromatic.ir import functions
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text

States = tuple[Value, ...]
Step = Callable[[Value, States], tuple[Value, ...]]
"""From an input (batch, ...) and the states to the output and the new states."""

_BEFORE_THE_FIRST = -(2**63) + 1


@dataclass(frozen=True)
class Scan:
    """How a cell runs over a sequence.

    Attributes:
        backward: from the last step to the first.
        sequences: whether the outputs of all steps are wanted; else that of the last one is.
        states: whether the last states are wanted.
        lengths: (batch,) int32, how many steps of each sequence count; None: all.
        initial: the states before the first step; None: zeros.
    """

    backward: bool = False
    sequences: bool = False
    states: bool = False
    lengths: Value | None = None
    initial: States | None = None


@dataclass(frozen=True)
class Scanned:
    """What a cell computed.

    Attributes:
        outputs: (steps, batch, ...) in the order of time; None if they are not wanted. Beyond a sequence's
            length they are undefined.
        last: (batch, ...), the output of the step that came last, zeros if no step counts; None if it is not
            wanted.
        states: (batch, ...) each, after that step, the initial ones if no step counts; empty if they are not
            wanted.
    """

    outputs: Value | None
    last: Value | None
    states: States


def as_steps(g: GraphBuilder, x: Value) -> Value:
    """(batch, steps, ...) to (steps, batch, ...), and back."""
    return g.add("Transpose", x, perm=[1, 0, *range(2, x.rank)])


def batch_first(x: Value) -> str:
    """The shape of a time-major sequence as its user knows it, for messages."""
    match x.shape:
        case (steps, batch, *others):
            return shape_text((batch, steps, *others))
        case shape:
            return shape_text(shape)


def reversed_steps(g: GraphBuilder, x: Value) -> Value:
    """(batch, steps, ...) with the last step first."""
    return g.add("Slice", x, g.ints(-1), g.ints(_BEFORE_THE_FIRST), g.ints(1), g.ints(-1))


def step_of(g: GraphBuilder, x: Value, index: int, axis: int = 0) -> Value:
    """One step of a sequence, without its axis."""
    return g.add("Gather", x, g.const(index, TensorProto.INT64), axis=axis)


def where_seen(g: GraphBuilder, lengths: Value, y: Value, otherwise: Value) -> Value:
    """``y`` for the sequences of at least one step, ``otherwise`` for the others."""
    return g.add("Where", _counts(g, lengths, 0, y), y, otherwise)


def _counts(g: GraphBuilder, lengths: Value, index: int, like: Value) -> Value:
    """Whether step ``index`` of each sequence counts, (batch, 1, ...)."""
    valid = g.add("Less", g.const(index, lengths.dtype), lengths)
    return op.unsqueeze(g, valid, *range(1, like.rank))


def dropped(g: GraphBuilder, x: Value, rate: float, *, sequence: bool = True) -> Value:
    """In training, drop a share of the inputs and scale the others up; all steps of a sequence lose the same.

    ``x`` is a time-major sequence, or one step (batch, ...) if it is no ``sequence``.
    """
    if not rate:
        return x

    def training(b: GraphBuilder, x: Value) -> Value:
        drawn = b.add("RandomUniformLike", step_of(b, x, 0) if sequence else x)
        kept = op.cast(b, b.add("Not", b.add("Less", drawn, b.const(rate, x.dtype))), x.dtype)
        return b.add("Mul", x, b.add("Mul", kept, b.const(1.0 / (1.0 - rate), x.dtype)))

    return functions.call(g, "InputDropout", x, inference=lambda b, x: x, training=training)


def zeros(g: GraphBuilder, x: Value, shape: Sequence[int]) -> Value:
    """(batch, *shape) zeros for a time-major sequence ``x``."""
    batch = g.add("Gather", g.add("Shape", x), g.ints(1), axis=0)
    dims = g.add("Concat", batch, g.ints(*shape), axis=0)
    value = numpy_helper.from_array(np.zeros(1, helper.tensor_dtype_to_np_dtype(x.dtype)))
    # Shape inference does not see that the batch of the result is that of x.
    return g.add("ConstantOfShape", dims, value=value, types=[(x.dtype, (x.dim(1), *shape))])


def unrolled(
    g: GraphBuilder, step: Step, x: Value, state_shapes: Sequence[Sequence[int]], scan: Scan
) -> Scanned:
    """Write the steps of a sequence out, one after the other.

    Raises:
        ShapeError: the number of steps is unknown.
    """
    steps = x.dim(0)
    if not isinstance(steps, int):
        raise ShapeError(
            f"{g.scope}: a cell that is no ONNX operator is written out step by step, which needs a known "
            f"number of steps, got {batch_first(x)}; give Input that number"
        )
    states = scan.initial or tuple(zeros(g, x, shape) for shape in state_shapes)
    last: Value | None = None
    outputs: list[Value] = []
    for t in reversed(range(steps)) if scan.backward else range(steps):
        y, *new = step(step_of(g, x, t), states)
        if scan.lengths is not None:
            valid = _counts(g, scan.lengths, t, y)
            y = g.add("Where", valid, y, g.const(0.0, y.dtype) if last is None else last)
            new = [
                g.add("Where", _counts(g, scan.lengths, t, a), a, b) for a, b in zip(new, states, strict=True)
            ]
        last, states = y, tuple(new)
        outputs.append(y)
    assert last is not None
    if not scan.sequences:
        return Scanned(None, last, states)
    ordered = reversed(outputs) if scan.backward else outputs
    rows = [op.unsqueeze(g, y, 0) for y in ordered]
    return Scanned(g.add("Concat", *rows, axis=0), last, states)


# -- masks -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Packing:
    """Moves the steps that a mask counts to the front of their sequences, and results back.

    A recurrence then sees sequences of different lengths, which ONNX' operators know.

    Attributes:
        mask: (batch, steps) of booleans.
        counted: the same as int64.
        lengths: (batch,) int32, how many steps count.
    """

    mask: Value
    counted: Value
    lengths: Value

    @classmethod
    def of(cls, g: GraphBuilder, mask: Value) -> Packing:
        """The packing of a mask."""
        counted = op.cast(g, mask, TensorProto.INT64)
        lengths = op.cast(g, op.reduce(g, "ReduceSum", counted, (1,)), TensorProto.INT32)
        return cls(mask, counted, lengths)

    def packed(self, g: GraphBuilder, x: Value) -> Value:
        """(batch, steps, ...) with the steps that count first, in their order."""
        steps = x.dim(1)
        if isinstance(steps, int):
            count = g.ints(steps)
        else:
            count = g.add("Gather", g.add("Shape", self.mask), g.ints(1), axis=0)
        # TopK keeps the order of equal values, so this is a stable sort.
        _, order = g.add_many("TopK", self.counted, count, outputs=2, axis=1)
        return _gathered(g, x, order)

    def unpacked(self, g: GraphBuilder, y: Value, *, backward: bool, zero: bool) -> Value:
        """Outputs of packed steps at their places, between them the one that came before, or zeros."""
        until = g.add("CumSum", self.counted, g.const(1, TensorProto.INT64), exclusive=int(backward))
        if backward:
            index, found = until, g.add("Less", until, self._lengths(g))
        else:
            index = g.add("Max", g.add("Sub", until, g.ints(1)), g.ints(0))
            found = g.add("Less", g.ints(0), until)
        kept = op.unsqueeze(g, self.mask if zero else found, *range(2, y.rank))
        return g.add("Where", kept, _gathered(g, y, index), g.const(0.0, y.dtype))

    def last(self, g: GraphBuilder, y: Value, *, backward: bool, zero: bool) -> Value:
        """The output (batch, ...) at the step that comes last, which the mask may not count."""
        if not zero:
            return y
        counted = step_of(g, self.mask, 0 if backward else -1, axis=1)
        return g.add("Where", op.unsqueeze(g, counted, *range(1, y.rank)), y, g.const(0.0, y.dtype))

    def _lengths(self, g: GraphBuilder) -> Value:
        return op.unsqueeze(g, op.cast(g, self.lengths, TensorProto.INT64), 1)


def _gathered(g: GraphBuilder, x: Value, order: Value) -> Value:
    """(batch, steps, ...), the steps of each sequence in an order (batch, steps)."""
    return g.add("GatherND", x, op.unsqueeze(g, order, 2), batch_dims=1)
