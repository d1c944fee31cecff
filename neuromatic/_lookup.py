"""From a name, a class or an object to the object: the one rule for losses, metrics, optimizers ..."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from neuromatic.errors import UnknownNameError

T = TypeVar("T")


def from_name(kind: str, given: object, known: Mapping[str, type[T]], base: type[T], **arguments: Any) -> T:
    """Make the ``kind`` that ``given`` stands for; ``arguments`` go to its constructor.

    Raises:
        UnknownNameError: a name that is not in ``known``.
        TypeError: neither a name nor of type ``base``, or arguments for a finished object.
    """
    if isinstance(given, str):
        if given not in known:
            raise UnknownNameError(kind, given, known)
        return known[given](**arguments)
    if isinstance(given, type) and issubclass(given, base):
        return given(**arguments)
    if isinstance(given, base):
        if arguments:
            raise TypeError(f"give {sorted(arguments)} to {type(given).__name__}(...) itself")
        return given
    raise TypeError(f"a {kind} is a name, a class or an object of {base.__name__}, got {given!r}")
