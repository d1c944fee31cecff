"""Normalizations against Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuromatic as nm
from neuromatic import layers
from tests.catalogue.cntk import records
from tests.catalogue.layers import FEW, Twins, assert_equals_keras, images, model_of, numbers, randomize, run
from tests.catalogue.status import different, equal

SIZES = st.lists(st.integers(2, 4), min_size=1, max_size=3)


@equal("layers", "BatchNormalization")
@FEW
@given(shape=SIZES, center=st.booleans(), scale=st.booleans(), data=st.data())
def test_batch_normalization(shape: list[int], center: bool, scale: bool, data: Any) -> None:
    axis = data.draw(st.sampled_from([*range(1, len(shape) + 1), -1]))
    arguments: dict[str, Any] = {"axis": axis, "epsilon": 0.01, "center": center, "scale": scale}
    twins = Twins(layers.BatchNormalization(**arguments), keras.layers.BatchNormalization(**arguments))
    assert_equals_keras(twins, numbers("x", (2, *shape)))


@pytest.mark.parametrize("regularized", [True, False])
def test_batch_normalization_trains_as_keras(regularized: bool) -> None:
    """Two steps with penalties, constraints and moving statistics."""
    more: dict[str, Any] = {"gamma_constraint": "non_neg", "beta_regularizer": "l2"} if regularized else {}
    x, y = numbers("x", (8, 3), 0, 3), numbers("y", (8, 3))
    ours = nm.Model(
        (symbol := nm.Input((3,))), layers.BatchNormalization(momentum=0.9, name="n", **more)(symbol)
    )
    ours = ours.loss("mse").optimizer("sgd", learning_rate=2.0)
    ours.train(x, y, epochs=2, batch_size=8, verbose=0)
    layer = keras.layers.BatchNormalization(momentum=0.9, **more)
    theirs = keras.Sequential([keras.Input((3,)), layer])
    theirs.compile(keras.optimizers.SGD(2.0), "mse")
    theirs.fit(x, y, epochs=2, batch_size=8, verbose=0)
    for (name, found), weight in zip(ours.parameters().items(), layer.weights, strict=False):
        expected = keras.ops.convert_to_numpy(weight)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5, err_msg=name)


@equal("layers", "LayerNormalization")
@FEW
@given(shape=SIZES, center=st.booleans(), scale=st.booleans(), data=st.data())
def test_layer_normalization(shape: list[int], center: bool, scale: bool, data: Any) -> None:
    axes = st.lists(st.integers(1, len(shape)), min_size=1, max_size=2, unique=True)
    axis = data.draw(st.just(-1) | st.integers(1, len(shape)) | axes)
    arguments: dict[str, Any] = {"axis": axis, "epsilon": 0.01, "center": center, "scale": scale}
    twins = Twins(layers.LayerNormalization(**arguments), keras.layers.LayerNormalization(**arguments))
    assert_equals_keras(twins, numbers("x", (2, *shape)))


@equal("layers", "RMSNormalization")
@FEW
@given(shape=SIZES, data=st.data())
def test_rms_normalization(shape: list[int], data: Any) -> None:
    first = data.draw(st.integers(1, len(shape)))
    axis = data.draw(st.just(list(range(first, len(shape) + 1))) | st.just(-1))
    twins = Twins(layers.RMSNormalization(axis, 0.01), keras.layers.RMSNormalization(axis, 0.01))
    assert_equals_keras(twins, numbers("x", (2, *shape)))


def test_rms_normalization_along_another_axis_scales_that_axis() -> None:
    x = numbers("x", (2, 3, 4))
    model = model_of(layers.RMSNormalization(1, 0.01), [x]).proto
    randomize(model)
    scale = numbers("rms_normalization/scale", (3,), -1.0, 1.0)
    expected = x / np.sqrt((x.astype(np.float64) ** 2).mean(1, keepdims=True) + 0.01) * scale[:, None]
    np.testing.assert_allclose(run(model, [x])[0], expected, rtol=1e-5, atol=1e-6)


@equal("layers", "UnitNormalization")
@FEW
@given(shape=SIZES, data=st.data())
def test_unit_normalization(shape: list[int], data: Any) -> None:
    axes = st.lists(st.integers(1, len(shape)), min_size=1, max_size=2, unique=True)
    axis = data.draw(st.just(-1) | st.integers(1, len(shape)) | axes)
    assert_equals_keras(
        Twins(layers.UnitNormalization(axis), keras.layers.UnitNormalization(axis)), numbers("x", (2, *shape))
    )


def test_unit_normalization_of_zeros_is_zero() -> None:
    x = np.zeros((1, 3), np.float32)
    np.testing.assert_array_equal(run(model_of(layers.UnitNormalization(), [x]).proto, [x])[0], x)


@equal("layers", "GroupNormalization")
@FEW
@given(
    groups=st.sampled_from([1, 2, 3, -1]),
    multiple=st.integers(1, 2),
    sizes=st.lists(st.integers(1, 4), max_size=2),
    center=st.booleans(),
    scale=st.booleans(),
)
def test_group_normalization(groups: int, multiple: int, sizes: list[int], center: bool, scale: bool) -> None:
    arguments: dict[str, Any] = {"epsilon": 0.01, "center": center, "scale": scale}
    ours = layers.GroupNormalization(groups, **arguments)
    twins = images(ours, keras.layers.GroupNormalization(groups, axis=-1, **arguments))
    assert_equals_keras(twins, numbers("x", (2, (groups if groups > 1 else 3) * multiple, *sizes)))


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_group_normalization_along_another_axis(axis: int) -> None:
    twins = Twins(layers.GroupNormalization(2, axis), keras.layers.GroupNormalization(2, axis))
    assert_equals_keras(twins, numbers("x", (2, 4, 6)))
    assert_equals_keras(twins, numbers("x", (2, 4, 6)), declared=[(4, 6)])


def test_group_normalization_of_unknown_sizes() -> None:
    twins = images(layers.GroupNormalization(2), keras.layers.GroupNormalization(2))
    assert_equals_keras(twins, numbers("x", (2, 4, 3, 5)), declared=[(4, None, None)])


@FEW
@given(sizes=st.lists(st.integers(2, 4), min_size=1, max_size=3), center=st.booleans(), scale=st.booleans())
def test_instance_normalization(sizes: list[int], center: bool, scale: bool) -> None:
    arguments: dict[str, Any] = {"epsilon": 0.01, "center": center, "scale": scale}
    ours = layers.InstanceNormalization(**arguments)
    assert_equals_keras(
        images(ours, keras.layers.GroupNormalization(-1, **arguments)), numbers("x", (2, 3, *sizes))
    )


@pytest.mark.parametrize("layer", [layers.InstanceNormalization(), layers.GroupNormalization(2)])
def test_double_precision(layer: layers.Layer) -> None:
    x = numbers("x", (2, 4, 5)).astype(np.float64)
    y = run(model_of(layer, [x]).proto, [x])[0]
    assert y.dtype == np.float64
    rows = x.reshape(2, 4 if isinstance(layer, layers.InstanceNormalization) else 2, -1)
    expected = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(y.reshape(rows.shape), expected, rtol=1e-12)


different(
    "layers",
    "SpectralNormalization",
    "Keras overwrites the kernel in each training step and uses it as it is in inference; here the kernel "
    "stays and is divided by its norm each time. Outputs are those of Keras in training",
)


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("kind", ["Dense", "Conv2D"])
def test_spectral_normalization_is_keras_in_training(kind: str, iterations: int) -> None:
    image = kind == "Conv2D"
    arguments = (5, 3) if image else (5,)
    x = numbers("x", (2, 3, 6, 6) if image else (4, 3))
    ours = layers.SpectralNormalization(getattr(layers, kind)(*arguments), iterations)
    model = model_of(ours, [x]).proto
    randomize(model)
    values = {t.name.split("/")[-1]: numbers(t.name, tuple(t.dims), -1, 1) for t in model.graph.initializer}
    theirs = keras.layers.SpectralNormalization(getattr(keras.layers, kind)(*arguments), iterations)
    turned = np.moveaxis(x, 1, -1)
    theirs.build(turned.shape)
    kernel = values["kernel"]
    theirs.layer.kernel.assign(np.moveaxis(kernel, (0, 1), (-1, -2)) if image else kernel)
    theirs.layer.bias.assign(values["bias"])
    theirs.vector_u.assign(values["vector_u"])
    expected = keras.ops.convert_to_numpy(theirs(turned, training=True))
    np.testing.assert_allclose(run(model, [x])[0], np.moveaxis(expected, -1, 1), rtol=1e-4, atol=1e-5)


def test_spectral_normalization_keeps_its_vector() -> None:
    """After many steps the kernel that counts has a largest singular value of 1."""
    x = nm.Input((6,))
    y = layers.SpectralNormalization(layers.Dense(4, use_bias=False, kernel_constraint="non_neg"), name="s")(
        x
    )
    model = nm.Model(x, y).loss("mse").optimizer("sgd", learning_rate=0.01)
    before = model.parameters()["s/vector_u"].copy()
    data = np.eye(6, dtype=np.float32)
    model.train(data, np.zeros((6, 4), np.float32), epochs=40, batch_size=6, verbose=0)
    assert not np.allclose(model.parameters()["s/vector_u"], before)
    assert (model.parameters()["s/layer/kernel"] >= 0).all()
    assert np.linalg.svd(model.predict(data))[1][0] == pytest.approx(1.0, abs=1e-4)


def test_spectral_normalization_of_zeros_is_zero() -> None:
    x = nm.Input((3,))
    layer = layers.SpectralNormalization(layers.Dense(2, kernel_initializer="zeros"))
    assert not nm.Model(x, layer(x)).predict(np.ones((1, 3), np.float32)).any()


@pytest.mark.parametrize(
    "layer",
    [
        layers.BatchNormalization(),
        layers.LayerNormalization(),
        layers.LayerNormalization(1),
        layers.RMSNormalization(),
        layers.UnitNormalization(1),
        layers.GroupNormalization(2),
        layers.InstanceNormalization(),
        layers.SpectralNormalization(layers.Dense(3)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_cntk_takes_them(layer: layers.Layer) -> None:
    x = nm.Input((4, 6))
    assert records(nm.Model(x, layer(layers.Dense(6)(x)))) is None
