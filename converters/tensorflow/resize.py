"""Resize and Upsample, one axis after the other, as weighted sums of gathered elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import (
    Tensor,
    dtype,
    known_dimension,
    normalized,
    rank,
    unsupported,
)
from neuromatic.converters.tensorflow.registry import ops

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class _Axis:
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


_COORDINATES: dict[str, Callable[[Array, _Axis], Array]] = {
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
class _Method:
    """How elements between others are made, with the attributes of the node."""

    mode: str
    coordinates: str
    nearest: str = "round_prefer_floor"
    cubic: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    extrapolation: float = 0.0

    def taps(self, axis: _Axis) -> tuple[Array, Array, Array]:
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


def _resized(x: Tensor, axis: int, taps: tuple[Array, Array, Array], fill: float | None) -> Tensor:
    places, weights, outside = taps
    wide = [-1 if i == axis else 1 for i in range(rank(x))]
    total = None
    for place, weight in zip(places.T, weights.T, strict=True):
        part = tf.gather(x, place, axis=axis)
        if not (weight == 1).all():
            part *= tf.constant(weight.reshape(wide), dtype(x))
        total = part if total is None else total + part
    if fill is not None and outside.any():
        total = tf.where(outside.reshape(wide), tf.constant(fill, dtype(x)), total)
    return total


def _resize(scope: Scope, x: Tensor, axes: dict[int, _Axis], method: _Method) -> Tensor:
    if method.mode not in ("nearest", "linear", "cubic"):
        raise unsupported(scope, f"mode {method.mode!r} is not handled; use nearest, linear or cubic")
    kind = dtype(x)
    exact = kind.is_floating or method.mode == "nearest"
    y = x if exact else tf.cast(x, tf.float32)
    fill = method.extrapolation if method.coordinates == "tf_crop_and_resize" else None
    for number, axis in axes.items():
        if axis.size != axis.new_size or axis.scale != 1 or fill is not None:
            y = _resized(y, number, method.taps(axis), fill)
    return y if exact else tf.cast(y, kind)


def _known(scope: Scope, value: Tensor, name: str) -> list[float]:
    """The numbers of an input that the result's shape depends on; none where it is left out."""
    if value is None:
        return []
    if not isinstance(value, np.ndarray):
        raise unsupported(scope, f"its input {name!r} is not known; make it an initializer or a constant")
    return [float(v) for v in value.reshape(-1)]


def _by_scales(scope: Scope, x: Tensor, scales: Sequence[float], chosen: Sequence[int]) -> dict[int, _Axis]:
    axes = {}
    for axis, scale in zip(chosen, scales, strict=True):
        if scale != 1:
            size = known_dimension(scope, x, axis)
            axes[axis] = _Axis(size, math.floor(size * scale), scale)
    return axes


def _by_sizes(
    scope: Scope, x: Tensor, sizes: Sequence[float], chosen: Sequence[int], policy: str
) -> dict[int, _Axis]:
    old = {axis: x.shape[axis] for axis in chosen}
    new = dict(zip(chosen, (int(s) for s in sizes), strict=True))
    if policy == "stretch":
        changed = [axis for axis in chosen if old[axis] != new[axis]]
        changed = [axis for axis in changed if axis != 0 or old[0] is not None]  # a batch of any size stays
        known = {axis: known_dimension(scope, x, axis) for axis in changed}
        return {axis: _Axis(n, new[axis], new[axis] / n) for axis, n in known.items()}
    known = {axis: known_dimension(scope, x, axis) for axis in chosen}
    pick = min if policy == "not_larger" else max
    scale = pick(new[axis] / n for axis, n in known.items())
    return {axis: _Axis(n, math.floor(n * scale + 0.5), scale) for axis, n in known.items()}


