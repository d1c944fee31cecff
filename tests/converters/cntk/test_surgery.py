"""A new head, a loss of an inner value and frozen statistics: CNTK as TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import neuromatic as nm
from neuromatic.builder.model import Model
from tests.neuromatic.builder.test_surgery import two_products
from tests.neuromatic.transfer.test_replace_head import images, vision


def head() -> Model:
    model = Model.from_proto(vision()).replace_head(units=3, activation="softmax")
    return model.loss("sparse_categorical_crossentropy").optimizer("sgd", learning_rate=0.3)


def inner() -> Model:
    return two_products().loss({"active": "mse", "y": "mae"}).optimizer("adam", learning_rate=0.1)


def frozen() -> Model:
    chain = nm.Sequential((1, 6, 6)).conv2d(2, 3).batch_normalization().flatten().dense(3)
    return chain.freeze("batch_normalization/moving_*").loss("mse").optimizer("sgd", learning_rate=0.1)


RNG = np.random.default_rng(7)
CASES: dict[str, tuple[Callable[[], Model], np.ndarray, object]] = {
    "head": (head, images(), np.arange(6) % 3),
    "inner": (inner, RNG.normal(size=(6, 3)), {"active": RNG.normal(size=(6, 4)), "y": np.ones((6, 2))}),
    "frozen": (frozen, images(), RNG.normal(size=(6, 3))),
}


@pytest.mark.usefixtures("cntk_environment")
@pytest.mark.parametrize("name", CASES)
def test_three_steps_as_on_tensorflow(name: str) -> None:
    make, x, y = CASES[name]
    trained = []
    for engine in ("tensorflow", "cntk"):
        model = make()
        history = model.train(x, y, epochs=3, batch_size=6, engine=engine, verbose=0)  # type: ignore[arg-type]
        trained.append((history.step_losses, model.parameters()))
    (losses, expected), (found_losses, found) = trained
    np.testing.assert_allclose(found_losses, losses, rtol=1e-4)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-3, atol=1e-5, err_msg=key)
