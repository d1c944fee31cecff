"""Resize and Upsample, one axis after the other, as picked elements or products with matrices of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neuromatic.converters.cntk import _shapes
from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk._pick import picked
from neuromatic.converters.cntk._products import times_along
from neuromatic.converters.cntk.graph import Tensor, Value
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.interpolation import Axis, Method, SizeOf, by_scales, by_sizes, cropped
from neuromatic.converters.lowering import Scope


def _sizes_of(x: Tensor) -> SizeOf:
    def size_of(axis: int) -> int:
        size = x.shape[axis]
        if size is None:
            raise ck.CannotRecordError("resizing the batch")
        return size

    return size_of


def _known(value: Value | None, what: str) -> list[float]:
    return [] if value is None else [float(v) for v in ck.array(value, what).ravel()]


def _resize(x: Tensor, axes: Mapping[int, Axis], method: Method) -> Tensor:
    if method.mode not in ("nearest", "linear", "cubic"):
        raise ck.CannotRecordError(f"mode {method.mode!r}")
    fill = method.extrapolation if method.coordinates == "tf_crop_and_resize" else None
    for number, axis in axes.items():
        if axis.size != axis.new_size or axis.scale != 1 or fill is not None:
            x = _along(x, number, axis, method, fill)
    return x


def _along(x: Tensor, number: int, axis: Axis, method: Method, fill: float | None) -> Tensor:
    places, weights, outside = method.taps(axis)
    if method.mode == "nearest":
        y = picked(x, number, places[:, 0].tolist())
    else:
        matrix = np.zeros((axis.size, axis.new_size), np.float32)
        np.add.at(matrix, (places, np.arange(axis.new_size)[:, None]), weights)
        y = times_along(x, number, x.graph.constant(matrix))
    if fill is None or not outside.any():
        return y
    wide = [-1 if i == number else 1 for i in range(number, x.rank)]
    return ck.select(outside.reshape(wide), ck.number(fill), y)


@ops.lowers("Resize", since=(18, 19))
def resize(
    scope: Scope,
    X: Value,
    roi: Value | None = None,
    scales: Value | None = None,
    sizes: Value | None = None,
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
    x = ck.tensor(X, scope.context.graph)
    chosen = [a % x.rank for a in (range(x.rank) if axes is None else axes)]
    factors = _known(scales, "scales")
    size_of = _sizes_of(x)
    if factors:
        resized = by_scales(size_of, factors, chosen)
    else:
        assert sizes is not None
        wanted = _shapes.sizes(sizes, "sizes")
        old = {axis: x.shape[axis] for axis in chosen}
        resized = by_sizes(old, dict(zip(chosen, wanted, strict=True)), size_of, keep_aspect_ratio_policy)
    if coordinate_transformation_mode == "tf_crop_and_resize":
        resized = cropped(size_of, resized, _known(roi, "roi"), chosen)
    method = Method(
        mode,
        coordinate_transformation_mode,
        nearest_mode,
        cubic_coeff_a,
        bool(exclude_outside),
        bool(antialias),
        extrapolation_value,
    )
    return _resize(x, resized, method)


@ops.lowers("Resize", since=(11, 13))
def resize_11(
    scope: Scope,
    X: Value,
    roi: Value | None = None,
    scales: Value | None = None,
    sizes: Value | None = None,
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


def _scaled(scope: Scope, X: Value, scales: Sequence[float], mode: str) -> Tensor:
    x = ck.tensor(X, scope.context.graph)
    axes = by_scales(_sizes_of(x), scales, range(x.rank))
    return _resize(x, axes, Method(mode, "asymmetric", "floor"))


@ops.lowers("Resize", since=(10,))
def resize_10(scope: Scope, X: Value, scales: Value, *, mode: str) -> Tensor:
    """The input with sizes floor(size * scale).  https://onnx.ai/onnx/operators/onnx__Resize.html"""
    return _scaled(scope, X, _known(scales, "scales"), mode)


@ops.lowers("Upsample", since=(9,))
def upsample(scope: Scope, X: Value, scales: Value, *, mode: str) -> Tensor:
    """Resize-10 under its first name.  https://onnx.ai/onnx/operators/onnx__Upsample.html"""
    return _scaled(scope, X, _known(scales, "scales"), mode)


@ops.lowers("Upsample", since=(7,))
def upsample_7(scope: Scope, X: Value, *, mode: str, scales: Sequence[float]) -> Tensor:
    """Upsample by an attribute.  https://onnx.ai/onnx/operators/onnx__Upsample.html"""
    return _scaled(scope, X, scales, mode)
