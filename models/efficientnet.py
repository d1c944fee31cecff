"""EfficientNet-B0 in style (Tan & Le 2019): inverted residuals with squeeze-and-excitation and swish."""

from __future__ import annotations

import math

import neuromatic as nm
from neuromatic import layers
from neuromatic.layers.base import SymbolicTensor

BLOCKS = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""Table 1 of the paper: expansion, output channels, repeats, first stride, kernel."""


def _channels(x: SymbolicTensor) -> int:
    assert x.shape is not None
    size = x.shape[1]
    assert isinstance(size, int)
    return size


def _conv(x: SymbolicTensor, filters: int, size: int = 1, strides: int = 1) -> SymbolicTensor:
    y = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(y)


def _squeeze_and_excite(x: SymbolicTensor, units: int) -> SymbolicTensor:
    """Each channel times a number from 0 to 1 that the means of all channels decide."""
    means = layers.GlobalAveragePooling2D(keepdims=True)(x)
    y = layers.Conv2D(units, 1, activation="swish")(means)
    return layers.Multiply()([x, layers.Conv2D(_channels(x), 1, activation="sigmoid")(y)])


def _block(x: SymbolicTensor, expansion: int, filters: int, strides: int, size: int) -> SymbolicTensor:
    channels = _channels(x)
    y = x
    if expansion != 1:
        y = layers.Activation("swish")(_conv(y, expansion * channels))
    y = layers.DepthwiseConv2D(size, strides=strides, padding="same", use_bias=False)(y)
    y = layers.Activation("swish")(layers.BatchNormalization()(y))
    y = _conv(_squeeze_and_excite(y, max(1, channels // 4)), filters)
    if strides > 1 or channels != filters:
        return y
    return layers.Add()([x, layers.Dropout(0.2)(y)])


def build(
    input_shape: tuple[int, int, int] = (3, 224, 224),
    classes: int = 1000,
    width: float = 1.0,
    depth: float = 1.0,
) -> nm.Model:
    """Images (batch, channels, height, width) to the probabilities of classes, with its recipe.

    Args:
        width: factor of the number of channels, rounded to multiples of 8.
        depth: factor of the number of blocks in a stage, rounded up.
    """

    def scaled(filters: float) -> int:
        return max(8, int(filters * width + 4) // 8 * 8)

    x = nm.Input(input_shape)
    y = layers.Activation("swish")(_conv(x, scaled(32), 3, 2))
    for expansion, filters, repeats, strides, size in BLOCKS:
        for i in range(math.ceil(repeats * depth)):
            y = _block(y, expansion, scaled(filters), strides if i == 0 else 1, size)
    y = layers.Activation("swish")(_conv(y, scaled(1280)))
    y = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(y))
    return (
        nm.Model(x, layers.Dense(classes, activation="softmax")(y))
        .loss("sparse_categorical_crossentropy")
        .optimizer("rmsprop", learning_rate=5e-4, momentum=0.9)
        .metrics("accuracy")
    )
