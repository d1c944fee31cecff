"""A convolutional autoencoder: images through a narrow code and back, trained on the images themselves."""

from __future__ import annotations

import neuromatic as nm


def build(input_shape: tuple[int, int, int] = (1, 28, 28), code: int = 16, filters: int = 16) -> nm.Model:
    """Images (batch, channels, height, width) in [0, 1] to images of the same shape; ``y`` is ``x``.

    Sides have to be multiples of 4.

    Args:
        code: numbers that stand for an image.
        filters: of the first convolution; the second has twice as many.
    """
    channels, height, width = input_shape
    small = (2 * filters, height // 4, width // 4)
    return (
        nm.Sequential(input_shape, name="autoencoder")
        .conv2d(filters, 3, strides=2, padding="same", activation="relu")
        .conv2d(2 * filters, 3, strides=2, padding="same", activation="relu")
        .flatten()
        .dense(code, name="code")
        .dense(small[0] * small[1] * small[2], activation="relu")
        .reshape(small)
        .conv2d_transpose(filters, 3, strides=2, padding="same", activation="relu")
        .conv2d_transpose(channels, 3, strides=2, padding="same", activation="sigmoid")
        .loss("mse")
        .optimizer("adam", learning_rate=2e-3)
        .metrics("mae")
    )
