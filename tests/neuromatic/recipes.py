"""A small recipe, and handles to its parts, for tests that damage or change it."""

from __future__ import annotations

import json
from typing import Any

from onnx import ModelProto

from neuromatic.builder.model import Model
from neuromatic.recipe.schema import METADATA_KEY
from tests.neuromatic.graphs import linear


def trained_by_sgd() -> ModelProto:
    model = Model.from_proto(linear()).loss("mse").optimizer("sgd", learning_rate=0.5, momentum=0.9)
    return model.metrics("mae").proto


def algorithm(model: ModelProto) -> Any:
    return model.training_info[0].algorithm


def node(model: ModelProto, output: str) -> Any:
    return next(n for n in algorithm(model).node if output in n.output)


def binding(model: ModelProto, key: str) -> Any:
    return next(b for b in model.training_info[0].update_binding if b.key == key)


def set_notes(model: ModelProto, text: str | None = None, **changes: Any) -> None:
    entry = next(p for p in model.metadata_props if p.key == METADATA_KEY)
    entry.value = json.dumps(json.loads(entry.value) | changes) if text is None else text


def drop(container: Any, name: str) -> None:
    item = next(x for x in container if getattr(x, "name", None) == name)
    container.remove(item)
