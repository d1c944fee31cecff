"""Convolutions over one to three spatial axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk._products import times_along
from neuromatic.converters.cntk._windows import Window, window
from neuromatic.converters.cntk.graph import Tensor, Value
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope

MOST_SPATIAL_AXES = 3


@ops.lowers("Conv", since=(1, 11, 22))
def conv(
    scope: Scope,
    X: Value,
    W: Value,
    B: Value | None = None,
    *,
    auto_pad: str,
    dilations: Sequence[int] | None,
    group: int,
    kernel_shape: Sequence[int] | None,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Tensor:
    """Y[n, m, ...] = B[m] + sum of X * W;  X (N, C, d1, ...), W (M, C / group, k1, ...), B (M,).

    https://onnx.ai/onnx/operators/onnx__Conv.html.  11: strides default to 1.
    """
    x, w = _operands(scope, X, W)
    win = window(x, w.static[2:], auto_pad=auto_pad, pads=pads, strides=strides, dilations=dilations)
    y = _convolved(ck.in_batches(x), _spread(w, win.dilations), win, group)
    return ck.as_before(_biased(y, B), x)


def _operands(scope: Scope, X: Value, W: Value) -> tuple[Tensor, Tensor]:
    x, w = ck.tensor(X, scope.context.graph), ck.tensor(W, scope.context.graph)
    if w.batch is not None:
        raise ck.CannotRecordError("a kernel that differs from row to row of the batch")
    if not 1 <= w.rank - 2 <= MOST_SPATIAL_AXES:
        raise ck.CannotRecordError(f"a kernel of {w.rank - 2} spatial axes; at most {MOST_SPATIAL_AXES}")
    return x, w


def _biased(y: Tensor, B: Value | None) -> Tensor:
    if B is None:
        return y
    return ck.plus(y, ck.reshape(ck.tensor(B, y.graph), [y.static[0], *[1] * (y.rank - 2)]))


def _convolved(x: Tensor, w: Tensor, win: Window, group: int) -> Tensor:
    """The convolution of rows with a kernel without dilations."""
    same = [_is_same(*axis) for axis in zip(win.sizes, win.extent, win.pads, strict=True)]
    rest = [(0, 0) if fits else pad for fits, pad in zip(same, win.pads, strict=True)]
    x, strides, output = ck.pad(x, [(0, 0), (0, 0), *rest]), list(win.strides), win.output

    def convolve(x: Tensor, w: Tensor, group: int = 1) -> Tensor:
        shape = [None, w.static[0], *output]
        return x.graph.add("convolution", [w, x], shape, strides=strides, same=same, groups=group)

    if group == 1 or len(output) == 2:
        return convolve(x, w, group)
    if len(output) == 1:  # CNTK has groups on two spatial axes alone
        same, strides, output = [False, *same], [1, *strides], [1, *output]
        return ck.squeeze(convolve(ck.expand_dims(x, [2]), ck.expand_dims(w, [2]), group), [2])
    return _by_group(convolve, x, w, group)


def _is_same(size: int, reach: int, pad: tuple[int, int]) -> bool:
    """Whether CNTK's own padding is this one, which spares a copy; CNTK refuses it where a kernel is larger
    than what it pads."""
    return 1 < reach <= size and reach % 2 == 1 and pad == (reach // 2, reach // 2)


def _spread(w: Tensor, dilations: Sequence[int]) -> Tensor:
    """A kernel with zeros between its elements, in place of dilations, which CNTK has on no CPU.

    Made by one product with a constant 0/1 matrix for each axis, so that its gradient is exact.
    """
    for axis, gap in enumerate(dilations, start=2):
        if gap == 1:
            continue
        size = w.static[axis]
        places = np.zeros((size, (size - 1) * gap + 1), np.float32)
        places[np.arange(size), np.arange(size) * gap] = 1
        w = times_along(w, axis, w.graph.constant(places))
    return w


def _by_group(convolve: Callable[[Tensor, Tensor], Tensor], x: Tensor, w: Tensor, group: int) -> Tensor:
    """Convolutions of each group of channels with its part of the kernel, side by side."""
    width, height = x.static[0] // group, w.static[0] // group
    parts = [
        convolve(
            ck.slice_axis(x, 1, i * width, (i + 1) * width), ck.slice_axis(w, 0, i * height, (i + 1) * height)
        )
        for i in range(group)
    ]
    return ck.concat(parts, 1)


@ops.lowers("ConvTranspose", since=(1, 11, 22))
def conv_transpose(
    scope: Scope,
    X: Value,
    W: Value,
    B: Value | None = None,
    *,
    auto_pad: str,
    dilations: Sequence[int] | None,
    group: int,
    kernel_shape: Sequence[int] | None,
    output_padding: Sequence[int] | None,
    output_shape: Sequence[int] | None,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Tensor:
    """The gradient of Conv by its input, plus B;  X (N, C, d1, ...), W (C, M / group, k1, ...), B (M,).

    Axis i has stride * (size - 1) + output_padding + (k - 1) * dilation + 1 - pads elements.
    https://onnx.ai/onnx/operators/onnx__ConvTranspose.html.  11: strides default to 1.
    """
    x, w = _operands(scope, X, W)
    n = w.rank - 2
    steps, extra = list(strides or [1] * n), list(output_padding or [0] * n)
    rows, w = ck.in_batches(x), _spread(w, dilations or [1] * n)
    sizes = rows.static[1:]
    full = [s * (i - 1) + k for s, i, k in zip(steps, sizes, w.static[2:], strict=True)]
    if auto_pad in ("SAME_UPPER", "SAME_LOWER") and output_shape is None:
        output_shape = [i * s for i, s in zip(sizes, steps, strict=True)]
    given = list(pads or [0] * 2 * n)
    cut = list(zip(given[:n], given[n:], strict=True))
    if output_shape is not None:
        reached = zip(full, extra, list(output_shape)[-n:], strict=True)
        cut = [_halves(f + e - o, upper=auto_pad == "SAME_UPPER") for f, e, o in reached]
    cut = [(before, after - e) for (before, after), e in zip(cut, extra, strict=True)]
    y = _cropped(_transposed(rows, w, steps, full, group), cut)
    return ck.as_before(_biased(y, B), x)


def _halves(total: int, *, upper: bool) -> tuple[int, int]:
    return (total // 2, total - total // 2) if upper else (total - total // 2, total // 2)


def _transposed(x: Tensor, w: Tensor, strides: list[int], full: list[int], group: int) -> Tensor:
    """The transposed convolution, not cropped."""

    def convolve(x: Tensor, w: Tensor) -> Tensor:
        shape = [w.static[1], *full]
        return x.graph.add(
            "convolution_transpose", [w, x], [None, *shape], strides=strides, output_shape=shape
        )

    return convolve(x, w) if group == 1 else _by_group(convolve, x, w, group)


def _cropped(y: Tensor, cut: Sequence[tuple[int, int]]) -> Tensor:
    """Rows without some elements before and after each spatial axis; negative ones are zeros to add."""
    y = ck.pad(y, [(0, 0), (0, 0), *((max(-before, 0), max(-after, 0)) for before, after in cut)])
    for axis, (before, after) in enumerate(cut, start=2):
        size = y.static[axis - 1]
        y = ck.slice_axis(y, axis, max(before, 0), size - max(after, 0))
    return y
