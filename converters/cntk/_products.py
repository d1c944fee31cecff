"""Products of tensors with constant matrices, along one axis."""

from __future__ import annotations

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.graph import Tensor


def times_along(x: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """``x`` with a matrix (K, L) applied to an axis of size K, which has size L then."""
    axis %= x.rank
    front = [] if x.batch is None else [x.batch]
    order = [*front, *(i for i in range(x.rank) if i not in (axis, x.batch)), axis]
    back = [order.index(i) for i in range(x.rank)]
    return ck.transpose(ck.times(ck.transpose(x, order), matrix), back)
