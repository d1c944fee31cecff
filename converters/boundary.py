"""Where what an engine's own library raises becomes an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from neuromatic.errors import ConversionError, NeuromaticError


@contextmanager
def raising_our_errors(what: str) -> Iterator[None]:
    """Turn any exception of a library into a ``ConversionError`` that begins with ``what``.

    Raises:
        ConversionError: something else than an error of ours was raised.
    """
    try:
        yield
    except NeuromaticError:
        raise
    except Exception as error:  # libraries raise ValueError, KeyError, RuntimeError and kinds of their own
        raise ConversionError(f"{what}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """The first line of an exception's text, or its kind where it has none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{type(error).__name__} {lines[0]}" if isinstance(error, LookupError) else lines[0].strip()[:400]
