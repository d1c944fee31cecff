"""From the arrays of a data file to a model's inputs and targets, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from onnx import ModelProto

from neuromatic.data.arrays import Field, check_named_axes, fit_to_fields, input_fields, target_fields
from neuromatic.errors import DataError
from neuromatic.recipe.schema import Recipe

Array = NDArray[Any]
SHOWN = 20
"""How many names of arrays a message lists."""


def match_inputs(arrays: Mapping[str, Array], model: ModelProto, where: str) -> dict[str, Array]:
    """An array for each input of a model; a single input may also be called ``x``.

    Args:
        arrays: what a file holds, by name; what the model has no use for is left out.
        where: how messages call these data, for instance the file's name.

    Raises:
        DataError: an array is missing, or does not fit the model.
    """
    return _match(arrays, input_fields(model), "x", where)


def match_arrays(
    arrays: Mapping[str, Array], model: ModelProto, recipe: Recipe, where: str
) -> tuple[dict[str, Array], dict[str, Array]]:
    """An array for each input, and one for each target, of a model with a recipe.

    A single input may also be called ``x``, a single target ``y``; one of several targets may be called as
    its output. The arguments are those of
    :func:`match_inputs`.

    Raises:
        DataError: an array is missing, or does not fit the model.
    """
    x = match_inputs(arrays, model, where)
    targets = target_fields(model, recipe)
    y = _match(arrays, targets, "y", where)
    fields = [*input_fields(model), *targets]
    lengths = {field.name: len((x | y)[field.name]) for field in fields if field.batched}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{where}: the arrays have different lengths: {lengths}")
    check_named_axes(x | y, fields, where)
    return x, y


def _match(arrays: Mapping[str, Array], fields: Sequence[Field], alias: str, where: str) -> dict[str, Array]:
    names = [field.name for field in fields]
    given = {name: arrays[name] for name in names if name in arrays}
    for field in fields:
        if field.name not in given and field.output is not None and field.output in arrays:
            given[field.name] = arrays[field.output]
    if len(names) == 1 and not given and alias in arrays:
        given = {names[0]: arrays[alias]}
    if missing := [name for name in names if name not in given]:
        expected = f"{missing[0]!r} or {alias!r}" if len(names) == 1 else str(missing)
        raise DataError(f"{where} has no array {expected} for the model; it has {_some(arrays)}")
    try:
        return fit_to_fields(given, fields, alias)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _some(names: Iterable[str]) -> str:
    """Names as a message lists them; of many, the first."""
    listed = sorted(names)
    more = f" and {len(listed) - SHOWN:,} more" if len(listed) > SHOWN else ""
    return f"{[name[:80] for name in listed[:SHOWN]]}{more}"
