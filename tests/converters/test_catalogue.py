"""The catalogue page is what the classes say."""

from __future__ import annotations

from pathlib import Path

import pytest

import neuromatic as nm
from neuromatic.converters.catalogue import SECTIONS, Entry, page

PAGE = Path(__file__).parents[2] / "docs" / "catalogue.md"


@pytest.fixture(scope="module")
def entries() -> dict[str, Entry]:
    return {entry.name: entry for entry in SECTIONS["Losses"]() + SECTIONS["Optimizers"]()}


def test_the_page_is_up_to_date() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(), "write it anew with: make generated"


def test_operators_are_those_of_the_sample(entries: dict[str, Entry]) -> None:
    assert entries["MeanSquaredError"].operators == ("Sub", "Mul", "ReduceMean")
    assert entries["Adam"].operators == ("Adam",)
    assert entries["SGD"].operators[0] == "*SGD*"


def test_every_engine_that_refuses_says_why(entries: dict[str, Entry]) -> None:
    assert entries["MeanSquaredError"].cntk == "yes"
    assert entries["Circle"].cntk.startswith("no: ")
    for entry in entries.values():
        assert entry.tensorflow == "yes", entry
        assert entry.text


def test_every_layer_is_listed() -> None:
    listed = PAGE.read_text(encoding="utf-8")
    for name in nm.layers.__all__:
        cls = getattr(nm.layers, name)
        if cls is not nm.layers.Layer:
            assert f"`{cls.__name__}`" in listed
