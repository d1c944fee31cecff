"""Wide & deep learning for tables (Cheng et al. 2016): a linear part over all columns beside a deep one."""

from __future__ import annotations

from collections.abc import Sequence

import neuromatic as nm
from neuromatic import layers


def build(
    numbers: int = 10,
    categories: Sequence[int] = (8, 8, 8),
    embedding: int = 4,
    hidden: Sequence[int] = (64, 32),
    classes: int = 1,
) -> nm.Model:
    """Two inputs to a probability (batch, 1), or those of several classes, with its recipe.

    ``numbers`` (batch, numbers) float32 are standardized columns; ``categories`` (batch, columns) int64 hold
    an index in each column. Each category has an embedding for the deep part and a weight in the wide one.

    Args:
        numbers: how many columns of numbers.
        categories: how many values each column of categories has.
        embedding: numbers that stand for a category.
        hidden: units of the deep part's layers.
        classes: 1 for a sigmoid and targets (batch, 1), more for a softmax and class indices (batch,).
    """
    floats = nm.Input((numbers,), name="numbers")
    integers = nm.Input((len(categories),), dtype="int64", name="categories")
    # One table for all columns: the rows of a column begin where those of the one before end.
    offsets = [sum(categories[:i]) for i in range(len(categories))]
    rows = layers.Lambda(lambda g, x: g.add("Add", x, g.ints(*offsets)), name="rows")(integers)
    total = sum(categories)
    deep = layers.Flatten()(layers.Embedding(total, embedding, name="embedding")(rows))
    deep = layers.Concatenate()([floats, deep])
    for units in hidden:
        deep = layers.Dropout(0.2)(layers.Dense(units, activation="relu")(deep))
    weights = layers.Flatten()(layers.Embedding(total, 1, embeddings_initializer="zeros", name="wide")(rows))
    joined = layers.Concatenate()([floats, weights, deep])
    y = layers.Dense(classes, activation="sigmoid" if classes == 1 else "softmax")(joined)
    loss = "binary_crossentropy" if classes == 1 else "sparse_categorical_crossentropy"
    return nm.Model([floats, integers], y).loss(loss).optimizer("adam").metrics("accuracy")
