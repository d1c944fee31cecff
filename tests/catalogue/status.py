"""What Neuromatic has of Keras' public classes: said by the tests that prove it, or with a reason.

A test that compares a class with Keras' numbers is decorated with :func:`equal`. Classes that are there but
mean something else on purpose, and those that are not there, are named with the reason by :func:`different`
and :func:`absent`. ``tests/catalogue/test_walk.py`` walks Keras and finds what is in none of the three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Kind = Literal[
    "layers",
    "losses",
    "optimizers",
    "metrics",
    "initializers",
    "regularizers",
    "constraints",
    "schedules",
]
Test = TypeVar("Test", bound=Callable[..., Any])


@dataclass(frozen=True)
class Status:
    """What is said of one Keras class.

    Attributes:
        state: ``"equal"``, ``"different"`` or ``"absent"``.
        reason: the names of the tests that prove it, or why it is different or absent.
    """

    state: Literal["equal", "different", "absent"]
    reason: str


STATUS: dict[tuple[Kind, str], Status] = {}


def _say(kind: Kind, name: str, status: Status) -> None:
    known = STATUS.get((kind, name))
    if known is None:
        STATUS[kind, name] = status
        return
    if known.state != status.state:
        raise ValueError(f"{kind}.{name} is said to be {known.state} and {status.state}")
    reasons = dict.fromkeys(
        [*known.reason.split(", "), status.reason] if status.state == "equal" else [known.reason]
    )
    STATUS[kind, name] = Status(status.state, ", ".join(reasons))


def equal(kind: Kind, *names: str) -> Callable[[Test], Test]:
    """Say that the decorated test proves these Keras classes equal to ours of the same name."""

    def register(test: Test) -> Test:
        for name in names:
            _say(kind, name, Status("equal", test.__name__))
        return test

    return register


def different(kind: Kind, name: str, reason: str) -> None:
    """Say that our class of this name deliberately means something else than Keras'."""
    _say(kind, name, Status("different", reason))


def absent(kind: Kind, name: str, reason: str) -> None:
    """Say that there is no such class here."""
    _say(kind, name, Status("absent", reason))
