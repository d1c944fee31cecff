"""Sliding windows of convolutions and pools: padding, sizes, and windows as strided slices.

Sizes are per spatial axis; values are channels last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import Tensor, rank, shape, unsupported

Pads = list[tuple[Any, Any]]


@dataclass(frozen=True)
class Window:
    """The kernel of a convolution or pool and how it moves, resolved for one input.

    Attributes:
        kernel: sizes of the kernel.
        strides: steps between windows.
        dilations: distances between the elements of a window.
        pads: explicit padding before and after each axis; None where ``padding`` says it.
        padding: TensorFlow's name for the padding once ``pads`` have been added.
        ceil_pads: what ``ceil_mode`` adds at the end of each axis, included in ``pads``.
    """

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    pads: Pads | None
    padding: Literal["SAME", "VALID"]
    ceil_pads: list[int]

    @property
    def dilated(self) -> bool:
        return any(d != 1 for d in self.dilations)


def window(
    scope: Scope,
    x: Tensor,
    kernel: Sequence[int],
    *,
    auto_pad: str,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
    dilations: Sequence[int] | None = None,
    ceil_mode: int = 0,
) -> Window:
    """Resolve ONNX' attributes for an input; TensorFlow's fast paddings are used wherever they agree."""
    n = len(kernel)
    steps, gaps = list(strides or [1] * n), list(dilations or [1] * n)
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, gaps, strict=True)]
    sizes = list(x.shape[1:-1])

    def made(pads: Pads | None, padding: Literal["SAME", "VALID"], ceil: list[int] | None = None) -> Window:
        return Window(list(kernel), steps, gaps, pads, padding, ceil or [0] * n)

    # Without oneDNN, TensorFlow pads volumes wrongly where windows leave something out between them.
    leaves_out = n == 3 and any(e < s for e, s in zip(extent, steps, strict=True))
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        upper = auto_pad == "SAME_UPPER"
        if not leaves_out and (upper or same_lower_is_same(extent, steps)):
            return made(None, "SAME")
        totals = same_totals(shape(x)[1:-1], extent, steps)
        return made([(t // 2, t - t // 2) if upper else (t - t // 2, t // 2) for t in totals], "VALID")
    given = [0] * (2 * n) if pads is None or auto_pad == "VALID" else list(pads)
    both = list(zip(given[:n], given[n:], strict=True))
    ceil = [0] * n
    if ceil_mode and any(s != 1 for s in steps):
        require_sizes(scope, sizes)
        ceil = [_ceil_pad(*axis) for axis in zip(sizes, both, extent, steps, strict=True)]
        both = [(before, after + extra) for (before, after), extra in zip(both, ceil, strict=True)]
    if not any(map(any, both)):
        return made(None, "VALID")
    if not any(ceil) and not leaves_out and _is_same(both, sizes, extent, steps):
        return made(None, "SAME")
    return made(both, "VALID", ceil)


def require_sizes(scope: Scope, sizes: Sequence[int | None]) -> None:
    """Refuse an input whose spatial sizes are not known."""
    if None in sizes:
        raise unsupported(scope, "its padding depends on the size of its input; give the input fixed sizes")


def same_totals(sizes: Sequence[Any], extent: Sequence[int], strides: Sequence[int]) -> list[Any]:
    """The padding on both sides together with which the output has ``ceil(size / stride)`` elements."""
    missing = [(-(-n // s) - 1) * s + e - n for n, e, s in zip(sizes, extent, strides, strict=True)]
    return [max(m, 0) if isinstance(m, int) else tf.maximum(m, 0) for m in missing]


def same_lower_is_same(extent: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the padding is even, so that it does not matter on which side the odd element goes."""
    return all(e % 2 == 1 and s == 1 for e, s in zip(extent, strides, strict=True))


def _is_same(pads: Pads, sizes: list[Any], extent: list[int], strides: list[int]) -> bool:
    if all(s == 1 for s in strides):
        return all(p == ((e - 1) // 2, (e - 1) - (e - 1) // 2) for p, e in zip(pads, extent, strict=True))
    if None in sizes:
        return False
    return pads == [(t // 2, t - t // 2) for t in same_totals(sizes, extent, strides)]


def _ceil_pad(size: int, pads: tuple[int, int], extent: int, stride: int) -> int:
    """What to add at the end so that a last, incomplete window counts, unless it starts in the padding."""
    padded = size + sum(pads)
    windows = math.ceil((padded - extent) / stride) + 1
    if (windows - 1) * stride >= size + pads[0]:
        windows -= 1
    return max((windows - 1) * stride + extent - padded, 0)


def padded(x: Tensor, pads: Pads | None, value: Any = 0) -> Tensor:
    """The input with its spatial axes padded."""
    if pads is None:
        return x
    return tf.pad(x, [(0, 0), *pads, (0, 0)], constant_values=value)


def same_as_pads(x: Tensor, w: Window) -> Pads:
    """All padding as numbers, also where TensorFlow would do it: tensors where a size is not known."""
    if w.pads is not None:
        return w.pads
    if w.padding == "VALID":
        return [(0, 0)] * len(w.kernel)
    extent = [(k - 1) * d + 1 for k, d in zip(w.kernel, w.dilations, strict=True)]
    totals = same_totals(shape(x)[1:-1], extent, w.strides)
    return [(t // 2, t - t // 2) for t in totals]


def offsets(kernel: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The positions in a kernel, in row-major order."""
    return product(*(range(k) for k in kernel))


def element(x: Tensor, w: Window, offset: Sequence[int]) -> Tensor:
    """Of each window of an already padded input, the element at one position of the kernel."""
    slices = [slice(None)] * rank(x)
    for axis, (i, k, s, d) in enumerate(zip(offset, w.kernel, w.strides, w.dilations, strict=True), start=1):
        after = (k - 1 - i) * d
        slices[axis] = slice(i * d, -after if after else None, s)
    return x[tuple(slices)]


def slide(x: Tensor, w: Window, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Combine the elements of each window of an already padded input, axis by axis from the last.

    Slower than TensorFlow's pools, but for every type, rank, stride and dilation. Of equal largest elements
    the first in row-major order has the gradient, as there.
    """
    for axis, k in reversed(list(enumerate(w.kernel))):
        one = [1] * len(w.kernel)
        along = Window(
            [*one[:axis], k, *one[axis + 1 :]],
            [*one[:axis], w.strides[axis], *one[axis + 1 :]],
            [*one[:axis], w.dilations[axis], *one[axis + 1 :]],
            None,
            "VALID",
            [],
        )
        total = None
        for offset in offsets(along.kernel):
            part = element(x, along, offset)
            total = part if total is None else combine(total, part)
        x = total
    return x
