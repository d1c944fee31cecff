"""Finding an engine, and saying what is missing."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from neuromatic import engines
from neuromatic.builder.model import Model
from neuromatic.errors import EngineNotAvailableError, UnknownNameError
from tests.neuromatic.graphs import linear


def missing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Importing a module fails from here on."""
    found = importlib.import_module

    def import_module(wanted: str, package: str | None = None) -> Any:
        if wanted == name:
            raise ImportError(f"No module named {name!r}")
        return found(wanted, package)

    monkeypatch.setattr(importlib, "import_module", import_module)


def test_tensorflow_is_found() -> None:
    engine = engines.find("tensorflow")
    model = Model.from_proto(linear()).loss("mse").optimizer("sgd")
    program = engine.compile(model.proto, seed=0, options={})
    assert set(program.parameters()) == {"w", "b", "step"}
    program.assign({"b": np.array([5.0, 6.0], np.float32)})
    assert program.parameters()["b"].tolist() == [5.0, 6.0]
    data = program.load({"x": np.zeros((3, 3), np.float32)})
    assert program.predict(data, np.array([0, 2]))["y"].tolist() == [[5.0, 6.0]] * 2
    program.close()


def test_an_unknown_engine() -> None:
    with pytest.raises(
        UnknownNameError, match="there is no engine named 'tensorflwo'; did you mean 'tensorflow'"
    ) as caught:
        engines.find("tensorflwo")
    assert caught.value.exit_code == 2


def test_without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    missing(monkeypatch, "tensorflow")
    model = Model.from_proto(linear()).loss("mse").optimizer("sgd")
    with pytest.raises(
        EngineNotAvailableError,
        match=r"tensorflow is not available \(No module named 'tensorflow'\); install it with: pip install "
        r"'neuromatic\[cpu\]'",
    ) as caught:
        model.train(np.ones((2, 3)), np.ones((2, 2)), verbose=0)
    assert (caught.value.engine, caught.value.exit_code) == ("tensorflow", 3)
    assert model.predict(np.ones((2, 3))).shape == (2, 2)  # which needs no engine


def test_every_engine_can_be_found() -> None:
    for name in engines.ENGINES:
        assert callable(engines.find(name).compile)
