"""Operators that have the batch size written down, or that take the batch elsewhere.

Each rule changes a node so that it takes the batch from its input, and says where it is in the outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

from neuromatic.transfer._batch_axis import Digit, Rule, Walk

Array = NDArray[Any]
TO_THE_END = np.iinfo(np.int64).max
"""Where a slice ends that takes all there is."""


def reshape(walk: Walk, node: NodeProto) -> None:
    """0 or -1 in the target's place of the batch."""
    x, y = node.input[0], node.output[0]
    before, after = walk.shape(x), walk.shape(y)
    target = walk.vector(node.input[1]) if len(node.input) > 1 else None
    if x not in walk.digits or before is None or after is None:
        _by_vector(walk, node, target)
        return
    digit = walk.place(node, walk.digits[x], before, after)
    walk.digits[y] = digit
    fixed = target is not None and all(isinstance(n, (int, np.integer)) for n in target)
    if not fixed or target is None:
        return
    numbers = [int(n) for n in target]
    zeros = not any(a.name == "allowzero" and a.i for a in node.attribute)
    if zeros and numbers[digit.axis] == 0:
        return
    if zeros and digit == walk.digits[x] and digit.axis < len(before):
        numbers[digit.axis] = 0
    else:
        sizes = [d if n == -1 else n for n, d in zip(numbers, after, strict=True)]
        sizes[digit.axis] = -1
        if not all(isinstance(n, int) for n in sizes):
            raise walk.refused(node, f"{before} is reshaped to {after}, of which two axes vary")
        numbers = [int(n or 0) for n in sizes]
    node.input[1] = walk.constant(node, numbers)


def _by_vector(walk: Walk, node: NodeProto, vector: Array | None) -> None:
    """The place of the batch in an output is that in the shape which it is made by."""
    places = [] if vector is None else [i for i, n in enumerate(vector) if n == walk.name]
    if len(places) == 1:
        walk.digits[node.output[0]] = Digit(places[0])


def flatten(walk: Walk, node: NodeProto) -> None:
    """The batch is in one of two axes."""
    before, after = walk.shape(node.input[0]), walk.shape(node.output[0])
    if before is None or after is None:
        walk.by_inference(node)
        return
    walk.digits[node.output[0]] = walk.place(node, walk.digits[node.input[0]], before, after)


def expand(walk: Walk, node: NodeProto) -> None:
    """1 in the place of the batch, where the value has it already."""
    x, y = node.input[0], node.output[0]
    vector, digit = walk.vector(node.input[1]), walk.digits.get(x)
    rank = len(walk.shape(x) or ())
    if digit is None or vector is None:
        _by_vector(walk, node, vector)
        axis = walk.digits[y].axis - (len(vector) - rank) if vector is not None and y in walk.digits else -1
        if axis >= 0 and walk.has_rows(x, axis):
            node.input[0] = walk.one_row(node, x, axis)
        return
    axis = digit.axis + max(0, len(vector) - rank)
    walk.digits[y] = Digit(axis, digit.left, digit.right)
    place = axis - max(0, rank - len(vector))
    if place >= 0 and vector[place] != 1 and all(isinstance(n, (int, np.integer)) for n in vector):
        numbers = [int(n) for n in vector]
        numbers[place] = 1
        node.input[1] = walk.constant(node, numbers)


def tile(walk: Walk, node: NodeProto) -> None:
    """What has the batch is not to be repeated along it."""
    digit, repeats = walk.digits.get(node.input[0]), walk.vector(node.input[1])
    if digit is None or repeats is None:
        walk.by_inference(node)
        return
    if repeats[digit.axis] != 1:
        raise walk.refused(node, "it repeats the batch")
    walk.digits[node.output[0]] = digit


def concat(walk: Walk, node: NodeProto) -> None:
    """Constants with the batch's size in its place get its number of rows."""
    carried = [name for name in node.input if name in walk.digits]
    axis = next(a.i for a in node.attribute if a.name == "axis")
    if not carried:
        return
    like = walk.digits[carried[0]]
    rank = len(walk.shape(carried[0]) or ())
    if axis % rank == like.axis:
        raise walk.refused(node, "it puts values behind each other along the batch")
    for i, name in enumerate(node.input):
        if walk.has_rows(name, like.axis):
            node.input[i] = walk.expanded(node, name, like.axis, carried[0])
    walk.digits[node.output[0]] = like


def recurrent(walk: Walk, node: NodeProto) -> None:
    """Lengths and initial states get the number of rows of the sequences."""
    x = node.input[0]
    layout = any(a.name == "layout" and a.i for a in node.attribute)
    digit = walk.digits.get(x)
    if digit is None or digit != Digit(0 if layout else 1):
        raise walk.refused(node, f"its sequences {x!r} do not have the batch on axis {0 if layout else 1}")
    walk.by_inference(node)
    for i, axis in ((4, 0), (5, 0 if layout else 1), (6, 0 if layout else 1)):
        if i < len(node.input) and node.input[i] and walk.has_rows(node.input[i], axis):
            node.input[i] = walk.expanded(node, node.input[i], axis, x)


