"""``neuromatic train``: train or fine-tune a model and write it back as ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from neuromatic import EarlyStopping, History, Model, losses, metrics, optimizers
from neuromatic.cli._errors import USAGE, Failure
from neuromatic.cli._models import load_model, training_data
from neuromatic.cli._shared import (
    check_output,
    data_option,
    json_option,
    model_argument,
    numbers,
    print_json,
    verbose_option,
)
from neuromatic.engines import ENGINES
from neuromatic.errors import UnknownNameError
from neuromatic.training.callbacks import Callback, Logs, Run

DEFAULT_OPTIMIZER = "adam"


@dataclass(frozen=True)
class Settings:
    """The options of the command; see its help."""

    loss: tuple[str, ...]
    optimizer: str | None
    lr: float | None
    metrics: tuple[str, ...]
    freeze: tuple[str, ...]
    val: str | None
    val_split: float
    epochs: int
    batch_size: int
    seed: int
    shuffle: bool
    engine: str
    patience: int | None
    monitor: str | None
    verify_atol: float
    verify_rtol: float
    as_json: bool

    def check(self) -> None:
        """Refuse options that contradict each other, and an engine that does not exist."""
        if self.val is not None and self.val_split:
            raise Failure("--val and --val-split exclude each other", USAGE)
        if self.monitor is not None and self.patience is None:
            raise Failure("--monitor needs --patience", USAGE)
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
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Rows in a step.")
@click.option("--loss", multiple=True, metavar="NAME", help=f"One of {', '.join(losses.LOSSES)}.")
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
@click.option("--metrics", multiple=True, metavar="NAMES", help=f"Some of {', '.join(metrics.METRICS)}.")
@click.option("--freeze", multiple=True, metavar="GLOB", help="Initializers not to train, as in 'conv2d/*'.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="For order and dropout.")
@click.option("--shuffle/--no-shuffle", default=True, show_default=True, help="Another order in each epoch.")
@click.option("--engine", default="tensorflow", show_default=True, help=f"One of {', '.join(ENGINES)}.")
@click.option(
    "--patience",
    type=click.IntRange(1),
    help="Stop after so many epochs without improvement and go back to the best.",
)
@click.option("--monitor", metavar="NAME", help="The number to improve.  [default: val_loss, else loss]")
@click.option("--verify-atol", type=click.FloatRange(0), default=1e-4, show_default=True)
@click.option(
    "--verify-rtol",
    type=click.FloatRange(0),
    default=1e-4,
    show_default=True,
    help="How far engine and onnxruntime may differ, absolutely and relatively, for OUT to be written.",
)
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
    model, learning_rate = with_recipe(load_model(source), settings)
    callbacks = callbacks_for(model, settings)
    x, y = training_data(data, model)
    held_out = None if settings.val is None else training_data(settings.val, model)
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
        verify_atol=settings.verify_atol,
        verify_rtol=settings.verify_rtol,
    )
    results = None if held_out is None else model.evaluate(*held_out)
    model.save(output)
    report(history, results, output, settings)


def with_recipe(model: Model, settings: Settings) -> tuple[Model, float | None]:
    """The model with what the options choose, and the learning rate that this run has in place of the file's.

    Raises:
        Failure: neither the model nor the options have a loss.
        UnknownNameError: a name that does not exist.
    """
    rate = settings.lr
    if settings.loss:
        chosen = by_output(settings.loss)
        model = model.loss(chosen if isinstance(chosen, dict) or len(chosen) > 1 else chosen[0])
    if settings.optimizer or model.recipe is None:
        arguments = {} if rate is None else {"learning_rate": rate}
        model, rate = model.optimizer(settings.optimizer or DEFAULT_OPTIMIZER, **arguments), None
    if model.recipe is None:
        raise Failure(f"MODEL has no loss: choose one with --loss ({', '.join(losses.LOSSES)})", USAGE)
    if settings.metrics:
        named = by_output([name for given in settings.metrics for name in given.split(",") if name])
        model = model.metrics(named) if isinstance(named, dict) else model.metrics(*named)
    return (model.freeze(*settings.freeze) if settings.freeze else model), rate


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
        outcome = {
            "file": str(output),
            "epochs": len(history.epoch),
            "seconds": sum(history.seconds),
            "difference": history.difference,
            "evaluation": results,
        }
        print_json(outcome)
        return
    if results is not None:
        click.echo(f"{settings.val}: {numbers(dict(results))}")
    if history.difference is not None:
        difference = f"{history.difference:.1e}"
        click.echo(f"largest difference between {settings.engine} and onnxruntime: {difference}")
    click.echo(f"wrote {output}")
