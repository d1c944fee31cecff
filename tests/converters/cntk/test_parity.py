"""One recipe on TensorFlow and on CNTK: the same losses at every step, the same weights in the end."""

from __future__ import annotations

import numpy as np
import pytest

import neuromatic as nm
from neuromatic.reports.parity import compare
from tests.converters.cntk.nets import NETS, OPTIMIZERS, data, with_recipe

pytestmark = pytest.mark.usefixtures("cntk_environment")
BATCH, EPOCHS = 16, 5
"""50 steps."""
THREAD = {"cntk": {"threads": 1}}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("net", NETS)
def test_both_engines_train_alike(net: str, optimizer: str) -> None:
    x, y = data(NETS[net][1])
    model = with_recipe(net, optimizer)
    found = compare(model, x, y, epochs=EPOCHS, batch_size=BATCH, seed=3, verbose=0, engine_options=THREAD)
    assert len(found.losses["cntk"]) == 50
    assert found.losses["cntk"][-1] < found.losses["cntk"][0]
    assert found.loss_difference < 1e-4
    assert found.weight_difference[0] < 1e-3, found.weight_difference
    assert found.output_difference < 1e-3


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_own_learners_are_the_recorded_update(optimizer: str) -> None:
    """CNTK's own learners stand for the ONNX definition: the same weights to 1e-6 after 10 steps."""
    x, y = data((12,))
    trained = []
    for learner in ("auto", "recorded"):
        model = with_recipe("mlp", optimizer)
        options = {"threads": 1, "learner": learner}
        model.train(x, y, batch_size=16, verbose=0, engine="cntk", engine_options=options)
        trained.append(model)
    first, second = (model.parameters() for model in trained)
    for name, value in first.items():
        np.testing.assert_allclose(value, second[name], rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_goes_on_from_the_state_in_the_file(optimizer: str) -> None:
    """Two runs of one epoch each are one run of two, bit for bit; the optimizer's state is in the file."""
    x, y = data((12,))
    whole, parts = with_recipe("mlp", optimizer), with_recipe("mlp", optimizer)
    settings = {"batch_size": 16, "verbose": 0, "shuffle": False, "engine": "cntk"}
    whole.train(x, y, epochs=2, engine_options={"threads": 1}, **settings)  # type: ignore[arg-type]
    for _ in range(2):
        parts.train(x, y, epochs=1, engine_options={"threads": 1}, **settings)  # type: ignore[arg-type]
    for name, value in whole.parameters().items():
        np.testing.assert_array_equal(parts.parameters()[name], value, err_msg=name)


def test_a_schedule_sets_the_rate_of_each_step() -> None:
    x, y = data((12,))
    rates = [0.1, 0.01, 0.05, 0.0, 0.02]

    def schedule(step: int) -> float:
        return rates[step % len(rates)]

    model = with_recipe("mlp", "momentum")
    found = compare(
        model, x, y, epochs=2, batch_size=16, learning_rate=schedule, verbose=0, engine_options=THREAD
    )
    assert found.loss_difference < 1e-5


def test_frozen_parameters_stay() -> None:
    x, y = data((12,))
    model = with_recipe("mlp", "adam").freeze("dense/*")
    before = model.parameters()
    model.train(x, y, batch_size=16, verbose=0, engine="cntk", engine_options={"threads": 1})
    changed = {n for n, value in model.parameters().items() if not np.array_equal(value, before[n])}
    assert changed == {"dense_1/kernel", "dense_1/bias"}


def test_dropout_draws_the_same_masks_again() -> None:
    """Masks depend on seed, node and step alone: a run that is resumed equals one that was not."""
    x, y = data((12,))

    def net() -> nm.Model:
        model = nm.Sequential((12,), seed=1).dense(16, activation="relu").dropout(0.5)
        return model.dense(4, activation="softmax").loss("sparse_categorical_crossentropy").optimizer("adam")

    def train(model: nm.Model, epochs: int, seed: int = 0) -> nm.Model:
        options = {"threads": 1}
        model.train(
            x,
            y,
            epochs=epochs,
            batch_size=16,
            seed=seed,
            shuffle=False,
            verbose=0,
            engine="cntk",
            engine_options=options,
        )
        return model

    whole, parts, other = train(net(), 2), train(train(net(), 1), 1), train(net(), 2, seed=1)
    for name, value in whole.parameters().items():
        np.testing.assert_array_equal(parts.parameters()[name], value, err_msg=name)
    assert not np.array_equal(other.parameters()["dense/kernel"], whole.parameters()["dense/kernel"])


def test_gelu_by_erf_has_an_exact_gradient() -> None:
    x, y = data((12,))
    model = nm.Sequential((12,), seed=1).dense(16, activation="gelu").dense(4, activation="softmax")
    recipe = model.loss("sparse_categorical_crossentropy").optimizer("sgd", learning_rate=0.1)
    found = compare(recipe, x, y, epochs=5, batch_size=16, verbose=0, engine_options=THREAD)
    assert found.loss_difference < 1e-5
    assert found.weight_difference[0] < 1e-5
