"""Keeping other libraries' messages off the terminal.

TensorFlow's libraries write to file descriptor 2 while they are loaded, before any setting of theirs counts;
so the descriptor itself is turned aside for that moment. Failures come as exceptions and stay visible.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
"""TensorFlow's own variable; where it is set, nothing is kept off, and TensorFlow goes by it."""


def wanted() -> bool:
    """Whether messages are to be kept off: nobody has asked for them by :data:`LEVEL`, "3" aside."""
    return os.environ.get(LEVEL, "3") == "3"


@contextmanager
def quiet(*descriptors: int) -> Iterator[None]:
    """Keep off what is written to these file descriptors (2: standard error) inside the block.

    Where the environment sets TensorFlow's log level, nothing is kept off.
    """
    if not wanted():
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as aside:
        saved = _turn_aside(descriptors, aside.fileno())
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, copy in saved.items():
                os.dup2(copy, descriptor)
                os.close(copy)


def _turn_aside(descriptors: tuple[int, ...], target: int) -> dict[int, int]:
    """Point descriptors to a file; returns a copy of each that was open."""
    saved = {}
    for descriptor in descriptors:
        try:
            saved[descriptor] = os.dup(descriptor)
        except OSError:  # closed, as in a service without a terminal
            continue
        os.dup2(target, descriptor)
    return saved
