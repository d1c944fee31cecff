"""Files whose batch is fixed, as PyTorch exports by default: trained, evaluated and run with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import neuromatic as nm
from neuromatic.errors import DataError
from tests.converters.cntk.cntk_environment import environment_or_skip

RNG = np.random.default_rng(4)
X = RNG.normal(size=(22, 1, 4, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 22)
KERNEL = RNG.normal(size=(2, 1, 3, 3)).astype(np.float32) * 0.4
WEIGHT = RNG.normal(size=(32, 3)).astype(np.float32) * 0.3


def file(batch: int | str) -> ModelProto:
    """A convolution and a dense layer, with a Reshape that has the batch size in it."""
    info, node = helper.make_tensor_value_info, helper.make_node
    size = batch if isinstance(batch, int) else -1
    constants = {"k": KERNEL, "w": WEIGHT, "b": np.zeros(3, np.float32), "s": np.array([size, 32])}
    graph = helper.make_graph(
        [
            node("Conv", ["x", "k"], ["c"], pads=[1] * 4),
            node("Relu", ["c"], ["r"]),
            node("Reshape", ["r", "s"], ["f"], name="flatten"),
            node("Gemm", ["f", "w", "b"], ["y"]),
        ],
        "net",
        [info("x", TensorProto.FLOAT, [batch, 1, 4, 4])],
        [info("y", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def model(batch: int | str) -> nm.Model:
    chosen = nm.Model.from_proto(file(batch)).loss("sparse_categorical_crossentropy", from_logits=True)
    return chosen.optimizer("adam", learning_rate=0.01).metrics("accuracy")


@contextmanager
def leaving_out(rows: int, batch: int, out: int) -> Iterator[None]:
    message = f"{rows} rows are no multiple of {batch}, .* each epoch leaves out {out} of them"
    with pytest.warns(UserWarning, match=message):
        yield


@pytest.mark.parametrize("batch", [1, 2, 11])
@pytest.mark.parametrize("engine", ["tensorflow", "cntk"])
def test_it_trains_as_with_that_batch_size(engine: str, batch: int) -> None:
    if engine == "cntk":
        environment_or_skip()
    fixed, free = model(batch), model("n")
    settings: dict[str, Any] = {"epochs": 3, "validation_data": (X[:7], Y[:7]), "engine": engine}
    settings["verbose"] = 0
    found = fixed.train(X, Y, **settings)
    expected = free.train(X, Y, batch_size=batch, **settings)
    np.testing.assert_allclose(found.step_losses, expected.step_losses, rtol=1e-4)
    for name, values in expected.history.items():
        np.testing.assert_allclose(found.history[name], values, rtol=1e-4, err_msg=name)
    for name in ("k", "w", "b"):
        np.testing.assert_allclose(fixed.parameters()[name], free.parameters()[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("batch", [4, 8])
def test_rows_that_fill_no_batch_are_left_out_of_an_epoch_and_said(batch: int) -> None:
    chosen = model(batch)
    with leaving_out(22, batch, 22 % batch):
        history = chosen.train(X, Y, epochs=2, verbose=0)
    assert len(history.step_losses) == 2 * (22 // batch)


@pytest.mark.parametrize("batch", [1, 3, 4, 22])
@pytest.mark.parametrize("rows", [1, 3, 22])
def test_outputs_loss_and_metrics_of_any_number_of_rows(batch: int, rows: int) -> None:
    fixed, free = model(batch), model("n")
    np.testing.assert_allclose(fixed.predict(X[:rows]), free.predict(X[:rows]), rtol=1e-5, atol=1e-6)
    expected = free.evaluate(X[:rows], Y[:rows])
    assert fixed.evaluate(X[:rows], Y[:rows]) == pytest.approx(expected, rel=1e-5)
    logits = free.predict(X[:rows]).astype(np.float64)
    total = np.log(np.exp(logits).sum(1)) - logits[np.arange(rows), Y[:rows]]
    assert expected["loss"] == pytest.approx(total.mean(), rel=1e-5)


def test_weights_and_other_metrics_of_what_fills_no_batch() -> None:
    weights = RNG.uniform(size=22).astype(np.float32)
    fixed, free = (
        m.metrics("accuracy", nm.metrics.AUC(from_logits=True, num_thresholds=20))
        for m in (binary(4), binary("n"))
    )
    truth = Y[:, None] > 0
    found = fixed.evaluate(X, truth, sample_weight=weights)
    assert found == pytest.approx(free.evaluate(X, truth, sample_weight=weights), rel=1e-5)


def binary(batch: int | str) -> nm.Model:
    head = nm.Model.from_proto(file(batch)).replace_head(units=1, seed=3)
    return head.loss("binary_crossentropy", from_logits=True).optimizer("sgd")


@pytest.mark.parametrize("engine", ["tensorflow", "onnxruntime"])
def test_another_batch_size_says_what_to_do(engine: str) -> None:
    message = (
        r"^batch_size=32: the file has a fixed batch of 4, in input 'x' \(4, 1, 4, 4\); leave batch_size "
        r"out, or make the batch dynamic: model.dynamic_batch\(\), or neuromatic convert MODEL -o NEW.onnx "
        r"--dynamic-batch$"
    )
    calls = {
        "tensorflow": lambda: model(4).train(X, Y, batch_size=32),
        "onnxruntime": lambda: model(4).predict(X, batch_size=32),
    }
    with pytest.raises(DataError, match=message):
        calls[engine]()
    with pytest.raises(DataError, match=message):
        model(4).evaluate(X, Y, batch_size=32)
    assert model(4).predict(X, batch_size=4).shape == (22, 3)


def test_too_few_rows() -> None:
    with pytest.raises(DataError, match="x has 3 rows; the file has a fixed batch of 4 rows, in input 'x'"):
        model(4).train(X[:3], Y[:3])


def test_the_rehearsal_tries_what_is_left_of_the_validation_data() -> None:
    history = model(4).train(X[:16], Y[:16], validation_data=(X[:3], Y[:3]), epochs=1, verbose=0)
    assert np.isfinite(history.history["val_loss"]).all()


def test_rows_that_depend_on_each_other_stay_in_their_order(tmp_path: Path) -> None:
    """A graph of four nodes whose neighbours are a constant of the file."""
    near = np.eye(4, k=1, dtype=np.float32) + np.eye(4, dtype=np.float32)
    info, node = helper.make_tensor_value_info, helper.make_node
    graph = helper.make_graph(
        [node("MatMul", ["near", "x"], ["a"]), node("MatMul", ["a", "w"], ["y"])],
        "net",
        [info("x", TensorProto.FLOAT, [4, 3])],
        [info("y", TensorProto.FLOAT, [4, 1])],
        [numpy_helper.from_array(near, "near"), numpy_helper.from_array(np.ones((3, 1), np.float32), "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = RNG.normal(size=(8, 3)).astype(np.float32)
    y = np.concatenate([near @ x[:4], near @ x[4:]]) @ np.array([[1], [2], [3]], np.float32)
    chosen = nm.Model.from_proto(proto).loss("mse").optimizer("sgd", learning_rate=0.0)
    history = chosen.freeze("near").train(x, y, verbose=0)
    exact = (np.concatenate([near @ x[:4], near @ x[4:]]) @ np.ones((3, 1)) - y) ** 2
    assert history.history["loss"] == pytest.approx([exact.mean()], rel=1e-5)
    assert chosen.predict(x) == pytest.approx(
        np.concatenate([near @ x[:4], near @ x[4:]]).sum(1, keepdims=True), abs=1e-5
    )
    with pytest.raises(
        DataError, match="x has 6 rows; the file has a fixed batch of 4 rows, which depend on"
    ):
        chosen.predict(x[:6])
