"""VGG (Simonyan & Zisserman 2014): stacks of 3x3 convolutions between poolings, here normalized."""

from __future__ import annotations

from collections.abc import Sequence

import neuromatic as nm

VGG11 = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool")
VGG16 = (
    *(64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool"),
    *(512, 512, 512, "pool", 512, 512, 512, "pool"),
)


def build(
    input_shape: tuple[int, int, int] = (3, 32, 32),
    classes: int = 10,
    plan: Sequence[int | str] = VGG11,
    hidden: int = 512,
) -> nm.Model:
    """Images (batch, channels, height, width) to the probabilities of classes, with its recipe.

    Args:
        plan: filters of each convolution, and ``"pool"`` for a pooling; sides have to suffice for those.
        hidden: units of the layer before the last.
    """
    net = nm.Sequential(input_shape, name="vgg")
    for step in plan:
        if isinstance(step, int):
            net = net.conv2d(step, 3, padding="same", use_bias=False).batch_normalization().relu()
        else:
            net = net.max_pooling2d(2)
    return (
        net.flatten()
        .dense(hidden, activation="relu")
        .dropout(0.5)
        .dense(classes, activation="softmax")
        .loss("sparse_categorical_crossentropy")
        .optimizer("sgd", learning_rate=0.05, momentum=0.9)
        .metrics("accuracy")
    )
