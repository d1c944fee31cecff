"""The layer methods of Sequential. Written by ``python -m neuromatic.generate``; do not edit."""

from __future__ import annotations

from neuromatic import layers
from neuromatic.fluent import fluent


class FluentLayers:
    """A method for each layer that takes one input, named after it."""

    activation = fluent(layers.Activation)
    average_pooling2d = fluent(layers.AveragePooling2D)
    batch_normalization = fluent(layers.BatchNormalization)
    conv2d = fluent(layers.Conv2D)
    dense = fluent(layers.Dense)
    dropout = fluent(layers.Dropout)
    elu = fluent(layers.ELU)
    flatten = fluent(layers.Flatten)
    global_average_pooling2d = fluent(layers.GlobalAveragePooling2D)
    global_max_pooling2d = fluent(layers.GlobalMaxPooling2D)
    leaky_relu = fluent(layers.LeakyReLU)
    max_pooling2d = fluent(layers.MaxPooling2D)
    prelu = fluent(layers.PReLU)
    relu = fluent(layers.ReLU)
    reshape = fluent(layers.Reshape)
    softmax = fluent(layers.Softmax)
