"""``neuromatic compare``: train one recipe on two engines and report how far they are apart."""

from __future__ import annotations

from pathlib import Path

import click

from neuromatic.cli._errors import USAGE, Failure
from neuromatic.cli._models import load_model, training_data
from neuromatic.cli._shared import (
    check_output,
    data_option,
    echo,
    json_option,
    model_argument,
    print_json,
    verbose_option,
)
from neuromatic.engines import ENGINES
from neuromatic.errors import UnknownNameError
from neuromatic.reports.parity import Parity, draw, engines_options
from neuromatic.reports.parity import compare as compare_engines


@click.command()
@model_argument
@data_option
@click.option(
    "--engines", default="tensorflow,cntk", show_default=True, metavar="A,B", help="The two to compare."
)
@click.option("--epochs", type=click.IntRange(1), default=1, show_default=True, help="Times to see all rows.")
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    help="Rows in a step.  [default: 32, or the batch that is fixed in MODEL]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="For order and dropout.")
@click.option("--threads", type=click.IntRange(1), help="How many CNTK computes with.  [default: all cores]")
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw losses and differences into a .png, .svg or .pdf file.",
)
@json_option("One JSON object on standard output, with the losses of each step.")
@verbose_option
def compare(
    source: str,
    data: str,
    engines: str,
    epochs: int,
    batch_size: int | None,
    seed: int,
    threads: int | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Train MODEL, which has a recipe, on two engines with the same seed and the same batches.

    Prints the largest differences of losses, weights and outputs, and how long a step takes. MODEL stays as
    it is. Dropout draws different masks on each engine, so it makes losses differ.
    """
    names = engines.split(",")
    if len(names) != 2:
        raise Failure(f"--engines takes two names, as in tensorflow,cntk; got {engines!r}", USAGE)
    for name in names:
        if name not in ENGINES:
            raise UnknownNameError("engine", name, ENGINES)
    if picture is not None:
        check_output(picture, ".png", ".svg", ".pdf")
    model = load_model(source)
    found = compare_engines(
        model,
        *training_data(data, model),
        engines=(names[0], names[1]),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        engine_options=engines_options(threads),
        verbose=0,
    )
    if picture is not None:
        draw(found, picture)
    report(found, picture, as_json)


def report(parity: Parity, picture: Path | None, as_json: bool) -> None:
    """Print what was found; a line for each step where there are few."""
    if as_json:
        print_json({**parity.summary(), "losses": {k: list(v) for k, v in parity.losses.items()}})
        return
    first, second = parity.engines
    steps = len(parity.losses[first])
    echo(f"{'step':>6}  {first:>12}  {second:>12}  relative difference")
    shown = sorted({round(i * (steps - 1) / 9) for i in range(10)})
    for step in shown:
        a, b = parity.losses[first][step], parity.losses[second][step]
        echo(f"{step + 1:>6}  {a:>12.6f}  {b:>12.6f}  {abs(b - a) / max(abs(a), 1e-38):.1e}")
    difference, name = parity.weight_difference
    echo(f"largest relative difference of a loss in {steps} steps: {parity.loss_difference:.1e}")
    echo(f"largest difference of a weight: {difference:.1e} ({name})")
    echo(f"largest difference of an output: {parity.output_difference:.1e}")
    milliseconds = ", ".join(f"{name} {1000 * parity.step_seconds[name]:.2f} ms" for name in parity.engines)
    echo(f"a step takes {milliseconds}: ratio {parity.time_ratio:.2f}")
    if picture is not None:
        echo(f"wrote {picture}")
