"""How far predictions and targets go along with each other, sample by sample."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.metrics._checks import check_ranks
from neuromatic.metrics.base import MeanOfValues
from neuromatic.metrics.results import EPSILON

__all__ = ["PearsonCorrelation", "ConcordanceCorrelation"]


@dataclass(frozen=True)
class _Correlation(MeanOfValues):
    axis: int = -1

    def check(self) -> None:
        if isinstance(self.axis, bool) or not isinstance(self.axis, int):
            raise ValueError(f"{type(self).__name__}: axis must be an integer, got {self.axis!r}")

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        check_ranks(g, y_true, y_pred)
        if not -y_pred.rank <= self.axis < y_pred.rank:
            raise ShapeError(
                f"{g.scope} has axis {self.axis}, predictions {shape_text(y_pred.shape)} have not"
            )
        axes = (self.axis % y_pred.rank,)
        both = [op.cast(g, y_true, y_pred.dtype), y_pred]
        means = [op.reduce(g, "ReduceMean", y, axes, keepdims=True) for y in both]
        true, pred = (g.add("Sub", y, mean) for y, mean in zip(both, means, strict=True))
        spreads = [op.reduce(g, "ReduceMean", g.add("Mul", y, y), axes) for y in (true, pred)]
        together = op.reduce(g, "ReduceMean", g.add("Mul", true, pred), axes)
        apart = op.squeeze(g, g.add("Sub", *means), *axes)
        return self.of(g, together, spreads, apart)

    @abstractmethod
    def of(self, g: GraphBuilder, covariance: Value, variances: list[Value], apart: Value) -> Value:
        """The correlation from covariance, variances, and the difference of the means."""


@dataclass(frozen=True)
class PearsonCorrelation(_Correlation):
    """Mean over the samples of ``cov(t, p) / (std(t) std(p))`` (Keras ``PearsonCorrelation``).

    A sample is correlated within itself, along one axis; NaN where it is constant there.

    Args:
        axis: along which. With 0, each batch is correlated for itself, so results depend on the batches.
    """

    def of(self, g: GraphBuilder, covariance: Value, variances: list[Value], apart: Value) -> Value:
        return g.add("Div", covariance, g.add("Mul", *(g.add("Sqrt", v) for v in variances)))


@dataclass(frozen=True)
class ConcordanceCorrelation(_Correlation):
    """Mean over the samples of ``2 cov(t, p) / (var(t) + var(p) + (mean(t) - mean(p))²)``.

    Keras ``ConcordanceCorrelation``: 1 only where prediction and target are the same. A sample is correlated
    within itself, along one axis.

    Args:
        axis: along which. With 0, each batch is correlated for itself, so results depend on the batches.
    """

    def of(self, g: GraphBuilder, covariance: Value, variances: list[Value], apart: Value) -> Value:
        parts = [*variances, g.add("Mul", apart, apart), g.const(EPSILON, covariance.dtype)]
        return g.add("Div", g.add("Mul", covariance, g.const(2.0, covariance.dtype)), op.total(g, *parts))
