"""Runs mypy over the files of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.mark.parametrize(
    "path", sorted(set(HERE.glob("*_typing.py")) - {Path(__file__)}), ids=lambda path: path.stem
)
def test_types(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    options = ["--config-file=pyproject.toml", "--strict", f"--cache-dir={tmp_path}"]
    report, errors, status = api.run([*options, str(path)])
    assert status == 0, report + errors


def test_the_type_of_a_fluent_call_is_revealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    source = tmp_path / "revealed.py"
    source.write_text(
        "from neuromatic.builder.sequential import Sequential\nreveal_type(Sequential((3,)).dense)\n"
    )
    options = ["--config-file=pyproject.toml", f"--cache-dir={tmp_path}"]
    report, errors, _ = api.run([*options, str(source)])
    assert "def (units: int, activation: " in report, report + errors
    assert "-> neuromatic.builder.sequential.Sequential" in report
