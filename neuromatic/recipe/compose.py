"""A recipe from its parts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from onnx import ModelProto, NodeProto, helper

from neuromatic.errors import RecipeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.inference_form import is_batch_normalization
from neuromatic.ir.opsets import DEFAULT_OPSET, NEUROMATIC_DOMAIN, TRAINING_DOMAIN, OpsetTooLowError
from neuromatic.ir.terms import NO_TERMS, Terms
from neuromatic.ir.traversal import computed_values, upstream
from neuromatic.ir.types import value_types
from neuromatic.optimizers import Optimizer
from neuromatic.recipe import integers
from neuromatic.recipe.dropout import DropoutForm
from neuromatic.recipe.masters import add_masters, rounded
from neuromatic.recipe.measures import Measures
from neuromatic.recipe.objective import LOSS, Objective
from neuromatic.recipe.penalties import constrained, with_penalties
from neuromatic.recipe.running_statistics import (
    layer_states,
    running_statistics,
    state_inputs,
)
from neuromatic.recipe.schema import METADATA_KEY, Recipe
from neuromatic.recipe.sections import strip
from neuromatic.recipe.trainable import trainable_names
from neuromatic.recipe.update import optimize, optimizer_note, scaled, schedule_note

LEARNING_RATE = "learning_rate"
STEP = "step"
LOWEST_OPSET = 7
"""Arithmetic broadcasts from opset 7 on."""


def compose(
    model: ModelProto,
    objective: Objective,
    optimizer: Optimizer,
    measures: Measures,
    frozen: Collection[str] = (),
    terms: Terms = NO_TERMS,
    asked: Collection[str] = (),
    *,
    dropout: DropoutForm = "train",
) -> ModelProto:
    """A copy of ``model`` with a recipe made of these parts, in place of any it had.

    Args:
        terms: penalties and constraints that layers ask for.
        frozen: names of initializers that are not trained; BatchNormalization with frozen running
            statistics keeps its inference meaning while training.
        asked: names of initializers that are trained though they count as constants.
        dropout: "off" for steps in which Dropout and the layers like it pass values on.

    Raises:
        RecipeError: no parameter is left to train, one that is asked for cannot be trained, or the parts do
            not fit the model.
    """
    result = strip(model)
    g = algorithm_builder(result)
    outputs = {name: g.value(name) for name in computed_values(result.graph) if g.knows(name)}
    masks = {name: g.value(mask) for name, mask in terms.masks.items()}
    loss, targets = objective.emit(g, outputs, masks)
    if not objective.complete:
        loss = with_penalties(g, loss, terms, frozen)
        loss = g.add("Identity", loss, name=f"{LOSS}/total", outputs=[g.fresh(LOSS)])
    metrics = measures.emit(g, outputs, targets, masks)
    nodes = [*result.graph.node, *g.graph.node]
    trainable = [n for n in trainable_names(result, nodes, loss.name, g, asked) if n not in frozen]
    _check_asked(result, nodes, loss.name, set(asked).difference(frozen, trainable))
    if not trainable:
        text = "no parameter is left to train: no unfrozen float initializer reaches the loss"
        raise RecipeError("; ".join(filter(None, [text, integers.note(result)])))
    rate = np.array(optimizer.first_rate, np.float32)
    learning_rate = g.initializer(g.fresh(LEARNING_RATE), rate)
    g.graph.input.append(helper.make_value_info(learning_rate.name, learning_rate.type_proto()))
    step = g.initializer(g.fresh(STEP), np.array(0, np.int64))
    target = scaled(g, loss, optimizer)
    masters = add_masters(g, result, trainable)
    new = optimize(g, result, target, trainable, optimizer, learning_rate, step, masters)
    updates = rounded(g, result, constrained(g, new, terms), masters)
    reached = upstream(nodes, [loss.name])
    updates.update(running_statistics(g, reached, result, frozen))
    updates.update(layer_states(g, reached, result, frozen))
    recipe = Recipe(
        loss.name,
        tuple(trainable),
        {name: value.name for name, value in updates.items()},
        targets,
        metrics,
        learning_rate.name,
        step.name,
        optimizer_note(optimizer, [g.value(name) for name in trainable]),
        schedule_note(optimizer),
        None if target is loss else target.name,
        dropout,
    )
    _write(result, g, recipe)
    return result


def _check_asked(model: ModelProto, nodes: Sequence[NodeProto], loss: str, left: Collection[str]) -> None:
    for name in sorted(set(left) - state_names(model, nodes, [loss])):
        raise RecipeError(f"initializer {name!r} cannot be trained: no gradient of the loss reaches it")


def asked_names(model: ModelProto, recipe: Recipe) -> frozenset[str]:
    """What a model's recipe trains though it counts as a constant."""
    g = algorithm_builder(model)
    nodes = [*model.graph.node, *(n for info in model.training_info for n in info.algorithm.node)]
    return frozenset(recipe.trainable).difference(trainable_names(model, nodes, recipe.loss, g))


