"""Attention in several heads: projections, scores and their masks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod, sqrt

from onnx import TensorProto

from neuromatic.constraints import ConstraintLike
from neuromatic.errors import ShapeError
from neuromatic.initializers import InitializerLike
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers._parameters import parameter, penalize_activity
from neuromatic.layers.activations.activation import activate
from neuromatic.layers.attention import _masks as sequences
from neuromatic.layers.base import Layer
from neuromatic.regularizers import RegularizerLike


@dataclass(frozen=True)
class Masks:
    """What says which steps may be looked at, as a call of the layer gives it.

    Attributes:
        query: (batch, queries).
        value: (batch, keys).
        key: (batch, keys).
        attention: (batch, queries, keys), or with a heads axis after the batch.
        causal: whether no step looks at a later one.
        window: whether steps look at those less than this far away alone.
    """

    query: Value | None
    value: Value | None
    key: Value | None
    attention: Value | None
    causal: bool
    window: int | None

    @property
    def along_steps(self) -> bool:
        """Whether any is made from the steps of one axis."""
        given = (self.query, self.value, self.key, self.window)
        return self.causal or any(mask is not None for mask in given)

    def combined(self, g: GraphBuilder, query: Value, key: Value) -> Value | None:
        """Where all of them hold, with a heads axis: (batch, heads, queries, keys) or sizes 1; or None."""
        found: list[Value | None] = []
        if self.attention is not None:
            shown = op.cast(g, self.attention, TensorProto.BOOL)
            found.append(shown if shown.rank > 3 else op.unsqueeze(g, shown, shown.rank - 2))
        if self.query is not None:
            found.append(sequences.unmasked(g, self.query, 1, 3))
        found += [sequences.unmasked(g, m, 1, 2) for m in (self.value, self.key) if m is not None]
        seen = sequences.visible(g, query, key, causal=self.causal, window=self.window)
        found.append(None if seen is None else op.unsqueeze(g, seen, 1))
        return sequences.both(g, *found)


class MultiHeadBase(Layer):
    """Attention in heads: its call, its projections and the arguments for these."""

    dropout: float
    use_bias: bool
    sliding_window: int | None
    flash_attention: bool | None
    kernel_initializer: InitializerLike
    bias_initializer: InitializerLike
    kernel_regularizer: RegularizerLike
    bias_regularizer: RegularizerLike
    activity_regularizer: RegularizerLike
    kernel_constraint: ConstraintLike
    bias_constraint: ConstraintLike
    use_gate: bool

    def emit(
        self,
        g: GraphBuilder,
        query: Value,
        value: Value | None = None,
        key: Value | None = None,
        *,
        query_mask: Value | None = None,
        value_mask: Value | None = None,
        key_mask: Value | None = None,
        attention_mask: Value | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Value | tuple[Value, ...]:
        own_mask = g.mask(query)
        value = query if value is None else value
        if key is not None and key_mask is None:
            key_mask = g.mask(key)
        masks = Masks(
            own_mask if query_mask is None else query_mask,
            g.mask(value) if value_mask is None else value_mask,
            key_mask,
            attention_mask,
            use_causal_mask,
            self.sliding_window,
        )
        key = value if key is None else key
        self._check_inputs(g, query, value, key)
        y, weights = self._attended(g, query, value, key, masks, return_attention_scores)
        if own_mask is not None:
            g.set_mask(y, own_mask)
        return (y, weights) if return_attention_scores else y

    def _check_inputs(self, g: GraphBuilder, query: Value, value: Value, key: Value) -> None:
        shapes = [v.shape or () for v in (query, value, key)]
        fits = len({len(s) for s in shapes}) == 1 and self._takes(len(shapes[0]))
        between = [s[1:-1] for s in shapes[1:]]
        if not fits or any(
            a != b for a, b in zip(*between, strict=True) if isinstance(a, int) and isinstance(b, int)
        ):
            raise ShapeError(
                f"{g.scope}: {type(self).__name__} takes a query (batch, queries, features), a value and a "
                f"key (batch, keys, ...), got {', '.join(map(shape_text, shapes))}; give them one rank, and "
                f"value and key the same steps"
            )

    def _takes(self, rank: int) -> bool:
        return rank == 3

    @abstractmethod
    def _attended(
        self, g: GraphBuilder, query: Value, value: Value, key: Value, masks: Masks, wants_weights: bool
    ) -> tuple[Value, Value]:
        """The output and the weights; the latter may have their steps flattened if nobody wants them."""

    def _gated(self, g: GraphBuilder, query: Value, y: Value, made: Sequence[int]) -> Value:
        """The heads' outputs, with ``use_gate`` times a sigmoid of a projection of the query."""
        if not self.use_gate:
            return y
        return g.add("Mul", y, self._projected(g, "gate", query, made, activation="sigmoid"))

    def _projected(
        self,
        g: GraphBuilder,
        name: str,
        x: Value,
        made: Sequence[int],
        *,
        used: int = 1,
        activation: str | None = None,
    ) -> Value:
        """The last ``used`` axes of ``x`` replaced by those of ``made``: a product with a trained kernel.

        Its parameters are ``<layer>/<name>/kernel`` and ``bias``.
        """
        sizes = [d for d in (x.shape or ())[-used:] if isinstance(d, int)]
        if len(sizes) < used:
            raise ShapeError(
                f"{g.scope}: {type(self).__name__} needs known features, got {shape_text(x.shape)} from "
                f"{x.name!r}; give the last axis a size"
            )
        with g.layer(name, inside=True):
            kernel = self._kernel(g, sizes, made, x.dtype)
            lead = [0] * (x.rank - used)
            flat = x if used == 1 else g.add("Reshape", x, g.ints(*lead, prod(sizes)))
            if len(made) + used > 2:
                kernel = g.add("Reshape", kernel, g.ints(prod(sizes), prod(made)))
            y = g.add("MatMul", flat, kernel)
            y = y if len(made) == 1 else g.add("Reshape", y, g.ints(*lead, *made))
            if self.use_bias:
                y = g.add("Add", y, self._bias(g, made, x.dtype))
            return penalize_activity(g, activate(g, y, activation), self.activity_regularizer)

    def _kernel(self, g: GraphBuilder, used: Sequence[int], made: Sequence[int], dtype: int) -> Value:
        return parameter(
            g,
            "kernel",
            (*used, *made),
            initializer=self.kernel_initializer,
            fans=(prod(used), prod(made)),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            dtype=dtype,
        )

    def _bias(self, g: GraphBuilder, made: Sequence[int], dtype: int) -> Value:
        return parameter(
            g,
            "bias",
            tuple(made),
            initializer=self.bias_initializer,
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
            dtype=dtype,
        )


def attend(
    g: GraphBuilder, query: Value, key: Value, value: Value, mask: Value | None, dropout: float
) -> tuple[Value, Value]:
    """``softmax(query @ key) @ value`` and the weights, for the two last axes of each.

    Args:
        query: (batch, ..., queries, features), scaled.
        key: (batch, ..., features, keys).
        value: (batch, ..., keys, values).
        mask: which keys a query may look at; broadcasts to (batch, ..., queries, keys).
        dropout: share of the weights that training sets to 0.
    """
    scores = g.add("MatMul", query, key)
    if mask is not None:
        low = -3.0e4 if scores.dtype == TensorProto.FLOAT16 else -1.0e9
        scores = g.add("Where", mask, scores, g.const(low, scores.dtype))
    weights = g.add("Softmax", scores, axis=-1)
    kept = g.add("Dropout", weights, g.const(dropout)) if dropout else weights
    return g.add("MatMul", kept, value), weights


def scaled(g: GraphBuilder, query: Value, size: int) -> Value:
    """The query divided by the root of its size in each head."""
    return g.add("Mul", query, g.const(1.0 / sqrt(size), query.dtype))
