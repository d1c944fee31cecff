"""What normalizations share: axes, means and deviations over them, and their trained factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuromatic.constraints import ConstraintLike
from neuromatic.errors import ShapeError
from neuromatic.initializers import InitializerLike
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers._parameters import parameter
from neuromatic.regularizers import RegularizerLike

Axes = int | Sequence[int]


def check_axes(owner: str, axis: Axes) -> None:
    """Refuse what are not axes after the batch.

    Raises:
        ValueError: ``axis`` is not one or more integers other than 0.
    """
    axes = (axis,) if isinstance(axis, int) else axis
    valid = isinstance(axes, (list, tuple)) and axes and all(isinstance(a, int) and a != 0 for a in axes)
    if not valid:
        raise ValueError(f"{owner}: axis must be an integer other than 0, or some of them, got {axis!r}")


def check_epsilon(owner: str, epsilon: float) -> None:
    """Refuse what is not a positive number.

    Raises:
        ValueError: ``epsilon`` is none.
    """
    if not isinstance(epsilon, (int, float)) or not epsilon > 0:
        raise ValueError(f"{owner}: epsilon must be above 0, got {epsilon!r}")


def axes_of(g: GraphBuilder, owner: str, x: Value, axis: Axes) -> tuple[int, ...]:
    """Axes of ``x``, counted from its first one and sorted.

    Raises:
        ShapeError: it lacks one of them.
    """
    given = (axis,) if isinstance(axis, int) else tuple(axis)
    found = {a + x.rank if a < 0 else a for a in given}
    if any(not 0 < a < x.rank for a in found) or len(found) < len(given):
        raise ShapeError(
            f"{g.scope}: {owner} runs along axis {axis}, got {shape_text(x.shape)} from {x.name!r}; "
            f"choose axes after the batch, each once"
        )
    return tuple(sorted(found))


def known_sizes(g: GraphBuilder, owner: str, x: Value, axes: Sequence[int]) -> tuple[int, ...]:
    """The sizes of some axes.

    Raises:
        ShapeError: one is unknown.
    """
    sizes = [x.dim(a) for a in axes]
    known = tuple(s for s in sizes if isinstance(s, int))
    if len(known) < len(sizes):
        raise ShapeError(
            f"{g.scope}: {owner} has a parameter for each element along axis {', '.join(map(str, axes))} and "
            f"needs known sizes there, got {shape_text(x.shape)} from {x.name!r}; choose another axis"
        )
    return known


@dataclass(frozen=True)
class Trained:
    """A factor or offset that a normalization trains: how it begins and what holds for it."""

    name: str
    initializer: InitializerLike
    regularizer: RegularizerLike = None
    constraint: ConstraintLike = None

    def emit(self, g: GraphBuilder, sizes: Sequence[int], dtype: int) -> Value:
        """The parameter."""
        last = sizes[-1]
        return parameter(
            g,
            self.name,
            sizes,
            initializer=self.initializer,
            fans=(last, last),
            regularizer=self.regularizer,
            constraint=self.constraint,
            dtype=dtype,
        )


def along(g: GraphBuilder, vector: Value, axes: Sequence[int], rank: int) -> Value:
    """A parameter over some sorted axes, so that it broadcasts with a value of that rank."""
    sizes = iter(vector.shape or ())
    first = min(axes)
    shape = [int(next(sizes) or 0) if axis in axes else 1 for axis in range(first, rank)]
    if list(vector.shape or ()) == shape:
        return vector
    return g.add("Reshape", vector, g.ints(*shape))


def standardized(g: GraphBuilder, x: Value, axes: tuple[int, ...], epsilon: float) -> Value:
    """``(x - mean) / sqrt(variance + epsilon)`` with the mean and variance over some axes."""
    centred = g.add("Sub", x, op.reduce(g, "ReduceMean", x, axes, keepdims=True))
    return over_root_mean_square(g, centred, axes, epsilon)


def over_root_mean_square(g: GraphBuilder, x: Value, axes: tuple[int, ...], epsilon: float) -> Value:
    """``x / sqrt(mean(x**2) + epsilon)`` over some axes."""
    squares = op.reduce(g, "ReduceMean", g.add("Mul", x, x), axes, keepdims=True)
    return g.add("Div", x, g.add("Sqrt", g.add("Add", squares, g.const(epsilon, x.dtype))))


def of_unit_length(g: GraphBuilder, x: Value, axes: tuple[int, ...], shortest: float) -> Value:
    """``x / sqrt(sum(x**2))`` over some axes; lengths below ``shortest`` count as that."""
    squares = op.reduce(g, "ReduceSum", g.add("Mul", x, x), axes, keepdims=True)
    return g.add("Div", x, g.add("Sqrt", g.add("Max", squares, g.const(shortest**2, x.dtype))))
