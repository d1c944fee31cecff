"""Losses of embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Shape, Value, shape_text
from neuromatic.losses.base import Loss, softplus

__all__ = ["Circle"]

NEVER = -1e30
"""Stands for minus infinity, but times 0 it is 0 and its differences are numbers."""


@dataclass(frozen=True)
class Circle(Loss):
    """Pulls embeddings of one label together and pushes others apart (Keras ``Circle``).

    With cosine distances ``d = max(1 - y_pred y_predᵀ, 0)`` within the batch, the loss of a sample is
    ``softplus(logsumexp(-gamma a (margin - d)) + logsumexp(gamma b (1 - margin - d)))``, where the first runs
    over samples of its label with ``a = margin + d``, the second over the others with
    ``b = max(1 + margin - d, 0)``. Samples whose loss is 0 do not count in the mean.

    Predictions: (batch, features), of length 1 (``UnitNormalization``). Targets: labels, (batch,) int64.

    Args:
        gamma: scale of the similarities.
        margin: how far apart the classes are to be.
        remove_diagonal: whether a sample is no partner of itself.
    """

    sparse: ClassVar[bool] = True

    gamma: float = 80.0
    margin: float = 0.4
    remove_diagonal: bool = True

    def target_type(self, prediction: Value) -> tuple[int, Shape | None]:
        if prediction.rank != 2:
            raise ShapeError(
                f"circle takes (batch, features), got {shape_text(prediction.shape)} from {prediction.name!r}"
            )
        return TensorProto.INT64, (prediction.dim(0),)

    def counted(self, g: GraphBuilder, y_true: Value, values: Value) -> Value | None:
        return g.add("Greater", values, g.const(0.0, values.dtype))

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        cosine = g.add("MatMul", y_pred, g.add("Transpose", y_pred, perm=[1, 0]))
        one = g.const(1.0, y_pred.dtype)
        distance = g.add("Relu", g.add("Sub", one, cosine))
        same = op.equal(g, op.unsqueeze(g, y_true, 1), op.unsqueeze(g, y_true, 0))
        other = g.add("Not", same)
        if self.remove_diagonal:
            eye = op.cast(g, g.add("EyeLike", distance), TensorProto.BOOL)
            same = g.add("And", same, g.add("Not", eye))
        near = g.add("Add", distance, g.const(self.margin, y_pred.dtype))
        near = g.add("Mul", near, g.add("Sub", distance, g.const(self.margin, y_pred.dtype)))
        far = g.add("Relu", g.add("Sub", g.const(1 + self.margin, y_pred.dtype), distance))
        far = g.add("Mul", far, g.add("Sub", g.const(1 - self.margin, y_pred.dtype), distance))
        totals = [self._over(g, scores, which) for scores, which in ((near, same), (far, other))]
        return softplus(g, g.add("Add", *totals))

    def _over(self, g: GraphBuilder, scores: Value, which: Value) -> Value:
        """log(sum(exp(gamma * score))) over some of each row."""
        scaled = g.add("Mul", scores, g.const(self.gamma, scores.dtype))
        chosen = op.where(g, which, scaled, g.const(NEVER, scores.dtype))
        return op.reduce(g, "ReduceLogSumExp", chosen, (1,))
