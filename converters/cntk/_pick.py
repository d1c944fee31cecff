"""Elements at constant places along an axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk._products import times_along
from neuromatic.converters.cntk.graph import Tensor

MOST_PIECES = 32
"""More pieces than this are taken by one product with a 0/1 matrix, which an infinity would spoil."""


def picked(x: Tensor, axis: int, places: Sequence[int]) -> Tensor:
    """The elements of an axis at ``places``, none of which is negative, in that order."""
    size = x.shape[axis]
    if size is None:
        raise ck.CannotRecordError("picking rows out of the batch")
    if not places:
        raise ck.CannotRecordError("a tensor without elements")
    steps = set(np.diff(places).tolist())
    if len(steps) <= 1 and min(steps, default=1) > 0:
        return ck.slice_axis(x, axis, places[0], places[-1] + 1, min(steps, default=1))
    pieces = _pieces(places)
    if len(pieces) <= MOST_PIECES:
        return ck.concat([ck.slice_axis(x, axis, first, end) for first, end in pieces], axis)
    matrix = (np.arange(size)[:, None] == np.array(places)).astype(np.float32)
    return times_along(x, axis, x.graph.constant(matrix))


def reversed_along(x: Tensor, axis: int) -> Tensor:
    """``x`` backwards along an axis."""
    return picked(x, axis, range(x.shape[axis] or 0)[::-1])


def _pieces(places: Sequence[int]) -> list[tuple[int, int]]:
    """Begins and ends of the longest pieces without a gap."""
    found: list[tuple[int, int]] = []
    for place in places:
        if found and found[-1][1] == place:
            found[-1] = (found[-1][0], place + 1)
        else:
            found.append((place, place + 1))
    return found
