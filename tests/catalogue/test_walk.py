"""Every public class of Keras is equal, different or absent with a reason; how many are equal."""

from __future__ import annotations

import pytest

from tests.catalogue.status import STATUS, Kind
from tests.catalogue.walk import KINDS, PAGE, counts, keras_classes, page, said, status

LEAST: dict[Kind, int] = {
    "layers": 120,
    "losses": 22,
    "optimizers": 12,
    "metrics": 40,
    "initializers": 15,
    "regularizers": 4,
    "constraints": 4,
    "schedules": 6,
}
"""How many classes of each kind have to be equal."""


@pytest.fixture(autouse=True, scope="module")
def _said() -> None:
    said()


@pytest.mark.parametrize("kind", KINDS)
def test_something_is_said_of_every_class(kind: Kind) -> None:
    assert [name for name in keras_classes(kind) if status(kind, name) is None] == []


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_said_of_what_keras_does_not_have(kind: Kind) -> None:
    known = {name for first, others in keras_classes(kind).items() for name in (first, *others)}
    assert sorted(n for k, n in STATUS if k == kind and n not in known) == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_said_to_be_there_is_there_and_what_is_absent_is_not(kind: Kind) -> None:
    ours = KINDS[kind][2]
    for name in keras_classes(kind):
        found = status(kind, name)
        assert found is not None, name
        assert (found.state == "absent") != hasattr(ours, name), (name, found)


def test_other_names_of_a_layer_are_there_too() -> None:
    names = {n: others for n, others in keras_classes("layers").items() if others}
    assert names
    for name, others in names.items():
        for other in others:
            assert getattr(KINDS["layers"][2], other) is getattr(KINDS["layers"][2], name)


@pytest.mark.parametrize("kind", KINDS)
def test_enough_are_equal(kind: Kind) -> None:
    assert counts(kind)["equal"] >= LEAST[kind]


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew with: python -m tests.catalogue.walk"
