"""From a model with a recipe to a trained one: compile, loop, write back, verify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from neuromatic import engines, schedules
from neuromatic.engines import Program
from neuromatic.errors import RecipeError, TrainingError, VerificationError
from neuromatic.inference import Session
from neuromatic.ir import parameters as weights
from neuromatic.ir.traversal import data_inputs
from neuromatic.optimizers.steps import AVERAGE
from neuromatic.recipe.schema import Recipe
from neuromatic.recipe.sections import default_learning_rate, strip
from neuromatic.schedules import LearningRate
from neuromatic.training.callbacks import Callback, TakeAverages
from neuromatic.training.history import History
from neuromatic.training.loop import fit
from neuromatic.training.progress import Verbose, progress_for

Array = NDArray[Any]
VERIFIED_ROWS = 256
"""How many rows of the training data the engine and onnxruntime are compared on."""


def train_model(
    model: ModelProto,
    recipe: Recipe,
    data: Mapping[str, Array],
    validation: Mapping[str, Array] | None,
    *,
    epochs: int,
    batch_size: int,
    shuffle: bool,
    seed: int,
    learning_rate: LearningRate | None,
    callbacks: Sequence[Callback],
    engine: str,
    engine_options: Mapping[str, Any],
    verbose: Verbose,
    tolerance: tuple[float, float],
) -> tuple[History, ModelProto | None]:
    """Train a copy of ``model``; returns the history and the copy, or None where nothing was trained.

    The arguments are those of :meth:`neuromatic.Model.train`, which documents the errors.
    """
    if epochs < 0 or batch_size < 1:
        raise ValueError(f"epochs must be 0 or more and batch_size 1 or more, got {epochs} and {batch_size}")
    if epochs == 0:
        return History(), None
    rate = _learning_rate(model, recipe, learning_rate)
    progress = progress_for(verbose)
    program = engines.find(engine).compile(model, seed=seed, options=engine_options)
    try:
        history = fit(
            program,
            data,
            metrics=recipe.metrics,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=rate,
            seed=seed,
            shuffle=shuffle,
            validation=validation,
            callbacks=[*_take_averages(recipe), *callbacks, *progress],
            first_step=_steps_done(model, recipe),
        )
        parameters = program.parameters()
        _check_finite(parameters, _steps_done(model, recipe) + len(history.step_losses))
        trained = ModelProto()
        trained.CopyFrom(model)
        weights.write_back(trained, parameters)
        history.difference = verify(trained, program, data, tolerance)
    finally:
        program.close()
    return history, trained


def _check_finite(parameters: Mapping[str, Array], step: int) -> None:
    """The loss is taken before a step's update, so that it does not tell of the last one.

    Raises:
        TrainingError: a parameter is not finite.
    """
    for name, array in parameters.items():
        bad = array[~np.isfinite(array)]
        if bad.size:
            raise TrainingError(
                f"{name!r} became {bad[0]} by step {step}; try a lower learning rate or check the data"
            )


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


def _take_averages(recipe: Recipe) -> list[Callback]:
    """What ends a run of an optimizer that keeps moving averages, before the callbacks that were given."""
    named = {name: f"{AVERAGE}/{name}" for name in recipe.trainable}
    averages = {name: average for name, average in named.items() if average in recipe.updates}
    return [TakeAverages(averages)] if averages and recipe.optimizer is not None else []


def _steps_done(model: ModelProto, recipe: Recipe) -> int:
    tensor = weights.stored_tensors(model).get(recipe.step or "")
    return 0 if tensor is None else int(numpy_helper.to_array(tensor))


def verify(
    model: ModelProto, program: Program, data: Mapping[str, Array], tolerance: tuple[float, float]
) -> float:
    """Compare a program's outputs with onnxruntime's for the model written from it.

    Outputs that the engine cannot compute are run by onnxruntime alone; a quantised graph is run as it is
    written.

    Returns:
        The largest absolute difference over at most :data:`VERIFIED_ROWS` rows.

    Raises:
        VerificationError: some output differs by more than ``atol + rtol * |value|``.
    """
    atol, rtol = tolerance
    inputs = {name: data[name][:VERIFIED_ROWS] for name in data_inputs(model.graph)}
    rows = np.arange(len(next(iter(inputs.values()))))
    quantised = any(node.op_type == "DequantizeLinear" for node in model.graph.node)
    expected = Session(strip(model), as_written=quantised).run(inputs)
    found = program.predict(program.load(inputs), rows)
    worst = 0.0
    for name, output in found.items():
        value = expected[name]
        if value.dtype.kind in "OSU":  # texts, such as labels: made of numbers that are compared
            continue
        difference = np.abs(output.astype(np.float64) - value.astype(np.float64))
        largest = float(difference.max(initial=0.0))
        if not (difference <= atol + rtol * np.abs(value)).all():
            raise VerificationError(
                f"output {name!r} of the trained model differs by {largest:.3g} between the engine and "
                f"onnxruntime (allowed: {atol:g} + {rtol:g} * |value|); the model is left as it was",
                difference=largest,
            )
        worst = max(worst, largest)
    return worst
