"""Comparing what was converted with what it came from, on random inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromatic.data import Field
from neuromatic.errors import UnsupportedFeatureError, VerificationError

Array = NDArray[Any]
Runner = Callable[[dict[str, Array]], Mapping[str, Array]]

BATCHES = (3, 1)
"""Two batch sizes, so that one which became fixed on the way is seen."""
FREE_DIMENSION = 32
"""The size of other dimensions that a model leaves open."""
RTOL = 1e-4


def verify(
    expected: Runner, found: Runner, fields: Sequence[Field], *, what: str, atol: float, seed: int
) -> float:
    """Run both on the same random inputs, with two batch sizes.

    Args:
        expected: gives the outputs by name of what was converted.
        found: gives those of the result, under the same names.
        what: the result, as the message calls it.
        atol: how far they may differ, beside :data:`RTOL` of the value.
        seed: determines the inputs.

    Returns:
        The largest absolute difference.

    Raises:
        VerificationError: they differ by more.
        UnsupportedFeatureError: no random values can be made for an input.
    """
    rng = np.random.default_rng(seed)
    worst = 0.0
    for rows in BATCHES:
        names = {f.shape[0]: rows for f in fields if f.batched and f.shape and isinstance(f.shape[0], str)}
        inputs = {field.name: random_array(field, rows, rng, names) for field in fields}
        before, after = expected(inputs), found(inputs)
        worst = max(worst, *(_compare(n, before[n], after[n], what, atol) for n in before), 0.0)
    return worst


def _compare_others(name: str, expected: Any, found: Any, what: str, atol: float) -> float:
    """The same for a sequence, a map, or nothing."""
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = zip(expected, found, strict=True)
        return max(
            (_compare(f"{name}[{i}]", a, b, what, atol) for i, (a, b) in enumerate(pairs)), default=0.0
        )
    if type(expected) is not type(found) or expected != found:
        raise VerificationError(
            f"output {name!r} of {what} is another; nothing was written", difference=np.inf
        )
    return 0.0


def random_array(
    field: Field, rows: int, rng: np.random.Generator, names: Mapping[str, int] | None = None
) -> Array:
    """Values for an input: floats around 0, classes, or the integers 0 and 1.

    Args:
        field: the input.
        rows: the size of its first axis, if it is free.
        rng: draws the values.
        names: the sizes of named axes; all other free ones have :data:`FREE_DIMENSION`.
    """
    if field.shape is None or field.dtype.kind not in "biuf":
        kind = "of unknown rank" if field.shape is None else f"of type {field.dtype}"
        raise UnsupportedFeatureError(
            f"input {field.name!r} is {kind}, so the result cannot be verified; --no-verify leaves that out"
        )
    free = [rows, *[FREE_DIMENSION] * len(field.shape)]
    sizes: Mapping[Any, int] = names or {}
    shape = [
        dim if isinstance(dim, int) else sizes.get(dim, free[i > 0]) for i, dim in enumerate(field.shape)
    ]
    if field.dtype.kind == "f":
        return rng.standard_normal(shape).astype(field.dtype)
    most = 2 if field.batched else min(2, rows)  # numbers of rows, such as the ends of edges, are below it
    return rng.integers(0, field.classes or most, shape).astype(field.dtype)


def _compare(name: str, expected: Any, found: Any, what: str, atol: float) -> float:
    """The largest difference of one output, or of the tensors of a sequence."""
    if not isinstance(expected, np.ndarray) or not isinstance(found, np.ndarray):
        return _compare_others(name, expected, found, what, atol)
    if expected.shape != found.shape:
        raise VerificationError(
            f"output {name!r} of {what} has shape {found.shape}, expected {expected.shape}",
            difference=float("inf"),
        )
    if expected.dtype.kind not in "biuf":
        equal = bool((expected == found).all())
        difference = np.array(0.0 if equal else np.inf)
    else:
        before, after = expected.astype(np.float64), found.astype(np.float64)
        same = (before == after) | (np.isnan(before) & np.isnan(after))
        with np.errstate(invalid="ignore"):
            difference = np.where(same, 0.0, np.abs(before - after))
        equal = bool((same | (difference <= atol + RTOL * np.abs(before))).all())
    worst = float(difference.max(initial=0.0))
    if not equal:
        raise VerificationError(
            f"output {name!r} of {what} differs by {worst:.3g} "
            f"(allowed: {atol:g} + {RTOL:g} * |value|); nothing was written",
            difference=worst,
        )
    return worst
