"""LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998, figure 2), with average pooling and tanh as there.

Two simplifications are the usual ones: the second convolution sees all six maps, and the output is a softmax
instead of radial basis functions. Inputs smaller than 32 pixels are padded by the first convolution.
"""

from __future__ import annotations

import neuromatic as nm


def build(input_shape: tuple[int, int, int] = (1, 28, 28), classes: int = 10) -> nm.Model:
    """Images (batch, channels, height, width) to the probabilities of classes, with its recipe."""
    padding = "valid" if input_shape[1] >= 32 else "same"
    second = "valid" if input_shape[1] >= 16 else "same"
    return (
        nm.Sequential(input_shape, name="lenet5")
        .conv2d(6, 5, padding=padding, activation="tanh")
        .average_pooling2d(2)
        .conv2d(16, 5, padding=second, activation="tanh")
        .average_pooling2d(2)
        .flatten()
        .dense(120, activation="tanh")
        .dense(84, activation="tanh")
        .dense(classes, activation="softmax")
        .loss("sparse_categorical_crossentropy")
        .optimizer("adam")
        .metrics("accuracy")
    )