def frozen_names(model: ModelProto, recipe: Recipe) -> frozenset[str]:
    """What a model's recipe leaves as it is, though a recipe with its loss could update it."""
    g = algorithm_builder(model)
    nodes = [*model.graph.node, *(n for info in model.training_info for n in info.algorithm.node)]
    could = {*trainable_names(model, nodes, recipe.loss, g), *state_names(model, nodes, [recipe.loss])}
    return frozenset(could - recipe.updates.keys())


def state_names(model: ModelProto, nodes: Sequence[NodeProto], values: Iterable[str]) -> frozenset[str]:
    """The initializers that a step replaces without training them, of the nodes that some values need."""
    stored = {t.name for t in model.graph.initializer}
    found = set[str]()
    for node in upstream(nodes, values):
        found.update(node.input[3:5] if is_batch_normalization(node) else ())
        found.update(state_inputs(model, node).values())
    return frozenset(found & stored)


def algorithm_builder(model: ModelProto) -> GraphBuilder:
    """A builder for the algorithm graph, which knows every value of the inference graph."""
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), None)
    if opset is None:
        raise RecipeError("the model imports no version of ONNX' own operators, which a recipe needs")
    if opset < LOWEST_OPSET:
        raise RecipeError(
            f"a recipe needs opset {LOWEST_OPSET}, the model has {opset}; "
            f"raise it with: neuromatic convert MODEL.onnx -o NEW.onnx --opset {DEFAULT_OPSET}"
        )
    g = GraphBuilder(opset=opset)
    g.graph.name = "training"
    producers = {name: node for node in model.graph.node for name in node.output if name}
    for value in value_types(model).values():
        g.declare(value, producers.get(value.name))
    g.reserve(node.name for node in model.graph.node)
    for function in model.functions:
        if function.domain == NEUROMATIC_DOMAIN:
            g.add_function(function)
    return g


def needs_newer(error: OpsetTooLowError, opset: int | None) -> RecipeError:
    """What tells the user of a part that the model's opset cannot say."""
    return RecipeError(
        f"{error.op} of this recipe needs opset {error.needed}, the model has {opset}; "
        f"raise it with: neuromatic convert MODEL.onnx -o NEW.onnx --opset {DEFAULT_OPSET}"
    )


def _write(model: ModelProto, g: GraphBuilder, recipe: Recipe) -> None:
    names = dict.fromkeys([recipe.loss, *(m.sums for m in recipe.metrics), *recipe.updates.values()])
    for name in names:
        g.graph.output.append(helper.make_value_info(name, g.value(name).type_proto()))
    info = model.training_info.add()
    info.algorithm.CopyFrom(g.graph)
    for name, new in recipe.updates.items():
        info.update_binding.add(key=name, value=new)
    present = {(f.domain, f.name) for f in model.functions}
    model.functions.extend(f for f in g.functions.values() if (f.domain, f.name) not in present)
    domains = {node.domain for node in g.graph.node} & {TRAINING_DOMAIN, NEUROMATIC_DOMAIN}
    known = {o.domain for o in model.opset_import}
    model.opset_import.extend(helper.make_opsetid(d, 1) for d in sorted(domains - known))
    model.metadata_props.add(key=METADATA_KEY, value=recipe.metadata())
