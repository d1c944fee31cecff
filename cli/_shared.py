"""What several commands share: options, the model they work on, and where they write."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np

from neuromatic.cli._errors import USAGE, VERBOSE, Failure
from neuromatic.metrics import result_text
from neuromatic.printable import printable
from neuromatic.saving.atomic import check_writable

Command = TypeVar("Command", bound=Callable[..., Any])


def verbose_option(command: Command) -> Command:
    """Add ``-v`` to a command."""
    return click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_be_verbose,
        help="Show the engine's own messages, and tracebacks.",
    )(command)


def _be_verbose(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.find_root().meta[VERBOSE] = True
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"


def model_argument(command: Command) -> Command:
    """Add the argument ``MODEL`` to a command."""
    return click.argument("source", metavar="MODEL")(command)


def data_option(command: Command) -> Command:
    """Add ``--data`` to a command."""
    return click.option(
        "--data",
        required=True,
        metavar="FILE.npz",
        help="Arrays by the names of the model's inputs and targets; x and y where there is one of each.",
    )(command)


def input_option(command: Command) -> Command:
    """Add ``--input`` to a command; it gets ``input_shapes``."""
    return click.option(
        "--input",
        "input_shapes",
        multiple=True,
        metavar="NAME:DIM,...",
        callback=_shapes,
        help="Sizes or names for the axes of an input of MODEL, as in x:batch,3,224,224.",
    )(command)


def _shapes(
    ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, tuple[int | str, ...]]:
    """Shapes by input.

    >>> _shapes(None, None, ("x:batch,3", "image:0:1,8"))
    {'x': ('batch', 3), 'image:0': (1, 8)}
    """
    found: dict[str, tuple[int | str, ...]] = {}
    for text in given:
        name, colon, dims = text.rpartition(":")
        parts = [part.strip() for part in dims.split(",")]
        if not (name and colon and all(parts)):
            raise Failure(f"--input {text}: write NAME:DIM,... as in x:batch,3,224,224", USAGE)
        found[name] = tuple(int(part) if part.isdecimal() else part for part in parts)
    return found


def json_option(help_text: str) -> Callable[[Command], Command]:
    """Add ``--json`` to a command."""
    return click.option("--json", "as_json", is_flag=True, help=help_text)


def all_option(what: str) -> Callable[[Command], Command]:
    """Add ``--all`` to a command whose tables are shortened."""
    return click.option("--all", "everything", is_flag=True, help=f"Show all {what}, however many.")


def check_output(path: Path, *suffixes: str) -> None:
    """Refuse what cannot be written to before the work begins.

    Raises:
        Failure: the file's name does not end in one of ``suffixes``.
        WriteError: it cannot be written, see :func:`neuromatic.saving.atomic.check_writable`.
    """
    if path.suffix not in suffixes:
        raise Failure(f"{path} must end in {' or '.join(suffixes)}", USAGE)
    check_writable(path)


def echo(*lines: object, err: bool = False) -> None:
    """Print lines on standard output or error; the one place where text from a file reaches a terminal.

    Args:
        lines: each becomes one line; control characters in it, line breaks included, are shown as escapes.
        err: whether on standard error.
    """
    for line in lines:
        click.echo(printable(str(line), keep="\t"), err=err)  # noqa: TID251


def print_json(data: Any) -> None:
    """Print one JSON object on one line; NaN and infinity, which JSON has not, become null."""
    click.echo(json.dumps(_finite(data)))  # noqa: TID251 - ASCII alone


def _finite(data: Any) -> Any:
    if isinstance(data, np.ndarray):
        return _finite(data.tolist())
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    return [_finite(value) for value in data] if isinstance(data, (list, tuple)) else data


def numbers(logs: dict[str, Any]) -> str:
    """Numbers as one line: ``loss 0.1234  accuracy 0.9876  recall [0.5 1]``."""
    return "  ".join(f"{name} {result_text(value, '.6g')}" for name, value in logs.items())
