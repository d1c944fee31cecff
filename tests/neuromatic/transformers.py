"""A small transformer over numbers of words, in the lines that both libraries share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import neuromatic as nm

Array = NDArray[Any]
WORDS, STEPS, FEATURES, CLASSES = 12, 6, 8, 4


def net(layers: Any, x: Any, causal: bool) -> Any:
    """An embedding, a block of attention and perceptron, and scores for each step."""
    y = layers.Embedding(WORDS, FEATURES, embeddings_initializer="glorot_uniform", name="words")(x)
    z = layers.LayerNormalization(name="norm_1")(y)
    z = layers.MultiHeadAttention(2, 4, name="attention")(z, z, use_causal_mask=causal)
    y = layers.Add(name="add_1")([y, z])
    z = layers.LayerNormalization(name="norm_2")(y)
    z = layers.Dense(FEATURES, name="narrow")(layers.Dense(16, activation="gelu", name="wide")(z))
    y = layers.Add(name="add_2")([y, z])
    return layers.Dense(CLASSES, activation="softmax", name="scores")(y)


def model(causal: bool, learning_rate: float = 0.3) -> nm.Model:
    """It with a recipe."""
    x = nm.Input((STEPS,), "int32")
    made = nm.Model(x, net(nm.layers, x, causal)).loss("sparse_categorical_crossentropy")
    return made.optimizer("sgd", learning_rate=learning_rate)


def data(rows: int) -> tuple[Array, Array]:
    """Words, and for each what the words up to it add up to, modulo the classes."""
    words = np.random.default_rng(3).integers(WORDS, size=(rows, STEPS)).astype(np.int32)
    return words, np.cumsum(words, axis=1) % CLASSES
