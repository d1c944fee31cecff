"""From the losses of samples to one number: weights, masks and the reductions of Keras."""

from __future__ import annotations

from typing import Literal

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text

Reduction = Literal["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"] | None
REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)
MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


def reduced(
    g: GraphBuilder, values: Value, reduction: Reduction, weights: Value | None, *masks: Value | None
) -> Value:
    """The values multiplied by their weights and reduced.

    Args:
        values: (batch, ...).
        reduction: ``"sum"``; ``"sum_over_batch_size"`` or ``"mean"``, the sum by the number of values that no
            mask leaves out; ``"mean_with_sample_weight"``, the sum by the sum of the weights; None or
            ``"none"``, all values.
        weights: as ``values``, or with fewer axes, which are then the first ones.
        masks: booleans of the first axes of ``values``; None for one that is not there.

    Raises:
        ShapeError: a mask has more axes than the values.
    """
    mask = _product(g, [_mask(g, m, values) for m in masks if m is not None])
    factors = _product(g, [f for f in (weights, mask) if f is not None])
    keep = reduction in (None, "none")
    if factors is None:
        return values if keep else op.reduce(g, _plain(reduction), values)
    weighted = _times(g, values, factors)
    if keep or reduction == "sum":
        return weighted if keep else op.reduce(g, "ReduceSum", weighted)
    divisor = factors if reduction == "mean_with_sample_weight" else mask
    if divisor is None:
        return op.reduce(g, "ReduceMean", weighted)
    total = op.reduce(g, "ReduceSum", _mean_of_later_axes(g, weighted, divisor.rank))
    return _safe_quotient(g, total, op.reduce(g, "ReduceSum", divisor))


def _plain(reduction: Reduction) -> str:
    return "ReduceSum" if reduction == "sum" else "ReduceMean"


def _mask(g: GraphBuilder, mask: Value, values: Value) -> Value:
    if 0 < values.rank < mask.rank:
        raise ShapeError(
            f"the loss has a value for each of {shape_text(values.shape)}, which the mask {mask.name!r} "
            f"{shape_text(mask.shape)} does not fit; use a loss of one value for each step"
        )
    return op.cast(g, mask, values.dtype)


def _product(g: GraphBuilder, factors: list[Value]) -> Value | None:
    if not factors:
        return None
    product = factors[0]
    for factor in factors[1:]:
        product = _times(g, product, factor)
    return product


def _times(g: GraphBuilder, a: Value, b: Value) -> Value:
    """The product of values whose first axes are the same; a number goes with anything."""
    rank = max(a.rank, b.rank)
    return g.add("Mul", *(_with_rank(g, x, rank) for x in (a, b)))


def _with_rank(g: GraphBuilder, x: Value, rank: int) -> Value:
    later = range(x.rank, rank)
    return op.unsqueeze(g, x, *later) if x.rank and later else x


def _mean_of_later_axes(g: GraphBuilder, x: Value, rank: int) -> Value:
    later = tuple(range(rank, x.rank))
    return op.reduce(g, "ReduceMean", x, later) if later else x


def _safe_quotient(g: GraphBuilder, total: Value, divisor: Value) -> Value:
    """total / divisor, and 0 where the divisor is 0."""
    zero = op.equal(g, divisor, g.const(0.0, divisor.dtype))
    one_for_zero = g.add("Add", divisor, op.cast(g, zero, divisor.dtype))
    return op.where(g, zero, g.const(0.0, total.dtype), g.add("Div", total, one_for_zero))
