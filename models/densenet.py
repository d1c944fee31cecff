"""DenseNet (Huang, Liu, van der Maaten & Weinberger 2016): every layer sees all maps before it."""

from __future__ import annotations

from collections.abc import Sequence

import neuromatic as nm
from neuromatic import layers
from neuromatic.layers.base import SymbolicTensor

DENSENET121 = (6, 12, 24, 16)


def _preactivated(x: SymbolicTensor, filters: int, size: int) -> SymbolicTensor:
    y = layers.ReLU()(layers.BatchNormalization(epsilon=1e-5)(x))
    return layers.Conv2D(filters, size, padding="same", use_bias=False)(y)


def _transition(x: SymbolicTensor) -> SymbolicTensor:
    """Half the channels, half the sides."""
    assert x.shape is not None
    channels = x.shape[1]
    assert isinstance(channels, int)
    return layers.AveragePooling2D(2)(_preactivated(x, channels // 2, 1))


def build(
    input_shape: tuple[int, int, int] = (3, 32, 32),
    classes: int = 10,
    blocks: Sequence[int] = (6, 6, 6),
    growth: int = 12,
) -> nm.Model:
    """Images (batch, channels, height, width) to the probabilities of classes, with its recipe.

    Args:
        blocks: layers in each dense block; :data:`DENSENET121` with a growth of 32 is that of the paper.
        growth: maps that each layer adds.
    """
    x = nm.Input(input_shape)
    y = layers.Conv2D(2 * growth, 3, padding="same", use_bias=False)(x)
    for i, count in enumerate(blocks):
        if i:
            y = _transition(y)
        for _ in range(count):
            new = _preactivated(_preactivated(y, 4 * growth, 1), growth, 3)
            y = layers.Concatenate(axis=1)([y, new])
    y = layers.ReLU()(layers.BatchNormalization(epsilon=1e-5)(y))
    y = layers.GlobalAveragePooling2D()(y)
    return (
        nm.Model(x, layers.Dense(classes, activation="softmax")(y))
        .loss("sparse_categorical_crossentropy")
        .optimizer("sgd", learning_rate=0.1, momentum=0.9, nesterov=True)
        .metrics("accuracy")
    )
