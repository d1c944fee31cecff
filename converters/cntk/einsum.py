"""Einsum, as transpositions, sums and stacked matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.graph import Shape, Tensor, Value
from neuromatic.converters.cntk.linear import product
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope


@ops.lowers("Einsum", since=(12, 28))
def einsum(scope: Scope, *Inputs: Value, equation: str) -> Tensor:
    """The sum of products over the letters of the equation that its result lacks, as numpy.einsum.

    https://onnx.ai/onnx/operators/onnx__Einsum.html.  28: bfloat16.
    """
    graph = scope.context.graph
    xs = [ck.tensor(x, graph) for x in Inputs]
    operands, result = terms(equation, [x.rank for x in xs])
    return summed_products([Labelled(x, labels) for x, labels in zip(xs, operands, strict=True)], result)


@dataclass(frozen=True)
class Labelled:
    """A tensor with a letter for each axis."""

    x: Tensor
    labels: str

    def size(self, label: str) -> int | None:
        """The size of an axis, None for the batch; 1 where there is no such axis."""
        return self.x.shape[self.labels.index(label)] if label in self.labels else 1


def terms(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, an ellipsis written out in letters of its own."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    operands = left.split(",")
    counts = [n - len(t.replace("...", "")) for n, t in zip(ranks, operands, strict=True) if "..." in t]
    whole = "".join(map(chr, range(0x3B1, 0x3B1 + max(counts, default=0))))  # Greek: none is a letter of ONNX
    if not arrow:
        letters = "".join(operands).replace(".", "")
        result = whole + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    written = [t.replace("...", whole) for t in operands]
    return written, result.replace("...", whole)


def summed_products(operands: Sequence[Labelled], result: str) -> Tensor:
    """The sum of products over the letters that are not in the result.

    Raises:
        CannotRecordError: the batch would be summed, merged, or be an axis of a diagonal.
    """
    found = _summed(operands[0], "".join(o.labels for o in operands[1:]) + result)
    for i, operand in enumerate(operands[1:], 2):
        kept = "".join(o.labels for o in operands[i:]) + result
        found = _pair(_summed(found, operand.labels + kept), _summed(operand, found.labels + kept), kept)
    return ck.transpose(found.x, [found.labels.index(label) for label in result])


def _summed(operand: Labelled, kept: str) -> Labelled:
    """Without the axes that nothing else has; of two with one letter, the diagonal."""
    while len(set(operand.labels)) < len(operand.labels):
        operand = _diagonal(operand)
    gone = [i for i, label in enumerate(operand.labels) if label not in kept]
    if not gone:
        return operand
    if operand.x.batch in gone:
        raise ck.CannotRecordError("a sum over the batch")
    labels = "".join(label for label in operand.labels if label in kept)
    return Labelled(ck.reduce("reduce_sum", operand.x, gone, keepdims=False), labels)


def _diagonal(operand: Labelled) -> Labelled:
    """The elements of equal indices along the first two axes that have the same letter."""
    label = next(label for label in operand.labels if operand.labels.count(label) > 1)
    first = operand.labels.index(label)
    second = operand.labels.index(label, first + 1)
    size = _known(operand, label)
    if operand.x.batch == second:
        raise ck.CannotRecordError("a diagonal that runs through the batch")
    shape = [size if i in (first, second) else 1 for i in range(operand.x.rank)]
    alone = ck.select(np.eye(size, dtype=np.float32).reshape(shape), operand.x, ck.number(0.0))
    labels = operand.labels[:second] + operand.labels[second + 1 :]
    return Labelled(ck.reduce("reduce_sum", alone, [second], keepdims=False), labels)


def _pair(a: Labelled, b: Labelled, kept: str) -> Labelled:
    """The product of two, summed over the letters of both that are not kept."""
    if a.x.batch is None and b.x.batch is not None:
        a, b = b, a
    both = [label for label in a.labels if label in b.labels]
    inner = "".join(label for label in both if label not in kept)
    if any(a.size(label) != b.size(label) for label in inner):
        raise ck.CannotRecordError("a sum over axes of unequal sizes")
    stack = "".join(label for label in both if label in kept)
    rows = "".join(label for label in a.labels if label not in both)
    columns = "".join(label for label in b.labels if label not in both)
    if not stack and b.x.batch is None:
        left = _laid_out(a, [*rows, inner])
        y = product(left, _laid_out(b, [inner, columns]))
    else:
        batch = next((label for label in rows if a.size(label) is None), "")
        stack, rows = batch + stack, rows.replace(batch, "")
        y = product(_laid_out(a, [*stack, rows, inner]), _laid_out(b, [*stack, inner, columns]))
    sizes = [_broadcast(a.size(label), b.size(label)) for label in stack + rows + columns]
    return Labelled(ck.reshape(y, sizes), stack + rows + columns)


def _laid_out(operand: Labelled, groups: Sequence[str]) -> Tensor:
    """With its axes in this order, those of a group merged; axes that it lacks have size 1."""
    order = "".join(groups)
    present = [operand.labels.index(label) for label in order if label in operand.labels]
    shape: Shape = tuple(
        operand.size(g) if len(g) == 1 else prod(_known(operand, label) for label in g) for g in groups
    )
    return ck.reshape(ck.transpose(operand.x, present), shape)


def _known(operand: Labelled, label: str) -> int:
    size = operand.size(label)
    if size is None:
        raise ck.CannotRecordError("a product that merges the batch with other axes")
    return size


def _broadcast(m: int | None, n: int | None) -> int | None:
    return None if m is None or n is None else max(m, n)
