"""A model's forward pass on an engine, in inference and in training form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import neuromatic as nm
from neuromatic.errors import DataError, UnknownNameError, UnsupportedOpError
from tests.converters.cntk.cntk_environment import environment_or_skip

L = nm.layers
X = np.random.default_rng(0).normal(1.0, 2.0, size=(50, 6)).astype(np.float32)
ENGINES = ["tensorflow", "cntk"]


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest) -> None:
    if "cntk" in request.node.name:
        environment_or_skip()


def net(*layers: Any) -> nm.Model:
    x = nm.Input((6,))
    h = x
    for layer in layers:
        h = layer(h)
    return nm.Model(x, h)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("batch_size", [None, 20])
def test_inference_is_that_of_onnxruntime(engine: str, batch_size: int | None) -> None:
    model = net(L.Dense(5, activation="relu"), L.BatchNormalization(), L.Dropout(0.5), L.Dense(3))
    found = model.run(X, engine=engine, batch_size=batch_size)
    np.testing.assert_allclose(found, model.predict(X), rtol=1e-4, atol=1e-5)


def test_several_outputs_by_name() -> None:
    x = nm.Input((6,))
    model = nm.Model(x, [L.Dense(2, name="a")(x), L.Dense(1, name="b")(x)])
    found, expected = model.run(X), model.predict(X)
    assert list(found) == ["a", "b"]
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_dropout_in_training_form(engine: str) -> None:
    model = net(L.Dropout(0.25))
    wide = np.ones((400, 6), np.float32)
    drawn = model.run(wide, engine=engine, training=True, batch_size=200)
    assert set(np.unique(drawn.round(5))) == {0.0, np.float32(1 / 0.75).round(5)}
    kept = (drawn > 0).mean()
    assert abs(kept - 0.75) < 6 * np.sqrt(0.75 * 0.25 / drawn.size)
    assert (drawn[:200] != drawn[200:]).any()  # each batch draws its own
    again = model.run(wide, engine=engine, training=True, batch_size=200)
    np.testing.assert_array_equal(again, drawn)
    assert (model.run(wide, engine=engine, training=True, batch_size=200, seed=1) != drawn).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_batch_normalization_in_training_form(engine: str) -> None:
    model = net(L.BatchNormalization(epsilon=1e-3))
    before = model.proto.SerializeToString()
    found = model.run(X, engine=engine, training=True, batch_size=25)
    for start in (0, 25):
        part = X[start : start + 25].astype(np.float64)
        expected = (part - part.mean(0)) / np.sqrt(part.var(0) + 1e-3)
        np.testing.assert_allclose(found[start : start + 25], expected, rtol=1e-3, atol=1e-4)
    assert model.proto.SerializeToString() == before


def test_the_recipe_says_what_training_means() -> None:
    model = net(L.BatchNormalization(), L.Dropout(0.5), L.Dense(1)).loss("mse").optimizer("sgd")
    frozen = model._with_batch_norm("frozen")._with_dropout("off")
    np.testing.assert_allclose(frozen.run(X, training=True), model.predict(X), rtol=1e-4, atol=1e-5)
    assert np.abs(model.run(X, training=True) - model.predict(X)).max() > 0.1


@pytest.mark.parametrize("engine", ENGINES)
def test_random_numbers_of_the_graph_itself(engine: str) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("RandomNormalLike", ["x"], ["e"], mean=2.0),
            helper.make_node("Add", ["x", "e"], ["y"]),
        ],
        "net",
        [value("x", TensorProto.FLOAT, ["n", 6])],
        [value("y", TensorProto.FLOAT, ["n", 6])],
    )
    model = nm.Model.from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )
    found = model.run(np.zeros((500, 6), np.float32), engine=engine)
    assert abs(found.mean() - 2) < 6 / np.sqrt(found.size)


def test_a_fixed_batch() -> None:
    value = helper.make_tensor_value_info
    weight = numpy_helper.from_array(np.eye(6, dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "net",
        [value("x", TensorProto.FLOAT, [8, 6])],
        [value("y", TensorProto.FLOAT, [8, 6])],
        [weight],
    )
    model = nm.Model.from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )
    np.testing.assert_allclose(model.run(X), X, rtol=1e-6)
    with pytest.raises(DataError, match="batch_size=5: the file has a fixed batch of 8"):
        model.run(X, batch_size=5)


def test_what_is_wrong() -> None:
    model = net(L.Dense(2))
    with pytest.raises(UnknownNameError, match="there is no engine named 'torch'"):
        model.run(X, engine="torch")
    with pytest.raises(DataError, match=r"x \(for 'input'\) has shape \(50, 5\)"):
        model.run(X[:, :5])
    with pytest.raises(TypeError, match="has no option 'fast'"):
        model.run(X, engine_options={"fast": True})
    unknown = net(L.Dense(2)).proto
    unknown.graph.node[0].domain = "com.example"
    unknown.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(UnsupportedOpError, match="no lowering for"):
        nm.Model.from_proto(unknown).run(X)
