"""MobileNetV2 (Sandler et al. 2018): inverted residuals of depthwise convolutions."""

from __future__ import annotations

import neuromatic as nm
from neuromatic import layers
from neuromatic.layers.base import SymbolicTensor

BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Table 2 of the paper: expansion, output channels, repeats, first stride."""


def _rounded(channels: float) -> int:
    """A multiple of 8, and not below 90 % of what was asked for."""
    size = max(8, int(channels + 4) // 8 * 8)
    return size + 8 if size < 0.9 * channels else size


def _normalized(x: SymbolicTensor, activation: bool = True) -> SymbolicTensor:
    y = layers.BatchNormalization(momentum=0.99)(x)
    return layers.ReLU(max_value=6.0)(y) if activation else y


def _inverted_residual(x: SymbolicTensor, expansion: int, filters: int, strides: int) -> SymbolicTensor:
    assert x.shape is not None
    channels = x.shape[1]
    assert isinstance(channels, int)
    y = x
    if expansion != 1:
        y = _normalized(layers.Conv2D(expansion * channels, 1, use_bias=False)(y))
    y = _normalized(layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(y))
    y = _normalized(layers.Conv2D(filters, 1, use_bias=False)(y), activation=False)
    return layers.Add()([x, y]) if strides == 1 and channels == filters else y


def build(
    input_shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000, alpha: float = 1.0
) -> nm.Model:
    """Images (batch, channels, height, width) to the probabilities of classes, with its recipe.

    Args:
        alpha: factor of the number of channels everywhere.
    """
    x = nm.Input(input_shape)
    y = layers.Conv2D(_rounded(32 * alpha), 3, strides=2, padding="same", use_bias=False)(x)
    y = _normalized(y)
    for expansion, filters, repeats, strides in BLOCKS:
        for i in range(repeats):
            y = _inverted_residual(y, expansion, _rounded(filters * alpha), strides if i == 0 else 1)
    y = _normalized(layers.Conv2D(_rounded(1280 * max(1.0, alpha)), 1, use_bias=False)(y))
    y = layers.GlobalAveragePooling2D()(y)
    return (
        nm.Model(x, layers.Dense(classes, activation="softmax")(layers.Dropout(0.2)(y)))
        .loss("sparse_categorical_crossentropy")
        .optimizer("rmsprop", learning_rate=5e-4, momentum=0.9)
        .metrics("accuracy")
    )
