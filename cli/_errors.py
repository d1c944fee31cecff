"""Every failure of a command is one sentence on standard error and an exit code; never a traceback."""

from __future__ import annotations

import errno
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import click

from neuromatic.errors import DataWarning, NeuromaticError
from neuromatic.printable import printable

FAILED, USAGE, INTERRUPTED = 1, 2, 130
VERBOSE = "neuromatic.verbose"
"""Where a context keeps whether ``-v`` was given."""


class Failure(click.ClickException):
    """A failure with an exit code of its own."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the exception


class Commands(click.Group):
    """A group whose commands may raise what they like: it becomes a :class:`Failure`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a warning is one sentence, too."""
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("always", category=DataWarning)
                warnings.showwarning = _showing(warnings.showwarning)
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt as interruption:
            raise Failure("interrupted; the output was not written", INTERRUPTED) from interruption
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # the reader of our output has left; click ends quietly
            if ctx.find_root().meta.get(VERBOSE):
                click.echo(printable("".join(traceback.format_exception(error))), err=True)  # noqa: TID251
            raise failure(error) from error


def _showing(others: Callable[..., None]) -> Callable[..., None]:
    """A function that prints a warning about data as one sentence, and leaves others as they are shown."""

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, DataWarning):
            click.echo(f"Warning: {' '.join(printable(str(message)).split())}", err=True)  # noqa: TID251
        else:
            others(message, category, *place, **more)

    return show


def failure(error: Exception) -> Failure:
    """The failure that an exception means."""
    match error:
        case NeuromaticError():
            return Failure(one_line(error), error.exit_code)
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            return Failure(f"{place}{error.strerror or one_line(error)}")
        case _ if hasattr(error, "ag_error_metadata"):  # raised while TensorFlow traced the graph
            return Failure(f"the engine cannot run the graph: {str(error).strip().splitlines()[-1].strip()}")
        case ValueError():
            return Failure(one_line(error), USAGE)
        case MemoryError():
            return Failure("there is not enough memory for this")
        case _:
            return Failure(f"unexpected {type(error).__name__}: {one_line(error)[:500]}; -v shows where")


def one_line(error: BaseException) -> str:
    """The text of an exception without line breaks or other control characters."""
    return " ".join(printable(str(error)).split()) or type(error).__name__
