"""The committed models: what they compute, and the page that describes them."""

from __future__ import annotations

import onnx
import pytest

import neuromatic as nm
from neuromatic.models.cards import CARDS, FOLDER, Card, page

LEAST = {"lenet5-digits": 0.95, "gru-digits": 0.93, "vit-digits": 0.9, "wide-and-deep-cancer": 0.95}
"""The accuracy that each classifier has to have."""


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_the_file_is_small_valid_and_trained(card: Card) -> None:
    assert card.path.stat().st_size < 1_000_000
    onnx.checker.check_model(str(card.path), full_check=True)
    found = nm.load(card.path).evaluate(card.load("test"))
    if card.name in LEAST:
        assert found["accuracy"] >= LEAST[card.name]
    else:
        assert found["mean_absolute_error"] < 0.1


def test_the_file_trains_on_without_any_other_option() -> None:
    card = CARDS[0]
    model = nm.load(card.path)
    data = {name: array[:64] for name, array in card.load("train").items()}
    before = model.evaluate(data)["loss"]
    model.train(data, epochs=2, verbose=0)
    assert model.evaluate(data)["loss"] < before * 1.5


def test_the_page_is_up_to_date() -> None:
    written = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert written == page(), "write it anew with: python -m neuromatic.models.cards"
