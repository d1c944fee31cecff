"""``neuromatic convert``: between ONNX and other formats."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from neuromatic.cli._errors import USAGE, Failure
from neuromatic.cli._shared import check_output, echo, input_option, verbose_option
from neuromatic.errors import ConversionError
from neuromatic.saving.atomic import check_writable

CONVERSIONS = {
    ("onnx", "onnx"): "onnx_file",
    ("keras", "onnx"): "keras",
    ("onnx", "saved_model"): "saved_model",
}
"""The module of ``neuromatic.converters.formats`` for each pair of formats."""
FORMATS = ("onnx", "keras", "saved_model")
SUFFIXES = {".onnx": "onnx", ".keras": "keras", "": "saved_model"}


@click.command()
@click.argument("source", metavar="SRC")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DST")
@click.option("--from", "origin", type=click.Choice(FORMATS), help="Format of SRC.  [default: by its name]")
@click.option("--to", "target", type=click.Choice(FORMATS), help="Format of DST.  [default: by its name]")
@click.option(
    "--opset", type=click.IntRange(1), help="Version of ONNX' operators, no lower than the model's."
)
@click.option("--strip-training", is_flag=True, help="Leave out the recipe and the optimizer's state.")
@click.option("--dequantize", is_flag=True, help="Make floats of weights that are integers, to train them.")
@click.option(
    "--dynamic-batch",
    is_flag=True,
    help="Let SRC, exported for a fixed batch, take any number of rows; verified with two numbers of them.",
)
@input_option
@click.option("--verify/--no-verify", "check", default=True, help="Compare SRC and DST on random inputs.")
@click.option(
    "--atol", type=click.FloatRange(0), default=1e-4, show_default=True, help="How far they may differ."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="For the random inputs.")
@verbose_option
def convert(source: str, output: Path, origin: str | None, target: str | None, **options: Any) -> None:
    """Convert SRC to DST: .onnx to .onnx, .keras to .onnx, or .onnx to a TensorFlow SavedModel (a folder).

    DST is written only if it gives what SRC gives, with two batch sizes.
    """
    pair = (origin or format_of(Path(source)), target or format_of(output))
    if pair not in CONVERSIONS:
        raise ConversionError(f"there is no conversion from {pair[0]} to {pair[1]}; go by way of onnx")
    arguments = accepted(options, pair)
    if pair[1] == "onnx":
        check_output(output, ".onnx")
    elif not output.is_dir():
        check_writable(output)
    module = importlib.import_module(f"neuromatic.converters.formats.{CONVERSIONS[pair]}")
    if pair[0] == "onnx":
        arguments["tell"] = echo
    difference = module.convert(source, output, **arguments)
    if difference is not None:
        echo(f"largest difference between {source} and {output}: {difference:.1e}")
    echo(f"wrote {output}")


def format_of(path: Path) -> str:
    """The format that a file's name stands for.

    >>> format_of(Path("net.onnx"))
    'onnx'

    Raises:
        Failure: for none.
    """
    if path.suffix not in SUFFIXES:
        raise Failure(f"cannot tell the format of {path}; name it with --from or --to", USAGE)
    return SUFFIXES[path.suffix]


def accepted(options: dict[str, Any], pair: tuple[str, str]) -> dict[str, Any]:
    """The options that a conversion has a use for.

    Raises:
        Failure: an option was given that means nothing there.
    """
    shapes = {"dynamic_batch", "input_shapes"}
    unused = {
        "keras": {"strip_training", "dequantize"} | shapes,
        "saved_model": {"strip_training", "opset", "dequantize"} | shapes,
        "onnx_file": set(),
    }
    for name in unused[CONVERSIONS[pair]]:
        if options[name]:
            option = "input" if name == "input_shapes" else name.replace("_", "-")
            raise Failure(f"--{option} means nothing from {pair[0]} to {pair[1]}", USAGE)
    return {name: value for name, value in options.items() if name not in unused[CONVERSIONS[pair]]}
