"""Keras draws from a seed of its own, which each test here sets, so that its numbers repeat."""

from __future__ import annotations

import keras
import pytest


@pytest.fixture(autouse=True)
def _seeded() -> None:
    keras.utils.set_random_seed(0)
