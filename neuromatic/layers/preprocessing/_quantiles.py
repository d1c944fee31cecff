"""Approximate quantiles of data that comes in batches, as Keras' ``Discretization`` finds them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def boundaries(batches: Iterable[Array], num_bins: int, epsilon: float) -> list[float]:
    """The inner boundaries of bins that hold about equal shares of the numbers.

    A summary is two rows, values in order and how many numbers each stands for. Summaries of batches are
    merged and thinned out to about ``1 / epsilon`` values.
    """
    summary = np.zeros((2, 0), np.float32)
    for batch in batches:
        merged = np.concatenate([_summary(batch.astype(np.float32).ravel(), epsilon), summary], axis=1)
        summary = _thinned(merged[:, np.argsort(merged[0])], epsilon)
    found: list[float] = _thinned(summary, 1 / num_bins)[0, :-1].tolist()
    return found


def _summary(values: Array, epsilon: float) -> Array:
    """Every so-manieth of the sorted values, so that ``1 / epsilon`` of them are left."""
    step = max(values.size * epsilon, 1.0)
    kept = np.sort(values)[int(step - 1) :: int(step)]
    return np.stack([kept, np.full_like(kept, step)])


def _thinned(summary: Array, epsilon: float) -> Array:
    """The summary at multiples of ``epsilon`` of the whole weight, between its values by interpolation."""
    if summary.shape[1] * epsilon < 1:
        return summary
    reached = np.cumsum(summary[1])
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    values, weights = (np.interp(shares, reached / reached[-1], row) for row in (summary[0], reached))
    return np.stack([values, np.diff(weights, prepend=0.0)]).astype(np.float32)
