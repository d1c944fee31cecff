"""Schedules of the learning rate as one word on the command line."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import Any

from neuromatic import schedules
from neuromatic.cli._errors import USAGE, Failure
from neuromatic.errors import UnknownNameError
from neuromatic.schedules import Schedule

FIRST_RATES = ("initial_learning_rate", "max_learning_rate", "learning_rate")
"""The arguments that a learning rate stands for where the word does not give them."""


def parse_schedule(text: str, rate: float) -> Schedule:
    """The schedule that ``NAME:ARGUMENT=VALUE,...`` says; values are JSON.

    >>> parse_schedule("exponential_decay:decay_steps=100,decay_rate=0.5", 0.1)(100)
    0.05

    Args:
        text: the word.
        rate: the learning rate, for the schedule's first argument.

    Raises:
        UnknownNameError: there is no such schedule, or it has no such argument.
        Failure: the word is no such list, or an argument lacks or is wrong.
    """
    name, _, rest = text.partition(":")
    if name not in schedules.SCHEDULES:
        raise UnknownNameError("schedule", name, schedules.SCHEDULES)
    cls: Any = schedules.SCHEDULES[name]
    known = [f.name for f in fields(cls)]
    arguments: dict[str, Any] = {first: rate for first in FIRST_RATES if first in known}
    for pair in re.split(r",(?=\w+=)", rest) if rest else []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise Failure(f"--lr-schedule: write NAME:ARGUMENT=VALUE,..., got {pair!r} in {text!r}", USAGE)
        if key not in known:
            raise UnknownNameError(f"argument of {name}", key, known)
        arguments[key] = _value(key, value)
    try:
        return cls(**arguments)  # type: ignore[no-any-return]
    except (TypeError, ValueError) as error:
        raise Failure(f"--lr-schedule {name}: {error}; its arguments: {', '.join(known)}", USAGE) from error


def _value(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        if text.isidentifier():  # a word needs no quotation marks
            return text
        raise Failure(f"--lr-schedule: {key}={text} is no number, list or word", USAGE) from None
