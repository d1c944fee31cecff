"""Selection by index on CNTK."""

from __future__ import annotations

import numpy as np
import pytest

from neuromatic.converters.cntk.client import Worker
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
