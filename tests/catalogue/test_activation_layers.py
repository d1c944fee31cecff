"""Activations and their layers against Keras: values in onnxruntime, gradients on TensorFlow."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuromatic as nm
from neuromatic import activations, layers
from neuromatic.activations import ACTIVATIONS
from tests.catalogue.cntk import records
from tests.catalogue.layers import FEW, Twins, assert_equals_keras, model_of, numbers, run
from tests.catalogue.status import equal

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3)
THEIRS = sorted(n for n in dir(keras.activations) if not n.startswith("_"))
WITHOUT_NAME = {"deserialize", "get", "serialize", "threshold"}


def test_every_activation_of_keras_is_there_by_name() -> None:
    assert set(THEIRS) - WITHOUT_NAME == set(ACTIVATIONS)


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"sparsemax"}))
def test_an_activation_equals_keras(name: str) -> None:
    twins = Twins(layers.Activation(name), keras.layers.Activation(name))
    assert_equals_keras(twins, numbers(name, (3, 2, 6), -4, 4))


@equal("layers", "Activation")
@FEW
@given(shape=SHAPES, name=st.sampled_from(["gelu", "tanh", "softmax", "relu6", "linear"]))
def test_activation(shape: list[int], name: str) -> None:
    assert_equals_keras(
        Twins(layers.Activation(name), keras.layers.Activation(name)), numbers("x", (2, *shape))
    )


@equal("layers", "ReLU")
@FEW
@given(
    shape=SHAPES,
    max_value=st.sampled_from([None, 6.0, 0.75]),
    negative_slope=st.sampled_from([0.0, 0.1]),
    threshold=st.sampled_from([0.0, 0.5]),
)
def test_relu(shape: list[int], max_value: float | None, negative_slope: float, threshold: float) -> None:
    arguments = (max_value, negative_slope, threshold)
    twins = Twins(layers.ReLU(*arguments), keras.layers.ReLU(*arguments))
    assert_equals_keras(twins, numbers("x", (2, *shape)))


@equal("layers", "LeakyReLU", "ELU")
@FEW
@given(shape=SHAPES, slope=st.sampled_from([0.0, 0.3, 1.5]))
def test_leaky_relu_and_elu(shape: list[int], slope: float) -> None:
    x = numbers("x", (2, *shape))
    assert_equals_keras(Twins(layers.LeakyReLU(slope), keras.layers.LeakyReLU(slope)), x)
    assert_equals_keras(Twins(layers.ELU(slope), keras.layers.ELU(slope)), x)


@equal("layers", "PReLU")
@FEW
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), data=st.data())
def test_prelu(shape: list[int], data: Any) -> None:
    axes = data.draw(st.none() | st.lists(st.integers(1, len(shape)), unique=True, max_size=2))
    twins = Twins(layers.PReLU(shared_axes=axes), keras.layers.PReLU(shared_axes=axes))
    assert_equals_keras(twins, numbers("x", (2, *shape)))


@equal("layers", "Softmax")
@FEW
@given(shape=st.lists(st.integers(2, 4), min_size=2, max_size=3), data=st.data())
def test_softmax(shape: list[int], data: Any) -> None:
    axis = data.draw(st.integers(1, len(shape)) | st.just(-1) | st.just([1, 2]) | st.just([-1]))
    masked = data.draw(st.sampled_from(["no", "float", "bool"]))
    x = numbers("x", (2, *shape))
    if masked == "no":
        assert_equals_keras(Twins(layers.Softmax(axis), keras.layers.Softmax(axis)), x)
        return
    mask = (numbers("mask", (2, *shape), 0, 1) > 0.4).astype(bool if masked == "bool" else np.float32)
    theirs = keras.layers.Softmax(axis)
    twins = Twins(layers.Softmax(axis), lambda x, mask: theirs(x, mask=mask), spread=True)
    assert_equals_keras(twins, x, mask)


def with_arguments() -> list[tuple[Any, Any]]:
    functions = keras.activations
    return [
        (layers.CELU(0.5), lambda x: functions.celu(x, 0.5)),
        (layers.CELU(), functions.celu),
        (layers.GELU(), functions.gelu),
        (layers.GELU(approximate=True), lambda x: functions.gelu(x, approximate=True)),
        (activations.gelu_tanh, lambda x: functions.gelu(x, approximate=True)),
        (layers.GLU(axis=1), lambda x: functions.glu(x, axis=1)),
        (layers.HardShrink(0.8), lambda x: functions.hard_shrink(x, 0.8)),
        (layers.SoftShrink(0.8), lambda x: functions.soft_shrink(x, 0.8)),
        (layers.LogSoftmax(axis=1), lambda x: functions.log_softmax(x, axis=1)),
        (layers.Squareplus(0.5), lambda x: functions.squareplus(x, 0.5)),
        (layers.Threshold(0.3, -7.0), lambda x: functions.threshold(x, 0.3, -7.0)),
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"), with_arguments(), ids=lambda f: getattr(f, "__class__", f).__name__
)
def test_activations_with_arguments(ours: Any, theirs: Any) -> None:
    x = numbers("x", (3, 4, 5), -4, 4)
    assert_equals_keras(Twins(layers.Activation(ours), theirs), x)


PLAIN = {
    "Exponential": "exponential",
    "HardSigmoid": "hard_sigmoid",
    "HardSwish": "hard_silu",
    "HardTanh": "hard_tanh",
    "LogSigmoid": "log_sigmoid",
    "Mish": "mish",
    "ReLU6": "relu6",
    "SELU": "selu",
    "SiLU": "silu",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Tanh": "tanh",
    "TanhShrink": "tanh_shrink",
}


@pytest.mark.parametrize(("layer", "function"), PLAIN.items())
def test_layers_of_functions(layer: str, function: str) -> None:
    x = numbers("x", (3, 40), -8, 8)
    found = run(model_of(getattr(layers, layer)(), [x]).proto, [x])[0]
    expected = keras.ops.convert_to_numpy(getattr(keras.activations, function)(x))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def nearest_probabilities(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The projection of a vector onto the simplex, by bisection."""
    low, high = x.min() - 1.0, x.max()
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(x - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(x - low, 0)


@FEW
@given(size=st.integers(1, 6), axis=st.sampled_from([1, 2, -1]))
def test_sparsemax_gives_the_nearest_probabilities(size: int, axis: int) -> None:
    """Not Keras' numbers, which need not sum to 1."""
    x = numbers("x", (3, size, size), -1, 1)
    found = run(model_of(layers.Sparsemax(axis), [x]).proto, [x])[0]
    expected = np.apply_along_axis(nearest_probabilities, axis, x.astype(np.float64))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis), 1.0, atol=1e-6)


def test_sparsemax_trains() -> None:
    """A single kept element: its gradient is that of a constant, 0; two of them share the differences."""
    model = nm.Model((x := nm.Input((3,))), layers.Sparsemax()(layers.PReLU("ones")(x)))
    data = np.array([[0.3, 0.1, -5.0]], np.float32)
    model.loss("mse").optimizer("sgd").train(
        data, np.array([[0.0, 1.0, 0.0]], np.float32), epochs=1, verbose=0
    )


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_cntk_takes_them(name: str) -> None:
    x = nm.Input((4, 6))
    reason = records(nm.Model(x, layers.Activation(name)(layers.Dense(6)(x))))
    assert (reason is None) == (name != "sparsemax"), reason
    assert reason is None or "TopK" in reason


@pytest.mark.parametrize(
    "layer", [layers.PReLU(), layers.Softmax((1, 2)), layers.Threshold(0.1, 0.0), layers.CELU(0.5)]
)
def test_cntk_takes_layers(layer: layers.Layer) -> None:
    x = nm.Input((4, 6))
    assert records(nm.Model(x, layer(layers.Dense(6)(x)))) is None
