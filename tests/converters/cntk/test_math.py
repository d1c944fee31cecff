"""Arithmetic on CNTK whose quotients and halves are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neuromatic.converters.cntk.client import Worker
from tests.converters.cntk.single import check, normal

NUMBERS = np.arange(1, 400)
"""Divisors whose reciprocals float32 rounds, most of them."""


@pytest.mark.parametrize("kind", [np.int64, np.int32])
@pytest.mark.parametrize("factor", [1, 3, 7, -5])
@pytest.mark.parametrize("op", ["Div", "Mod"])
def test_integers(worker: Worker, op: str, factor: int, kind: type[np.integer]) -> None:
    whole = NUMBERS * factor
    a = np.stack([whole, whole + 1, whole - 1, -whole]).astype(kind)
    b = np.stack([NUMBERS, NUMBERS, -NUMBERS, NUMBERS]).astype(kind)
    check(worker, op, {"A": a, "B": b}, batched=("A", "B"))
    check(worker, op, {"A": a, "B": b[:1]}, constants=("B",))


@pytest.mark.parametrize("kind", [np.int64, np.float32])
def test_remainders_with_the_sign_of_the_dividend(worker: Worker, kind: type[np.number]) -> None:
    a, b = 100 * normal(3, 50), 9 * normal(3, 50, seed=1)
    b = np.where(np.abs(b) < 1, 1, b)
    check(worker, "Mod", {"A": a.astype(kind), "B": b.astype(kind)}, batched=("A", "B"), fmod=1)


def test_halves_are_rounded_to_even(worker: Worker) -> None:
    x = np.array([[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999997, -0.49999997, 1e7, 3.3]], np.float32)
    check(worker, "Round", {"X": np.concatenate([x, x + 1])})


@pytest.mark.parametrize("only", [{}, {"detect_negative": 0}, {"detect_positive": 0}])
def test_what_is_not_finite(worker: Worker, only: dict[str, Any]) -> None:
    x = np.array([[np.nan, 1, np.inf, -np.inf]] * 3, np.float32)
    check(worker, "IsInf", {"X": x}, **only)
    check(worker, "IsNaN", {"X": x})


def test_a_softmax_that_begins_with_minus_infinity(worker: Worker) -> None:
    x = normal(4, 6)
    x[1, :3] = x[2, 3:] = -np.inf
    for op in ("Softmax", "LogSoftmax", "ReduceLogSumExp"):
        along: dict[str, Any] = {"axes": [1]} if op.startswith("Reduce") else {"axis": 1}
        check(worker, op, {"x": x}, opset=17, **along)
