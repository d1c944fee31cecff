"""Models exported from Keras by tf2onnx are trained here as Keras trains them.

tf2onnx folds BatchNormalization into a factor and an offset, so that it trains no more as Keras' does, and it
writes LSTM's one bias as the first of ONNX' two: both are trained, which moves their sum twice as fast.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from neuromatic._quiet import quiet
from tests.exports.harness import BATCH, STEPS, close, in_onnxruntime, only_bound_changed, trained_here

Array = NDArray[Any]
RATE = 0.05


def convolutional() -> keras.Model:
    x = given = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation="relu")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.DepthwiseConv2D(2, activation="silu")(x)
    x = layers.SeparableConv2D(6, 2, padding="same")(x)
    x = layers.GroupNormalization(2)(x)
    x = layers.Dropout(0.0)(layers.LeakyReLU()(x))
    return keras.Model(given, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def upsampling() -> keras.Model:
    x = given = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(x)
    x = layers.Conv2DTranspose(3, 3, strides=2, padding="same")(layers.ELU()(x))
    x = layers.PReLU(shared_axes=[1, 2])(layers.UpSampling2D(interpolation="bilinear")(x))
    return keras.Model(given, layers.Conv2D(1, 1, activation="sigmoid")(x))


def attention() -> keras.Model:
    given = keras.Input((6,), dtype="int32")
    x = layers.Embedding(11, 8)(given)
    y = layers.LayerNormalization()(x)
    x = layers.add([x, layers.MultiHeadAttention(2, 4)(y, y)])
    return keras.Model(given, layers.Dense(3, activation="tanh")(layers.GlobalMaxPooling1D()(x)))


def recurrent() -> keras.Model:
    given = keras.Input((6, 4))
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(given)
    return keras.Model(given, layers.Dense(3)(layers.LSTM(5)(x)))


def gated() -> keras.Model:
    given = keras.Input((6, 4))
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True))(given)
    return keras.Model(given, layers.Dense(3)(layers.SimpleRNN(5)(x)))


def made(build: Callable[[], keras.Model]) -> keras.Model:
    """A model whose parameters are all random."""
    keras.utils.set_random_seed(5)
    model, rng = build(), np.random.default_rng(5)
    for weight in model.weights:
        weight.assign(weight + 0.1 * rng.normal(size=weight.shape))
    return model


def export(model: keras.Model, path: Path) -> onnx.ModelProto:
    signature = [keras.InputSpec(shape=(None, *i.shape[1:]), dtype=i.dtype, name="x") for i in model.inputs]
    with warnings.catch_warnings(), quiet(1, 2):
        warnings.simplefilter("ignore")
        model.export(str(path), format="onnx", verbose=False, input_signature=signature)
    return onnx.load(path)


def losses_there(model: keras.Model, x: Array, y: Array, twice: Sequence[str]) -> list[float]:
    """SGD by Keras over consecutive batches; ``twice`` is in the paths of what moves twice as fast."""
    losses = []
    for start in range(0, len(x), BATCH):
        with tf.GradientTape() as tape:
            outputs = model(x[start : start + BATCH], training=True)
            loss = tf.reduce_mean(tf.square(outputs - y[start : start + BATCH]))
        for weight, gradient in zip(
            model.trainable_weights, tape.gradient(loss, model.trainable_weights), strict=True
        ):
            factor = 2 if any(text in weight.path for text in twice) else 1
            weight.assign_sub(RATE * factor * tf.convert_to_tensor(gradient))
        losses.append(float(loss))
    return losses


# tf2onnx names no parameters, so that some stay open, which a warning says.
@pytest.mark.filterwarnings("ignore:open whether a parameter")
@pytest.mark.parametrize(
    ("build", "twice"),
    [
        (convolutional, ()),
        (upsampling, ()),
        (attention, ()),
        (recurrent, ("lstm_cell/bias",)),
        (gated, ()),
    ],
)
def test_losses_and_outputs(build: Callable[[], keras.Model], twice: Sequence[str], tmp_path: Path) -> None:
    model, rng = made(build), np.random.default_rng(3)
    (given,), size = model.inputs, STEPS * BATCH
    shape = (size, *given.shape[1:])
    x = rng.integers(0, 11, shape, np.int32) if given.dtype == "int32" else rng.normal(size=shape)
    x = x.astype(given.dtype)
    y = rng.normal(size=(size, *model.output_shape[1:])).astype(np.float32)
    file = export(model, tmp_path / "model.onnx")
    before = model(x[:BATCH]).numpy()
    here = trained_here(file, "mse", x, y, RATE)
    np.testing.assert_allclose(here.outputs, before, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(here.losses, losses_there(model, x, y, twice), rtol=1e-3)
    only_bound_changed(file, here.trained, here.recipe)
    close(in_onnxruntime(here.trained, x[:BATCH]), model(x[:BATCH]).numpy(), 1e-3)
