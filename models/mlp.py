"""A multilayer perceptron with dropout: two hidden layers for flat features.

From the command line::

    neuromatic train models/mlp.py:build --data data.npz -o mlp.onnx
"""

from __future__ import annotations

from collections.abc import Sequence

import neuromatic as nm


def build(
    features: int = 64, classes: int = 10, hidden: Sequence[int] = (128, 128), dropout: float = 0.2
) -> nm.Model:
    """Features (batch, features) to the probabilities of classes (batch, classes), with its recipe."""
    net = nm.Sequential((features,), name="mlp")
    for units in hidden:
        net = net.dense(units, activation="relu").dropout(dropout)
    return (
        net.dense(classes, activation="softmax")
        .loss("sparse_categorical_crossentropy")
        .optimizer("adam")
        .metrics("accuracy")
    )
