"""``neuromatic evaluate``: loss and metrics of a model, by onnxruntime."""

from __future__ import annotations

import click

from neuromatic.cli._models import load_model, training_data
from neuromatic.cli._shared import (
    data_option,
    echo,
    json_option,
    model_argument,
    numbers,
    print_json,
    verbose_option,
)


@click.command()
@model_argument
@data_option
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    help="Rows at a time.  [default: 256, or the batch that is fixed in MODEL]",
)
@json_option("One JSON object on standard output.")
@verbose_option
def evaluate(source: str, data: str, batch_size: int | None, as_json: bool) -> None:
    """Print loss and metrics of MODEL, as its recipe defines them, computed by onnxruntime."""
    model = load_model(source)
    results = model.evaluate(*training_data(data, model), batch_size=batch_size)
    if as_json:
        print_json(results)
    else:
        echo(numbers(results))
