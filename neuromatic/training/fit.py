"""From a model with a recipe to a trained one: compile, loop, write back, verify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from neuromatic import engines, schedules
from neuromatic.data import Rows
from neuromatic.errors import RecipeError
from neuromatic.ir import parameters as weights
from neuromatic.optimizers.steps import AVERAGE
from neuromatic.recipe.masters import masters_of, with_fitting_masters
from neuromatic.recipe.schema import Recipe
from neuromatic.recipe.sections import default_learning_rate
from neuromatic.schedules import LearningRate
from neuromatic.training.callbacks import Callback, TakeAverages
from neuromatic.training.history import History
from neuromatic.training.inspector import Inspector
from neuromatic.training.loop import fit
from neuromatic.training.progress import Verbose, progress_for
from neuromatic.training.tolerance import Tolerance

Array = NDArray[Any]
BATCH_SIZE = 32
"""How many rows a step has, unless it is said."""


def train_model(
    model: ModelProto,
    recipe: Recipe,
    data: Mapping[str, Array],
    validation: Mapping[str, Array] | None,
    *,
    rows: Rows,
    epochs: int,
    batch_size: int | None,
    shuffle: bool,
    seed: int,
    learning_rate: LearningRate | None,
    callbacks: Sequence[Callback],
    engine: str,
    engine_options: Mapping[str, Any],
    verbose: Verbose,
    tolerance: Tolerance,
) -> tuple[History, ModelProto | None]:
    """Train a copy of ``model``; returns the history and the copy, or None where nothing was trained.

    The arguments are those of :meth:`neuromatic.Model.train`, which documents the errors.

    Args:
        rows: what of the data are rows.
    """
    if epochs < 0:
        raise ValueError(f"epochs must be 0 or more, got {epochs}")
    size = rows.batch_size(batch_size, BATCH_SIZE, data)
    if epochs == 0:
        return History(), None
    rows.kept(data, "x")
    if validation is not None and rows.ordered:
        rows.kept(validation, "the validation data")
    rate = _learning_rate(model, recipe, learning_rate)
    progress, model = progress_for(verbose), with_fitting_masters(model, recipe)
    program = engines.find(engine).compile(model, seed=seed, options=engine_options)
    try:
        first_step = _steps_done(model, recipe)
        inspector = Inspector(model, recipe, program, data, tolerance, rows)
        history = fit(
            program,
            data,
            metrics=recipe.metrics,
            epochs=epochs,
            batch_size=size,
            learning_rate=rate,
            seed=seed,
            shuffle=shuffle,
            validation=validation,
            callbacks=[*_take_averages(model, recipe), *callbacks, *progress],
            first_step=first_step,
            inspector=inspector,
            rows=rows,
        )
        trained, history.verification = inspector.result(first_step + len(history.step_losses))
    finally:
        program.close()
    return history, trained


def _learning_rate(model: ModelProto, recipe: Recipe, given: LearningRate | None) -> LearningRate:
    if recipe.learning_rate is None:  # a recipe that others wrote has its rate as a constant somewhere
        if given is not None:
            raise RecipeError("the learning rate of this recipe is no input; choose .optimizer(...) anew")
        return 0.0
    if given is None and recipe.schedule is not None:
        return schedules.from_config(recipe.schedule)
    rate = default_learning_rate(model, recipe) if given is None else given
    if rate is None:
        raise RecipeError("the recipe has no default learning rate; give learning_rate")
    return rate


def _take_averages(model: ModelProto, recipe: Recipe) -> list[Callback]:
    """What ends a run of an optimizer that keeps moving averages, before the callbacks that were given."""
    named = {name: f"{AVERAGE}/{name}" for name in recipe.trainable}
    named |= {m: named[name] for name, m in masters_of(model, recipe).items() if name in named}
    averages = {name: average for name, average in named.items() if average in recipe.updates}
    return [TakeAverages(averages)] if averages and recipe.optimizer is not None else []


def _steps_done(model: ModelProto, recipe: Recipe) -> int:
    tensor = weights.stored_tensors(model).get(recipe.step or "")
    return 0 if tensor is None else int(numpy_helper.to_array(tensor))
