"""CNTK's own ONNX import against the graph built node by node: the same updates, step by step."""

from __future__ import annotations

import numpy as np
import pytest

import neuromatic as nm
from neuromatic.errors import UnsupportedFeatureError, UnsupportedOpError
from tests.converters.cntk.nets import NETS, data, lstm, with_recipe

pytestmark = pytest.mark.usefixtures("cntk_environment")


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("net", ["mlp", "cnn", "residual"])
def test_both_loaders_make_the_same_updates(net: str, optimizer: str) -> None:
    x, y = data(NETS[net][1])
    trained, losses = [], []
    for loader in ("builder", "native"):
        model = with_recipe(net, optimizer)
        options = {"threads": 1, "loader": loader}
        history = model.train(x, y, epochs=2, batch_size=16, verbose=0, engine="cntk", engine_options=options)
        trained.append(model)
        losses.append(history.step_losses)
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-6)
    assert losses[0][-1] < losses[0][0]
    first, second = (model.parameters() for model in trained)
    for name, value in first.items():
        np.testing.assert_allclose(second[name], value, rtol=0, atol=5e-6, err_msg=name)


def test_operators_that_the_import_gets_wrong_are_refused_by_name() -> None:
    model = lstm().loss("sparse_categorical_crossentropy").optimizer("sgd")
    x, y = data((6, 3))
    with pytest.raises(UnsupportedOpError, match="LSTM"):
        model.train(x, y, verbose=0, engine="cntk", engine_options={"loader": "native"})


def test_dropout_is_refused_for_its_masks() -> None:
    model = nm.Sequential((12,)).dropout(0.5).dense(4, activation="softmax")
    recipe = model.loss("sparse_categorical_crossentropy").optimizer("sgd")
    with pytest.raises(UnsupportedFeatureError, match="Dropout"):
        recipe.train(*data((12,)), verbose=0, engine="cntk", engine_options={"loader": "native"})
