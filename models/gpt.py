"""A decoder in the style of GPT-2 (Radford et al. 2019) that predicts the next token."""

from __future__ import annotations

import neuromatic as nm
from neuromatic import layers
from neuromatic.models._transformer import block


def build(
    vocabulary: int = 256,
    steps: int = 64,
    features: int = 64,
    heads: int = 4,
    depth: int = 2,
    dropout: float = 0.1,
) -> nm.Model:
    """Tokens (batch, steps) int64 to the probabilities (batch, steps, vocabulary) of each one's next.

    The targets are the tokens one step later. The default vocabulary is bytes.

    Args:
        features: numbers that stand for a token, a multiple of ``heads``.
        depth: number of blocks.
    """
    x = nm.Input((steps,), dtype="int64", name="tokens")
    y = layers.Embedding(vocabulary, features)(x)
    y = layers.Dropout(dropout)(layers.Add()([y, layers.PositionEmbedding(steps)(y)]))
    for _ in range(depth):
        y = block(y, heads, dropout, causal=True)
    y = layers.LayerNormalization(epsilon=1e-5)(y)
    return (
        nm.Model(x, layers.Dense(vocabulary, activation="softmax", use_bias=False)(y))
        .loss("sparse_categorical_crossentropy")
        .optimizer("adamw", learning_rate=1e-3, weight_decay=0.1, clipnorm=1.0)
        .metrics("accuracy")
    )
