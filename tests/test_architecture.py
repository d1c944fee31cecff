"""docs/architecture.md is true: its rooms are the rooms there are, and imports run down its list."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.test_packaging import ROOT, all_imports

PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
CORE = ROOT / "neuromatic"
OUTER = ("converters", "cli", "models")


def section(name: str) -> str:
    """The part of the page between two marks."""
    found = re.search(rf"<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", PAGE, re.S)
    assert found is not None, f"docs/architecture.md has no section {name}"
    return found[1]


LINES: dict[str, int] = {
    room: int(line)
    for line, rooms in re.findall(r"^\| (\d+) \| ([^|]+) \|", section("rooms"), re.M)
    for room in re.findall(r"`(\w+)`", rooms)
}


def rooms_on_disk() -> set[str]:
    """The public packages and modules of the core."""
    packages = {p.parent.name for p in CORE.glob("*/__init__.py") if not p.parent.is_symlink()}
    modules = {p.stem for p in CORE.glob("*.py")}
    return {name for name in packages | modules if not name.startswith("_")} - set(OUTER)


def test_every_room_is_on_the_page() -> None:
    assert set(LINES) == rooms_on_disk()


def test_imports_run_down_the_page() -> None:
    upwards = []
    for found in all_imports():
        parts, target = found.module.split("."), found.target.split(".")
        if found.dynamic or len(parts) < 2 or len(target) < 2 or target[0] != "neuromatic":
            continue
        own, other = parts[1], target[1]
        if own in LINES and other in LINES and own != other and LINES[own] >= LINES[other]:
            upwards.append(f"{found.place}: {own} imports {other}")
    assert sorted(set(upwards)) == []


def tree() -> str:
    """The folders of the repository that hold sources, each with what its ``__init__.py`` says it holds."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {Path(f).parent for f in files.splitlines() if f.endswith(".py") and not f.startswith("tests")}
    lines = []
    for folder in sorted(folders):
        init = ROOT / folder / "__init__.py"
        text = init.read_text(encoding="utf-8") if init.exists() else ""
        first = re.match(r'"""(.+?)(?:\.\n|\."""|\n)', text)
        name = f"{'    ' * (len(folder.parts) - 1)}{folder.name}/"
        lines.append(f"{name:<28}{first[1] if first else ''}".rstrip())
    return "```\n" + "\n".join(lines) + "\n```\n"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git lists the folders")
def test_the_tree_is_as_printed() -> None:
    assert section("tree") == tree()


if __name__ == "__main__":
    page = re.sub(
        r"(<!-- tree: begin -->\n).*?(<!-- tree: end -->)", lambda m: m[1] + tree() + m[2], PAGE, flags=re.S
    )
    (ROOT / "docs/architecture.md").write_text(page, encoding="utf-8")
