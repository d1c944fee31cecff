"""Arrays for the inputs and targets of a model: matched by name, cast, and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from neuromatic.data.rows import rows_of
from neuromatic.errors import DataError
from neuromatic.ir.traversal import data_inputs, dependents
from neuromatic.ir.values import Shape, Value, shape_text
from neuromatic.ir.widening import BFLOAT16
from neuromatic.recipe.schema import Recipe

Array = NDArray[Any]


@dataclass(frozen=True)
class Field:
    """What a model expects of one array.

    Attributes:
        name: the graph input.
        dtype: its numpy type.
        shape: its shape; None if the rank is unknown.
        classes: for class indices, how many classes there are.
        ignored: for class indices, a label that is allowed besides.
        output: the model output that the array is for; a mapping may use its name.
        axis: the class axis of the model output; None for the last.
        missing: whether nan is allowed, as what the model itself replaces.
        batched: whether the first axis is the batch, so that any number of rows may be given.
    """

    name: str
    dtype: np.dtype[Any]
    shape: Shape | None
    classes: int | None = None
    ignored: int | None = None
    output: str | None = None
    axis: int | None = None
    missing: bool = False
    batched: bool = True


def input_fields(model: ModelProto) -> tuple[Field, ...]:
    """A field for each input that data are fed to."""
    names = data_inputs(model.graph)
    values = {i.name: Value.of(i.name, i.type) for i in model.graph.input}
    nodes = [node for node in model.graph.node if _takes_missing(node)]
    read = {node.input[0] for node in nodes}
    rows = rows_of(model).shared
    return tuple(
        _field(
            values[n],
            missing=bool(nodes) and not read.isdisjoint(dependents(model.graph.node, [n])),
            batched=n in rows,
        )
        for n in names
    )


def _takes_missing(node: NodeProto) -> bool:
    """Whether a node looks for nan, to put something in its place."""
    if node.op_type == "Imputer" and node.domain == "ai.onnx.ml":
        return any(a.name == "replaced_value_float" and np.isnan(a.f) for a in node.attribute)
    return node.op_type == "IsNaN"


def target_fields(model: ModelProto, recipe: Recipe) -> tuple[Field, ...]:
    """A field for each target of a recipe."""
    values = {i.name: Value.of(i.name, i.type) for i in model.training_info[0].algorithm.input}
    several, rows = len(recipe.targets) > 1, rows_of(model, recipe).shared
    return tuple(
        _field(
            values[t.name],
            batched=t.name in rows,
            classes=t.classes,
            ignored=t.ignored,
            output=t.output if several else None,
            axis=t.axis,
        )
        for t in recipe.targets
    )


def weight_fields(model: ModelProto, recipe: Recipe) -> tuple[Field, ...]:
    """A field for the sample weights of each target that has them."""
    values = {i.name: Value.of(i.name, i.type) for i in model.training_info[0].algorithm.input}
    rows = rows_of(model, recipe).shared
    return tuple(
        _field(values[t.weights], output=t.output, axis=t.axis, batched=t.weights in rows)
        for t in recipe.targets
        if t.weights
    )


def _field(value: Value, **more: Any) -> Field:
    if not value.dtype:
        raise DataError(f"input {value.name!r} of the model is not a tensor; only tensors can be fed")
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(value.dtype))
    return Field(value.name, dtype, value.shape, **more)


def fit_to_fields(data: Any, fields: Sequence[Field], what: str) -> dict[str, Array]:
    """Data as one array for each field.

    Args:
        data: an array for a single field; a list or tuple of arrays in the fields' order, or a mapping by
            field name or output name, for several.
        what: how messages call these data (``"x"``, ``"y"``).

    Returns:
        Arrays of the fields' types, those with rows all of one length.

    Raises:
        DataError: something is missing, of a wrong shape or length, not a finite number, or not a class.
    """
    given = _by_name(data, fields, what)
    arrays = {field.name: _fit(given[field.name], field, what) for field in fields}
    lengths = {field.name: len(arrays[field.name]) for field in fields if field.batched}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{what}: the arrays have different lengths: {lengths}")
    check_named_axes(arrays, fields, what)
    return arrays


def check_named_axes(arrays: Mapping[str, Array], fields: Sequence[Field], what: str) -> None:
    """Axes of one name have one size, where some arrays have no rows.

    Raises:
        DataError: names the axis and two arrays.
    """
    if all(field.batched for field in fields):
        return
    sizes: dict[str, tuple[int, str]] = {}
    for field in fields:
        for dim, size in zip(field.shape or (), arrays[field.name].shape, strict=False):
            known, owner = sizes.setdefault(dim, (size, field.name)) if isinstance(dim, str) else (size, "")
            if known != size:
                raise DataError(
                    f"{what}: axis {dim!r} has size {known} in {owner!r} and {size} in {field.name!r}"
                )


def _by_name(data: Any, fields: Sequence[Field], what: str) -> dict[str, Any]:
    names = [field.name for field in fields]
    if isinstance(data, Mapping):
        data = dict(data)
        for field in fields:
            if field.name not in data and field.output in data:
                data[field.name] = data[field.output]
        if missing := [name for name in names if name not in data]:
            raise DataError(f"{what} lacks {missing}; it has {sorted(map(str, data))}")
        return {name: data[name] for name in names}
    if len(names) == 1:
        return {names[0]: data}
    if isinstance(data, (list, tuple)) and len(data) == len(names):
        return dict(zip(names, data, strict=True))
    raise DataError(f"{what} must be a mapping or a list of {len(names)} arrays, for {names}")


def _fit(data: Any, field: Field, what: str) -> Array:
    where = what if what == field.name else f"{what} (for {field.name!r})"
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise DataError(f"{where} is not a rectangular array: {error}") from error
    if array.dtype == BFLOAT16:
        array = array.astype(np.float32)
    strings = field.dtype.kind == "O"
    if array.dtype.kind not in ("UO" if strings else "biuf"):
        expected = "strings" if strings else f"numbers that fit {field.dtype}"
        raise DataError(f"{where} has type {array.dtype}, expected {expected}")
    array = _fit_shape(array, field, where)
    if not array.ndim and field.batched:
        raise DataError(f"{where} is a single number, expected one row for each sample")
    if array.ndim and not len(array):
        raise DataError(f"{where} is empty; expected at least one row")
    array = _strings(array, where) if strings else _cast(array, field, where)
    if field.classes is not None:
        counted = array if field.ignored is None else np.where(array == field.ignored, 0, array)
        _check_classes(counted, field.classes, where)
    return array


def _fit_shape(array: Array, field: Field, where: str) -> Array:
    expected = field.shape
    if expected is None:
        return array
    if field.batched and expected and isinstance(expected[0], int):  # the batch is fixed in the file
        expected = ("batch", *expected[1:])
    if array.ndim == len(expected) + 1 and 1 in (array.shape[-1], array.shape[axis_of(field, array)]):
        axis = axis_of(field, array)
        array = array.squeeze(axis if array.shape[axis] == 1 else -1)
    elif array.ndim == len(expected) - 1 and expected[-1] == 1 and array.ndim:
        array = array[..., None]
    matches = array.ndim == len(expected) and all(
        not isinstance(dim, int) or dim == size for dim, size in zip(expected, array.shape, strict=True)
    )
    if not matches:
        raise DataError(
            f"{where} has shape {array.shape}, expected {shape_text(expected)}{_hint(array, field)}"
        )
    return array


def axis_of(field: Field, array: Array) -> int:
    """The class axis of an array with as many axes as the model output."""
    return -1 if field.axis is None or field.axis >= array.ndim else field.axis


def _hint(array: Array, field: Field) -> str:
    shape = field.shape or ()
    channels_first = field.classes is not None and array.shape[1:] == (*shape[2:], field.classes)
    if channels_first and field.axis is None and array.ndim == len(shape) > 2:
        return "; the loss takes the last axis for the classes, choose it with .loss(..., axis=1)"
    if len(shape) == 4 and array.ndim == 4 and array.shape[3] == shape[1]:
        return "; images are channels first: use x.transpose(0, 3, 1, 2)"
    if len(shape) == 4 and array.ndim == 3 and shape[1] == 1:
        return "; add the channel axis: x[:, None]"
    if field.classes is not None and array.ndim == len(shape) + 1:
        return f"; targets are class indices, not one-hot: use y.argmax({axis_of(field, array)})"
    return ""


def _cast(array: Array, field: Field, where: str) -> Array:
    if array.dtype.kind == "f":
        _check_finite(array, where, field.missing)
        if field.dtype.kind in "iu" and (array != np.floor(array)).any():
            bad = int(np.argmax((array != np.floor(array)).reshape(len(array), -1).any(1)))
            raise DataError(f"{where} row {bad} is {array[bad]}, expected whole numbers ({field.dtype})")
    with np.errstate(over="ignore", invalid="ignore"):
        result = array.astype(field.dtype, copy=False)
    if field.dtype.kind == "f" and result.dtype.itemsize < array.dtype.itemsize:
        _check_finite(result, f"{where} as {field.dtype}", field.missing)
    if field.dtype.kind in "biu":
        _check_kept(array, result, where)
    return np.ascontiguousarray(result)


def _strings(array: Array, where: str) -> Array:
    result = array.astype(object)
    for place, item in np.ndenumerate(result):
        if not isinstance(item, str):
            raise DataError(f"{where} has {item!r} in row {place[0]}, expected strings")
    return result


def _check_kept(array: Array, result: Array, where: str) -> None:
    """An integer type has to hold what was given: numpy would wrap 300 to 44 in uint8."""
    lost = (result != array) | ((result < 0) != (array < 0))
    if lost.any():
        place = tuple(int(i) for i in np.argwhere(lost)[0])
        raise DataError(f"{where} has {array[place]} in row {place[0]}, which {result.dtype} cannot hold")


def _check_finite(array: Array, where: str, missing: bool = False) -> None:
    finite = np.isfinite(array) | (np.isnan(array) if missing else False)
    if not finite.all():
        place = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise DataError(
            f"{where} has {array[place]} in row {place[0]} (index {place}), expected finite numbers"
        )


def _check_classes(array: Array, classes: int, where: str) -> None:
    outside = (array < 0) | (array >= classes)
    if outside.any():
        place = tuple(int(i) for i in np.argwhere(outside)[0])
        raise DataError(
            f"{where} has label {array[place]} in row {place[0]}, expected 0 to {classes - 1} "
            f"for {classes} classes"
        )
