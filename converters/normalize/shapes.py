"""Passes over operators that only move values: reshaping, slicing, gathering, and the numbers of axes."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Any

from onnx import ModelProto

from neuromatic.converters.normalize.graph import (
    Node,
    NoFormError,
    Results,
    Rewriter,
    axes_of,
    rewrite,
    static,
)
from neuromatic.ir.portable_ops import cast
from neuromatic.ir.values import Dim, Shape, Value

AXES_INPUT = {
    **dict.fromkeys(
        (
            "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
            "ReduceProd", "ReduceSum", "ReduceSumSquare", "Squeeze", "Unsqueeze",
        ),
        1,
    ),
    "Pad": 3,
    "Slice": 3,
}  # fmt: skip
"""Where newer versions of these operators have their axes."""


def positive_axes(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Count the axes in ``axis`` and ``axes``, attribute or constant input, from the front."""
    return rewrite(model, {}, keep, default=_positive_axes)


def shape_only(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Say Squeeze, Unsqueeze and Flatten as a ``Reshape`` with relative target, where the sizes are known."""
    rules = {"Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Flatten": _flatten}
    return rewrite(model, rules, keep)


def relative_reshapes(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Give each ``Reshape`` with a constant target the form ``[0, sizes ...]`` where the first dimension
    stays, whatever -1 and 0 it had; remove those that change nothing."""
    return rewrite(model, {"Reshape": _relative}, keep)


def split_to_slices(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Say ``Split`` as one ``Slice`` for each output, where the sizes are known."""
    return rewrite(model, {"Split": _split}, keep)


def plain_moves(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Write the permutation of each ``Transpose``, and say ``CastLike`` as ``Cast``."""
    return rewrite(model, {"Transpose": _transpose, "CastLike": _cast_like}, keep)


def target_for(x: Shape, shape: Shape) -> list[int] | None:
    """The target that reshapes ``x`` to ``shape``: ``[0, sizes ...]`` wherever the first dimension stays.

    None if more than one dimension is neither known nor in its place, or one has no elements.

    >>> target_for(("batch", 8, 1), ("batch", 8)), target_for(("batch", 8), (None, 4))
    ([0, 8], [-1, 4])
    """
    target = [_entry(x, i, dim) for i, dim in enumerate(shape)]
    return None if target.count(-1) > 1 or 0 in shape or 0 in x else target


def _entry(x: Shape, axis: int, dim: Dim) -> int:
    stays = dim is not None and axis < len(x) and x[axis] == dim
    if stays and (axis == 0 or not isinstance(dim, int)):
        return 0
    return dim if isinstance(dim, int) else -1


def reshaped(x: Shape, target: Sequence[int]) -> Shape | None:
    """The shape that a target gives, with the symbols of ``x``; None if a 0 in it has no counterpart.

    >>> reshaped(("batch", 3, 4), [0, -1])
    ('batch', 12)
    """
    if any(t == 0 and i >= len(x) for i, t in enumerate(target)):
        return None
    dims: list[Dim] = [x[i] if t == 0 else t for i, t in enumerate(target)]
    if -1 in dims:
        dims[dims.index(-1)] = _remaining(x, [d for d in dims if d != -1])
    return tuple(dims)


def _remaining(x: Shape, others: Sequence[Dim]) -> Dim:
    """What is left for the dimension that a target leaves open."""
    unknown, left = [d for d in x if not isinstance(d, int)], [d for d in others if not isinstance(d, int)]
    for symbol in left:
        if symbol is None or symbol not in unknown:
            return None
        unknown.remove(symbol)
    size = math.prod(d for d in x if isinstance(d, int))
    rest = math.prod(d for d in others if isinstance(d, int))
    if rest == 0 or size % rest or len(unknown) > 1:
        return None
    if unknown:
        return unknown[0] if size == rest else None
    return size // rest


def reshape(g: Rewriter, x: Value, shape: Shape) -> Value | None:
    """``x`` in another shape; ``x`` itself if it has it; None where no constant target says so."""
    if x.shape is None:
        return None
    if x.shape == shape and None not in shape:
        return x
    target = target_for(x.shape, shape)
    return None if target is None else g.add("Reshape", x, g.ints(*target))


def slice_axis(g: Rewriter, x: Value, axis: int, start: int, end: int) -> Value:
    """``x[start:end]`` along one axis, in the form of the opset."""
    if g.opset >= 10:
        return g.add("Slice", x, g.ints(start), g.ints(end), g.ints(axis))
    return g.add("Slice", x, starts=[start], ends=[end], axes=[axis])


def _positive_axes(g: Rewriter, node: Node) -> Results:
    changed: dict[str, Any] = {}
    rank = _counted_rank(g, node)
    if rank is None:
        return None
    axis, axes = node.attributes.get("axis"), node.attributes.get("axes")
    if isinstance(axis, int) and axis < 0:
        changed["axis"] = axis + rank
    if isinstance(axes, tuple) and any(a < 0 for a in axes):
        changed["axes"] = [a % rank for a in axes]
    inputs, index = list(node.inputs), AXES_INPUT.get(node.op, len(node.inputs))
    given = g.integers(node.input(index))
    if given is not None and any(a < 0 for a in given):
        inputs[index] = g.ints(*[a % rank for a in given])
    elif not changed:
        return None
    options = node.given() | changed
    return g.add_many(node.op, *inputs, outputs=len(node.proto.output), **options)


def _counted_rank(g: Rewriter, node: Node) -> int | None:
    """The rank that a node's negative axes are relative to."""
    if node.input(0) is None or node.x.shape is None:
        return None
    if node.op in ("Unsqueeze", "OneHot"):
        try:
            added = 1 if node.op == "OneHot" else len(axes_of(g, node))
        except NoFormError:
            return None
        return node.x.rank + added
    return node.x.rank


def _squeeze(g: Rewriter, node: Node) -> Results:
    axes, shape = axes_of_or_none(g, node), node.x.shape
    if axes is None or shape is None or (not axes and static(shape) is None):
        return None
    gone = {a % node.x.rank for a in axes} if axes else {i for i, d in enumerate(shape) if d == 1}
    return reshape(g, node.x, tuple(d for i, d in enumerate(shape) if i not in gone))


def _unsqueeze(g: Rewriter, node: Node) -> Results:
    axes, shape = axes_of_or_none(g, node), node.x.shape
    if axes is None or shape is None:
        return None
    rank = len(shape) + len(axes)
    new, old = {a % rank for a in axes}, iter(shape)
    return reshape(g, node.x, tuple(1 if i in new else next(old) for i in range(rank)))


def _flatten(g: Rewriter, node: Node) -> Results:
    shape, axis = node.x.shape, node.attributes["axis"]
    if shape is None:
        return None
    axis += len(shape) if axis < 0 else 0
    parts: list[Dim] = [_product(shape[:axis]), _product(shape[axis:])]
    return reshape(g, node.x, tuple(parts))


def _product(dims: Sequence[Dim]) -> Dim:
    numbers = static(tuple(dims))
    if numbers is not None:
        return math.prod(numbers)
    symbols = [d for d in dims if not isinstance(d, int)]
    return symbols[0] if len(symbols) == 1 and all(d in (1, symbols[0]) for d in dims) else None


def axes_of_or_none(g: Rewriter, node: Node) -> list[int] | None:
    """:func:`axes_of`, and None where they are not constant."""
    try:
        return axes_of(g, node)
    except NoFormError:
        return None


def _relative(g: Rewriter, node: Node) -> Results:
    target, shape = g.integers(node.input(1)), node.x.shape
    if target is None or shape is None or (node.attributes.get("allowzero") and 0 in target):
        return None
    found = reshaped(shape, target)
    if found is None:
        return None
    made = reshape(g, node.x, found)
    if made is None or (made is not node.x and 0 in target and target_for(shape, found) == target):
        return None
    return made


def _split(g: Rewriter, node: Node) -> Results:
    axis, count = node.attributes["axis"], len(node.proto.output)
    size = node.x.dim(axis) if node.x.shape is not None else None
    sizes = node.attributes.get("split")
    if sizes is None and node.input(1) is not None:
        sizes = g.integers(node.input(1))
        if sizes is None:
            return None
    if sizes is None:
        if not isinstance(size, int):
            return None
        part = math.ceil(size / count)
        sizes = [min(part, size - i * part) for i in range(count)]
    ends = list(accumulate(sizes))
    axis += node.x.rank if axis < 0 else 0
    return [slice_axis(g, node.x, axis, end - size, end) for end, size in zip(ends, sizes, strict=True)]


def _transpose(g: Rewriter, node: Node) -> Results:
    if node.attributes["perm"] is not None or node.x.shape is None:
        return None
    return g.add("Transpose", node.x, perm=list(range(node.x.rank))[::-1])


def _cast_like(g: Rewriter, node: Node) -> Results:
    return cast(g, node.x, node.required(1).dtype) if node.required(1).dtype else None
