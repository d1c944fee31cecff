"""onnxruntime sessions: batches, and errors in words of ours."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from onnx import helper

from neuromatic.builder.model import Model
from neuromatic.errors import EngineNotAvailableError, InvalidModelError
from neuromatic.inference import Session, batches
from tests.neuromatic.graphs import in_onnxruntime, linear, parsed


def x(count: int = 5) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_batches_are_joined(batch_size: int) -> None:
    found = Session(linear()).run_batches({"x": x()}, batch_size)
    np.testing.assert_allclose(found["y"], in_onnxruntime(linear(), {"x": x()})[0], rtol=1e-6)


def test_single_outputs_by_name() -> None:
    session = Session(linear(extra="h = Neg(x)"))
    assert session.outputs == ["y"]
    assert list(session.run({"x": x()}, ["y"])) == ["y"]


def test_batches() -> None:
    parts = list(batches({"a": np.arange(5), "b": np.arange(5) * 2}, 2))
    assert [part["a"].tolist() for part in parts] == [[0, 1], [2, 3], [4]]
    assert [part["b"].tolist() for part in parts] == [[0, 2], [4, 6], [8]]
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        next(batches({"a": np.arange(5)}, 0))


def test_an_output_that_has_no_rows() -> None:
    model = parsed(
        """<ir_version: 8, opset_import: ["": 17]>
        net (float[N, 3] x) => (float y, float[N, 3] z) { y = ReduceMean<keepdims = 0>(x) z = Neg(x) }"""
    )
    found = Session(model).run_batches({"x": x()}, 5)
    assert found["y"].shape == ()
    assert found["y"] == pytest.approx(x().mean())
    with pytest.raises(InvalidModelError, match="output 'y' is one number for all rows; give a batch_size"):
        Session(model).run_batches({"x": x()}, 2)
    assert Model.from_proto(model).predict(x())["y"].shape == ()


def test_a_model_that_onnxruntime_refuses() -> None:
    model = linear()
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    model.graph.node[0].domain = "com.example"
    with pytest.raises(InvalidModelError, match=r"^onnxruntime refuses the model: [^\n]*Gemm[^\n]*$"):
        Session(model)


def test_inputs_that_onnxruntime_refuses() -> None:
    with pytest.raises(
        InvalidModelError, match=r"^onnxruntime cannot run the model on these inputs: [^\n]+$"
    ):
        Session(linear()).run({"x": np.ones((2, 4), np.float32)})
    with pytest.raises(
        InvalidModelError, match=r"^onnxruntime cannot run the model on these inputs: [^\n]+$"
    ):
        Session(linear()).run({})


def test_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        EngineNotAvailableError, match=r"onnxruntime is not available \(.*\); install it with: pip install"
    ):
        Session(linear())
