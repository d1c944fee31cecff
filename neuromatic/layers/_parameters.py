"""The parameters of layers: initial values, penalties and constraints in one call."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import TensorProto

from neuromatic import constraints, initializers, regularizers
from neuromatic.constraints import ConstraintLike
from neuromatic.initializers import InitializerLike
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.regularizers import RegularizerLike


def parameter(
    g: GraphBuilder,
    name: str,
    shape: Sequence[int],
    *,
    initializer: InitializerLike,
    fans: tuple[float, float] | None = None,
    regularizer: RegularizerLike = None,
    constraint: ConstraintLike = None,
    dtype: int = TensorProto.FLOAT,
) -> Value:
    """A parameter ``<layer>/<name>``, with what training does about it.

    Args:
        shape: its dimensions, in ONNX' order.
        initializer: its first values.
        fans: how many inputs reach one output and how many outputs one input reaches; by default the size
            of a vector, twice.
        regularizer: a penalty for it in the loss.
        constraint: what holds for it after each update.
        dtype: element type.
    """
    last = shape[-1] if len(shape) else 1
    fan_in, fan_out = (last, last) if fans is None else fans
    value = g.param(name, initializers.get(initializer).for_fans(fan_in, fan_out), shape, dtype)
    if (penalty := regularizers.get(regularizer)) is not None:
        g.penalize(value, penalty)
    if (bound := constraints.get(constraint)) is not None:
        g.constrain(value, bound)
    return value


def penalize_activity(g: GraphBuilder, y: Value, regularizer: RegularizerLike) -> Value:
    """Add a penalty for an activation to the loss, divided by the batch size; returns the activation."""
    if (penalty := regularizers.get(regularizer)) is not None:
        g.penalize(y, penalty, per_sample=True)
    return y
