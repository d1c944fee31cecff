"""Classifiers of sequences: stacked LSTMs over tokens, and a bidirectional GRU over vectors."""

from __future__ import annotations

import neuromatic as nm


def lstm(
    vocabulary: int = 20000, steps: int | None = None, classes: int = 2, units: int = 64, embedding: int = 64
) -> nm.Model:
    """Tokens (batch, steps) int64 to the probabilities of classes, with its recipe.

    Args:
        vocabulary: how many tokens there are.
        steps: length of the sequences; None for any.
        units: of each of the two LSTMs.
        embedding: numbers that stand for a token.
    """
    return (
        nm.Sequential((steps,), dtype="int64", name="lstm")
        .embedding(vocabulary, embedding)
        .lstm(units, return_sequences=True)
        .lstm(units)
        .dense(classes, activation="softmax")
        .loss("sparse_categorical_crossentropy")
        .optimizer("adam", clipnorm=1.0)
        .metrics("accuracy")
    )


def gru(steps: int | None = 8, features: int = 8, classes: int = 10, units: int = 48) -> nm.Model:
    """Vectors (batch, steps, features) to the probabilities of classes, with its recipe.

    Args:
        steps: length of the sequences; None for any.
        units: of the GRU in each direction.
    """
    return (
        nm.Sequential((steps, features), name="gru")
        .bidirectional(nm.layers.GRU(units))
        .dropout(0.2)
        .dense(classes, activation="softmax")
        .loss("sparse_categorical_crossentropy")
        .optimizer("adam", learning_rate=3e-3)
        .metrics("accuracy")
    )


build = gru
