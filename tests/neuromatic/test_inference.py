"""onnxruntime sessions: batches, and errors in words of ours."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from onnx import helper

from neuromatic.errors import EngineNotAvailableError, InvalidModelError
from neuromatic.inference import Session
from tests.neuromatic.graphs import linear


def x(count: int = 5) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)


def test_single_outputs_by_name() -> None:
    session = Session(linear(extra="h = Neg(x)"))
    assert session.outputs == ["y"]
    assert list(session.run({"x": x()}, ["y"])) == ["y"]


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
