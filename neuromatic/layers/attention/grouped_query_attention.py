"""Attention whose keys and values are shared by several heads."""

from __future__ import annotations

from dataclasses import dataclass

from neuromatic.constraints import ConstraintLike
from neuromatic.initializers import InitializerLike
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers._arguments import check_positive, check_share
from neuromatic.layers.attention._projections import Masks, MultiHeadBase, attend, scaled
from neuromatic.regularizers import RegularizerLike

__all__ = ["GroupQueryAttention"]


@dataclass(frozen=True, eq=False)
class GroupQueryAttention(MultiHeadBase):
    """Multi-head attention whose keys and values are shared by groups of query heads (Ainslie et al. 2023).

    Keras ``GroupQueryAttention``; ONNX ``MatMul``, ``Gather``, ``Softmax``. Called as ``MultiHeadAttention``
    is, also on a query alone.

    Input: (batch, queries, features), (batch, keys, ...) and (batch, keys, ...) of one float type.
    Output: (batch, queries, features), and if asked for the weights (batch, query heads, queries, keys).
    Parameters: ``kernel`` and ``bias`` of ``<name>/query``, (features, query heads, head_dim) and (query
    heads, head_dim), of ``<name>/key`` and ``<name>/value``, likewise for key heads, of
    ``<name>/attention_output``, (query heads, head_dim, features) and (features,), and with ``use_gate`` of
    ``<name>/gate``. Keras' ``seed`` is left out: the seed of a training decides.

    Args:
        head_dim: size of each head.
        num_query_heads: number of heads of the query, a multiple of the next.
        num_key_value_heads: number of heads of key and value; 1 is multi-query attention.
        dropout: share of the weights that training sets to 0.
        use_bias: whether the projections add biases.
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
        ValueError: a size is not a positive integer, the heads do not divide, or ``dropout`` is no share.
        ShapeError: the inputs do not fit each other, or their features are unknown.

    >>> import neuromatic as nm
    >>> nm.layers.GroupQueryAttention(4, 6, 2)(nm.Input((5, 8))).shape
    ('batch', 5, 8)
    """

    head_dim: int
    num_query_heads: int
    num_key_value_heads: int
    dropout: float = 0.0
    use_bias: bool = True
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
        for argument in ("head_dim", "num_query_heads", "num_key_value_heads"):
            check_positive(owner, argument, getattr(self, argument))
        check_positive(owner, "sliding_window", self.sliding_window, optional=True)
        check_share(owner, "dropout", self.dropout)
        if self.num_query_heads % self.num_key_value_heads:
            raise ValueError(
                f"GroupQueryAttention: num_query_heads must be a multiple of num_key_value_heads, got "
                f"{self.num_query_heads} and {self.num_key_value_heads}"
            )

    def _attended(
        self, g: GraphBuilder, query: Value, value: Value, key: Value, masks: Masks, wants_weights: bool
    ) -> tuple[Value, Value]:
        of_query = (self.num_query_heads, self.head_dim)
        q = scaled(g, self._projected(g, "query", query, of_query), self.head_dim)
        k = self._for_each_head(g, "key", key)
        v = self._for_each_head(g, "value", value)
        y, weights = attend(
            g,
            g.add("Transpose", q, perm=[0, 2, 1, 3]),
            g.add("Transpose", k, perm=[0, 2, 3, 1]),
            g.add("Transpose", v, perm=[0, 2, 1, 3]),
            masks.combined(g, query, key),
            self.dropout,
        )
        y = self._gated(g, query, g.add("Transpose", y, perm=[0, 2, 1, 3]), of_query)
        features = query.dim(-1)
        assert isinstance(features, int)
        return self._projected(g, "attention_output", y, (features,), used=2), weights

    def _for_each_head(self, g: GraphBuilder, name: str, x: Value) -> Value:
        """A projection to few heads, each repeated for the query heads of its group."""
        few = self.num_key_value_heads
        y = self._projected(g, name, x, (few, self.head_dim))
        repeats = self.num_query_heads // few
        if repeats == 1:
            return y
        heads = [head for head in range(few) for _ in range(repeats)]
        return g.add("Gather", y, g.ints(*heads), axis=2)
