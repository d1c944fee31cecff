"""Gradients of the losses, as a training step takes them: with learning rate 1, SGD subtracts them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic.losses import Loss, LossLike
from tests.neuromatic.graphs import set_parameters

Array = NDArray[Any]
EXTREME = np.array([[200.0, -200.0, 0.0], [-200.0, 200.0, 0.0], [0.0, 0.0, 0.0], [90.0, 89.0, -90.0]])


def step(loss: LossLike, x: Array, y: Array, activation: str | None = None) -> tuple[float, Array]:
    """Loss and gradient by a bias ``b`` at 0 of the model ``activation(x + b)``."""
    size = x.shape[1]
    model = nm.Sequential((size,)).dense(size, activation).build()
    model = model.loss(loss).optimizer("sgd", learning_rate=1.0)
    set_parameters(model, **{"dense/kernel": np.eye(size)})
    history = model.train(
        x.astype(np.float32), y, batch_size=len(x), verbose=0, engine_options={"jit": False}
    )
    return history.history["loss"][0], -model.parameters()["dense/bias"]


def sigmoid(z: Array) -> Array:
    return np.exp(-np.logaddexp(0, -z))


def softmax(z: Array) -> Array:
    scores = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(scores / scores.sum(-1, keepdims=True))


@pytest.mark.parametrize("loss", ["bce of sigmoid", nm.losses.BinaryCrossentropy(from_logits=True)])
def test_binary_crossentropy_at_extreme_and_zero_logits(loss: str | Loss) -> None:
    y = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0.5], [0, 1, 0]], np.float32)
    if isinstance(loss, str):
        value, gradient = step("binary_crossentropy", EXTREME, y, "sigmoid")
    else:
        value, gradient = step(loss, EXTREME, y)
    np.testing.assert_allclose(value, np.mean(np.logaddexp(0, EXTREME) - EXTREME * y), rtol=1e-6)
    np.testing.assert_allclose(gradient, (sigmoid(EXTREME) - y).sum(0) / y.size, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("logits", [False, True])
def test_categorical_crossentropies_at_extreme_and_zero_logits(sparse: bool, logits: bool) -> None:
    classes = np.array([1, 1, 2, 0])
    hot = np.eye(3, dtype=np.float32)[classes]
    name = "sparse_categorical_crossentropy" if sparse else "categorical_crossentropy"
    y = classes if sparse else hot
    loss = nm.losses.get(name, from_logits=logits)
    value, gradient = step(loss, EXTREME, y, None if logits else "softmax")
    shifted = EXTREME - EXTREME.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    np.testing.assert_allclose(value, -(hot * log_p).sum(-1).mean(), rtol=1e-6)
    np.testing.assert_allclose(gradient, (softmax(EXTREME) - hot).mean(0), rtol=1e-5, atol=1e-7)


def test_rmse_of_a_perfect_model_has_gradient_zero() -> None:
    x = np.ones((4, 2))
    value, gradient = step("rmse", x, x.astype(np.float32))
    assert value == pytest.approx(1e-7)
    np.testing.assert_array_equal(gradient, 0.0)


def test_rmse_elsewhere() -> None:
    x = np.random.default_rng(0).normal(size=(6, 2))
    y = np.zeros((6, 2), np.float32)
    value, gradient = step("rmse", x, y)
    np.testing.assert_allclose(value, np.sqrt(np.mean(x**2)), rtol=1e-6)
    np.testing.assert_allclose(gradient, x.sum(0) / x.size / np.sqrt(np.mean(x**2)), rtol=1e-5)


def test_mae_at_zero_error_has_a_finite_gradient() -> None:
    _, gradient = step("mae", np.ones((4, 2)), np.ones((4, 2), np.float32))
    assert np.isfinite(gradient).all()


ONE_HOT = np.eye(3, dtype=np.float32)[[1, 1, 2, 0]]
ZEROS, LABELS = np.zeros((4, 3)), np.array([1, 1, 2, 0])


@pytest.mark.parametrize(
    ("loss", "x", "y", "activation"),
    [
        (nm.losses.BinaryFocalCrossentropy(gamma=1.5), EXTREME, ONE_HOT, "sigmoid"),
        (nm.losses.BinaryFocalCrossentropy(from_logits=True), EXTREME, ONE_HOT, None),
        (nm.losses.CategoricalFocalCrossentropy(gamma=0.5), EXTREME, ONE_HOT, "softmax"),
        (nm.losses.CategoricalFocalCrossentropy(from_logits=True), EXTREME, ONE_HOT, None),
        ("categorical_generalized_cross_entropy", EXTREME, LABELS, "softmax"),
        ("cosine_similarity", ZEROS, ONE_HOT, None),
        ("mape", ZEROS, np.zeros((4, 3), np.float32), None),
        ("msle", EXTREME, ONE_HOT, None),
        ("kld", EXTREME, ONE_HOT, "softmax"),
        ("log_cosh", EXTREME, ONE_HOT, None),
        ("dice", ZEROS, np.zeros((4, 3), np.float32), None),
        ("tversky", ZEROS, np.zeros((4, 3), np.float32), None),
        ("circle", np.eye(4, 3), np.arange(4), None),  # nobody has a partner
        ("circle", np.eye(4, 3), np.zeros(4, np.int64), None),  # all have one label
    ],
)
def test_gradients_are_finite_at_the_edges(
    loss: LossLike, x: Array, y: Array, activation: str | None
) -> None:
    value, gradient = step(loss, x, y, activation)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
