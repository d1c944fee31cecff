"""Constraints, each once, as ONNX nodes from an updated parameter to what takes its place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from neuromatic._names import from_name
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.terms import Term
from neuromatic.ir.values import Value

EPSILON = 1e-7
"""What Keras adds to a norm before it divides by it."""

Axis = int | Sequence[int]


class Constraint(ABC):
    """Base of all constraints."""

    @abstractmethod
    def __call__(self, g: GraphBuilder, w: Value) -> Value:
        """Add nodes for the value, of the same shape, that takes the place of ``w``."""


def _norms(g: GraphBuilder, w: Value, axis: Axis) -> Value:
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    return g.add("Sqrt", op.reduce(g, "ReduceSum", g.add("Mul", w, w), axes, keepdims=True))


def _scaled(g: GraphBuilder, w: Value, norms: Value, wanted: Value) -> Value:
    return g.add("Mul", w, g.add("Div", wanted, g.add("Add", norms, g.const(EPSILON, w.dtype))))


@dataclass(frozen=True)
class MaxNorm(Constraint):
    """Norms along ``axis`` of at most ``max_value`` (Keras ``MaxNorm``).

    Args:
        max_value: the largest norm.
        axis: the axes that a norm is taken over: 0 for the inputs of each unit of a Dense kernel; (1, 2, 3)
            for those of each filter of a Conv2D kernel, which is (filters, channels, height, width) here.
    """

    max_value: float = 2.0
    axis: Axis = 0

    def __call__(self, g: GraphBuilder, w: Value) -> Value:
        norms = _norms(g, w, self.axis)
        return _scaled(g, w, norms, op.clip(g, norms, 0.0, self.max_value))


@dataclass(frozen=True)
class NonNeg(Constraint):
    """No negative values: they become 0 (Keras ``NonNeg``)."""

    def __call__(self, g: GraphBuilder, w: Value) -> Value:
        return g.add("Relu", w)


@dataclass(frozen=True)
class UnitNorm(Constraint):
    """Norms of 1 along ``axis`` (Keras ``UnitNorm``).

    Args:
        axis: as in :class:`MaxNorm`.
    """

    axis: Axis = 0

    def __call__(self, g: GraphBuilder, w: Value) -> Value:
        return g.add("Div", w, g.add("Add", _norms(g, w, self.axis), g.const(EPSILON, w.dtype)))


@dataclass(frozen=True)
class MinMaxNorm(Constraint):
    """Norms between two bounds (Keras ``MinMaxNorm``).

    Args:
        min_value: the smallest norm.
        max_value: the largest norm.
        rate: how far towards the bounds an update goes, from 0 to 1.
        axis: as in :class:`MaxNorm`.
    """

    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0
    axis: Axis = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(f"MinMaxNorm: rate must be from 0 to 1, got {self.rate!r}")

    def __call__(self, g: GraphBuilder, w: Value) -> Value:
        norms = _norms(g, w, self.axis)
        inside = op.clip(g, norms, self.min_value, self.max_value)
        moved = g.add("Mul", inside, g.const(self.rate, w.dtype))
        kept = g.add("Mul", norms, g.const(1.0 - self.rate, w.dtype))
        return _scaled(g, w, norms, g.add("Add", moved, kept))


CONSTRAINTS: dict[str, type[Constraint]] = {
    "max_norm": MaxNorm,
    "min_max_norm": MinMaxNorm,
    "non_neg": NonNeg,
    "unit_norm": UnitNorm,
}

ConstraintLike = str | type[Constraint] | Constraint | Callable[[GraphBuilder, Value], Value] | None


def get(constraint: ConstraintLike, **arguments: Any) -> Term | None:
    """A constraint from its Keras name, its class, itself, or a function that adds ONNX nodes; None is none.

    >>> get("unit_norm")
    UnitNorm(axis=0)

    Raises:
        UnknownNameError: there is none of that name.
    """
    if constraint is None or (callable(constraint) and not isinstance(constraint, (type, Constraint))):
        return constraint
    return from_name("constraint", constraint, CONSTRAINTS, Constraint, **arguments)
