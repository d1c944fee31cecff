"""Inputs with axes of their own: graphs as nodes and edges or as matrices, tables beside rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

import neuromatic as nm
from neuromatic.errors import DataError, UnsupportedFeatureError
from tests.converters.cntk.cntk_environment import environment_or_skip

Array = NDArray[Any]
RNG = np.random.default_rng(6)
NODES = 40
X = RNG.normal(size=(NODES, 3)).astype(np.float32)
EDGES = RNG.integers(0, NODES, (2, 90))
TRUTH = RNG.normal(size=(NODES, 2)).astype(np.float32)
W = RNG.normal(size=(3, 2)).astype(np.float32) * 0.4
NEAR = np.zeros((NODES, NODES), np.float32)
np.add.at(NEAR, (EDGES[1], EDGES[0]), 1)


def info(name: str, *shape: Any, dtype: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs, [output], **attributes)


def proto(nodes: list[Any], inputs: list[Any], output: Any) -> ModelProto:
    constants = {
        "w": W,
        "zero": np.zeros((), np.float32),
        "0": np.array(0),
        "1": np.array(1),
        "axis": np.array([1]),
        "repeats": np.array([1, 3]),
    }
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "net", inputs, [output], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def by_edges() -> ModelProto:
    """Each node gets the sum of what its edges bring."""
    nodes = [
        node("Gather", ["edges", "0"], "source", axis=0),
        node("Gather", ["edges", "1"], "target_node", axis=0),
        node("Gather", ["x", "source"], "message", axis=0),
        node("Mul", ["x", "zero"], "nothing"),
        node("Unsqueeze", ["target_node", "axis"], "column"),
        node("Tile", ["column", "repeats"], "index"),
        node("ScatterElements", ["nothing", "index", "message"], "sum", axis=0, reduction="add"),
        node("MatMul", ["sum", "w"], "y"),
    ]
    return proto(
        nodes, [info("x", "n", 3), info("edges", 2, "m", dtype=TensorProto.INT64)], info("y", "n", 2)
    )


def by_matrix(size: int | str) -> ModelProto:
    nodes = [node("MatMul", ["near", "x"], "sum"), node("MatMul", ["sum", "w"], "y")]
    return proto(nodes, [info("x", size, 3), info("near", size, size)], info("y", size, 2))


def whole_graph() -> ModelProto:
    nodes = [
        node("MatMul", ["near", "x"], "sum"),
        node("ReduceMean", ["sum"], "mean", axes=[0], keepdims=1),
        node("MatMul", ["mean", "w"], "y"),
    ]
    return proto(nodes, [info("x", "n", 3), info("near", "n", "n")], info("y", 1, 2))


NETS = {"edges": (by_edges(), EDGES), "matrix": (by_matrix("n"), NEAR), "fixed": (by_matrix(NODES), NEAR)}


def chosen(model: ModelProto) -> nm.Model:
    return nm.Model.from_proto(model).loss("mse").optimizer("sgd", learning_rate=0.1).metrics("mae")


def step(truth: Array, weights: Array | float = 1.0) -> tuple[float, Array]:
    """Loss and new weights of one step of gradient descent, in float64."""
    features = NEAR.astype(np.float64) @ X
    error = (features @ W - truth) * np.asarray(weights)[..., None]
    plain = features @ W - truth
    return float((error * plain).mean()), W - 0.1 * 2 * features.T @ error / error.size


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("jit", [False, True])
def test_a_graph_is_one_batch(net: str, jit: bool) -> None:
    model, beside = NETS[net]
    trained = chosen(model)
    history = trained.train([X, beside], TRUTH, verbose=0, engine_options={"jit": jit})
    loss, weights = step(TRUTH)
    assert history.step_losses == pytest.approx([loss], rel=1e-5)
    np.testing.assert_allclose(trained.parameters()["w"], weights, rtol=1e-4)
    np.testing.assert_allclose(trained.predict([X, beside]), NEAR @ X @ weights, rtol=1e-3, atol=1e-4)
    found = trained.evaluate([X, beside], TRUTH)
    error = NEAR.astype(np.float64) @ X @ weights - TRUTH
    assert found == pytest.approx(
        {"loss": (error**2).mean(), "mean_absolute_error": np.abs(error).mean()}, rel=1e-4
    )


def test_rows_without_weight_take_no_part() -> None:
    weights = (np.arange(NODES) < 30).astype(np.float32)
    trained = chosen(by_edges())
    history = trained.train([X, EDGES], TRUTH, sample_weight=weights, verbose=0)
    loss, expected = step(TRUTH, weights)
    assert history.step_losses == pytest.approx([loss], rel=1e-5)
    np.testing.assert_allclose(trained.parameters()["w"], expected, rtol=1e-4)


def test_one_result_for_a_whole_graph() -> None:
    trained = chosen(whole_graph())
    history = trained.train([X, NEAR], TRUTH[:1], epochs=3, verbose=0)
    assert len(history.step_losses) == 3
    assert trained.predict([X, NEAR]).shape == (1, 2)
    mean = (NEAR.astype(np.float64) @ X).mean(0)
    assert history.step_losses[0] == pytest.approx(((mean @ W - TRUTH[0]) ** 2).mean(), rel=1e-5)


def test_another_graph_to_validate_with() -> None:
    edges = RNG.integers(0, 10, (2, 12))
    history = chosen(by_edges()).train(
        [X, EDGES], TRUTH, validation_data=([X[:10], edges], TRUTH[:10]), epochs=2, verbose=0
    )
    assert np.isfinite(history.history["val_mean_absolute_error"]).all()


def test_a_table_beside_rows_is_given_whole() -> None:
    nodes = [node("MatMul", ["x", "table"], "h"), node("MatMul", ["h", "w"], "y")]
    model = proto(nodes, [info("x", "batch", 5), info("table", 5, 3)], info("y", "batch", 2))
    rows, table = RNG.normal(size=(30, 5)).astype(np.float32), RNG.normal(size=(5, 3)).astype(np.float32)
    truth = RNG.normal(size=(30, 2)).astype(np.float32)
    trained = chosen(model)
    history = trained.train([rows, table], truth, batch_size=10, validation_split=0.2, verbose=0)
    assert len(history.step_losses) == 3  # 24 rows
    expected = rows.astype(np.float64) @ table @ trained.parameters()["w"]
    np.testing.assert_allclose(trained.predict([rows, table], batch_size=7), expected, rtol=1e-3, atol=1e-4)


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a batch size": (
        {"batch_size": 8},
        "^batch_size=8: the rows of this model's inputs depend on each other, ",
    ),
    "a split": (
        {"validation_split": 0.2},
        "^validation_split: the rows of this model's inputs depend on each",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_cannot_be_done_with_one_graph(case: str) -> None:
    settings, message = MISTAKES[case]
    with pytest.raises(DataError, match=message):
        chosen(by_edges()).train([X, EDGES], TRUTH, verbose=0, **settings)


def test_data_that_do_not_fit() -> None:
    with pytest.raises(DataError, match=r"x and y have different lengths: \{'x': 40, 'target': 9\}"):
        chosen(by_edges()).train([X, EDGES], TRUTH[:9])
    with pytest.raises(DataError, match=r"x \(for 'edges'\) has shape \(1, 90\), expected \(2, m\)"):
        chosen(by_edges()).train([X, EDGES[:1]], TRUTH)
    with pytest.raises(DataError, match="x and y: axis 'n' has size 40 in 'x' and 9 in 'target'"):
        chosen(by_matrix("n")).train([X, NEAR], TRUTH[:9])


def test_cntk_says_that_it_cannot() -> None:
    environment_or_skip()
    with pytest.raises(UnsupportedFeatureError, match="cntk takes its inputs row by row; 'near' of shape"):
        chosen(by_matrix("n")).train([X, NEAR], TRUTH, engine="cntk", verbose=0)
