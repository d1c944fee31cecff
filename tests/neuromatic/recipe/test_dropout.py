"""Training with Dropout off is training the net without the layers that draw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import neuromatic as nm
from neuromatic.errors import RecipeError
from neuromatic.recipe.dropout import without_dropout
from neuromatic.recipe.schema import METADATA_KEY
from tests.converters.cntk.cntk_environment import environment_or_skip

L = nm.layers
RNG = np.random.default_rng(2)
X = RNG.normal(size=(40, 6, 4)).astype(np.float32)
Y = X.mean((1, 2))[:, None]


def recurrent(rate: float) -> nm.Sequential:
    return nm.Sequential((6, 4)).lstm(5, dropout=rate, name="lstm").dense(1, name="head")


def attention(rate: float) -> nm.Model:
    x = nm.Input((6, 4))
    h = L.MultiHeadAttention(2, 3, dropout=rate, name="attention")(x, x)
    return nm.Model(x, L.Dense(1, name="head")(L.Flatten(name="flat")(h)))


def between(layer: Callable[[], L.Layer] | None) -> nm.Model:
    x = nm.Input((6, 4))
    h = L.Dense(5, activation="relu", name="first")(x)
    h = h if layer is None else layer()(h)
    return nm.Model(x, L.Dense(1, name="head")(L.Flatten(name="flat")(h)))


LAYERS: dict[str, Callable[[], L.Layer]] = {
    "Dropout": lambda: L.Dropout(0.5),
    "noise_shape": lambda: L.Dropout(0.5, noise_shape=(None, 1, None)),
    "SpatialDropout1D": lambda: L.SpatialDropout1D(0.4),
    "AlphaDropout": lambda: L.AlphaDropout(0.3),
    "GaussianDropout": lambda: L.GaussianDropout(0.3),
    "GaussianNoise": lambda: L.GaussianNoise(0.3),
}


def trained(model: nm.Model | nm.Sequential, **settings: Any) -> dict[str, Any]:
    chosen = model.loss("mse").optimizer("sgd", learning_rate=0.05)
    chosen.train(X, Y, epochs=2, batch_size=20, verbose=0, **settings)
    return chosen.parameters()


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("layer", LAYERS)
def test_off_is_without_the_layer(layer: str) -> None:
    expected = trained(between(None))
    assert_equal(trained(between(LAYERS[layer]), dropout="off"), expected)
    drawn = trained(between(LAYERS[layer]))
    assert any(np.abs(drawn[name] - array).max() > 1e-3 for name, array in expected.items())


@pytest.mark.parametrize("layer", ["Dropout", "AlphaDropout"])
def test_off_is_without_the_layer_on_cntk(layer: str) -> None:
    environment_or_skip()
    expected = trained(between(None), engine="cntk")
    assert_equal(trained(between(LAYERS[layer]), engine="cntk", dropout="off"), expected)


@pytest.mark.parametrize("net", [attention, recurrent])
def test_off_inside_layers(net: Callable[[float], Any]) -> None:
    assert_equal(trained(net(0.5), dropout="off"), trained(net(0.0)))


def test_nodes_of_all_versions_and_inside_of_others() -> None:
    info = helper.make_tensor_value_info
    inner = helper.make_graph(
        [helper.make_node("Dropout", ["x"], ["t"])], "then", [], [info("t", TensorProto.FLOAT, None)]
    )
    nodes = [
        helper.make_node("Dropout", ["x"], ["a"], ratio=0.5),
        helper.make_node("Dropout", ["x", "", "yes"], ["b", "mask"]),
        helper.make_node("If", ["yes"], ["c"], then_branch=inner, else_branch=inner),
    ]
    function = helper.make_function(
        "own", "f", ["x"], ["y"], [helper.make_node("Dropout", ["x", "r"], ["y"])], []
    )
    model = helper.make_model(helper.make_graph(nodes, "net", [], []), functions=[function])
    without_dropout(model)
    constant, old, new, branches = model.graph.node
    assert numpy_helper.to_array(constant.attribute[0].t) == 0
    assert old.attribute[0].f == 0
    assert list(new.input) == ["x", constant.output[0], "yes"]
    for nodes_inside in (branches.attribute[0].g.node, model.functions[0].node):
        assert [node.op_type for node in nodes_inside] == ["Constant", "Dropout"]
        assert list(nodes_inside[1].input) == ["x", nodes_inside[0].output[0]]


def test_the_file_keeps_the_choice(tmp_path: Path) -> None:
    model = between(LAYERS["Dropout"]).loss("mse").optimizer("adam")
    assert model.recipe is not None
    assert model.recipe.dropout == "train"
    model.train(X, Y, verbose=0, dropout="off")
    model.save(tmp_path / "a.onnx")
    again = nm.load(tmp_path / "a.onnx")
    assert again.recipe is not None
    assert again.recipe.dropout == "off"
    changed = again.metrics("mae").freeze("first/*")
    assert changed.recipe is not None
    assert changed.recipe.dropout == "off"
    step = again.recipe.step
    again.train(X, Y, verbose=0, dropout="train")
    assert again.recipe is not None
    assert again.recipe.dropout == "train"
    stored = {t.name: t for t in again.proto.training_info[0].algorithm.initializer}
    assert numpy_helper.to_array(stored[str(step)]) == 4  # its state goes on


def test_mistakes() -> None:
    model = between(None).loss("mse").optimizer("sgd")
    with pytest.raises(ValueError, match=r"^dropout must be .* got 'none'$"):
        model.train(X, Y, dropout="none")  # type: ignore[arg-type]
    for entry in model.proto.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = entry.value.replace('"version"', '"dropout": "maybe", "version"')
    with pytest.raises(RecipeError, match="'maybe' is not a form of dropout"):
        nm.Model.from_proto(model.proto).recipe  # noqa: B018
