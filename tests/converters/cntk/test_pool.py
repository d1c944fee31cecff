"""Pools on CNTK."""

from __future__ import annotations

from typing import Any

import pytest

from neuromatic.converters.cntk.client import Worker
from neuromatic.errors import UnsupportedFeatureError
from tests.converters.cntk.single import check, normal

SIZES = (9, 8, 5)
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "plain": {},
    "strides": {"strides": (2, 3)},
    "pads": {"pads": (1, 0, 1, 1), "strides": (2, 2)},
    "upper": {"auto_pad": "SAME_UPPER", "strides": (2, 2)},
    "lower": {"auto_pad": "SAME_LOWER", "strides": (2, 2)},
    "ceil": {"ceil_mode": 1, "strides": (2, 3)},
    "ceil and pads": {"ceil_mode": 1, "strides": (2, 2), "pads": (1, 1, 1, 1)},
    "dilations": {"dilations": (2, 3), "strides": (2, 1), "pads": (1, 1, 1, 1)},
}


@pytest.mark.parametrize("attributes", ATTRIBUTES.values(), ids=ATTRIBUTES)
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_pool_2d(worker: Worker, op: str, attributes: dict[str, Any]) -> None:
    check(worker, op, {"X": normal(3, 4, *SIZES[:2])}, kernel_shape=(3, 2), **attributes)


@pytest.mark.parametrize("attributes", ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_average_that_counts_padding(worker: Worker, attributes: dict[str, Any]) -> None:
    x = normal(3, 4, *SIZES[:2])
    check(worker, "AveragePool", {"X": x}, kernel_shape=(3, 2), count_include_pad=1, **attributes)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("n", [1, 3])
def test_pool_of_other_ranks(worker: Worker, op: str, n: int) -> None:
    x = normal(3, 4, *SIZES[:n])
    check(worker, op, {"X": x}, kernel_shape=(3,) * n, strides=(2,) * n, pads=(1,) * 2 * n)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("size", [(1,), (2,), (2, 2), (1, 4), (2, 2, 1)])
def test_a_window_larger_than_what_is_padded(worker: Worker, op: str, size: tuple[int, ...]) -> None:
    n = len(size)
    x = normal(3, 4, *size)
    check(worker, op, {"X": x}, kernel_shape=(3,) * n, pads=(1,) * 2 * n)
    check(worker, op, {"X": x}, kernel_shape=(5,) * n, pads=(2,) * 2 * n, strides=(2,) * n)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_lp_pools(worker: Worker, p: int) -> None:
    x = normal(3, 4, *SIZES[:2])
    check(worker, "LpPool", {"X": x}, p=p, kernel_shape=(3, 2), strides=(2, 2), pads=(1, 0, 1, 1))
    check(worker, "GlobalLpPool", {"X": x}, p=p)


@pytest.mark.parametrize("op", ["GlobalMaxPool", "GlobalAveragePool"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_global_pools(worker: Worker, op: str, n: int) -> None:
    check(worker, op, {"X": normal(3, 4, *SIZES[:n])})


def test_indices_are_refused(worker: Worker) -> None:
    with pytest.raises(UnsupportedFeatureError, match="Indices"):
        check(worker, "MaxPool", {"X": normal(2, 1, 4, 4)}, outputs=2, kernel_shape=(2, 2))
