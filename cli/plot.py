"""``neuromatic plot``: a picture of a model's graph."""

from __future__ import annotations

from pathlib import Path

import click

from neuromatic.cli._models import look_at
from neuromatic.cli._shared import echo, model_argument, verbose_option
from neuromatic.reports import plot as plots
from neuromatic.saving.atomic import check_writable


@click.command()
@model_argument
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Ends in .png, .svg, .pdf or .dot.",
)
@click.option(
    "--detail", type=click.Choice(["layers", "nodes"]), default="layers", help="What a box is; layers."
)
@click.option(
    "--direction", type=click.Choice(["down", "right"]), default="down", help="Where the data flow; down."
)
@verbose_option
def plot(source: str, output: Path, detail: plots.Detail, direction: plots.Direction) -> None:
    """Draw the inference graph of MODEL."""
    check_writable(output)
    model = look_at(source)
    plots.draw(model.proto, output, detail=detail, direction=direction)
    echo(f"wrote {output}")
