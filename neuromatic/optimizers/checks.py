"""The arguments of optimizers: dataclass fields that know what their values must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, fields
from typing import Any

import numpy as np

from neuromatic.schedules import Schedule

Check = tuple[Callable[[Any], bool], str]
"""Whether a value is right, and what it must be."""


def _number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _finite(value: Any) -> bool:
    return _number(value) and abs(value) <= float(np.finfo(np.float32).max)


RATE: Check = (
    lambda v: isinstance(v, Schedule) or (_finite(v) and v >= 0),
    "a finite number of at least 0 or a schedule",
)
SHARE: Check = (lambda v: _number(v) and 0.0 <= v < 1.0, "in [0, 1)")
POSITIVE: Check = (lambda v: _finite(v) and v > 0, "above 0")
NOT_NEGATIVE: Check = (lambda v: _finite(v) and v >= 0, "a finite number of at least 0")
NUMBER: Check = (_finite, "a finite number")
COUNT: Check = (
    lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 1,
    "an integer of at least 1",
)
STEPS: Check = (
    lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 0,
    "an integer of at least 0",
)
FLAG: Check = (lambda v: isinstance(v, bool), "True or False")


def optional(check: Check) -> Check:
    """The same, or None."""
    fine, expected = check
    return lambda v: v is None or fine(v), f"{expected}, or None"


def checked(check: Check, default: Any) -> Any:
    """A field of a dataclass whose values :func:`check_fields` looks at."""
    return field(default=default, metadata={"check": check})


def check_fields(given: Any) -> None:
    """Refuse a dataclass whose checked fields are not right.

    Raises:
        ValueError: names the first that is wrong.
    """
    for item in fields(given):
        fine, expected = item.metadata.get("check", (lambda v: True, ""))
        value = getattr(given, item.name)
        if not fine(value):
            raise ValueError(f"{type(given).__name__}: {item.name} must be {expected}, got {value!r}")
