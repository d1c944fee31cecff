"""The Python examples of README.md and CONTRIBUTING.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def blocks(page: str) -> list[str]:
    """The fenced Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def test_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks("README.md"):
        exec(compile(block, "README.md", "exec"), names)
    assert {"digits.onnx", "release.onnx"} <= {p.name for p in tmp_path.iterdir()}


def test_contributing() -> None:
    import neuromatic as nm

    layer, operator = blocks("CONTRIBUTING.md")
    names: dict[str, Any] = {}
    exec(compile(layer, "CONTRIBUTING.md", "exec"), names)
    model = nm.Sequential((3,)).append(names["Scale"]())
    assert [t.name for t in model.onnx().graph.initializer] == ["scale/factor"]
    assert "@ops.lowers" in operator


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        assert (ROOT / target).exists(), f"{page} links to {target}"
