"""Shapes that a graph computes: constants, except for the batch."""

from __future__ import annotations

import numpy as np

from neuromatic.converters.cntk.graph import HostValue, Moment, Tensor, Value
from neuromatic.converters.cntk.ops import CannotRecordError

BATCHES = (1009, 2003)
"""Two primes that no size of a real tensor shares: what differs between them tells where the batch is."""


def shape_value(x: Tensor) -> Value:
    """The shape of a tensor as ONNX' Shape gives it: constant unless it has the batch."""
    if x.batch is None:
        return np.array(x.shape, np.int64)
    return HostValue(lambda moment: np.array([moment.batch if n is None else n for n in x.shape], np.int64))


def sizes(value: Value, what: str) -> list[int | None]:
    """The numbers of a shape vector; None where it is the batch size.

    Raises:
        CannotRecordError: it is computed from data, or does arithmetic with the batch size.
    """
    if isinstance(value, np.ndarray):
        return [int(n) for n in value.ravel()]
    if not isinstance(value, HostValue):
        raise CannotRecordError(f"{what} must not depend on data")
    found, factors = multiples(value, what)
    if factors:
        raise CannotRecordError(f"{what} does arithmetic with the batch size")
    return found


def multiples(value: Value, what: str) -> tuple[list[int | None], dict[int, int]]:
    """The numbers of a shape vector, and by how much the batch size is multiplied, by place.

    Raises:
        CannotRecordError: see :func:`sizes`.
    """
    if not isinstance(value, HostValue):
        return sizes(value, what), {}
    one, other = (value.at(Moment(batch)).ravel() for batch in BATCHES)
    found: list[int | None] = []
    factors: dict[int, int] = {}
    for a, b in zip(one.tolist(), other.tolist(), strict=True):
        factor = a // BATCHES[0]
        if a == b:
            found.append(int(a))
        elif (a, b) == (factor * BATCHES[0], factor * BATCHES[1]):
            if factor != 1:
                factors[len(found)] = factor
            found.append(None)
        else:
            raise CannotRecordError(f"{what} does arithmetic with the batch size")
    return found, factors


def integers(value: Value | None, what: str) -> list[int]:
    """Constant integers; none for a missing input."""
    if value is None:
        return []
    found = sizes(value, what)
    if None in found:
        raise CannotRecordError(f"{what} must not depend on the batch size")
    return [n for n in found if n is not None]
