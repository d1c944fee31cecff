"""Gather by slices and by products."""

from __future__ import annotations

import numpy as np
import pytest

from neuromatic.converters.normalize.gathers import MAX_ROWS, constant_gathers, embeddings_to_matmul
from tests.converters.normalize.models import model, normalized, numbers, ops


@pytest.mark.parametrize(
    ("index", "axis", "expected"),
    [
        (np.array(2), 1, ["Slice", "Reshape"]),
        (np.array(-1), -1, ["Slice", "Reshape"]),
        (np.array([1, 2, 3]), 1, ["Slice"]),
        (np.array([0, 3, 4, -1, 0]), 1, ["Slice"] * 4 + ["Concat"]),
        (np.array([2]), 2, ["Slice"]),
    ],
)
@pytest.mark.parametrize("opset", [9, 11, 17])
def test_constant_indices_become_slices(
    index: np.ndarray, axis: int, expected: list[str], opset: int
) -> None:
    if opset < 11 and (index.min() < 0 or axis < 0):
        pytest.skip("negative indices and axes are newer")
    rank = 3 if index.ndim else 2
    dims = ", ".join(["N", "A", "B"][:rank])
    proto = model(
        f"y = Gather<axis = {axis}>(x, i)", "float[N, 5, 4] x", f"float[{dims}] y", opset=opset, i=index
    )
    assert ops(normalized(constant_gathers, proto)) == expected


def test_a_matrix_of_indices_is_left() -> None:
    proto = model("y = Gather<axis = 1>(x, i)", "float[N, 5] x", "float[N, 2, 1] y", i=np.array([[1], [3]]))
    assert ops(normalized(constant_gathers, proto)) == ["Gather"]


@pytest.mark.parametrize(("opset", "kind"), [(9, "int64"), (17, "int64"), (17, "int32")])
@pytest.mark.parametrize("dims", ["N", "N, 6"])
def test_an_embedding_becomes_a_product(opset: int, kind: str, dims: str) -> None:
    proto = model(
        "y = Gather(t, x)", f"{kind}[{dims}] x", f"float[{dims}, 3] y", opset=opset, t=numbers(7, 3)
    )
    result = normalized(embeddings_to_matmul, proto, ["t"])
    assert ops(result)[-1] == "MatMul"
    assert "Gather" not in ops(result)


def test_indices_may_count_from_the_end() -> None:
    proto = model("i = Neg(x) y = Gather(t, i)", "int64[N, 6] x", "float[N, 6, 3] y", t=numbers(7, 3))
    assert ops(normalized(embeddings_to_matmul, proto, ["t"]))[-1] == "MatMul"


def test_large_tables_are_left() -> None:
    table = np.zeros((MAX_ROWS + 1, 1), np.float32)
    proto = model("y = Gather(t, x)", "int64[N] x", "float[N, 1] y", t=table)
    assert ops(normalized(embeddings_to_matmul, proto, ["t"])) == ["Gather"]
