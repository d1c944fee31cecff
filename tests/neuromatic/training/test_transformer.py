"""A transformer, trained side by side with its twin in Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.neuromatic import transformers

Array = NDArray[Any]
STEPS, BATCH, RATE = 10, 8, 0.3


def trained_twin(causal: bool, parameters: dict[str, Array]) -> tuple[list[float], dict[str, Array]]:
    """Keras' losses, and its parameters by our names."""
    x = keras.Input((transformers.STEPS,), dtype="int32")
    twin = keras.Model(x, transformers.net(keras.layers, x, causal))
    found: dict[str, Any] = {}
    for layer in twin.layers:
        names = [name for name in parameters if name.startswith(f"{layer.name}/")]
        found |= dict(zip(names, layer.weights, strict=True))
    for name, variable in found.items():
        variable.assign(parameters[name])
    twin.compile(keras.optimizers.SGD(RATE), loss="sparse_categorical_crossentropy")
    words, classes = transformers.data(STEPS * BATCH)
    losses = []
    for i in range(STEPS):
        rows = slice(i * BATCH, (i + 1) * BATCH)
        twin.reset_metrics()
        losses.append(float(twin.train_on_batch(words[rows], classes[rows])))
    return losses, {name: np.asarray(variable) for name, variable in found.items()}


@pytest.mark.parametrize("causal", [False, True])
def test_it_trains_as_in_keras(causal: bool) -> None:
    model = transformers.model(causal, RATE)
    losses, parameters = trained_twin(causal, model.parameters())
    words, classes = transformers.data(STEPS * BATCH)
    history = model.train(words, classes, batch_size=BATCH, shuffle=False, verbose=0)
    np.testing.assert_allclose(history.step_losses, losses, rtol=1e-4, atol=1e-4)
    assert losses[-1] < losses[0]
    found = model.parameters()
    assert found.keys() == parameters.keys()
    for name, array in found.items():
        np.testing.assert_allclose(array, parameters[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_causal_model_does_not_see_what_comes_later() -> None:
    words, _ = transformers.data(2)
    later = words.copy()
    later[:, -1] = (later[:, -1] + 1) % transformers.WORDS
    for causal in (True, False):
        model = transformers.model(causal)
        first, second = (model.predict(x)[:, :-1] for x in (words, later))
        assert np.array_equal(first, second) is causal
