"""The registry refuses lowerings that do not mirror their operator's schema, and finds the others."""

from __future__ import annotations

import re
from typing import Any

import onnx
import pytest

from neuromatic.converters.registry import OpKey, Registry, domain_name, find_schema


@pytest.fixture
def ops() -> Registry:
    return Registry("fake")


def gemm(
    scope: Any, A: Any, B: Any, C: Any = None, *, alpha: float, beta: float, transA: int, transB: int
) -> Any:
    return A


def test_finds_the_version_that_an_opset_means(ops: Registry) -> None:
    ops.lowers("Gemm", since=(7, 9, 11, 13))(gemm)
    found = [ops.find("Gemm", opset) for opset in (7, 8, 12, 13, 20)]
    assert [f.key.since_version for f in found if f is not None] == [7, 7, 11, 13, 13]
    assert ops.versions("Gemm") == [7, 9, 11, 13]
    assert len(ops) == len(list(ops)) == 4


def test_a_newer_version_that_is_not_listed_is_not_guessed(ops: Registry) -> None:
    def softmax(scope: Any, input: Any, *, axis: int) -> Any:
        return input

    ops.lowers("Softmax", since=(1, 11))(softmax)
    assert ops.find("Softmax", 12) is not None
    assert ops.find("Softmax", 13) is None
    assert ops.find("NoSuchOperator", 13) is None


def test_an_old_node_gets_the_defaults_of_the_newest_version(ops: Registry) -> None:
    def shape(scope: Any, data: Any, *, end: int | None, start: int) -> Any:
        return data

    ops.lowers("Shape", since=(1, 13, 15))(shape)
    found = ops.find("Shape", 7)
    assert found is not None
    assert found.schema.since_version == 15


def test_a_duplicate_is_an_error(ops: Registry) -> None:
    ops.lowers("Gemm", since=(13,))(gemm)
    with pytest.raises(TypeError, match=re.escape("fake already has a lowering for Gemm-13")):
        ops.lowers("Gemm", since=(11, 13))(gemm)


def test_a_misspelt_attribute_is_an_error(ops: Registry) -> None:
    def wrong(scope: Any, A: Any, B: Any, C: Any, *, alpha: float, beta: float, transa: int) -> Any:
        return A

    message = (
        r"must mirror Gemm-13: inputs \['A', 'B', 'C'\], keyword-only attributes "
        r"\['alpha', 'beta', 'transA', 'transB'\]; it has inputs \['A', 'B', 'C'\], "
        r"attributes \['alpha', 'beta', 'transa'\]"
    )
    with pytest.raises(TypeError, match=message):
        ops.lowers("Gemm", since=(13,))(wrong)


def test_inputs_in_another_order_are_an_error(ops: Registry) -> None:
    def wrong(scope: Any, B: Any, A: Any) -> Any:
        return A

    with pytest.raises(TypeError, match=r"must mirror Sub-14: inputs \['A', 'B'\]"):
        ops.lowers("Sub", since=(14,))(wrong)


def test_variadic_inputs_are_starred(ops: Registry) -> None:
    def concat(scope: Any, *inputs: Any, axis: int) -> Any:
        return inputs

    ops.lowers("Concat", since=(4, 11, 13))(concat)
    assert ops.versions("Concat") == [4, 11, 13]


def test_a_version_that_is_none_is_an_error(ops: Registry) -> None:
    with pytest.raises(TypeError, match=r"Gemm-12 is not a schema version of ONNX \(found Gemm-11\)"):
        ops.lowers("Gemm", since=(12, 13))(gemm)
    with pytest.raises(TypeError, match="NoSuchOperator-1 is not a schema version of ONNX"):
        ops.lowers("NoSuchOperator", since=(1,))(gemm)


def test_an_older_version_with_more_attributes_needs_a_function_of_its_own(ops: Registry) -> None:
    def squeeze(scope: Any, data: Any, axes: Any = None) -> Any:
        return data

    message = r"Squeeze-11 needs a lowering of its own: it has \['axes'\] that Squeeze-13 has not"
    with pytest.raises(TypeError, match=message):
        ops.lowers("Squeeze", since=(11, 13))(squeeze)


def test_keys_read_as_in_messages() -> None:
    assert str(OpKey("", "Gemm", 13)) == "Gemm-13"
    assert str(OpKey("ai.onnx.preview.training", "Adam", 1)) == "ai.onnx.preview.training.Adam-1"
    assert domain_name("ai.onnx") == domain_name("") == ""
    assert find_schema("Gemm", 6) != find_schema("Gemm", onnx.defs.onnx_opset_version())
    assert find_schema("Gemm", 0) is None
