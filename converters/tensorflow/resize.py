"""Resize and Upsample, one axis after the other, as weighted sums of gathered elements."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import tensorflow as tf

from neuromatic.converters.interpolation import Array, Axis, Method, by_scales, by_sizes, cropped
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


def _resize(scope: Scope, x: Tensor, axes: dict[int, Axis], method: Method) -> Tensor:
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
    size_of = partial(known_dimension, scope, X)
    if factors:
        resized = by_scales(size_of, factors, chosen)
    else:
        wanted = [int(n) for n in _known(scope, sizes, "sizes")]
        old = {axis: X.shape[axis] for axis in chosen}
        resized = by_sizes(old, dict(zip(chosen, wanted, strict=True)), size_of, keep_aspect_ratio_policy)
    if coordinate_transformation_mode == "tf_crop_and_resize":
        resized = cropped(size_of, resized, _known(scope, roi, "roi"), chosen)
    method = Method(
        mode,
        coordinate_transformation_mode,
        nearest_mode,
        cubic_coeff_a,
        bool(exclude_outside),
        bool(antialias),
        extrapolation_value,
    )
    return _resize(scope, X, resized, method)


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
    axes = by_scales(partial(known_dimension, scope, x), scales, range(rank(x)))
    return _resize(scope, x, axes, Method(mode, "asymmetric", "floor"))


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
