"""Selection by index on CNTK."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.evaluate import run_model
from neuromatic.errors import UnsupportedFeatureError
from tests.converters.cntk.single import check, normal


@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize(
    "indices", [2, [1], [0, 2, 4], [1, 2], [-1, 0, 0], [[0, 3], [-2, 1]], [*range(4, -1, -1)] * 4]
)
def test_gather_by_constants(worker: Worker, axis: int, indices: object) -> None:
    inputs = {"data": normal(3, 5, 6), "indices": np.array(indices, np.int64)}
    check(worker, "Gather", inputs, constants=("indices",), axis=axis)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("indices", [[2, 0, -1, 2], [[0, 3], [-2, 1], [3, 3]]])
@pytest.mark.parametrize("constant", [True, False])
def test_gather_from_a_table(worker: Worker, axis: int, indices: object, constant: bool) -> None:
    inputs = {"data": normal(4, 5, 6), "indices": np.array(indices, np.int64)}
    constants = ("data",) if constant else ()
    check(worker, "Gather", inputs, constants=constants, batched=("indices",), axis=axis)


def test_gather_of_rows_by_one_data_index(worker: Worker) -> None:
    inputs = {"data": normal(3, 5, 6), "indices": np.array(-2, np.int64)}
    check(worker, "Gather", inputs, batched=("data",), axis=1)


def test_gather_from_the_batch_is_refused(worker: Worker) -> None:
    inputs = {"data": normal(3, 5), "indices": np.array([0], np.int64)}
    with pytest.raises(UnsupportedFeatureError, match="indices into the batch"):
        check(worker, "Gather", inputs, constants=("indices",), axis=0)


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("constant", [True, False])
def test_gather_elements(worker: Worker, axis: int, constant: bool) -> None:
    data = normal(3, 5, 6)
    data[0, 0, 0] = np.inf
    indices = np.random.default_rng(1).integers(-5, 5, (3, 4, 5))
    if constant:
        inputs = {"data": data[:1], "indices": indices[:1]}
        check(worker, "GatherElements", inputs, constants=("indices",), axis=axis)
    else:
        inputs = {"data": data, "indices": indices}
        check(worker, "GatherElements", inputs, batched=("data", "indices"), axis=axis)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("values", [[0.0, 1.0], [-1.0, 2.5]])
def test_one_hot(worker: Worker, axis: int, values: list[float]) -> None:
    inputs = {
        "indices": np.array([[0, 3], [-1, 4], [-4, -5]], np.int64),
        "depth": np.array(4, np.int64),
        "values": np.array(values, np.float32),
    }
    check(worker, "OneHot", inputs, constants=("depth", "values"), axis=axis)


@pytest.mark.parametrize(("batch_axis", "time_axis"), [(0, 1), (1, 0)])
@pytest.mark.parametrize("lengths", [[5, 5, 5], [1, 5, 3]])
def test_reverse_sequence(worker: Worker, lengths: list[int], batch_axis: int, time_axis: int) -> None:
    node = helper.make_node("ReverseSequence", ["t", "l"], ["r"], batch_axis=batch_axis, time_axis=time_axis)
    perm = [0, 1, 2] if batch_axis == 0 else [1, 0, 2]
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=perm),
        node,
        helper.make_node("Transpose", ["r"], ["y"], perm=perm),
    ]
    x, fed = normal(3, 5, 2), np.array(lengths, np.int64)
    infos = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 5, 2]),
        helper.make_tensor_value_info("l", TensorProto.INT64, ["N"]),
    ]
    graph = helper.make_graph(
        nodes, "g", infos, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x, "l": fed})
    found = run_model(model, {"x": x, "l": fed}, worker, batched=["x", "l"])
    np.testing.assert_allclose(found["y"], expected, rtol=1e-6)
