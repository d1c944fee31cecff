"""A tiny vision transformer (Dosovitskiy et al. 2020), with the mean of all patches for a class token."""

from __future__ import annotations

import neuromatic as nm
from neuromatic import layers
from neuromatic.models._transformer import block


def build(
    input_shape: tuple[int, int, int] = (3, 32, 32),
    classes: int = 10,
    patch: int = 4,
    features: int = 64,
    heads: int = 4,
    depth: int = 4,
    dropout: float = 0.1,
) -> nm.Model:
    """Images (batch, channels, height, width) to the probabilities of classes, with its recipe.

    Args:
        patch: side of a patch; divides the sides of the image.
        features: numbers that stand for a patch, a multiple of ``heads``.
        depth: number of blocks.
    """
    _, height, width = input_shape
    if height % patch or width % patch:
        raise ValueError(f"vit: patch must divide the image's sides, got {patch} for {height} x {width}")
    patches = (height // patch) * (width // patch)
    x = nm.Input(input_shape)
    y = layers.Conv2D(features, patch, strides=patch)(x)
    y = layers.Permute((2, 1))(layers.Reshape((features, patches))(y))
    y = layers.Add()([y, layers.PositionEmbedding(patches)(y)])
    for _ in range(depth):
        y = block(y, heads, dropout)
    y = layers.GlobalAveragePooling1D(data_format="channels_last")(layers.LayerNormalization(epsilon=1e-5)(y))
    return (
        nm.Model(x, layers.Dense(classes, activation="softmax")(y))
        .loss("sparse_categorical_crossentropy")
        .optimizer("adamw", learning_rate=2e-3, weight_decay=0.01)
        .metrics("accuracy")
    )
