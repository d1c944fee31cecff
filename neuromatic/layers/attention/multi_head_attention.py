"""Attention in several heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnx import TensorProto

from neuromatic.constraints import ConstraintLike
from neuromatic.errors import ShapeError
from neuromatic.initializers import InitializerLike
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers._arguments import check_positive, check_share
from neuromatic.layers.attention._axes import AttentionAxes
from neuromatic.layers.attention._projections import Masks, MultiHeadBase, attend, scaled
from neuromatic.regularizers import RegularizerLike

__all__ = ["MultiHeadAttention"]


@dataclass(frozen=True, eq=False)
class MultiHeadAttention(MultiHeadBase):
    """Attention in heads, each ``softmax(q @ k.T / sqrt(key_dim)) @ v`` of projections of its own.

    The heads side by side are projected to the output (Vaswani et al. 2017; Keras ``MultiHeadAttention``;
    ONNX ``MatMul``, ``Softmax``). Called as ``layer(query, value)`` or ``layer(query, value, key)``; here
    also on a query alone, which is self-attention: Keras wants the value named. By keyword:
    ``attention_mask`` (batch, queries, keys), or (batch, heads, queries, keys), true where a key may be
    looked at; ``query_mask``, ``value_mask`` and ``key_mask`` (batch, steps), by default the masks that the
    inputs have; ``use_causal_mask=True``: no step looks at a later one; ``return_attention_scores=True``: the
    weights are a second result.

    Input: (batch, queries, features), (batch, keys, ...) and (batch, keys, ...) of one float type; with more
    axes between, see ``attention_axes``.
    Output: (batch, queries, features) or (batch, queries, *output_shape), and if asked for the weights
    (batch, heads, queries, keys).
    Parameters: ``kernel`` and ``bias`` of ``<name>/query``, ``<name>/key`` and ``<name>/value``, (features,
    heads, size) and (heads, size), of ``<name>/attention_output``, (heads, value_dim, ...) and (...), and
    with ``use_gate`` of ``<name>/gate``. Keras' ``seed`` is left out: the seed of a training decides.

    Args:
        num_heads: number of heads.
        key_dim: size of query and key in each head.
        value_dim: size of the value in each head; ``key_dim`` by default.
        dropout: share of the weights that training sets to 0.
        use_bias: whether the projections add biases.
        output_shape: the output's axes after the steps; by default the query's features.
        attention_axes: the axes that are steps; by default all between batch and features. Masks of steps and
            ``use_causal_mask`` need a single one.
        sliding_window: if given, a step looks at those less than this far away alone.
        flash_attention: without effect: how a graph is computed is up to the runtime.
        kernel_initializer: first values of the kernels.
        bias_initializer: first values of the biases.
        kernel_regularizer: a penalty for each kernel in the loss.
        bias_regularizer: likewise for each bias.
        activity_regularizer: likewise for what each projection gives, divided by the batch size.
        kernel_constraint: what holds for each kernel after each update.
        bias_constraint: likewise for each bias.
        use_gate: whether each head's output is multiplied by a sigmoid of a projection of the query.

    Raises:
        ValueError: a size is not a positive integer, or ``dropout`` no share.
        ShapeError: the inputs do not fit each other, or their features are unknown.

    >>> import neuromatic as nm
    >>> nm.layers.MultiHeadAttention(num_heads=2, key_dim=4)(nm.Input((6, 8))).shape
    ('batch', 6, 8)
    """

    num_heads: int
    key_dim: int
    value_dim: int | None = None
    dropout: float = 0.0
    use_bias: bool = True
    output_shape: int | Sequence[int] | None = None
    attention_axes: int | Sequence[int] | None = None
    sliding_window: int | None = None
    flash_attention: bool | None = None
    kernel_initializer: InitializerLike = "glorot_uniform"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    activity_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None
    use_gate: bool = False

    def __post_init__(self) -> None:
        owner = type(self).__name__
        for argument in ("num_heads", "key_dim"):
            check_positive(owner, argument, getattr(self, argument))
        for argument in ("value_dim", "sliding_window"):
            check_positive(owner, argument, getattr(self, argument), optional=True)
        check_share(owner, "dropout", self.dropout)
        for size in self._output_sizes(1):
            check_positive(owner, "output_shape", size)

    def _output_sizes(self, features: int) -> tuple[int, ...]:
        if self.output_shape is None:
            return (features,)
        return (self.output_shape,) if isinstance(self.output_shape, int) else tuple(self.output_shape)

    def _takes(self, rank: int) -> bool:
        return rank >= 3

    def _attended(
        self, g: GraphBuilder, query: Value, value: Value, key: Value, masks: Masks, wants_weights: bool
    ) -> tuple[Value, Value]:
        values = self.value_dim or self.key_dim
        axes = self._axes(g, query)
        if len(axes) > 1 and masks.along_steps:
            raise ShapeError(
                f"{g.scope}: MultiHeadAttention over axes {axes} of {shape_text(query.shape)} from "
                f"{query.name!r} takes no mask of steps; use attention_mask, or one attention axis"
            )
        places = AttentionAxes(query.rank, axes)
        q = self._projected(g, "query", query, (self.num_heads, self.key_dim))
        k = self._projected(g, "key", key, (self.num_heads, self.key_dim))
        v = self._projected(g, "value", value, (self.num_heads, values))
        steps = places.steps(g, q), places.steps(g, k)
        y, weights = attend(
            g,
            places.split(g, scaled(g, q, self.key_dim)),
            places.split(g, k, turned=True),
            places.split(g, v),
            self._mask(g, masks, query, key, places),
            self.dropout,
        )
        y = self._gated(g, query, places.joined(g, y, steps[0]), (self.num_heads, values))
        features = query.dim(-1)
        assert isinstance(features, int)
        y = self._projected(g, "attention_output", y, self._output_sizes(features), used=2)
        if wants_weights and len(axes) > 1:
            weights = g.add("Reshape", weights, g.ints(*[0] * (weights.rank - 2), *steps[0], *steps[1]))
        return y, weights

    def _axes(self, g: GraphBuilder, query: Value) -> tuple[int, ...]:
        """The attention axes, counted from the front."""
        rank, given = query.rank, self.attention_axes
        if given is None:
            return tuple(range(1, rank - 1))
        axes = tuple(a + rank if a < 0 else a for a in ((given,) if isinstance(given, int) else given))
        if not axes or len(set(axes)) < len(axes) or not all(0 < a < rank - 1 for a in axes):
            raise ShapeError(
                f"{g.scope}: MultiHeadAttention needs attention_axes between batch and features, got "
                f"{given!r} for {shape_text(query.shape)} from {query.name!r}; they are numbers from 1 "
                f"to {rank - 2}"
            )
        return axes

    def _mask(
        self, g: GraphBuilder, masks: Masks, query: Value, key: Value, places: AttentionAxes
    ) -> Value | None:
        """All masks in one, of the rank of the scores."""
        if query.rank == 3:
            return masks.combined(g, query, key)
        if masks.attention is None and not masks.along_steps:
            return None
        if masks.along_steps or masks.attention is None:
            raise ShapeError(
                f"{g.scope}: MultiHeadAttention takes masks of steps for inputs (batch, steps, features) "
                f"alone, got {shape_text(query.shape)} from {query.name!r}; use attention_mask"
            )
        return places.mask(g, op.cast(g, masks.attention, TensorProto.BOOL))
