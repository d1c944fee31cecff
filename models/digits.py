"""A small convolutional net for handwritten digits of 8x8 pixels, and the data to train it on.

From the command line::

    neuromatic train models/digits.py:build --data models/data/digits-train.npz -o digits.onnx
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import neuromatic as nm
from neuromatic.data import read_npz

Arrays = tuple[NDArray[Any], NDArray[Any]]

DATA = Path(__file__).parent / "data"


def build() -> nm.Model:
    """Images (batch, 1, 8, 8) in [0, 1] to the probabilities of ten digits (batch, 10), with its recipe."""
    return (
        nm.Sequential(input_shape=(1, 8, 8))
        .conv2d(32, 3, padding="same", activation="relu")
        .conv2d(64, 3, padding="same", activation="relu")
        .max_pooling2d(2)
        .dropout(0.25)
        .flatten()
        .dense(128, activation="relu")
        .dropout(0.5)
        .dense(10, activation="softmax")
        .loss("sparse_categorical_crossentropy")
        .optimizer("adam", learning_rate=1e-3)
        .metrics("accuracy")
    )


def load_data() -> tuple[Arrays, Arrays]:
    """The UCI handwritten digits as ``(x_train, y_train), (x_test, y_test)``, as Keras' datasets come.

    ``x`` (n, 1, 8, 8) float32 in [0, 1], ``y`` (n,) int64 from 0 to 9; 1437 images to train on, 360 to test.

    >>> (x, y), _ = load_data()
    >>> x.shape, y.shape
    ((1437, 1, 8, 8), (1437,))
    """
    train, test = (read_npz(DATA / f"digits-{part}.npz") for part in ("train", "test"))
    return (train["x"], train["y"]), (test["x"], test["y"])
