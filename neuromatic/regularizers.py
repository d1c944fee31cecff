"""Regularizers, each once, as ONNX nodes from a parameter or an activation to a scalar in the loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from neuromatic._names import from_name
from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.terms import Term
from neuromatic.ir.values import Value, shape_text


class Regularizer(ABC):
    """Base of all regularizers."""

    @abstractmethod
    def __call__(self, g: GraphBuilder, x: Value) -> Value:
        """Add nodes for the penalty of ``x``, a scalar."""


def _factor(owner: str, name: str, value: float) -> None:
    if not isinstance(value, (int, float)) or not isfinite(value) or value < 0:
        raise ValueError(f"{owner}: {name} must be a finite number of at least 0, got {value!r}")


def _l1(g: GraphBuilder, x: Value, factor: float) -> Value:
    return g.add("Mul", op.reduce(g, "ReduceSum", g.add("Abs", x)), g.const(factor, x.dtype))


def _l2(g: GraphBuilder, x: Value, factor: float) -> Value:
    return g.add("Mul", op.reduce(g, "ReduceSum", g.add("Mul", x, x)), g.const(factor, x.dtype))


@dataclass(frozen=True)
class L1(Regularizer):
    """``l1 * sum(|x|)`` (Keras ``L1``).

    Args:
        l1: the factor, at least 0.
    """

    l1: float = 0.01

    def __post_init__(self) -> None:
        _factor("L1", "l1", self.l1)

    def __call__(self, g: GraphBuilder, x: Value) -> Value:
        return _l1(g, x, self.l1)


@dataclass(frozen=True)
class L2(Regularizer):
    """``l2 * sum(x²)`` (Keras ``L2``).

    Args:
        l2: the factor, at least 0.
    """

    l2: float = 0.01

    def __post_init__(self) -> None:
        _factor("L2", "l2", self.l2)

    def __call__(self, g: GraphBuilder, x: Value) -> Value:
        return _l2(g, x, self.l2)


@dataclass(frozen=True)
class L1L2(Regularizer):
    """``l1 * sum(|x|) + l2 * sum(x²)`` (Keras ``L1L2``; the name ``"l1_l2"`` is 0.01 of each).

    Args:
        l1: the factor of the absolute values, at least 0.
        l2: the factor of the squares, at least 0.
    """

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        _factor("L1L2", "l1", self.l1)
        _factor("L1L2", "l2", self.l2)

    def __call__(self, g: GraphBuilder, x: Value) -> Value:
        return g.add("Add", _l1(g, x, self.l1), _l2(g, x, self.l2))


@dataclass(frozen=True)
class OrthogonalRegularizer(Regularizer):
    """``factor`` times half the sum of the absolute cosines between rows, or columns (Keras' of that name).

    Divided by the number of pairs; 0 where all are orthogonal.

    Args:
        factor: the factor, at least 0.
        mode: ``"rows"`` or ``"columns"``.

    Raises:
        ShapeError: the parameter is not a matrix.
    """

    factor: float = 0.01
    mode: Literal["rows", "columns"] = "rows"

    def __post_init__(self) -> None:
        _factor("OrthogonalRegularizer", "factor", self.factor)
        if self.mode not in ("rows", "columns"):
            raise ValueError(f'OrthogonalRegularizer: mode must be "rows" or "columns", got {self.mode!r}')

    def __call__(self, g: GraphBuilder, x: Value) -> Value:
        match x.shape:
            case (int(rows), int(columns)):
                count = rows if self.mode == "rows" else columns
            case _:
                raise ShapeError(f"OrthogonalRegularizer takes a matrix, got {shape_text(x.shape)}")
        axis = 1 if self.mode == "rows" else 0
        squares = op.reduce(g, "ReduceSum", g.add("Mul", x, x), (axis,), keepdims=True)
        norm = g.add("Sqrt", op.maximum(g, squares, g.const(1e-12, x.dtype)))
        unit = g.add("Div", x, norm)
        turned = g.add("Transpose", unit, perm=[1, 0])
        products = g.add("MatMul", *((unit, turned) if axis == 1 else (turned, unit)))
        others = g.const([[float(i != j) for j in range(count)] for i in range(count)], x.dtype)
        total = op.reduce(g, "ReduceSum", g.add("Abs", g.add("Mul", products, others)))
        pairs = count * (count - 1) / 2
        return g.add("Mul", total, g.const(0.5 * self.factor / max(pairs, 1.0), x.dtype))


@dataclass(frozen=True)
class _L1L2ByName(L1L2):
    """What the string ``"l1_l2"`` means; Keras 3 knows none that makes an L1L2 with factors above 0."""

    l1: float = 0.01
    l2: float = 0.01


REGULARIZERS: dict[str, type[Regularizer]] = {
    "l1": L1,
    "l2": L2,
    "l1_l2": _L1L2ByName,
    "orthogonal_regularizer": OrthogonalRegularizer,
}

RegularizerLike = str | type[Regularizer] | Regularizer | Callable[[GraphBuilder, Value], Value] | None


def get(regularizer: RegularizerLike, **arguments: Any) -> Term | None:
    """A regularizer from its Keras name, its class, itself, or a function that adds ONNX nodes; None is none.

    >>> get("l2")
    L2(l2=0.01)

    Raises:
        UnknownNameError: there is none of that name.
    """
    if regularizer is None or (callable(regularizer) and not isinstance(regularizer, (type, Regularizer))):
        return regularizer
    return from_name("regularizer", regularizer, REGULARIZERS, Regularizer, **arguments)
