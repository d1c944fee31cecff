"""A recipe that uses much of the catalogue at once, over several epochs, against Keras on both engines."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic import constraints, layers, metrics, regularizers, schedules
from tests.converters.cntk.cntk_environment import environment_or_skip

Array = NDArray[Any]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 10, 6)).astype(np.float32)
Y = np.eye(3, dtype=np.float32)[RNG.integers(0, 3, 64)]


def ours() -> nm.Model:
    x = nm.Input((10, 6))
    y = layers.LSTM(8, return_sequences=True, kernel_regularizer="l2")(x)
    y = layers.LayerNormalization()(y)
    y = layers.MultiHeadAttention(2, 4)(y, y)
    y = layers.GlobalAveragePooling1D(data_format="channels_last")(y)
    y = layers.Dense(
        3,
        activation="softmax",
        kernel_constraint=constraints.MaxNorm(1.0),
        activity_regularizer=regularizers.L1(0.01),
    )(y)
    rate = schedules.CosineDecay(1e-2, 30)
    return (
        nm.Model(x, y)
        .loss("categorical_crossentropy", label_smoothing=0.1)
        .optimizer("adamw", learning_rate=rate, weight_decay=0.01, global_clipnorm=0.5)
        .metrics("accuracy", metrics.AUC(name="auc"), metrics.F1Score(average="macro", name="f1"))
    )


def theirs() -> Any:
    x = keras.Input((10, 6))
    y = keras.layers.LSTM(8, return_sequences=True, kernel_regularizer="l2")(x)
    y = keras.layers.LayerNormalization()(y)
    y = keras.layers.MultiHeadAttention(2, 4)(y, y)
    y = keras.layers.GlobalAveragePooling1D()(y)
    y = keras.layers.Dense(
        3,
        activation="softmax",
        kernel_constraint=keras.constraints.MaxNorm(1.0),
        activity_regularizer=keras.regularizers.L1(0.01),
    )(y)
    model = keras.Model(x, y)
    rate = keras.optimizers.schedules.CosineDecay(1e-2, 30)
    model.compile(
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        optimizer=keras.optimizers.AdamW(rate, weight_decay=0.01, global_clipnorm=0.5),
        metrics=["accuracy", keras.metrics.AUC(name="auc"), keras.metrics.F1Score("macro", name="f1")],
    )
    return model


def keras_gates(array: Array) -> Array:
    """ONNX' gates of an LSTM (1, 4 units, ...), which are i, o, f, c, as Keras has them: (..., 4 units)."""
    i, o, f, c = np.split(array[0], 4)
    return np.concatenate([i, f, c, o]).T


@pytest.mark.parametrize("engine", ["tensorflow", "cntk"])
def test_equals_keras(engine: str) -> None:
    if engine == "cntk":
        environment_or_skip()
    model, twin = ours(), theirs()
    values = model.parameters()
    lstm = [keras_gates(values.pop(f"lstm/{name}")) for name in ("kernel", "recurrent_kernel", "bias")]
    twin.set_weights([*lstm, *values.values()])
    options: dict[str, Any] = {"batch_size": 16, "epochs": 5, "shuffle": False, "verbose": 0}
    expected = twin.fit(X, Y, **options).history
    history = model.train(X, Y, engine=engine, **options)
    for name in ("loss", "accuracy", "auc", "f1"):
        np.testing.assert_allclose(history.history[name], expected[name], rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(model.predict(X), twin.predict(X, verbose=0), atol=1e-4)


def test_a_file_keeps_all_of_it_when_its_loss_changes(tmp_path: Any) -> None:
    ours().save(tmp_path / "net.onnx")
    changed = nm.load(tmp_path / "net.onnx").loss("mse")
    assert changed.recipe is not None
    assert changed.recipe.schedule is not None
    assert changed.recipe.schedule["name"] == "cosine_decay"
    names = {node.name for node in changed.proto.training_info[0].algorithm.node}
    assert {"penalty/lstm/kernel", "penalty/dense", "constraint/dense/kernel"} <= names
    changed.train(X, Y, epochs=1, verbose=0)
