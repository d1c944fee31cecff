"""Checks of arguments and shapes that metrics share."""

from __future__ import annotations

from collections.abc import Sequence

from neuromatic.errors import ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text


def check_number(
    owner: str,
    argument: str,
    value: object,
    low: float,
    high: float = float("inf"),
    *,
    open_low: bool = False,
) -> None:
    """Refuse what is not a number from ``low`` to ``high``, or above ``low`` with ``open_low``."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not low <= value <= high or (open_low and value == low):  # type: ignore[operator]
        start = f"above {low:g}" if open_low else f"of {low:g} or more"
        bounds = start if high == float("inf") else f"{start} and at most {high:g}"
        raise ValueError(f"{owner}: {argument} must be a number {bounds}, got {value!r}")


def check_integer(owner: str, argument: str, value: object, low: int) -> None:
    """Refuse what is not an integer of ``low`` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"{owner}: {argument} must be an integer of {low} or more, got {value!r}")


def check_choice(owner: str, argument: str, value: object, choices: Sequence[object]) -> None:
    """Refuse what is not one of some values."""
    if value not in choices:
        raise ValueError(f"{owner}: {argument} must be one of {list(choices)}, got {value!r}")


def check_ranks(g: GraphBuilder, y_true: Value, y_pred: Value, *, class_axis: int = 0) -> None:
    """Refuse targets that broadcasting would compare with the wrong predictions.

    Args:
        class_axis: 1 where targets are class indices, which have no class axis.
    """
    if y_true.rank != y_pred.rank - class_axis:
        kind = "class indices" if class_axis else "targets of the predictions' shape"
        raise ShapeError(
            f"{g.scope} takes {kind}, got targets {shape_text(y_true.shape)} "
            f"for predictions {shape_text(y_pred.shape)}; choose another metric"
        )


def known_size(g: GraphBuilder, y: Value, axis: int, what: str) -> int:
    """The size of an axis.

    Raises:
        ShapeError: it is unknown or there is no such axis.
    """
    size = y.dim(axis) if -y.rank <= axis < y.rank else None
    if not isinstance(size, int):
        raise ShapeError(
            f"{g.scope} needs to know {what}, axis {axis} of {y.name!r} {shape_text(y.shape)}; "
            f"give the model an output of fixed size"
        )
    return size


def check_matrix(g: GraphBuilder, y: Value) -> None:
    """Refuse what is not (batch, outputs)."""
    if y.rank != 2:
        raise ShapeError(f"{g.scope} takes (batch, outputs), got {y.name!r} {shape_text(y.shape)}")
