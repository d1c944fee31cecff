"""Where a sequence in several axes has its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text


@dataclass(frozen=True)
class AttentionAxes:
    """Where an input (batch, ..., features) of some rank has its steps.

    Attributes:
        rank: of the input; projected to heads it has one axis more.
        axes: the attention axes.
    """

    rank: int
    axes: tuple[int, ...]

    @property
    def _order(self) -> list[int]:
        """Axes of a projected input: batch, others, heads, steps, features."""
        others = [i for i in range(1, self.rank - 1) if i not in self.axes]
        return [0, *others, self.rank - 1, *self.axes, self.rank]

    def steps(self, g: GraphBuilder, x: Value) -> list[int]:
        """The sizes of the attention axes; they need be known where there are several."""
        sizes = [x.dim(axis) for axis in self.axes]
        known = [size for size in sizes if isinstance(size, int)]
        if len(known) < len(sizes) > 1:
            raise ShapeError(
                f"{g.scope}: MultiHeadAttention over several axes needs their sizes, got "
                f"{shape_text(x.shape)}; give the input fixed sizes"
            )
        return known

    def split(self, g: GraphBuilder, x: Value, *, turned: bool = False) -> Value:
        """A projected input as (batch, ..., heads, steps, features), or with the last two ``turned``."""
        *lead, last = self._order
        n = len(self.axes)
        order = [*lead[:-n], last, *lead[-n:]] if turned else [*lead, last]
        y = g.add("Transpose", x, perm=order)
        if n == 1:
            return y
        front = [0] * (len(lead) - n)
        return g.add("Reshape", y, g.ints(*front, *((0, -1) if turned else (-1, _last(x)))))

    def joined(self, g: GraphBuilder, y: Value, steps: Sequence[int]) -> Value:
        """The inverse of :meth:`split`."""
        if len(self.axes) > 1:
            y = g.add("Reshape", y, g.ints(*[0] * (y.rank - 2), *steps, _last(y)))
        return g.add("Transpose", y, perm=np.argsort(self._order).tolist())

    def mask(self, g: GraphBuilder, mask: Value) -> Value:
        """A mask (batch, ..., query steps, key steps) of the rank of the scores; steps are one axis each."""
        n = len(self.axes)
        missing = self.rank + n - mask.rank
        if missing > 0:
            first = mask.rank - 2 * n
            mask = op.unsqueeze(g, mask, *range(first, first + missing))
        if n == 1:
            return mask
        return g.add("Reshape", mask, g.ints(*[0] * (mask.rank - 2 * n), *self._flat(g, mask, n)))

    def _flat(self, g: GraphBuilder, mask: Value, n: int) -> tuple[int, int]:
        shape = mask.shape or ()
        sizes = [d for d in shape[-2 * n :] if isinstance(d, int)]
        if len(sizes) < 2 * n:
            raise ShapeError(
                f"{g.scope}: MultiHeadAttention over several axes needs an attention_mask of known sizes, "
                f"got {shape_text(shape)} from {mask.name!r}; give it fixed sizes"
            )
        return prod(sizes[:n]), prod(sizes[n:])


def _last(x: Value) -> int:
    """The size of the last axis, which a projection has made."""
    size = x.dim(-1)
    assert isinstance(size, int)
    return size
