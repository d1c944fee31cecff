"""The layers, with Keras' names, arguments and defaults; images are channels first, as in ONNX."""

from __future__ import annotations

from neuromatic.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from neuromatic.layers.base import Layer
from neuromatic.layers.convolution import Conv2D
from neuromatic.layers.core import Dense
from neuromatic.layers.merging import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from neuromatic.layers.normalization import BatchNormalization
from neuromatic.layers.pooling import (
    AveragePooling2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
)
from neuromatic.layers.regularization import Dropout
from neuromatic.layers.reshaping import Flatten, Reshape

__all__ = [
    "Activation",
    "Add",
    "Average",
    "AveragePooling2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Dense",
    "Dropout",
    "ELU",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "Layer",
    "LeakyReLU",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "Multiply",
    "PReLU",
    "ReLU",
    "Reshape",
    "Softmax",
    "Subtract",
]
