"""Small nets with data, for training on several engines; all without dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic import layers
from tests.neuromatic.recurrent import bidirectional_gru_classifier, lstm_classifier

Array = NDArray[Any]
ROWS, CLASSES = 160, 4


def mlp() -> nm.Model:
    return (
        nm.Sequential((12,), seed=1).dense(16, activation="tanh").dense(CLASSES, activation="softmax").build()
    )


def cnn() -> nm.Model:
    return (
        nm.Sequential((2, 8, 8), seed=1)
        .conv2d(6, 3, padding="same", activation="relu")
        .max_pooling2d(2)
        .conv2d(8, 3, strides=2, activation="relu")
        .flatten()
        .dense(CLASSES, activation="softmax")
        .build()
    )


def residual() -> nm.Model:
    x = nm.Input((2, 8, 8))
    # A bias before BatchNormalization has no gradient but rounding, which Adam makes as large as any other.
    y = layers.Conv2D(6, 3, padding="same", use_bias=False, name="conv_1")(x)
    y = layers.BatchNormalization(axis=1, name="norm_1")(y)
    shortcut = y = layers.Activation("relu")(y)
    y = layers.Conv2D(6, 3, padding="same", use_bias=False, name="conv_2")(y)
    y = layers.BatchNormalization(axis=1, momentum=0.8, name="norm_2")(y)
    y = layers.Activation("relu")(layers.Add()([y, shortcut]))
    y = layers.GlobalAveragePooling2D()(y)
    return nm.Model(x, layers.Dense(CLASSES, activation="softmax")(y))


def lstm() -> nm.Model:
    return nm.Model.from_proto(lstm_classifier(6, features=3, units=5, classes=CLASSES))


def bidirectional_gru() -> nm.Model:
    return nm.Model.from_proto(bidirectional_gru_classifier(6, features=3, units=5, classes=CLASSES))


NETS: dict[str, tuple[Callable[[], nm.Model], tuple[int, ...]]] = {
    "mlp": (mlp, (12,)),
    "cnn": (cnn, (2, 8, 8)),
    "residual": (residual, (2, 8, 8)),
    "lstm": (lstm, (6, 3)),
    "bidirectional_gru": (bidirectional_gru, (6, 3)),
}

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "learning_rate": 0.05},
    "momentum": {"optimizer": "sgd", "learning_rate": 0.02, "momentum": 0.9},
    "adam": {"optimizer": "adam", "learning_rate": 0.002},
    "rmsprop": {"optimizer": "rmsprop", "learning_rate": 0.002},
}


def data(shape: tuple[int, ...], rows: int = ROWS) -> tuple[Array, Array]:
    """Rows that carry their class in their mean, and class numbers."""
    rng = np.random.default_rng(5)
    labels = rng.integers(CLASSES, size=rows)
    x = rng.normal(size=(rows, *shape)) + labels.reshape(-1, *[1] * len(shape)) / 2
    return x.astype(np.float32), labels


def with_recipe(net: str, optimizer: str) -> nm.Model:
    """A net with a loss, a metric and one of :data:`OPTIMIZERS`."""
    build, _ = NETS[net]
    model = build().loss("sparse_categorical_crossentropy").metrics("accuracy")
    return model.optimizer(**OPTIMIZERS[optimizer])
