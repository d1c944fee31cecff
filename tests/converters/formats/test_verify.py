"""Comparing before and after."""

from __future__ import annotations

import numpy as np
import pytest

from neuromatic.converters.formats.verify import random_array, verify
from neuromatic.data import Field
from neuromatic.errors import UnsupportedFeatureError, VerificationError

FIELD = Field("x", np.dtype(np.float32), ("batch", 3))


def run(values: object) -> dict[str, np.ndarray]:
    return {"y": np.asarray(values)}


def difference(before: object, after: object) -> float:
    return verify(lambda _: run(before), lambda _: run(after), [FIELD], what="it", atol=1e-3, seed=0)


def test_two_batch_sizes_are_tried() -> None:
    seen = []

    def look(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        seen.append(inputs["x"].shape)
        return run(0.0)

    verify(look, lambda _: run(0.0), [FIELD], what="it", atol=0, seed=0)
    assert seen == [(3, 3), (1, 3)]


def test_the_largest_difference_is_given() -> None:
    assert difference([0.0, 1.0], [0.0005, 1.0]) == pytest.approx(0.0005)
    assert difference([np.nan, np.inf], [np.nan, np.inf]) == 0
    assert difference(["a"], ["a"]) == 0


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ([0.0], [0.1], r"output 'y' of it differs by 0.1 \(allowed: 0.001 \+ 0.0001 \* \|value\|\)"),
        ([np.nan], [0.0], "differs by nan"),
        ([1, 2], [1, 3], "differs by 1"),
        (["a"], ["b"], "differs by inf"),
        ([0.0], [[0.0]], r"has shape \(1, 1\), expected \(1,\)"),
    ],
)
def test_what_differs_is_refused(before: object, after: object, text: str) -> None:
    with pytest.raises(VerificationError, match=text):
        difference(before, after)


def test_values_fit_the_field() -> None:
    rng = np.random.default_rng(0)
    labels = random_array(Field("y", np.dtype(np.int64), ("batch",), 7), 1000, rng)
    assert set(labels) == set(range(7))
    assert random_array(Field("x", np.dtype(np.float16), (2, None, 5)), 9, rng).shape == (2, 32, 5)
    with pytest.raises(UnsupportedFeatureError, match="input 'x' is of unknown rank"):
        random_array(Field("x", np.dtype(np.float32), None), 1, rng)


def test_named_axes_have_one_size_and_numbers_of_rows_are_below_it() -> None:
    nodes = Field("nodes", np.dtype(np.float32), ("n", 3))
    near = Field("near", np.dtype(np.float32), ("n", "n"), batched=False)
    edges = Field("edges", np.dtype(np.int64), (2, "m"), batched=False)

    def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": inputs["near"] @ inputs["nodes"], "z": inputs["nodes"][inputs["edges"][0]]}

    assert verify(run, run, [nodes, near, edges], what="it", atol=0.0, seed=0) == 0.0
