"""Attention without projections: each step of a query takes a mean of values, weighted by scores."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers._arguments import check_share
from neuromatic.layers._parameters import parameter
from neuromatic.layers.attention import _masks as sequences
from neuromatic.layers.base import Layer

__all__ = ["AdditiveAttention", "Attention"]


class _Attention(Layer):
    """What both do with their scores; the subclasses have the arguments."""

    use_scale: bool
    dropout: float

    def __post_init__(self) -> None:
        check_share(type(self).__name__, "dropout", self.dropout)

    @abstractmethod
    def _scores(self, g: GraphBuilder, query: Value, key: Value) -> Value:
        """How well each step of the query fits each of the key, (batch, queries, keys)."""

    def emit(
        self,
        g: GraphBuilder,
        query: Value,
        value: Value | None = None,
        key: Value | None = None,
        *,
        query_mask: Value | None = None,
        value_mask: Value | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Value | tuple[Value, ...]:
        value = query if value is None else value
        key = value if key is None else key
        self._check(g, query, value, key)
        query_mask = g.mask(query) if query_mask is None else query_mask
        value_mask = g.mask(value) if value_mask is None else value_mask
        scores = self._masked(g, self._scores(g, query, key), query, key, value_mask, use_causal_mask)
        weights = g.add("Softmax", scores, axis=-1)
        kept = g.add("Dropout", weights, g.const(self.dropout)) if self.dropout else weights
        y = g.add("MatMul", kept, value)
        if query_mask is not None:
            y = g.add("Where", sequences.unmasked(g, query_mask, 2), y, g.const(0.0, y.dtype))
            g.set_mask(y, query_mask)
        return (y, weights) if return_attention_scores else y

    def _masked(
        self,
        g: GraphBuilder,
        scores: Value,
        query: Value,
        key: Value,
        value_mask: Value | None,
        use_causal_mask: bool,
    ) -> Value:
        """The scores, far lower where a step may not be looked at."""
        shown = None if value_mask is None else sequences.unmasked(g, value_mask, 1)
        mask = sequences.both(g, shown, sequences.visible(g, query, key, causal=use_causal_mask))
        if mask is None:
            return scores
        far = 65504.0 if scores.dtype == TensorProto.FLOAT16 else 1.0e9
        return g.add("Where", mask, scores, g.add("Sub", scores, g.const(far, scores.dtype)))

    def _check(self, g: GraphBuilder, query: Value, value: Value, key: Value) -> None:
        shapes = [v.shape or () for v in (query, value, key)]
        features = {s[-1] for s in (shapes[0], shapes[2]) if s and isinstance(s[-1], int)}
        steps = {s[1] for s in shapes[1:] if len(s) == 3 and isinstance(s[1], int)}
        if any(len(s) != 3 for s in shapes) or len(features) > 1 or len(steps) > 1:
            raise ShapeError(
                f"{g.scope}: {type(self).__name__} takes a query (batch, queries, features), a value (batch, "
                f"keys, ...) and a key (batch, keys, features), got {', '.join(map(shape_text, shapes))}; "
                f"project them to the same features"
            )


def _side_by_side(g: GraphBuilder, query: Value, key: Value) -> Value:
    """The sum of each step of the query with each of the key: (batch, queries, keys, features)."""
    return g.add("Add", op.unsqueeze(g, query, 2), op.unsqueeze(g, key, 1))


@dataclass(frozen=True, eq=False)
class Attention(_Attention):
    """``softmax(query @ key.T) @ value``, Luong's attention.

    Keras ``Attention``; ONNX ``MatMul``, ``Softmax``. Called as ``layer(query, value)`` or
    ``layer(query, value, key)``, one by one or as a list; here also on a query alone, which then is its own
    value. By keyword: ``query_mask`` and ``value_mask`` (batch, steps), by default the masks that the inputs
    have; ``use_causal_mask=True``: no step looks at a later one; ``return_attention_scores=True``: the
    weights are a second result.

    Input: (batch, queries, features), (batch, keys, values) and (batch, keys, features) of one float type.
    Output: (batch, queries, values), 0 where the query is masked, and if asked for the weights
    (batch, queries, keys).
    Parameters: ``<name>/scale`` with ``use_scale`` and ``<name>/concat_score_weight`` with ``score_mode``
    ``"concat"``, each a scalar. Keras' ``seed`` is left out: the seed of a training decides.

    Args:
        use_scale: whether scores are multiplied by a trained number.
        score_mode: ``"dot"``: products of query and key; ``"concat"``:
            ``concat_score_weight * sum(tanh(scale * (query + key)))``.
        dropout: share of the weights that training sets to 0.

    Raises:
        ValueError: ``score_mode`` is neither, or ``dropout`` no share.
        ShapeError: an input is not of rank 3, or they do not fit each other.

    >>> import neuromatic as nm
    >>> nm.layers.Attention()(nm.Input((4, 8)), nm.Input((6, 8))).shape
    ('batch', 4, 8)
    """

    use_scale: bool = False
    score_mode: Literal["dot", "concat"] = "dot"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.score_mode not in ("dot", "concat"):
            raise ValueError(f'Attention: score_mode must be "dot" or "concat", got {self.score_mode!r}')

    def _scores(self, g: GraphBuilder, query: Value, key: Value) -> Value:
        scale = parameter(g, "scale", (), initializer="ones", dtype=query.dtype) if self.use_scale else None
        if self.score_mode == "dot":
            scores = g.add("MatMul", query, g.add("Transpose", key, perm=[0, 2, 1]))
            return scores if scale is None else g.add("Mul", scores, scale)
        total = _side_by_side(g, query, key)
        total = total if scale is None else g.add("Mul", total, scale)
        scores = op.reduce(g, "ReduceSum", g.add("Tanh", total), (3,))
        weight = parameter(g, "concat_score_weight", (), initializer="ones", dtype=query.dtype)
        return g.add("Mul", scores, weight)


@dataclass(frozen=True, eq=False)
class AdditiveAttention(_Attention):
    """``softmax(sum(scale * tanh(query + key))) @ value``, Bahdanau's attention.

    Keras ``AdditiveAttention``; ONNX ``Tanh``, ``ReduceSum``, ``Softmax``, ``MatMul``. Called as
    ``Attention`` is.

    Input: (batch, queries, features), (batch, keys, values) and (batch, keys, features) of one float type.
    Output: (batch, queries, values), 0 where the query is masked, and if asked for the weights
    (batch, queries, keys).
    Parameters: ``<name>/scale`` (features,) with ``use_scale``.

    Args:
        use_scale: whether each feature has a trained factor.
        dropout: share of the weights that training sets to 0.

    Raises:
        ValueError: ``dropout`` is no share.
        ShapeError: an input is not of rank 3, they do not fit each other, or the features are unknown.

    >>> import neuromatic as nm
    >>> nm.layers.AdditiveAttention()(nm.Input((4, 8)), nm.Input((6, 8))).shape
    ('batch', 4, 8)
    """

    use_scale: bool = True
    dropout: float = 0.0

    def _scores(self, g: GraphBuilder, query: Value, key: Value) -> Value:
        total = g.add("Tanh", _side_by_side(g, query, key))
        if self.use_scale:
            features = query.dim(-1)
            if not isinstance(features, int):
                raise ShapeError(
                    f"{g.scope}: AdditiveAttention needs known features, got {shape_text(query.shape)} from "
                    f"{query.name!r}; give the last axis a size or use use_scale=False"
                )
            scale = parameter(g, "scale", (features,), initializer="glorot_uniform", dtype=query.dtype)
            total = g.add("Mul", total, scale)
        return op.reduce(g, "ReduceSum", total, (3,))
