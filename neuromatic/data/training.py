"""What a model is trained and evaluated on: inputs, targets and weights as one checked array for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from neuromatic.data.arrays import (
    Field,
    axis_of,
    check_named_axes,
    fit_to_fields,
    input_fields,
    target_fields,
    weight_fields,
)
from neuromatic.data.rows import Rows
from neuromatic.errors import DataError, UnknownNameError
from neuromatic.ir.values import shape_text
from neuromatic.recipe.schema import Recipe

Array = NDArray[Any]
ClassWeight = Mapping[int, float] | Mapping[str, Mapping[int, float]]
"""A weight for each class, by index; for several outputs, such a mapping for some, by output name."""


def training_arrays(
    model: ModelProto, recipe: Recipe, x: Any, y: Any, sample_weight: Any = None
) -> dict[str, Array]:
    """Inputs, targets and, where the recipe takes them, sample weights, by graph input.

    Args:
        y: the targets; None where ``x`` is a mapping that holds them.
        sample_weight: an array for all outputs; a list, or a mapping by output name, of arrays or None. What
            is not given is 1.

    Raises:
        DataError: the data do not fit the model.
    """
    targets = target_fields(model, recipe)
    if y is None:
        if not isinstance(x, Mapping):
            raise DataError(f"the targets {[t.name for t in targets]} are missing: give y")
        y = x
    inputs = input_fields(model)
    arrays = fit_to_fields(x, inputs, "x") | fit_to_fields(y, targets, "y")
    lengths = {field.name: len(arrays[field.name]) for field in (*inputs, *targets) if field.batched}
    if len(set(lengths.values())) > 1:
        raise DataError(f"x and y have different lengths: {lengths}")
    check_named_axes(arrays, [*inputs, *targets], "x and y")
    fields = weight_fields(model, recipe)
    rows = {str(t.weights): len(arrays[t.name]) if arrays[t.name].ndim else 1 for t in recipe.targets}
    return arrays | _sample_weights(sample_weight, fields, rows)


def _sample_weights(given: Any, fields: Sequence[Field], rows: Mapping[str, int]) -> dict[str, Array]:
    names = {f.output or f.name: f for f in fields}
    if isinstance(given, Mapping):
        for output in given:
            if output not in names:
                raise UnknownNameError("output with sample weights", str(output), names)
        by_output = dict(given)
    elif isinstance(given, (list, tuple)) and len(fields) > 1:
        if len(given) != len(fields):
            raise DataError(f"sample_weight has {len(given)} arrays, expected one for each of {list(names)}")
        by_output = dict(zip(names, given, strict=True))
    else:
        by_output = dict.fromkeys(names, given)
    ones = {field.name: np.ones(rows[field.name]) for field in fields}
    return {
        field.name: _fit_weights(
            ones[field.name] if (found := by_output.get(output)) is None else found, field, rows[field.name]
        )
        for output, field in names.items()
    }


def _fit_weights(given: Any, field: Field, rows: int) -> Array:
    """Weights in the whole shape of what they are for, of which they may have the first axes only."""
    array = np.asarray(given)
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise DataError(f"sample_weight for {field.name!r} has to be finite numbers, got type {array.dtype}")
    wanted = (rows, *(field.shape or ())[1:])
    if array.ndim == len(wanted) + 1 and array.shape[axis_of(field, array)] == 1:
        array = array.squeeze(axis_of(field, array))
    while array.ndim > len(wanted) and array.shape[-1] == 1:
        array = array[..., 0]
    aligned = array.reshape(*array.shape, *[1] * (len(wanted) - array.ndim))
    fits = aligned.ndim == len(wanted) and len(aligned) == rows
    if not fits or not all(
        size in (1, want) or not isinstance(want, int)
        for size, want in zip(aligned.shape[1:], wanted[1:], strict=True)
    ):
        raise DataError(
            f"sample_weight for {field.name!r} has shape {np.shape(given)}, expected {shape_text(wanted)} or "
            f"its first axes"
        )
    full = [want if isinstance(want, int) else size for size, want in zip(aligned.shape, wanted, strict=True)]
    return np.ascontiguousarray(np.broadcast_to(aligned, full), field.dtype)


def with_class_weights(
    model: ModelProto, recipe: Recipe, data: Mapping[str, Array], given: ClassWeight
) -> dict[str, Array]:
    """Data whose sample weights are those of their classes; a class that is not named has 1.

    The class of a target that is no class index is its largest element along the class axis of the loss, or,
    if there is only one, that number rounded.

    Raises:
        ValueError: there are several outputs, and the mapping is not by output name.
        UnknownNameError: there is no output of a name.
    """
    targets = {t.output or t.name: t for t in recipe.targets if t.weights}
    by_output: Mapping[Any, Any] = given
    if not (given and all(isinstance(key, str) for key in given)):
        if len(targets) > 1:
            raise ValueError(
                f"class_weight: the model has outputs {list(targets)}; give class weights by output name"
            )
        by_output = dict.fromkeys(targets, given)
    fields = {f.name: f for f in weight_fields(model, recipe)}
    result = dict(data)
    for output, weights in by_output.items():
        if output not in targets:
            raise UnknownNameError("output with class weights", output, targets)
        target = targets[output]
        values = _of_classes(data[target.name], weights, -1 if target.axis is None else target.axis)
        result[str(target.weights)] = _fit_weights(values, fields[str(target.weights)], len(values))
    return result


def _of_classes(y: Array, weights: Mapping[int, float], axis: int) -> Array:
    if y.dtype.kind == "f" and y.ndim > 1:
        y = y.squeeze(axis) if y.shape[axis] == 1 else y.argmax(axis)
    found, places = np.unique(np.round(y).astype(np.int64), return_inverse=True)
    return np.array([weights.get(int(c), 1.0) for c in found], np.float64)[places].reshape(y.shape)


def split(data: Mapping[str, Array], share: float, rows: Rows) -> tuple[dict[str, Array], dict[str, Array]]:
    """The first rows, and the share of them at the end; what is given whole is in both.

    Raises:
        ValueError: the share is not in [0, 1).
        DataError: one of the parts is empty, or rows depend on each other.
    """
    if not 0.0 <= share < 1.0:
        raise ValueError(f"validation_split must be in [0, 1), got {share}")
    if not rows.shared:
        raise DataError(
            "validation_split: the rows of this model's inputs depend on each other, so that none can be "
            "left out; give validation_data, or sample_weight with 0 for rows that are not to be trained on"
        )
    length = rows.count(data)
    kept = int(length * (1.0 - share))
    if rows.size is not None and rows.ordered:
        kept -= kept % rows.size
    if not 0 < kept < length:
        raise DataError(f"validation_split {share} of {length} rows leaves one part empty")
    return rows.take(data, slice(kept)), rows.take(data, slice(kept, None))
