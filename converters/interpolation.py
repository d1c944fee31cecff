"""Resize and Upsample without an engine: of which elements a new one is made, and their weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
SizeOf = Callable[[int], int]
"""The size of an axis; refuses one that is not known."""


@dataclass(frozen=True)
class Axis:
    """One axis to resize: its sizes, the scale between them, and the part of it to cut out."""

    size: int
    new_size: int
    scale: float
    start: float = 0.0
    end: float = 1.0

    @property
    def width(self) -> float:
        """The new size before it was rounded."""
        return self.scale * self.size


_COORDINATES: dict[str, Callable[[Array, Axis], Array]] = {
    "half_pixel": lambda i, a: (i + 0.5) / a.scale - 0.5,
    "half_pixel_symmetric": lambda i, a: a.size / 2 * (1 - a.new_size / a.width) + (i + 0.5) / a.scale - 0.5,
    "pytorch_half_pixel": lambda i, a: (i + 0.5) / a.scale - 0.5 if a.new_size > 1 else 0 * i,
    "align_corners": lambda i, a: i * (a.size - 1) / (a.width - 1) if a.width != 1 else 0 * i,
    "asymmetric": lambda i, a: i / a.scale,
    "tf_half_pixel_for_nn": lambda i, a: (i + 0.5) / a.scale,
    "tf_crop_and_resize": lambda i, a: (
        a.start * (a.size - 1) + i * (a.end - a.start) * (a.size - 1) / (a.new_size - 1)
        if a.new_size > 1
        else 0.5 * (a.start + a.end) * (a.size - 1) + 0 * i
    ),
}

_NEAREST: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


@dataclass(frozen=True)
class Method:
    """How elements between others are made, with the attributes of the node."""

    mode: str
    coordinates: str
    nearest: str = "round_prefer_floor"
    cubic: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    extrapolation: float = 0.0

    def taps(self, axis: Axis) -> tuple[Array, Array, Array]:
        """For each new element the elements to sum, their weights, and whether it lies outside."""
        at = _COORDINATES[self.coordinates](np.arange(axis.new_size, dtype=np.float64), axis)
        outside = (at < 0) | (at > axis.size - 1)
        if self.mode == "nearest":
            places = _NEAREST[self.nearest](at)[:, None]
            return np.clip(places, 0, axis.size - 1).astype(np.int64), np.ones_like(places), outside
        stretch = max(1.0, 1 / axis.scale) if self.antialias else 1.0
        reach = math.ceil((1 if self.mode == "linear" else 2) * stretch)
        places = np.floor(at)[:, None] + np.arange(1 - reach, reach + 1)
        weights = self.kernel((at[:, None] - places) / stretch)
        if self.exclude_outside:
            weights = np.where((places < 0) | (places >= axis.size), 0, weights)
        weights = weights / weights.sum(1, keepdims=True)
        return np.clip(places, 0, axis.size - 1).astype(np.int64), weights, outside

    def kernel(self, distance: Array) -> Array:
        x, a = np.abs(distance), self.cubic
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        cubic = np.where(x <= 1, near, np.where(x < 2, far, 0))
        weights: Array = np.maximum(0, 1 - x) if self.mode == "linear" else cubic
        return weights


def by_scales(size_of: SizeOf, scales: Sequence[float], chosen: Sequence[int]) -> dict[int, Axis]:
    """The axes to resize by factors; those of factor 1 are left out."""
    axes = {}
    for axis, scale in zip(chosen, scales, strict=True):
        if scale != 1:
            size = size_of(axis)
            axes[axis] = Axis(size, math.floor(size * scale), scale)
    return axes


def by_sizes(
    old: Mapping[int, int | None], new: Mapping[int, int | None], size_of: SizeOf, policy: str
) -> dict[int, Axis]:
    """The axes to resize to sizes, or within them; a batch of any size stays."""
    if policy == "stretch":
        changed = [axis for axis in old if old[axis] != new[axis] and (axis != 0 or old[0] is not None)]
        known = {axis: size_of(axis) for axis in changed}
        wanted = {axis: int(new[axis] or 0) for axis in changed}
        return {axis: Axis(n, wanted[axis], wanted[axis] / n) for axis, n in known.items()}
    known = {axis: size_of(axis) for axis in old}
    pick = min if policy == "not_larger" else max
    scale = pick((new[axis] or 0) / n for axis, n in known.items())
    return {axis: Axis(n, math.floor(n * scale + 0.5), scale) for axis, n in known.items()}


def cropped(
    size_of: SizeOf, axes: Mapping[int, Axis], roi: Sequence[float], chosen: Sequence[int]
) -> dict[int, Axis]:
    """The axes with the part of each that ``roi`` (all starts, then all ends) cuts out."""
    n = len(chosen)
    cut = {}
    for axis, start, end in zip(chosen, roi[:n], roi[n:], strict=True):
        found = axes.get(axis)
        if found is None and (start, end) == (0, 1):
            continue
        size = size_of(axis)
        found = found or Axis(size, size, 1.0)
        cut[axis] = Axis(found.size, found.new_size, found.scale, start, end)
    return cut
