"""``neuromatic train``: train or fine-tune a model and write it back as ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from neuromatic import EarlyStopping, History, Model, losses, metrics, optimizers, schedules
from neuromatic.builder._surgery import BatchNorm
from neuromatic.cli._errors import USAGE, Failure
from neuromatic.cli._models import load_model, training_data
from neuromatic.cli._schedules import parse_schedule
from neuromatic.cli._shared import (
    check_output,
    data_option,
    echo,
    input_option,
    json_option,
    model_argument,
    numbers,
    print_json,
    verbose_option,
)
from neuromatic.engines import ENGINES
from neuromatic.errors import ParameterWarning, UnknownNameError
from neuromatic.optimizers import Optimizer
from neuromatic.recipe.dropout import DropoutForm
from neuromatic.recipe.sections import default_learning_rate
from neuromatic.recipe.validation import dropped
from neuromatic.saving.atomic import check_writable
from neuromatic.schedules import LearningRate
from neuromatic.training.callbacks import Callback, Logs, Run
from neuromatic.transfer.trainable_layers import doubts, matching, stored_names

DEFAULT_OPTIMIZER = "adam"
TRIED_ROWS = 2
"""How many rows of --val are evaluated before training, to see that it can be done after it."""


@dataclass(frozen=True)
class Settings:
    """The options of the command; see its help."""

    loss: tuple[str, ...]
    optimizer: str | None
    lr: float | None
    lr_schedule: str | None
    weight_decay: float | None
    clip_norm: float | None
    metrics: tuple[str, ...]
    freeze: tuple[str, ...]
    unfreeze: tuple[str, ...]
    train_only: tuple[str, ...]
    train_last: int | None
    new_head: int | None
    cut_at: str | None
    batch_norm: BatchNorm | None
    dropout: DropoutForm | None
    val: str | None
    val_split: float
    epochs: int
    batch_size: int | None
    seed: int
    shuffle: bool
    engine: str
    patience: int | None
    monitor: str | None
    verify_atol: float | None
    verify_rtol: float | None
    input_shapes: dict[str, tuple[int | str, ...]]
    as_json: bool

    def check(self) -> None:
        """Refuse options that contradict each other, and an engine that does not exist."""
        if self.val is not None and self.val_split:
            raise Failure("--val and --val-split exclude each other", USAGE)
        if self.monitor is not None and self.patience is None:
            raise Failure("--monitor needs --patience", USAGE)
        if self.cut_at is not None and self.new_head is None:
            raise Failure("--cut-at needs --new-head", USAGE)
        if self.train_only and self.train_last is not None:
            raise Failure("--train-only and --train-last exclude each other", USAGE)
        if self.engine not in ENGINES:
            raise UnknownNameError("engine", self.engine, ENGINES)


@click.command()
@model_argument
@data_option
@click.option("--val", metavar="FILE.npz", help="Data to report val_ numbers of, and to evaluate at the end.")
@click.option(
    "--val-split",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    help="Share of the rows, from the end, to use so instead.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="OUT.onnx",
    help="File to write.",
)
@click.option(
    "--epochs", type=click.IntRange(0), default=10, show_default=True, help="Times to see all rows."
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    help="Rows in a step.  [default: 32, or the batch that is fixed in MODEL]",
)
@click.option(
    "--loss",
    multiple=True,
    metavar="NAME",
    help=f"One of {', '.join(losses.LOSSES)}, or an .onnx file of two inputs, target and prediction.",
)
@click.option(
    "--optimizer",
    metavar="NAME",
    help=f"One of {', '.join(optimizers.OPTIMIZERS)}; {DEFAULT_OPTIMIZER} where MODEL has none.",
)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    help="Learning rate. Kept in OUT with --optimizer or where MODEL has no recipe, else for this run alone.",
)
@click.option(
    "--lr-schedule",
    metavar="NAME:ARG=VALUE,...",
    help=f"Learning rate by the step, from --lr on: one of {', '.join(schedules.SCHEDULES)}, "
    "as in cosine_decay:decay_steps=1000. Kept in OUT where --lr is.",
)
@click.option(
    "--weight-decay",
    type=click.FloatRange(0),
    help="Share of themselves times the learning rate that parameters lose in each step.",
)
@click.option(
    "--clip-norm",
    type=click.FloatRange(0, min_open=True),
    help="Largest norm of all gradients together.",
)
@click.option("--metrics", multiple=True, metavar="NAMES", help=f"Some of {', '.join(metrics.METRICS)}.")
@click.option("--freeze", multiple=True, metavar="GLOB", help="Initializers not to train, as in 'conv2d/*'.")
@click.option(
    "--unfreeze",
    multiple=True,
    metavar="NAME",
    help="Initializers to train again; named in full, also one that counts as a constant.",
)
@click.option("--train-only", multiple=True, metavar="GLOB", help="Initializers to train; others are frozen.")
@click.option(
    "--train-last", type=click.IntRange(1), metavar="N", help="Train the last N layers with parameters alone."
)
@click.option(
    "--new-head",
    type=click.IntRange(1),
    metavar="N",
    help="Put a new classifier of N classes on MODEL: Dense with softmax, or with sigmoid for 1.",
)
@click.option(
    "--cut-at",
    metavar="NAME",
    help="Value, node or layer that the new head follows.  [default: where the last Gemm or MatMul begins]",
)
@click.option(
    "--batch-norm",
    type=click.Choice(["train", "frozen"]),
    help="Whether BatchNormalization uses each batch's statistics and updates its own, or uses and keeps "
    "these.  [default: as MODEL's recipe has it, else train]",
)
@click.option(
    "--dropout",
    type=click.Choice(["train", "off"]),
    help="Whether Dropout, and noise that regularizes as it does, acts in training.  "
    "[default: as MODEL's recipe has it, else train]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="For order and dropout.")
@click.option("--shuffle/--no-shuffle", default=True, show_default=True, help="Another order in each epoch.")
@click.option("--engine", default="tensorflow", show_default=True, help=f"One of {', '.join(ENGINES)}.")
@click.option(
    "--patience",
    type=click.IntRange(1),
    help="Stop after so many epochs without improvement and go back to the best.",
)
@click.option("--monitor", metavar="NAME", help="The number to improve.  [default: val_loss, else loss]")
@click.option("--verify-atol", type=click.FloatRange(0))
@click.option(
    "--verify-rtol",
    type=click.FloatRange(0),
    help="How far engine and onnxruntime may differ, absolutely and relatively, for OUT to be written.  "
    "[default: 1e-4; more in half precision]",
)
@input_option
@json_option("One JSON object on standard output for each epoch and one for the result.")
@verbose_option
def train(source: str, data: str, output: Path, **options: Any) -> None:
    """Train MODEL, an .onnx file or file.py:function, and write it to OUT.onnx.

    A file with a recipe (one that train has written) needs no option but --data and -o. Other models need
    --loss. For a model with several outputs, write --loss OUTPUT=NAME and --metrics OUTPUT=NAME for each.

    OUT may be MODEL: it is replaced only when everything has succeeded.
    """
    settings = Settings(**options)
    settings.check()
    check_output(output, ".onnx")
    model = load_model(source)
    if settings.input_shapes:
        model = model.with_input_shape(**settings.input_shapes)
    model, learning_rate = with_recipe(model, settings)
    callbacks = callbacks_for(model, settings)
    x, y = training_data(data, model)
    held_out = None if settings.val is None else training_data(settings.val, model)
    check_writable(output, model.proto.ByteSize())
    if held_out is not None:  # what is done at the end is tried before the first step
        model.evaluate(*(first_rows(arrays) for arrays in held_out))
    history = model.train(
        x,
        y,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        validation_data=held_out,
        validation_split=settings.val_split,
        shuffle=settings.shuffle,
        seed=settings.seed,
        learning_rate=learning_rate,
        callbacks=callbacks,
        engine=settings.engine,
        batch_norm=settings.batch_norm,
        dropout=settings.dropout,
        verify_atol=settings.verify_atol,
        verify_rtol=settings.verify_rtol,
    )
    model.save(output)
    results = None if held_out is None else model.evaluate(*held_out)
    report(history, results, output, settings)


def first_rows(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """A few rows of each array."""
    return {name: array[:TRIED_ROWS] for name, array in arrays.items()}


def chosen_optimizer(settings: Settings) -> Optimizer:
    """The optimizer that the options choose.

    Raises:
        Failure: its schedule cannot be made.
        UnknownNameError: there is no optimizer or schedule of that name.
    """
    given = {
        "learning_rate": settings.lr,
        "weight_decay": settings.weight_decay,
        "global_clipnorm": settings.clip_norm,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    optimizer = optimizers.get(settings.optimizer or DEFAULT_OPTIMIZER, **chosen)
    if settings.lr_schedule is None:
        return optimizer
    return replace(optimizer, learning_rate=parse_schedule(settings.lr_schedule, optimizer.first_rate))


def with_recipe(model: Model, settings: Settings) -> tuple[Model, LearningRate | None]:
    """The model with what the options choose, and the learning rate that this run has in place of the file's.

    Raises:
        Failure: neither the model nor the options have a loss.
        UnknownNameError: a name that does not exist.
    """
    rate: LearningRate | None = settings.lr
    lost = dropped(model.proto)
    if settings.new_head is not None:
        model = new_head(model, settings.new_head, settings)
    if settings.loss:
        chosen = by_output(settings.loss)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ParameterWarning)  # told below, after what is chosen
            model = model.loss(chosen if isinstance(chosen, dict) or len(chosen) > 1 else chosen[0])
    if settings.optimizer or model.recipe is None:
        model, rate = model.optimizer(chosen_optimizer(settings)), None
    else:
        options = {"--weight-decay": settings.weight_decay, "--clip-norm": settings.clip_norm}
        for option in (name for name, value in options.items() if value is not None):
            raise Failure(f"MODEL has an optimizer: give {option} together with --optimizer", USAGE)
        if settings.lr_schedule is not None:
            default = default_learning_rate(model.proto, model.recipe)
            rate = parse_schedule(settings.lr_schedule, settings.lr or default or 0.0)
    if model.recipe is None:
        more = f"; {lost}" if lost else ""
        raise Failure(f"MODEL has no loss: choose one with --loss; --help lists them{more}", USAGE)
    if settings.metrics:
        named = by_output([name for given in settings.metrics for name in given.split(",") if name])
        model = model.metrics(named) if isinstance(named, dict) else model.metrics(*named)
    model = chosen_parameters(model, settings)
    if settings.loss:
        tell_doubts(model, settings)
    return model, rate


def tell_doubts(model: Model, settings: Settings) -> None:
    """Say of which initializers the file leaves open whether they are parameters, unless options tell."""
    if settings.train_only or settings.train_last is not None:
        return
    settled = matching(stored_names(model.proto), (*settings.freeze, *settings.unfreeze))
    for sentence in doubts(model.proto, settled):
        echo(f"note: {sentence}", err=True)


def new_head(model: Model, classes: int, settings: Settings) -> Model:
    """The model with a classifier in place of its head."""
    activation = "sigmoid" if classes == 1 else "softmax"
    return model.replace_head(settings.cut_at, units=classes, activation=activation, seed=settings.seed)


def chosen_parameters(model: Model, settings: Settings) -> Model:
    """The model with what the options choose to train.

    Raises:
        UnknownNameError: a pattern matches nothing.
    """
    if settings.train_only:
        model = model.train_only(*settings.train_only)
    if settings.train_last is not None:
        model = model.train_last(settings.train_last)
    model = model.freeze(*settings.freeze) if settings.freeze else model
    return model.unfreeze(*settings.unfreeze) if settings.unfreeze else model


def by_output(given: Sequence[str]) -> list[str] | dict[str, Any]:
    """Names as they are, or by output where they say ``OUTPUT=NAME``.

    >>> by_output(["a=mse", "b=mae"])
    {'a': 'mse', 'b': 'mae'}

    Raises:
        Failure: some say it and some do not.
    """
    pairs = [name.rpartition("=") for name in given]
    if not any(equals for _, equals, _ in pairs):
        return list(given)
    if not all(output and equals for output, equals, _ in pairs):
        raise Failure(f"write OUTPUT=NAME for all of {', '.join(given)}, or for none", USAGE)
    found: dict[str, Any] = {}
    for output, _, name in pairs:
        found[output] = name if output not in found else [*_listed(found[output]), name]
    return found


def _listed(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def callbacks_for(model: Model, settings: Settings) -> list[Callback]:
    """Early stopping and JSON lines, as far as they are asked for.

    Raises:
        UnknownNameError: the number to watch is not reported.
    """
    callbacks: list[Callback] = [JsonLines()] if settings.as_json else []
    if settings.patience is not None:
        validated = settings.val is not None or settings.val_split > 0
        reported = ["loss", *(m.name for m in model.recipe.metrics)] if model.recipe else []
        known = [*reported, *(f"val_{name}" for name in reported if validated)]
        monitor = settings.monitor or ("val_loss" if validated else "loss")
        if monitor not in known:
            raise UnknownNameError("reported number", monitor, known)
        callbacks.append(EarlyStopping(monitor, patience=settings.patience, restore_best_weights=True))
    return callbacks


class JsonLines(Callback):
    """One JSON object on standard output for each epoch."""

    def on_epoch_end(self, run: Run, epoch: int, logs: Logs) -> None:
        print_json({"epoch": epoch + 1, **logs})


def report(history: History, results: Mapping[str, float] | None, output: Path, settings: Settings) -> None:
    """Print what came of it; the last line names the file."""
    if settings.as_json:
        outcome: dict[str, Any] = {
            "file": str(output),
            "epochs": len(history.epoch),
            "seconds": sum(history.seconds),
            "difference": history.difference,
            "evaluation": results,
        }
        if history.verification is not None and history.verification.not_compared:
            outcome["not_compared"] = dict(history.verification.not_compared)
        print_json(outcome)
        return
    if results is not None:
        echo(f"{settings.val}: {numbers(dict(results))}")
    if history.difference is not None:
        difference = f"{history.difference:.1e}"
        echo(f"largest difference between {settings.engine} and onnxruntime: {difference}")
    if history.verification is not None:
        for name, why in history.verification.not_compared.items():
            echo(f"not compared: {name}: {why}")
    echo(f"wrote {output}")
