"""ResNet (He, Zhang, Ren & Sun 2015): ResNet-18 and -50 for large images, and the thin form for CIFAR."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import neuromatic as nm
from neuromatic import layers
from neuromatic.layers.base import SymbolicTensor

Block = Callable[[SymbolicTensor, int, int], SymbolicTensor]


def _conv(x: SymbolicTensor, filters: int, size: int, strides: int = 1) -> SymbolicTensor:
    y = layers.Conv2D(
        filters, size, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(y)


def _shortcut(x: SymbolicTensor, filters: int, strides: int) -> SymbolicTensor:
    same = strides == 1 and x.shape is not None and x.shape[1] == filters
    return x if same else _conv(x, filters, 1, strides)


def basic(x: SymbolicTensor, filters: int, strides: int) -> SymbolicTensor:
    """Two 3x3 convolutions around a shortcut."""
    y = layers.ReLU()(_conv(x, filters, 3, strides))
    y = _conv(y, filters, 3)
    return layers.ReLU()(layers.Add()([y, _shortcut(x, filters, strides)]))


def bottleneck(x: SymbolicTensor, filters: int, strides: int) -> SymbolicTensor:
    """A 3x3 convolution between two of 1x1, the last with four times the filters, around a shortcut."""
    y = layers.ReLU()(_conv(x, filters, 1))
    y = layers.ReLU()(_conv(y, filters, 3, strides))
    y = _conv(y, 4 * filters, 1)
    return layers.ReLU()(layers.Add()([y, _shortcut(x, 4 * filters, strides)]))


def _stages(x: SymbolicTensor, block: Block, filters: int, counts: Sequence[int]) -> SymbolicTensor:
    for stage, count in enumerate(counts):
        for i in range(count):
            x = block(x, filters << stage, 2 if stage and not i else 1)
    return x


def _classifier(x: SymbolicTensor, y: SymbolicTensor, classes: int) -> nm.Model:
    y = layers.GlobalAveragePooling2D()(y)
    return (
        nm.Model(x, layers.Dense(classes, activation="softmax")(y))
        .loss("sparse_categorical_crossentropy")
        .optimizer("sgd", learning_rate=0.1, momentum=0.9)
        .metrics("accuracy")
    )


def _large(
    input_shape: tuple[int, int, int], classes: int, block: Block, counts: Sequence[int], width: int
) -> nm.Model:
    x = nm.Input(input_shape)
    y = layers.ReLU()(_conv(x, width, 7, 2))
    y = layers.MaxPooling2D(3, strides=2, padding="same")(y)
    return _classifier(x, _stages(y, block, width, counts), classes)


def resnet18(
    input_shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000, width: int = 64
) -> nm.Model:
    """Images (batch, channels, height, width) to the probabilities of classes, with its recipe."""
    return _large(input_shape, classes, basic, (2, 2, 2, 2), width)


def resnet50(
    input_shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000, width: int = 64
) -> nm.Model:
    """As :func:`resnet18`, with bottlenecks."""
    return _large(input_shape, classes, bottleneck, (3, 4, 6, 3), width)


def build(input_shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10, depth: int = 20) -> nm.Model:
    """The form for CIFAR (section 4.2 of the paper): three stages of 16, 32 and 64 filters.

    Args:
        depth: 6 n + 2 layers: 20, 32, 44, 56 or 110 in the paper.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"resnet: depth must be 6 n + 2, for instance 20, got {depth}")
    x = nm.Input(input_shape)
    y = layers.ReLU()(_conv(x, 16, 3))
    return _classifier(x, _stages(y, basic, 16, [(depth - 2) // 6] * 3), classes)
