"""Activations and their layers against Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from neuromatic import layers
from neuromatic.activations import ACTIVATIONS, gelu_tanh
from neuromatic.builder.functional import Input
from neuromatic.builder.sequential import Sequential
from neuromatic.errors import ShapeError, UnknownNameError
from neuromatic.layers.activations.activation import ActivationLike
from tests.neuromatic.layers.keras_twin import assert_equals_keras, check, run

GRID = np.concatenate([np.linspace(-10, 10, 401), [-1e4, -500, -88, -30, 30, 80]]).astype(np.float32)


def in_onnx(activation: ActivationLike, x: np.ndarray[Any, Any]) -> Any:
    model = Sequential(x.shape[1:]).activation(activation).onnx()
    check(model)
    return run(model, x)


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"glu", "sparsemax"}))
def test_an_activation_equals_keras(name: str) -> None:
    for x in (GRID.reshape(-1, 11), np.stack([GRID, GRID[::-1]]), GRID[:60].reshape(2, 3, 5, 2)):
        expected = keras.ops.convert_to_numpy(getattr(keras.activations, name)(x))
        np.testing.assert_allclose(in_onnx(name, x), expected, rtol=1e-6, atol=1e-6)


def test_gelu_has_the_tanh_form_as_a_function() -> None:
    x = GRID.reshape(-1, 1)
    expected = keras.ops.convert_to_numpy(keras.activations.gelu(x, approximate=True))
    np.testing.assert_allclose(in_onnx(gelu_tanh, x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["softplus", "mish", "gelu", "log_softmax", "log_sigmoid", "softmax", "silu"]
)
def test_an_activation_is_finite_at_the_edges(name: str) -> None:
    x = np.array([[-1e30, 1e30, 0.0], [1e4, -1e4, 1.0]], np.float32)
    assert np.isfinite(in_onnx(name, x)).all()


def test_a_layer_is_taken_as_an_activation() -> None:
    x = GRID.reshape(-1, 1)
    np.testing.assert_array_equal(in_onnx(layers.LeakyReLU(0.2), x), in_onnx("leaky_relu", x))
    assert np.array_equal(in_onnx(None, x), x)


def test_an_unknown_activation_is_refused_with_the_name_it_may_be() -> None:
    with pytest.raises(
        UnknownNameError, match=r"there is no activation named 'rellu'; did you mean 'relu'\?"
    ):
        Sequential((3,)).dense(2, activation="rellu")


@pytest.mark.parametrize("max_value", [None, 6.0, 0.75])
@pytest.mark.parametrize("negative_slope", [0.0, 0.1])
@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_relu(max_value: float | None, negative_slope: float, threshold: float) -> None:
    arguments = (max_value, negative_slope, threshold)
    assert_equals_keras(layers.ReLU(*arguments), keras.layers.ReLU(*arguments), (40,))


@pytest.mark.parametrize("kind", ["LeakyReLU", "ELU", "Softmax"])
@pytest.mark.parametrize("shape", [(5,), (4, 3)])
def test_defaults_equal_keras(kind: str, shape: tuple[int, ...]) -> None:
    assert_equals_keras(getattr(layers, kind)(), getattr(keras.layers, kind)(), shape)


def test_arguments_equal_keras() -> None:
    assert_equals_keras(layers.LeakyReLU(0.1), keras.layers.LeakyReLU(negative_slope=0.1), (5,))
    assert_equals_keras(layers.ELU(0.5), keras.layers.ELU(0.5), (5,))
    assert_equals_keras(layers.Softmax(axis=1), keras.layers.Softmax(axis=-1), (5, 2, 3))


def test_prelu_learns_one_alpha_for_each_element_by_default() -> None:
    assert_equals_keras(layers.PReLU(), keras.layers.PReLU(), (5,))
    assert_equals_keras(layers.PReLU(), keras.layers.PReLU(), (2, 3, 4))


def test_prelu_shares_alpha_along_axes() -> None:
    assert_equals_keras(
        layers.PReLU(shared_axes=(2, 3)),
        keras.layers.PReLU(shared_axes=(1, 2)),
        (2, 3, 4),
        declared=(2, None, None),
    )


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="ReLU: negative_slope must be a number of 0 or more, got -1"):
        layers.ReLU(negative_slope=-1)
    with pytest.raises(ValueError, match="ReLU: threshold must be"):
        layers.ReLU(threshold=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="LeakyReLU: negative_slope must be a number of 0 or more"):
        layers.LeakyReLU(float("nan"))
    with pytest.raises(ValueError, match="PReLU: shared_axes counts axes from 1"):
        layers.PReLU(shared_axes=(0,))
    with pytest.raises(ValueError, match="Softmax: axis must be an integer or some of them, got 'a'"):
        layers.Softmax("a")  # type: ignore[arg-type]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"prelu: PReLU learns .* got \(batch, \?\) from 'input'"):
        Sequential((None,)).prelu()
    with pytest.raises(ShapeError, match=r"prelu: PReLU takes \(batch, ...\) with the shared axes \[3\]"):
        Sequential((4,)).prelu(shared_axes=(3,))
    with pytest.raises(ShapeError, match=r"softmax: Softmax runs along axis 2.*choose an axis from -2 to 1"):
        Sequential((4,)).softmax(axis=2)


def test_wrong_arguments_of_functions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^CELU: alpha must be a number other than 0, got 0$"):
        layers.CELU(0)
    with pytest.raises(ValueError, match=r"^SoftShrink: threshold must be a number of 0 or more, got -1$"):
        layers.SoftShrink(-1)
    with pytest.raises(
        ShapeError, match=r"^glu: glu halves axis -1, got \(batch, 3\) from 'input'; give it an"
    ):
        Sequential((3,)).glu()
    with pytest.raises(
        ShapeError, match=r"^sparsemax: sparsemax needs axis -1 with a known size, got \(batch"
    ):
        Sequential((None,)).sparsemax()
    x = Input((3,))
    with pytest.raises(ShapeError, match=r"^softmax: Softmax takes a mask that broadcasts to \(batch, 3\)"):
        layers.Softmax()(x, Input((3, 3)))
