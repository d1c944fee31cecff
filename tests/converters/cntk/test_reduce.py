"""Reductions on CNTK."""

from __future__ import annotations

import numpy as np
import pytest

from neuromatic.converters.cntk.client import Worker
from neuromatic.errors import UnsupportedFeatureError
from tests.converters.cntk.single import Array, check, normal

OPERATORS = ("Sum", "Mean", "Max", "Min", "Prod", "SumSquare", "L1", "L2", "LogSum", "LogSumExp")
OVER_THE_BATCH = tuple(op for op in OPERATORS if op != "Prod")


def _axes(*axes: int) -> dict[str, Array]:
    return {"axes": np.array(axes, np.int64)}


def _positive(*shape: int) -> Array:
    return np.abs(normal(*shape)) + np.float32(0.1)


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("axes", [(1,), (-1,), (1, 2), (1, 3), (-1, -2, -3)])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_over_fixed_axes(worker: Worker, op: str, axes: tuple[int, ...], keepdims: int) -> None:
    inputs = {"data": _positive(3, 4, 2, 5), **_axes(*axes)}
    check(worker, f"Reduce{op}", inputs, constants=("axes",), keepdims=keepdims)


@pytest.mark.parametrize("op", OVER_THE_BATCH)
@pytest.mark.parametrize("axes", [(0,), (0, 2), (0, 1, 2), ()])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_over_the_batch(worker: Worker, op: str, axes: tuple[int, ...], keepdims: int) -> None:
    inputs = {"data": _positive(6, 4, 5), **_axes(*axes)}
    check(worker, f"Reduce{op}", inputs, constants=("axes",), keepdims=keepdims)


def test_axes_as_an_attribute_and_none_at_all(worker: Worker) -> None:
    check(worker, "ReduceMean", {"data": normal(3, 4, 5)}, opset=13, axes=[1, 2], keepdims=0)
    check(worker, "ReduceMean", {"data": normal(3, 4, 5)}, opset=13)
    check(worker, "ReduceMax", {"data": normal(3, 4, 5)}, noop_with_empty_axes=1)


@pytest.mark.parametrize("op", ["Sum", "Mean", "Max", "Min"])
def test_of_integers(worker: Worker, op: str) -> None:
    data = np.random.default_rng(0).integers(-9, 9, (3, 3, 5)).astype(np.int32)
    check(worker, f"Reduce{op}", {"data": data, **_axes(1)}, constants=("axes",))


def test_large_values_do_not_overflow(worker: Worker) -> None:
    data = 900 + 100 * normal(4, 6)
    for axis in (0, 1):
        check(worker, "ReduceLogSumExp", {"data": data, **_axes(axis)}, constants=("axes",))


def test_a_product_over_the_batch_is_refused(worker: Worker) -> None:
    with pytest.raises(UnsupportedFeatureError, match="reduce_prod over the batch"):
        check(worker, "ReduceProd", {"data": normal(3, 4)})


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_the_first_or_last_of_equal_extremes(worker: Worker, op: str, last: int, keepdims: int) -> None:
    data = np.random.default_rng(0).integers(0, 3, (5, 7, 4)).astype(np.float32)
    for axis in (1, -1):
        check(worker, op, {"data": data}, axis=axis, keepdims=keepdims, select_last_index=last)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_running_sums(worker: Worker, exclusive: int, reverse: int) -> None:
    for axis in (1, -1):
        inputs = {"x": normal(3, 4, 5), "axis": np.array(axis)}
        check(worker, "CumSum", inputs, constants=("axis",), exclusive=exclusive, reverse=reverse)
