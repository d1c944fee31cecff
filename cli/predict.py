"""``neuromatic predict``: the outputs of a model, by onnxruntime."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from neuromatic.cli._models import input_data, load_model
from neuromatic.cli._shared import check_output, data_option, echo, model_argument, verbose_option
from neuromatic.data import write_npz
from neuromatic.printable import printable
from neuromatic.saving import atomic as files

SHOWN = 5
"""How many rows are shown where nothing is written."""

Outputs = Mapping[str, NDArray[Any]]


@click.command()
@model_argument
@data_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="File to write, .npz (an array for each output) or .csv; without it the first rows are shown.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    help="Rows at a time.  [default: 256, or the batch that is fixed in MODEL]",
)
@verbose_option
def predict(source: str, data: str, output: Path | None, batch_size: int | None) -> None:
    """Compute the outputs of MODEL by onnxruntime."""
    if output is not None:
        check_output(output, ".npz", ".csv")
    model = load_model(source)
    results = model.predict(input_data(data, model), batch_size=batch_size)
    outputs = results if isinstance(results, dict) else {model.output_names[0]: results}
    if output is None:
        show(outputs)
        return
    (write_npz if output.suffix == ".npz" else write_csv)(output, outputs)
    echo(f"wrote {output}")


def show(outputs: Outputs) -> None:
    """Print the first rows of each output."""
    for name, array in outputs.items():
        more = f", first {SHOWN} rows" if array.ndim and len(array) > SHOWN else ""
        echo(f"{name} {array.shape} {array.dtype}{more}")
        with np.printoptions(precision=6, suppress=True, threshold=200, linewidth=100):
            echo(*str(array[:SHOWN] if array.ndim else array).split("\n"))


def write_csv(path: Path, outputs: Outputs) -> None:
    """Write a line for each row and a column for each number; a failure leaves an existing file as it was."""
    columns = [name for output, array in outputs.items() for name in column_names(output, array)]
    arrays = [cells(array) for array in outputs.values()]
    with files.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(list(itertools.chain(*rows)) for rows in zip(*arrays, strict=True))


def cells(array: NDArray[Any]) -> list[list[str]]:
    """An output as text, a list for each row; floats with the digits that their type has."""
    rows: list[list[str]] = array.reshape(len(array), -1).astype(str).tolist()
    return rows if array.dtype.kind in "biuf" else [[as_text(cell) for cell in row] for row in rows]


def column_names(output: str, array: NDArray[Any]) -> list[str]:
    """The columns of an output: its name, with the index where a row has several numbers."""
    places = itertools.product(*(range(size) for size in array.shape[1:]))
    return [as_text(f"{output}[{','.join(map(str, place))}]" if place else output) for place in places]


def as_text(cell: str) -> str:
    """A text without escape sequences, with an apostrophe before what would be a formula."""
    cell = printable(cell, keep="\n\r\t")
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
