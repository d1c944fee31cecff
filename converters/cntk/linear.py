"""Matrix products: Gemm, MatMul."""

from __future__ import annotations

from math import prod

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.graph import Tensor, Value
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope

MOST_SLICES = 256
"""Products of stacks of matrices are made one by one, up to this many."""


@ops.lowers("Gemm", since=(7, 9, 11, 13))
def gemm(
    scope: Scope,
    A: Value,
    B: Value,
    C: Value | None = None,
    *,
    alpha: float,
    beta: float,
    transA: int,
    transB: int,
) -> Tensor:
    """Y = alpha * A' @ B' + beta * C;  A' (M, K), B' (K, N), C broadcasts to (M, N).

    https://onnx.ai/onnx/operators/onnx__Gemm.html.  11: C became optional.  13: bfloat16.
    """
    graph = scope.context.graph
    a, b = ck.tensor(A, graph), ck.tensor(B, graph)
    a = ck.transpose(a, (1, 0)) if transA else a
    b = ck.transpose(b, (1, 0)) if transB else b
    y = ck.scaled(product(a, b), alpha)
    if C is None or beta == 0:
        return y
    return ck.plus(y, ck.scaled(ck.tensor(C, graph), beta))


@ops.lowers("MatMul", since=(1, 9, 13))
def matmul(scope: Scope, A: Value, B: Value) -> Tensor:
    """Y = A @ B as numpy.matmul: (..., M, K) @ (..., K, N), leading dimensions broadcast.

    https://onnx.ai/onnx/operators/onnx__MatMul.html.  9: integers.  13: bfloat16.
    """
    graph = scope.context.graph
    return product(ck.tensor(A, graph), ck.tensor(B, graph))


def product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` as numpy has it."""
    if a.rank == 1:
        y = product(ck.expand_dims(a, [0]), b)
        return ck.squeeze(y, [-2 if b.rank > 1 else 0])
    if b.rank == 1:
        return ck.squeeze(product(a, ck.expand_dims(b, [1])), [-1])
    if a.shape[-1] is None or b.shape[-2] is None:
        raise ck.CannotRecordError("a matrix product that sums over the batch")
    if b.rank == 2 and b.batch is None:
        if a.batch not in (None, 0):
            front = [a.batch or 0, *(i for i in range(a.rank) if i != a.batch)]
            back = [front.index(i) for i in range(a.rank)]
            return ck.transpose(ck.times(ck.transpose(a, front), b), back)
        return ck.times(a, b)
    if b.shape[-1] is None:
        if a.shape[-2] is None:
            raise ck.CannotRecordError("a matrix product of the batch with the batch")
        swapped = product(_turned(b), _turned(a))
        return _turned(swapped)
    return _stacked(a, b)


def _turned(x: Tensor) -> Tensor:
    return ck.transpose(x, [*range(x.rank - 2), x.rank - 1, x.rank - 2])


def _stacked(a: Tensor, b: Tensor) -> Tensor:
    """A product of stacks of matrices: CNTK multiplies one pair for each row of the batch."""
    rank = max(a.rank, b.rank)
    a, b = (ck.expand_dims(x, range(rank - x.rank)) if x.rank < rank else x for x in (a, b))
    lead = [_common(m, n) for m, n in zip(a.shape[:-2], b.shape[:-2], strict=True)]
    m, n = a.shape[-2], b.shape[-1]
    if m is None:
        raise ck.CannotRecordError("a product of stacks whose rows are the batch")
    counts = [1 if size is None else size for size in lead]
    if prod(counts) > MOST_SLICES:
        raise ck.CannotRecordError(f"a stack of {prod(counts)} matrix products; at most {MOST_SLICES}")
    products = [_one(a, b, index) for index in _indices(counts)]
    for axis in reversed(range(len(counts))):
        size = counts[axis]
        products = [ck.concat(products[i : i + size], axis) for i in range(0, len(products), size)]
    return ck.reshape(products[0], [*lead, m, n])


def _common(m: int | None, n: int | None) -> int | None:
    if m is None or n is None:
        if (m or 1) != 1 or (n or 1) != 1:
            raise ck.CannotRecordError("a stack of fixed size meets the batch")
        return None
    return max(m, n)


def _indices(counts: list[int]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for count in counts:
        found = [(*index, i) for index in found for i in range(count)]
    return found


def _one(a: Tensor, b: Tensor, index: tuple[int, ...]) -> Tensor:
    """The product of the matrices at an index, in a stack of size one."""
    picked = []
    for x in (a, b):
        for axis, i in enumerate(index):
            size = x.shape[axis]
            if size is not None and size > 1:
                x = ck.slice_axis(x, axis, i, i + 1)
        lead = [None] if x.batch is not None else []
        picked.append(ck.reshape(x, [*lead, *x.shape[-2:]]))
    y = ck.times(*picked)
    batch = a.batch if a.batch is not None else b.batch
    lead_shape: list[int | None] = [None if i == batch else 1 for i in range(len(index))]
    return ck.reshape(y, [*lead_shape, *y.static])
