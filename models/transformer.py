"""A transformer encoder (Vaswani et al. 2017) that classifies tokens; normalized before each part."""

from __future__ import annotations

import neuromatic as nm
from neuromatic import layers
from neuromatic.models._transformer import block


def build(
    vocabulary: int = 20000,
    steps: int = 128,
    classes: int = 2,
    features: int = 64,
    heads: int = 4,
    depth: int = 2,
    dropout: float = 0.1,
) -> nm.Model:
    """Tokens (batch, steps) int64 to the probabilities of classes, with its recipe.

    Args:
        features: numbers that stand for a token, a multiple of ``heads``.
        depth: number of blocks.
    """
    x = nm.Input((steps,), dtype="int64", name="tokens")
    y = layers.Embedding(vocabulary, features)(x)
    y = layers.Add()([y, layers.PositionEmbedding(steps)(y)])
    for _ in range(depth):
        y = block(y, heads, dropout)
    y = layers.GlobalAveragePooling1D(data_format="channels_last")(layers.LayerNormalization(epsilon=1e-5)(y))
    return (
        nm.Model(x, layers.Dense(classes, activation="softmax")(y))
        .loss("sparse_categorical_crossentropy")
        .optimizer("adamw", learning_rate=1e-3, weight_decay=0.01)
        .metrics("accuracy")
    )