def slice_(walk: Walk, node: NodeProto) -> None:
    """A slice of all rows goes to the end; one of some rows is refused."""
    x, y = node.input[0], node.output[0]
    digit, (starts, ends, axes, steps) = walk.digits.get(x), _bounds(walk, node)
    if digit is None or starts is None or ends is None:
        walk.by_inference(node)
        return
    rank = len(walk.shape(x) or ())
    places = [int(a) % rank for a in (range(len(starts)) if axes is None else axes)]
    walk.digits[y] = digit
    if digit.axis not in places:
        return
    at, whole = places.index(digit.axis), walk.shape_at(x)
    first, last, step = int(starts[at]), int(ends[at]), 1 if steps is None else int(steps[at])
    if not isinstance(whole, int) or first not in (0, -whole) or last < whole or step != 1:
        raise walk.refused(node, "it takes some of the rows only")
    numbers = [int(n) for n in ends]
    numbers[at] = TO_THE_END
    if walk.opset < 10:
        next(a for a in node.attribute if a.name == "ends").CopyFrom(helper.make_attribute("ends", numbers))
    else:
        node.input[2] = walk.constant(node, numbers)


def _bounds(walk: Walk, node: NodeProto) -> list[Any]:
    """Starts, ends, axes and steps of a slice; None for what is left out or not known."""
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if walk.opset < 10:
        return [given.get(name) for name in ("starts", "ends", "axes", "steps")]
    inputs = [*node.input[1:], "", "", ""][:4]
    return [walk.known(name) if name else None for name in inputs]


def split(walk: Walk, node: NodeProto) -> None:
    """Rows are not to be split."""
    digit = walk.digits.get(node.input[0])
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    rank = len(walk.shape(node.input[0]) or ())
    if digit is not None and axis % max(rank, 1) == digit.axis and len(node.output) > 1:
        raise walk.refused(node, "it splits the rows")
    for name in node.output:
        if digit is not None:
            walk.digits[name] = digit


def resize(walk: Walk, node: NodeProto) -> None:
    """Sizes take the batch from the input."""
    x, digit = node.input[0], walk.digits.get(node.input[0])
    if digit is None:
        return
    walk.digits[node.output[0]] = digit
    sizes = walk.known(node.input[3]) if len(node.input) > 3 and node.input[3] else None
    axes = next((list(a.ints) for a in node.attribute if a.name == "axes"), None)
    rank = len(walk.shape(x) or ())
    if sizes is None or (axes is not None and digit.axis not in [a % rank for a in axes]):
        return
    at = digit.axis if axes is None else [a % rank for a in axes].index(digit.axis)
    node.input[3] = walk.sizes(node, x, [int(n) for n in sizes], at)


def squeeze(walk: Walk, node: NodeProto) -> None:
    """The batch is not to be squeezed out."""
    axes = len(node.input) > 1 or any(a.name == "axes" for a in node.attribute)
    if not axes and walk.size == 1:
        raise walk.refused(node, "it takes off all axes of size 1, which the batch is one of; give it axes")
    walk.by_inference(node)


# -- shapes that a graph computes ------------------------------------------------------------------


def shape(walk: Walk, node: NodeProto) -> None:
    """A shape, with the name of the batch where it is."""
    known, digit = walk.shape(node.input[0]), walk.digits.get(node.input[0])
    if known is None or digit is None:
        return
    numbers = np.array([d if isinstance(d, int) else None for d in known], object)
    numbers[digit.axis] = walk.name if digit.alone else None
    given = {a.name: a.i for a in node.attribute}
    walk.vectors[node.output[0]] = numbers[given.get("start", 0) : given.get("end")]


def gather(walk: Walk, node: NodeProto) -> None:
    """Rows are not to be picked."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    x = node.input[0]
    digit, rank = walk.digits.get(x), len(walk.shape(x) or ())
    if digit is not None and axis % max(rank, 1) == digit.axis:
        raise walk.refused(node, "it picks some of the rows")
    walk.by_inference(node)


def made_by_shape(walk: Walk, node: NodeProto) -> None:
    """A constant of a shape that has the batch in it."""
    _by_vector(walk, node, walk.vector(node.input[0]))


RULES: dict[str, Rule] = {
    "Concat": concat,
    "ConstantOfShape": made_by_shape,
    "Expand": expand,
    "Flatten": flatten,
    "GRU": recurrent,
    "Gather": gather,
    "LSTM": recurrent,
    "RNN": recurrent,
    "Reshape": reshape,
    "Resize": resize,
    "Shape": shape,
    "Slice": slice_,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
}
