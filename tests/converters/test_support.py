"""OPERATORS.md says what the registries say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from neuromatic.converters import support
from neuromatic.converters.registry import Registry
from neuromatic.converters.tensorflow.lowerings import ops

PAGE = Path(__file__).parents[2] / "OPERATORS.md"


def test_the_page_is_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    support.main()
    written = (tmp_path / "OPERATORS.md").read_text(encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == written, "write it anew with: make generated"


def _operator(name: str) -> support.Operator:
    return next(o for o in support.operators() if o.name == name)


def test_versions_are_those_that_opset_7_and_newer_ask_for() -> None:
    assert _operator("Gemm").versions[:4] == [7, 9, 11, 13]
    assert _operator("Reshape").versions[0] == 5


def test_a_function_counts_if_all_its_operators_are_lowered() -> None:
    registry = Registry("fake")
    assert support.expanded_versions(_operator("Shrink"), registry) == []
    assert support.expanded_versions(_operator("Shrink"), ops) == [9]
    assert support.expanded_versions(_operator("Gemm"), ops) == []


def test_each_engine_is_a_column() -> None:
    registry = Registry("fake")

    @registry.lowers("MatMul", since=(9, 13))
    def matmul(scope: Any, A: Any, B: Any) -> Any:
        return A

    page = support.markdown({"TensorFlow": ops, "Other": registry})
    assert "| Operator | Schema versions | TensorFlow | Other |" in page
    assert "| `MatMul` | 1, 9, 13 | all | 9, 13 |" in page