@ops.lowers("Resize", since=(18, 19))
def resize(
    scope: Scope,
    X: Tensor,
    roi: Tensor = None,
    scales: Tensor = None,
    sizes: Tensor = None,
    *,
    antialias: int,
    axes: Sequence[int] | None,
    coordinate_transformation_mode: str,
    cubic_coeff_a: float,
    exclude_outside: int,
    extrapolation_value: float,
    keep_aspect_ratio_policy: str,
    mode: str,
    nearest_mode: str,
) -> Tensor:
    """The input with other sizes, given as such or as scales, by nearest, linear or cubic interpolation.

    https://onnx.ai/onnx/operators/onnx__Resize.html.  18: antialias, axes, keep_aspect_ratio_policy.
    """
    chosen = [normalized(a, rank(X)) for a in (range(rank(X)) if axes is None else axes)]
    factors = _known(scope, scales, "scales")
    resized = (
        _by_scales(scope, X, factors, chosen)
        if factors
        else _by_sizes(scope, X, _known(scope, sizes, "sizes"), chosen, keep_aspect_ratio_policy)
    )
    if coordinate_transformation_mode == "tf_crop_and_resize":
        resized = _cropped(scope, X, resized, _known(scope, roi, "roi"), chosen)
    method = _Method(
        mode,
        coordinate_transformation_mode,
        nearest_mode,
        cubic_coeff_a,
        bool(exclude_outside),
        bool(antialias),
        extrapolation_value,
    )
    return _resize(scope, X, resized, method)


def _cropped(
    scope: Scope, x: Tensor, axes: dict[int, _Axis], roi: Sequence[float], chosen: Sequence[int]
) -> dict[int, _Axis]:
    """The axes with the part of each that ``roi`` (all starts, then all ends) cuts out."""
    n = len(chosen)
    cut = {}
    for axis, start, end in zip(chosen, roi[:n], roi[n:], strict=True):
        found = axes.get(axis)
        if found is None and (start, end) == (0, 1):
            continue
        size = known_dimension(scope, x, axis)
        found = found or _Axis(size, size, 1.0)
        cut[axis] = _Axis(found.size, found.new_size, found.scale, start, end)
    return cut


@ops.lowers("Resize", since=(11, 13))
def resize_11(
    scope: Scope,
    X: Tensor,
    roi: Tensor = None,
    scales: Tensor = None,
    sizes: Tensor = None,
    *,
    coordinate_transformation_mode: str,
    cubic_coeff_a: float,
    exclude_outside: int,
    extrapolation_value: float,
    mode: str,
    nearest_mode: str,
) -> Tensor:
    """Resize of all axes.  https://onnx.ai/onnx/operators/onnx__Resize.html.  11: coordinates, sizes."""
    return resize(
        scope,
        X,
        roi,
        scales,
        sizes,
        antialias=0,
        axes=None,
        coordinate_transformation_mode=coordinate_transformation_mode,
        cubic_coeff_a=cubic_coeff_a,
        exclude_outside=exclude_outside,
        extrapolation_value=extrapolation_value,
        keep_aspect_ratio_policy="stretch",
        mode=mode,
        nearest_mode=nearest_mode,
    )


def _scaled(scope: Scope, x: Tensor, scales: Sequence[float], mode: str) -> Tensor:
    axes = _by_scales(scope, x, scales, range(rank(x)))
    return _resize(scope, x, axes, _Method(mode, "asymmetric", "floor"))


@ops.lowers("Resize", since=(10,))
def resize_10(scope: Scope, X: Tensor, scales: Tensor, *, mode: str) -> Tensor:
    """The input with sizes floor(size * scale).  https://onnx.ai/onnx/operators/onnx__Resize.html"""
    return _scaled(scope, X, _known(scope, scales, "scales"), mode)


@ops.lowers("Upsample", since=(9,))
def upsample(scope: Scope, X: Tensor, scales: Tensor, *, mode: str) -> Tensor:
    """Resize-10 under its first name.  https://onnx.ai/onnx/operators/onnx__Upsample.html"""
    return _scaled(scope, X, _known(scope, scales, "scales"), mode)


@ops.lowers("Upsample", since=(7,))
def upsample_7(scope: Scope, X: Tensor, *, mode: str, scales: Sequence[float]) -> Tensor:
    """Upsample by an attribute.  https://onnx.ai/onnx/operators/onnx__Upsample.html"""
    return _scaled(scope, X, scales, mode)
