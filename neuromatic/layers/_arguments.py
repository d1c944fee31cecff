"""Checks of arguments that several layers have."""

from __future__ import annotations


def check_positive(owner: str, argument: str, value: object, *, optional: bool = False) -> None:
    """Refuse what is not a positive integer (nor None, if ``optional``).

    Raises:
        ValueError: it names the class, the argument and the value.
    """
    if optional and value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        wanted = "a positive integer or None" if optional else "a positive integer"
        raise ValueError(f"{owner}: {argument} must be {wanted}, got {value!r}")


def check_share(owner: str, argument: str, value: object) -> None:
    """Refuse what is not a share from 0 up to but not including 1.

    Raises:
        ValueError: it names the class, the argument and the value.
    """
    if not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ValueError(f"{owner}: {argument} must be a number from 0 to below 1, got {value!r}")
