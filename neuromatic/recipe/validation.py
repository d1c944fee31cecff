"""Whether a model's recipe can be run: what the checker of ``onnx`` does not look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, TensorProto

from neuromatic.errors import STRIP, InvalidModelError, RecipeError, StaleRecipeError
from neuromatic.ir.onnx_errors import ONNX_ERRORS, reason_of
from neuromatic.ir.traversal import computed_values, graphs_in, reads
from neuromatic.ir.types import FLOATS, combined, value_types
from neuromatic.ir.values import Shape, Value, dtype_name, shape_text
from neuromatic.metrics import RESULTS, result_of
from neuromatic.recipe import schema as recipes
from neuromatic.recipe.schema import MetricSums, Recipe

WITHOUT = f"to go on without the recipe: {STRIP}"
REFUSED: tuple[type[Exception], ...] = (InvalidModelError, *ONNX_ERRORS)


def validate(model: ModelProto) -> Recipe | None:
    """Check a model's recipe as the checker of ``onnx`` does not; returns it, or None if there is none.

    Raises:
        RecipeError: names the node, binding or value that is wrong.
    """
    recipe = recipes.read(model)
    if recipe is None:
        return None
    check_not_stale(model, recipe)
    try:
        onnx.checker.check_model(combined(model, weights=False))
        types = value_types(model)
    except REFUSED as error:
        raise RecipeError(f"the training graph is not valid ONNX: {reason_of(error)}; {WITHOUT}") from error
    algorithm = model.training_info[0].algorithm
    initializers = {t.name for t in [*model.graph.initializer, *algorithm.initializer]}
    problems = [f"Gradient asks for {name!r}" for name in recipe.trainable if name not in initializers]
    problems += [f"update_binding replaces {name!r}" for name in recipe.updates if name not in initializers]
    if problems:
        raise RecipeError(f"{problems[0]}, but the model has no initializer of that name")
    _check_values(recipe, types)
    _check_inputs(recipe, algorithm, set(computed_values(model.graph)))
    _check_class_axes(recipe, types)
    _check_state(recipe, types)
    for name, new in recipe.updates.items():
        _check_same_type(name, types[name], types[new])
    return recipe


def check_not_stale(model: ModelProto, recipe: Recipe) -> None:
    """Check that the graph still has what the recipe was made for.

    Raises:
        StaleRecipeError: names the weights and values that are gone.
    """
    algorithm = model.training_info[0].algorithm
    fed = {recipe.learning_rate, *(t.name for t in recipe.targets), *(t.weights for t in recipe.targets)}
    given = {*_made(model.graph), *_made(algorithm), *fed}
    stored = {v.name for graph in (model.graph, algorithm) for v in [*graph.initializer, *graph.input]}
    read = dict.fromkeys(name for node in algorithm.node for name in reads(node))
    bound = [name for name in recipe.updates if name in read and name not in recipe.trainable]
    weights = [name for name in [*recipe.trainable, *bound] if name not in stored]
    values = [name for name in read if name not in given and name not in weights]
    if weights or values:
        raise StaleRecipeError(weights, values)


def dropped(model: ModelProto) -> str | None:
    """One sentence on a model that another program has taken the recipe off; None where none has."""
    if model.training_info or not any(p.key == recipes.METADATA_KEY for p in model.metadata_props):
        return None
    return (
        "another program has dropped the recipe that this file had (its metadata are still there): choose "
        "loss and optimizer anew"
    )


def _made(graph: GraphProto) -> Iterator[str]:
    """The names of all values that a graph has, those inside the graphs of its nodes included."""
    yield from (v.name for v in [*graph.input, *graph.initializer])
    yield from (s.values.name for s in graph.sparse_initializer)
    for node in graph.node:
        yield from node.output
        for inner in graphs_in(node):
            yield from _made(inner)


def _check_values(recipe: Recipe, types: Mapping[str, Value]) -> None:
    named = {
        "the loss": [recipe.loss, *([recipe.gradient_of] if recipe.gradient_of else [])],
        "update_binding": list(recipe.updates.values()),
        "a metric": [m.sums for m in recipe.metrics],
        "the step": [recipe.step] if recipe.step else [],
    }
    for what, names in named.items():
        for name in names:
            if name not in types:
                raise RecipeError(f"{what} refers to {name!r}, which no node of the training graph computes")
    loss = types[recipe.loss]
    if loss.shape not in (None, ()):
        raise RecipeError(f"the loss {recipe.loss!r} has shape {loss.shape}, expected a scalar")
    for metric in recipe.metrics:
        _check_metric(metric, types[metric.sums].shape)


def _check_metric(metric: MetricSums, shape: Shape | None) -> None:
    """The result is one that is known, and can be made of sums of that shape."""
    rule = RESULTS.get(metric.result)
    if rule is None:
        raise RecipeError(
            f"metric {metric.name!r} reports {metric.result!r}; this Neuromatic knows {sorted(RESULTS)}"
        )
    if shape is None:
        return
    if not rule.fits(shape):
        raise RecipeError(
            f"metric {metric.name!r} makes {metric.result!r} of sums {shape_text(shape)}, "
            f"expected {shape_text(rule.shape)}"
        )
    try:
        result_of(metric.result, np.zeros([int(size or 0) for size in shape]), metric.arguments)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise RecipeError(
            f"metric {metric.name!r} cannot make {metric.result!r} with {dict(metric.arguments)}: {error}"
        ) from error


def _check_inputs(recipe: Recipe, algorithm: GraphProto, values: set[str]) -> None:
    inputs, defaults = {i.name for i in algorithm.input}, {t.name for t in algorithm.initializer}
    targets = [t.name for t in recipe.targets] + [t.weights for t in recipe.targets if t.weights]
    for name in [*targets, *([recipe.learning_rate] if recipe.learning_rate else [])]:
        if name not in inputs:
            raise RecipeError(f"the recipe names {name!r}, which is not an input of the training graph")
    for target in recipe.targets:
        if target.output is not None and target.output not in values:
            raise RecipeError(
                f"target {target.name!r} is for output {target.output!r}, which the model lacks"
            )
    for name in sorted(inputs - defaults - {*targets, recipe.learning_rate}):
        raise RecipeError(f"input {name!r} of the training graph is neither a target nor has it a default")


def _check_class_axes(recipe: Recipe, types: Mapping[str, Value]) -> None:
    for target in recipe.targets:
        shape = types[target.output].shape if target.output and target.output in types else None
        if target.axis is not None and not (shape is not None and 0 < target.axis < len(shape)):
            raise RecipeError(
                f"target {target.name!r} has classes along axis {target.axis}, which its output "
                f"{target.output!r} {shape_text(shape)} lacks or needs for the batch"
            )


def _check_state(recipe: Recipe, types: Mapping[str, Value]) -> None:
    for name in recipe.trainable:
        if types[name].dtype not in FLOATS:
            raise RecipeError(
                f"Gradient asks for {name!r} of {dtype_name(types[name].dtype)}, expected floats"
            )
    if recipe.step is not None and recipe.step not in recipe.updates:
        raise RecipeError(f"the step counter {recipe.step!r} is not replaced by update_binding")
    for scalar in (recipe.step, recipe.learning_rate):
        if scalar is not None and types[scalar].shape not in (None, ()):
            raise RecipeError(f"{scalar!r} has shape {types[scalar].shape}, expected a scalar")


def _check_same_type(name: str, old: Value, new: Value) -> None:
    fits = old.dtype == new.dtype or new.dtype == TensorProto.UNDEFINED
    if new.shape is not None and old.shape is not None:
        fits &= len(old.shape) == len(new.shape) and all(
            a == b or not (isinstance(a, int) and isinstance(b, int))
            for a, b in zip(old.shape, new.shape, strict=True)
        )
    if not fits:
        raise RecipeError(
            f"update_binding replaces {name!r} {old.shape} by {new.name!r} {new.shape}, "
            f"which has another type or shape ({dtype_name(old.dtype)}, {dtype_name(new.dtype)}); {WITHOUT}"
        )
