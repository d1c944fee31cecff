"""The sections of a training step: what is evaluated, reported, done in a step, or taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx import ModelProto, numpy_helper

from neuromatic.ir.opsets import NEUROMATIC_DOMAIN, TRAINING_DOMAIN, TRAINING_SUFFIX
from neuromatic.ir.traversal import upstream
from neuromatic.ir.types import combined, part_for, value_types
from neuromatic.recipe.dropout import without_dropout
from neuromatic.recipe.schema import METADATA_KEY, Recipe


def evaluation_part(model: ModelProto, recipe: Recipe) -> ModelProto:
    """The graph from inputs and targets to the model's outputs, the loss and the sums of each metric."""
    outputs = [o.name for o in model.graph.output]
    names = list(dict.fromkeys([*outputs, *reported_names(recipe)]))
    return part_for(model, names, value_types(model))


def reported_part(model: ModelProto, recipe: Recipe) -> ModelProto:
    """The graph from inputs and targets to the loss and the sums of each metric alone."""
    return part_for(model, reported_names(recipe), value_types(model))


def step_part(model: ModelProto, recipe: Recipe) -> ModelProto:
    """The training step as one graph, without the nodes that neither report nor update anything."""
    whole = combined(model)
    target = [recipe.gradient_of] if recipe.gradient_of else []
    needed = upstream(whole.graph.node, [*reported_names(recipe), *target, *recipe.updates.values()])
    del whole.graph.node[:]
    whole.graph.node.extend(needed)
    if recipe.dropout == "off":
        without_dropout(whole)
    return whole


def reported_names(recipe: Recipe) -> list[str]:
    """The loss and the sums of each metric, as names of values."""
    return list(dict.fromkeys([recipe.loss, *(m.sums for m in recipe.metrics)]))


def default_learning_rate(model: ModelProto, recipe: Recipe) -> float | None:
    """The learning rate that the file gives; None if the recipe has no such input."""
    for tensor in model.training_info[0].algorithm.initializer:
        if tensor.name == recipe.learning_rate:
            return float(numpy_helper.to_array(tensor))
    return None


def strip(model: ModelProto) -> ModelProto:
    """A copy without the recipe: what was added for training is gone, the rest is as it was."""
    stripped = ModelProto()
    stripped.CopyFrom(model)
    del stripped.training_info[:]
    called = _called_functions(stripped)
    unused = [f for f in stripped.functions if f.domain == NEUROMATIC_DOMAIN and f.name not in called]
    _remove(stripped.functions, unused)
    used = {n.domain for n in stripped.graph.node} | {n.domain for f in stripped.functions for n in f.node}
    for domain in (TRAINING_DOMAIN, NEUROMATIC_DOMAIN):
        if domain not in used:
            _remove(stripped.opset_import, [o for o in stripped.opset_import if o.domain == domain])
    _remove(stripped.metadata_props, [p for p in stripped.metadata_props if p.key == METADATA_KEY])
    return stripped


def _called_functions(model: ModelProto) -> set[str]:
    """The functions of Neuromatic's domain that the graph calls, with those for training in their place."""
    bodies = {f.name: f.node for f in model.functions if f.domain == NEUROMATIC_DOMAIN}
    found: set[str] = set()
    pending = [n.op_type for n in model.graph.node if n.domain == NEUROMATIC_DOMAIN]
    while pending:
        name = pending.pop()
        if name in bodies and name not in found:
            found.add(name)
            pending += [name + TRAINING_SUFFIX]
            pending += [n.op_type for n in bodies[name] if n.domain == NEUROMATIC_DOMAIN]
    return found


def _remove(container: Any, items: Sequence[Any]) -> None:
    for item in items:
        container.remove(item)
