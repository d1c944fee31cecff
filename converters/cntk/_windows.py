"""Sliding windows of convolutions and pools, with explicit padding. Sizes are per spatial axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.graph import Tensor


@dataclass(frozen=True)
class Window:
    """The kernel of a convolution or pool and how it moves, resolved for one input.

    Attributes:
        kernel: sizes of the kernel.
        strides: steps between windows.
        dilations: distances between the elements of a window.
        pads: before and after each axis.
        ceil_pads: what ``ceil_mode`` adds at the end of each axis, not included in ``pads``.
        sizes: of the input.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    ceil_pads: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def extent(self) -> tuple[int, ...]:
        """How far a window reaches."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def dilated(self) -> bool:
        return any(d != 1 for d in self.dilations)

    @property
    def all_pads(self) -> list[tuple[int, int]]:
        """Padding with that of ``ceil_mode``."""
        return [(a, b + c) for (a, b), c in zip(self.pads, self.ceil_pads, strict=True)]

    @property
    def output(self) -> list[int]:
        """Sizes of the result."""
        return [
            (size + sum(pad) - reach) // step + 1
            for size, pad, reach, step in zip(
                self.sizes, self.all_pads, self.extent, self.strides, strict=True
            )
        ]


def window(
    X: Tensor,
    kernel: Sequence[int],
    *,
    auto_pad: str,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
    dilations: Sequence[int] | None = None,
    ceil_mode: int = 0,
) -> Window:
    """Resolve ONNX' attributes for an input of shape (N, C, d1, ...)."""
    n = len(kernel)
    sizes = [size for size in X.shape[2:] if size is not None]
    if len(sizes) != n:
        raise ck.CannotRecordError("a batch among the spatial axes")
    steps, gaps = tuple(strides or [1] * n), tuple(dilations or [1] * n)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, gaps, strict=True)]
    both = _pads(auto_pad, pads, sizes, reach, steps)
    ceil = [0] * n
    if ceil_mode:
        ceil = [_ceil_pad(*axis) for axis in zip(sizes, both, reach, steps, strict=True)]
    return Window(tuple(kernel), steps, gaps, tuple(both), tuple(ceil), tuple(sizes))


def _pads(
    auto_pad: str,
    pads: Sequence[int] | None,
    sizes: Sequence[int],
    reach: Sequence[int],
    steps: Sequence[int],
) -> list[tuple[int, int]]:
    n = len(sizes)
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        totals = [
            max((-(-size // step) - 1) * step + far - size, 0)
            for size, far, step in zip(sizes, reach, steps, strict=True)
        ]
        halves = [(t // 2, t - t // 2) for t in totals]
        return halves if auto_pad == "SAME_UPPER" else [(b, a) for a, b in halves]
    given = [0] * (2 * n) if pads is None or auto_pad == "VALID" else list(pads)
    return list(zip(given[:n], given[n:], strict=True))


def _ceil_pad(size: int, pad: tuple[int, int], reach: int, step: int) -> int:
    """How much more is needed at the end, so that a last window that begins inside the input is whole."""
    free = size + sum(pad) - reach
    count = -(-free // step) + 1
    if (count - 1) * step >= size + pad[0]:  # it would begin in the padding
        count -= 1
    return max((count - 1) * step - free, 0)
