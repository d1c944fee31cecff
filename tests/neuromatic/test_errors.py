"""The error tree: one base, exit codes, and what each error carries."""

from __future__ import annotations

import inspect

import pytest

from neuromatic import errors
from neuromatic.errors import (
    DivergedError,
    EngineNotAvailableError,
    NeuromaticError,
    UnknownNameError,
    UnsupportedOpError,
    VerificationError,
)

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__]


def test_every_error_has_the_one_base_and_is_drawn_in_the_tree() -> None:
    assert len(CLASSES) > 10
    for one in CLASSES:
        assert issubclass(one, (NeuromaticError, UserWarning))
        assert one.__name__ in (errors.__doc__ or "")
        assert one.__doc__


def test_the_tree_is_drawn_as_it_is() -> None:
    parents: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        name = next((word for word in line.split() if word.endswith("Error")), None)
        if name is None or not (line.startswith("    NeuromaticError") or "─ " in line):
            continue
        depth = (len(line) - len(line.lstrip(" │├└─"))) // 3 - 1
        del parents[depth:]
        assert [c.__name__ for c in getattr(errors, name).__mro__[1:2]] == (parents[-1:] or ["Exception"])
        parents.append(name)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("NeuromaticError", 1),
        ("RecipeError", 1),
        ("DataError", 1),
        ("VerificationError", 1),
        ("DivergedError", 1),
        ("UnknownNameError", 2),
        ("UnsupportedOpError", 3),
        ("UnsupportedFeatureError", 3),
        ("EngineNotAvailableError", 3),
    ],
)
def test_exit_codes(name: str, code: int) -> None:
    assert getattr(errors, name).exit_code == code


def test_arguments_that_are_wrong_are_value_errors_too() -> None:
    assert issubclass(errors.ShapeError, ValueError)
    assert issubclass(UnknownNameError, ValueError)


def test_what_errors_carry() -> None:
    op = UnsupportedOpError("tensorflow", ["no A", "no B"])
    assert (str(op), op.engine, op.problems) == ("no A; no B", "tensorflow", ("no A", "no B"))
    engine = EngineNotAvailableError("x", "no module", "pip install x")
    assert str(engine) == "x is not available (no module); install it with: pip install x"
    assert (engine.engine, engine.install) == ("x", "pip install x")
    assert VerificationError("differs", difference=0.5).difference == 0.5
    diverged = DivergedError(3, float("inf"), None)
    assert (diverged.step, diverged.last_finite) == (3, None)
    assert str(diverged) == (
        "the loss became inf at step 3 (no step before it was finite); "
        "try a lower learning rate or check the data"
    )


def test_unknown_names_suggest_or_list() -> None:
    close = UnknownNameError("loss", "msee", ["mse", "mae"])
    assert str(close) == "there is no loss named 'msee'; did you mean 'mse'?"
    far = UnknownNameError("loss", "zzz", {"mse": 1, "mae": 2})
    assert str(far) == "there is no loss named 'zzz'; known: mae, mse"
    assert (far.kind, far.name, far.known) == ("loss", "zzz", ("mae", "mse"))
