"""A residual convolutional net, trained side by side with its twin in Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic.converters.tensorflow import program
from tests.neuromatic.layers.keras_twin import channels_last, keras_weight

Array = NDArray[Any]
STEPS, BATCH, CLASSES = 20, 8, 4
RATE, MOMENTUM = 0.05, 0.9


def net(layers: Any, x: Any, axis: int) -> Any:
    """The same lines for both libraries: a residual block on 8x8 images."""
    y = layers.Conv2D(8, 3, padding="same", name="conv_1")(x)
    y = layers.BatchNormalization(axis=axis, name="norm_1")(y)
    shortcut = y = layers.Activation("relu", name="relu_1")(y)
    y = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv_2")(y)
    y = layers.BatchNormalization(axis=axis, momentum=0.8, name="norm_2")(y)
    y = layers.Activation("relu", name="relu_2")(layers.Add(name="add")([y, shortcut]))
    y = layers.Dropout(0.0, name="dropout")(y)
    y = layers.GlobalAveragePooling2D(name="pool")(y)
    return layers.Dense(CLASSES, activation="softmax", name="scores")(y)


def ours() -> nm.Model:
    x = nm.Input((3, 8, 8))
    model = nm.Model(x, net(nm.layers, x, 1)).loss("sparse_categorical_crossentropy").metrics("accuracy")
    return model.optimizer("sgd", learning_rate=RATE, momentum=MOMENTUM)


def data() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    labels = rng.integers(CLASSES, size=STEPS * BATCH)
    images = rng.normal(size=(STEPS * BATCH, 3, 8, 8)) + labels[:, None, None, None] / 4
    return images.astype(np.float32), labels


def trained_twin(parameters: dict[str, Array]) -> tuple[list[float], dict[str, Array], Array]:
    """Keras' losses, parameters in our layout and predictions after the same steps."""
    x = keras.Input((8, 8, 3))
    twin = keras.Model(x, net(keras.layers, x, -1))
    for layer in twin.layers:
        layer.set_weights([keras_weight(parameters[f"{layer.name}/{w.name}"]) for w in layer.weights])
    twin.compile(keras.optimizers.SGD(RATE, MOMENTUM), loss="sparse_categorical_crossentropy")
    images, labels = data()
    losses = []
    for i in range(STEPS):
        rows = slice(i * BATCH, (i + 1) * BATCH)
        twin.reset_metrics()
        losses.append(float(twin.train_on_batch(channels_last(images[rows]), labels[rows])))
    found = {f"{layer.name}/{w.name}": np.asarray(w) for layer in twin.layers for w in layer.weights}
    return losses, found, np.asarray(twin(channels_last(images[:8]), training=False))


@pytest.fixture(scope="module")
def twin() -> tuple[list[float], dict[str, Array], Array]:
    return trained_twin(ours().parameters())


@pytest.mark.parametrize("jit", [False, True])
def test_it_trains_as_in_keras(
    jit: bool, twin: tuple[list[float], dict[str, Array], Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "MOST_STEPS", STEPS // 2)  # a call compiled with XLA runs exactly so many
    model = ours()
    images, labels = data()
    history = model.train(
        images, labels, batch_size=BATCH, shuffle=False, verbose=0, engine_options={"jit": jit}
    )
    losses, parameters, predictions = twin
    np.testing.assert_allclose(history.step_losses, losses, rtol=1e-4, atol=1e-4)
    assert losses[-1] < losses[0]
    found = model.parameters()
    assert found.keys() == parameters.keys()
    for name, array in found.items():
        np.testing.assert_allclose(keras_weight(array), parameters[name], rtol=1e-4, atol=1e-4, err_msg=name)
    assert np.abs(found["norm_1/moving_mean"]).max() > 0.05
    np.testing.assert_allclose(model.predict(images[:8]), predictions, rtol=1e-4, atol=1e-4)
