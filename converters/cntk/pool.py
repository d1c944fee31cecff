"""Pooling."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk._windows import Window, window
from neuromatic.converters.cntk.graph import Tensor
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope

LOWEST = -3.0e38
"""In place of minus infinity, with which CNTK's gradients would be NaN."""


def _pooled(kind: str, x: Tensor, win: Window, value: float) -> Tensor:
    """The maximum or the mean of each window of rows."""
    x = ck.pad(x, [(0, 0), (0, 0), *win.all_pads], value=value)
    if win.dilated:
        if kind == "max":
            return _slide(x, win, functools.partial(ck.binary, "element_max"))
        return ck.scaled(_slide(x, win, ck.plus), 1 / float(np.prod(win.kernel)))
    shape = [None, x.shape[1], *win.output]
    return x.graph.add("pooling", [x], shape, kind=kind, window=list(win.kernel), strides=list(win.strides))


def _slide(x: Tensor, win: Window, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Combine the elements of each window of padded rows, one axis after the other."""
    axes = zip(win.kernel, win.dilations, win.strides, win.output, strict=True)
    for axis, (k, gap, step, size) in enumerate(axes, start=2):
        reach = (size - 1) * step + 1
        parts = [ck.slice_axis(x, axis, i * gap, i * gap + reach, step) for i in range(k)]
        x = functools.reduce(combine, parts)
    return x


@ops.lowers("MaxPool", since=(1, 8, 10, 11, 12, 22))
def max_pool(
    scope: Scope,
    X: Tensor,
    *,
    auto_pad: str,
    ceil_mode: int,
    dilations: Sequence[int] | None,
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None,
    storage_order: int,
    strides: Sequence[int] | None,
) -> Tensor:
    """The largest element of each window.

    https://onnx.ai/onnx/operators/onnx__MaxPool.html.  10: ceil_mode, dilations.  12: int8.
    """
    if scope.wants(1):
        raise ck.CannotRecordError("its output Indices")
    win = window(
        X,
        kernel_shape,
        auto_pad=auto_pad,
        pads=pads,
        strides=strides,
        dilations=dilations,
        ceil_mode=ceil_mode,
    )
    return ck.as_before(_pooled("max", ck.in_batches(X), win, LOWEST), X)


@ops.lowers("AveragePool", since=(7, 10, 11, 19, 22))
def average_pool(
    scope: Scope,
    X: Tensor,
    *,
    auto_pad: str,
    ceil_mode: int,
    count_include_pad: int,
    dilations: Sequence[int] | None,
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Tensor:
    """The mean of each window, padding counted or not.

    https://onnx.ai/onnx/operators/onnx__AveragePool.html.  10: ceil_mode.  19: dilations.
    """
    win = window(
        X,
        kernel_shape,
        auto_pad=auto_pad,
        pads=pads,
        strides=strides,
        dilations=dilations,
        ceil_mode=ceil_mode,
    )
    mean = _pooled("average", ck.in_batches(X), win, 0.0)
    counts = _counts(win, bool(count_include_pad))
    whole = np.prod(win.kernel, dtype=np.float32)
    if (counts != whole).any():
        mean = ck.multiply(mean, (whole / counts)[None])
    return ck.as_before(mean, X)


def _counts(win: Window, include_pad: bool) -> NDArray[np.float32]:
    """How many elements of each window count; what ``ceil_mode`` adds never does."""
    total = np.ones((), np.float32)
    axes = zip(
        win.sizes, win.pads, win.ceil_pads, win.output, win.kernel, win.dilations, win.strides, strict=True
    )
    for size, pad, extra, out, k, gap, step in axes:
        counted = np.pad(np.ones(size), pad, constant_values=float(include_pad))
        counted = np.append(counted, np.zeros(extra))
        places = np.arange(out)[:, None] * step + np.arange(k) * gap
        total = total[..., None] * counted[places].sum(1).astype(np.float32)
    return total


@ops.lowers("LpPool", since=(2, 11, 18, 22))
def lp_pool(
    scope: Scope,
    X: Tensor,
    *,
    auto_pad: str,
    ceil_mode: int,
    dilations: Sequence[int] | None,
    kernel_shape: Sequence[int],
    p: int,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Tensor:
    """The p-norm of each window.

    https://onnx.ai/onnx/operators/onnx__LpPool.html.  18: ceil_mode, dilations.
    """
    win = window(
        X,
        kernel_shape,
        auto_pad=auto_pad,
        pads=pads,
        strides=strides,
        dilations=dilations,
        ceil_mode=ceil_mode,
    )
    mean = _pooled("average", ck.in_batches(_powers(X, p)), win, 0.0)
    return ck.as_before(_root(ck.scaled(mean, float(np.prod(win.kernel))), p), X)


def _powers(x: Tensor, p: int) -> Tensor:
    """abs(x) ** p"""
    if p == 2:
        return ck.multiply(x, x)
    size = ck.unary("abs", x)
    return size if p == 1 else ck.binary("pow", size, ck.number(float(p)))


def _root(x: Tensor, p: int) -> Tensor:
    if p == 1:
        return x
    return ck.unary("sqrt", x) if p == 2 else ck.binary("pow", x, ck.number(1 / p))


@ops.lowers("GlobalAveragePool", since=(1, 22))
def global_average_pool(scope: Scope, X: Tensor) -> Tensor:
    """The mean over all spatial axes.  https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html"""
    return ck.reduce("reduce_mean", X, range(2, X.rank), keepdims=True)


@ops.lowers("GlobalMaxPool", since=(1, 22))
def global_max_pool(scope: Scope, X: Tensor) -> Tensor:
    """The maximum over all spatial axes.  https://onnx.ai/onnx/operators/onnx__GlobalMaxPool.html"""
    return ck.reduce("reduce_max", X, range(2, X.rank), keepdims=True)


@ops.lowers("GlobalLpPool", since=(2, 22))
def global_lp_pool(scope: Scope, X: Tensor, *, p: int) -> Tensor:
    """The p-norm over all spatial axes.  https://onnx.ai/onnx/operators/onnx__GlobalLpPool.html"""
    return _root(ck.reduce("reduce_sum", _powers(X, p), range(2, X.rank), keepdims=True), p)
