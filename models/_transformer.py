"""The block that the transformers here are made of."""

from __future__ import annotations

from neuromatic import layers
from neuromatic.layers.base import SymbolicTensor


def block(
    x: SymbolicTensor, heads: int, dropout: float = 0.0, *, expansion: int = 4, causal: bool = False
) -> SymbolicTensor:
    """Self-attention and a two-layer perceptron, each normalized before and added to what it was given.

    Args:
        x: (batch, steps, features).
        heads: a divisor of the features.
        dropout: of both parts' results.
        expansion: hidden units of the perceptron, in multiples of the features.
        causal: whether a step sees only those before it and itself.
    """
    assert x.shape is not None
    features = x.shape[-1]
    if not isinstance(features, int) or features % heads:
        raise ValueError(f"heads must divide the features, got {heads} heads for {features} features")
    y = layers.LayerNormalization(epsilon=1e-5)(x)
    y = layers.MultiHeadAttention(heads, features // heads)(y, y, use_causal_mask=causal)
    x = layers.Add()([x, layers.Dropout(dropout)(y)])
    y = layers.LayerNormalization(epsilon=1e-5)(x)
    y = layers.Dense(features)(layers.Dense(expansion * features, activation="gelu")(y))
    return layers.Add()([x, layers.Dropout(dropout)(y)])
