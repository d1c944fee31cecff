"""U-Net (Ronneberger, Fischer & Brox 2015): segmentation by a path down, a path up, and bridges between."""

from __future__ import annotations

import neuromatic as nm
from neuromatic import layers
from neuromatic.layers.base import SymbolicTensor


def _double(x: SymbolicTensor, filters: int) -> SymbolicTensor:
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return x


def build(
    input_shape: tuple[int, int, int] = (1, 64, 64), classes: int = 1, filters: int = 16, depth: int = 3
) -> nm.Model:
    """Images (batch, channels, height, width) to probabilities (batch, classes, height, width).

    Sides have to be multiples of ``2 ** depth``. Each class has a sigmoid of its own; the loss is binary
    crossentropy.

    Args:
        filters: of the first level; they double with each.
        depth: number of poolings.
    """
    x = nm.Input(input_shape)
    bridges, y = [], x
    for level in range(depth):
        bridges.append(_double(y, filters << level))
        y = layers.MaxPooling2D(2)(bridges[-1])
    y = _double(y, filters << depth)
    for level in reversed(range(depth)):
        y = layers.Conv2DTranspose(filters << level, 2, strides=2)(y)
        y = _double(layers.Concatenate(axis=1)([bridges[level], y]), filters << level)
    return (
        nm.Model(x, layers.Conv2D(classes, 1, activation="sigmoid")(y))
        .loss("binary_crossentropy")
        .optimizer("adam")
        .metrics("binary_accuracy")
    )
