"""A model for any number of rows, made of one that was exported for a fixed number of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TypeProto, ValueInfoProto, helper, shape_inference

from neuromatic.errors import ConversionError, InvalidModelError
from neuromatic.inference import Session
from neuromatic.ir.onnx_errors import ONNX_ERRORS
from neuromatic.ir.opsets import BATCH
from neuromatic.ir.randomness import drawing_nodes
from neuromatic.ir.traversal import bodies, data_inputs, reads
from neuromatic.ir.types import value_types
from neuromatic.ir.values import Value
from neuromatic.recipe.sections import strip
from neuromatic.transfer._batch_axis import Digit, Order, Walk, batch_behind, described, features_apart
from neuromatic.transfer._batch_rules import RULES

Array = NDArray[Any]
FREE = 3
"""The size of other axes that vary, where both models are compared."""
RTOL, ATOL = 1e-3, 1e-4
"""How far rows may be apart that are computed in batches of different sizes, which sum up in other orders."""


@dataclass(frozen=True)
class Batches:
    """Data in batches of a fixed size.

    Attributes:
        size: how many rows one has.
        names: the inputs that have rows; others are the same for all.
    """

    size: int
    names: tuple[str, ...]

    def take(self, arrays: Mapping[str, Array], start: int, end: int) -> dict[str, Array]:
        """Some rows."""
        return {name: array[start:end] if name in self.names else array for name, array in arrays.items()}


def dynamic_batch(
    model: ModelProto, batches: Batches, name: str = BATCH, *, check: bool = True
) -> ModelProto:
    """A copy whose inputs take any number of rows, verified with two numbers of them in onnxruntime.

    Targets of Reshape, sizes, initial states and whatever else has the batch size written down take it from
    the inputs. A recipe stays; its targets take any number of rows, too.

    Args:
        model: a model with a fixed batch.
        batches: its size, and the inputs that have it.
        name: what the axis is called.
        check: whether the result is verified.

    Raises:
        ConversionError: names the node at which rows depend on each other, or the batch cannot be told from
            other axes.
    """
    types = _types(model, batches)
    first: ConversionError | None = None
    for order in (features_apart, batch_behind):
        try:
            return _changed(model, batches, name, types, order, check=check)
        except ConversionError as error:
            first = first or error
    assert first is not None
    raise first


def _changed(
    model: ModelProto, batches: Batches, name: str, types: Mapping[str, Value], order: Order, *, check: bool
) -> ModelProto:
    changed = ModelProto()
    changed.CopyFrom(model)
    walk = Walk(changed, batches.size, batches.names, name, rules=RULES, types=types, order=order)
    _declare(changed, walk, batches.names, name)
    _free_targets(changed, batches.size, name)
    _drop_unused(changed, model)
    if check and not drawing_nodes(changed):
        _verify(strip(model), strip(changed), batches, walk)
    return changed


def _types(model: ModelProto, batches: Batches) -> dict[str, Value]:
    """All values of a graph; shapes that are not told are seen by running it, if no input axis is free."""
    types = value_types(model)
    inputs = [types[name] for name in data_inputs(model.graph)]
    if any(not isinstance(d, int) for value in inputs for d in value.shape or (None,)):
        return types
    open_ = [
        name
        for node in model.graph.node
        for name in node.output
        if name in types and not all(isinstance(d, int) for d in types[name].shape or (None,))
    ]
    open_ = [name for name in open_ if types[name].dtype and types[name].shape != ()]
    if not open_:
        return types
    bare = strip(model)
    del bare.graph.output[:]
    bare.graph.output.extend(helper.make_tensor_value_info(n, types[n].dtype, None) for n in open_)
    try:
        found = Session(bare).run(_random_inputs(model, batches, batches.size), open_, trial=True)
    except InvalidModelError:
        return types
    return types | {name: Value(name, types[name].dtype, array.shape) for name, array in found.items()}


def _declare(model: ModelProto, walk: Walk, inputs: Sequence[str], name: str) -> None:
    """Types of inputs, outputs and values between them, with the new axis."""
    graph = model.graph
    for value in graph.input:
        if value.name in inputs:
            _set_dim(value.type, 0, name)
    for value in graph.output:
        digit = walk.digits.get(value.name)
        if digit is not None:
            _set_dim(value.type, digit.axis, name if digit.alone else None)
    told = bool(graph.value_info)
    del graph.value_info[:]
    if told:
        try:
            inferred = shape_inference.infer_shapes(strip(model), data_prop=True).graph.value_info
        except ONNX_ERRORS:
            return
        graph.value_info.extend(inferred)


def _set_dim(kind: TypeProto, axis: int, name: str | None) -> None:
    if not kind.tensor_type.HasField("shape"):
        return
    dim = kind.tensor_type.shape.dim[axis]
    dim.Clear()
    if name is not None:
        dim.dim_param = name


def _free_targets(model: ModelProto, size: int, name: str) -> None:
    """Targets and sample weights of a recipe that have a row for each one of the batch."""
    for info in model.training_info:
        stored = {t.name for t in info.algorithm.initializer}
        for value in info.algorithm.input:
            dims = value.type.tensor_type.shape.dim
            if value.name not in stored and dims and dims[0].dim_value == size:
                _set_dim(value.type, 0, name)
        del info.algorithm.value_info[:]


def _drop_unused(model: ModelProto, before: ModelProto) -> None:
    """Shapes that nothing reads any more."""
    read = {name for body in bodies(model) for node in body.node for name in reads(node)}
    declared = {i.name for i in model.graph.input} | {o.name for o in model.graph.output}
    was_read = {name for body in bodies(before) for node in body.node for name in reads(node)}
    kept = [
        t for t in model.graph.initializer if t.name in read or t.name in declared or t.name not in was_read
    ]
    if len(kept) < len(model.graph.initializer):
        copies = [type(t).FromString(t.SerializeToString()) for t in kept]
        del model.graph.initializer[:]
        model.graph.initializer.extend(copies)


# -- verification ----------------------------------------------------------------------------------


def _verify(old: ModelProto, new: ModelProto, rows: Batches, walk: Walk) -> None:
    """Rows computed by the old model, batch by batch, are those that the new one gives all at once.

    Raises:
        ConversionError: they are not; names the first node that gives others.
    """
    size = rows.size
    inputs = _random_inputs(old, rows, 3 * size)
    names = [o.name for o in old.graph.output]
    expected = _by_batches(old, inputs, rows, names)
    for count in (3 * size, size + 1):
        given = rows.take(inputs, 0, count)
        try:
            found: Mapping[str, Array] = Session(new).run(given, trial=True)
        except InvalidModelError as error:
            raise _unequal(walk, None, str(error)) from error
        for name in names:
            if not _equal(expected[name], found[name], walk.digits.get(name), size, count):
                node = _first_difference(old, new, inputs, rows, walk)
                raise _unequal(walk, node, f"output {name!r} of {count} rows is not what each batch gives")


def _unequal(walk: Walk, node: str | None, why: str) -> ConversionError:
    doubtful = f" of {described(walk.doubtful[0])}" if walk.doubtful else ""
    place = node or (f"{described(walk.doubtful[0])}" if walk.doubtful else None)
    if place is None:
        return ConversionError(f"the batch of {walk.size} cannot be made dynamic: {why}")
    cause = "rows depend on each other, or the batch and another axis" + doubtful + " cannot be told apart"
    return ConversionError(f"the batch of {walk.size} cannot be made dynamic at {place}: {cause} ({why})")


def _random_inputs(model: ModelProto, rows: Batches, count: int) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    values = {i.name: Value.of(i.name, i.type) for i in model.graph.input}
    found: dict[str, Array] = {}
    for name in data_inputs(model.graph):
        shape = [d if isinstance(d, int) else FREE for d in values[name].shape or ()]
        if name in rows.names:
            shape[0] = count
        dtype = helper.tensor_dtype_to_np_dtype(values[name].dtype)
        if dtype.kind in "iub":
            found[name] = rng.integers(0, 2, shape).astype(dtype)
        elif dtype.kind == "O":
            found[name] = np.full(shape, "a", dtype)
        else:
            found[name] = rng.standard_normal(shape).astype(dtype)
    return found


def _by_batches(
    model: ModelProto, inputs: Mapping[str, Array], rows: Batches, names: Sequence[str]
) -> dict[str, list[Array]]:
    session, size = Session(model), rows.size
    count = len(inputs[rows.names[0]])
    parts = [session.run(rows.take(inputs, i, i + size), names) for i in range(0, count, size)]
    return {name: [part[name] for part in parts] for name in names}


def _equal(parts: Sequence[Array], found: Array, digit: Digit | None, size: int, count: int) -> bool:
    """Whether a value of some rows is what it was for each batch."""
    if digit is None:
        return found.shape == parts[0].shape and _close(parts[0], found)
    if found.ndim != parts[0].ndim:
        return False
    shape = parts[0].shape
    split = (*shape[: digit.axis], digit.left, size, digit.right, *shape[digit.axis + 1 :])
    place = digit.axis + 1
    together = np.concatenate([part.reshape(split) for part in parts], place)
    wanted = (*shape[: digit.axis], digit.left, count, digit.right, *shape[digit.axis + 1 :])
    if found.size != int(np.prod(wanted)):
        return False
    return _close(together.take(np.arange(count), place), found.reshape(wanted))


def _close(one: Array, other: Array) -> bool:
    if one.dtype.kind not in "fc":
        return bool((one == other).all())
    finite = np.abs(np.where(np.isfinite(one), one, 0)).astype(np.float64)
    rtol = RTOL if one.dtype.itemsize >= 4 else 50 * RTOL
    atol = (ATOL if one.dtype.itemsize >= 4 else 50 * ATOL) * float(finite.max(initial=1e-6))
    return bool(np.allclose(one.astype(np.float64), other.astype(np.float64), rtol, atol, equal_nan=True))


def _first_difference(
    old: ModelProto, new: ModelProto, inputs: Mapping[str, Array], rows: Batches, walk: Walk
) -> str | None:
    """The first node whose value differs, as messages name it."""
    nodes = {name: node for node in old.graph.node for name in node.output if name}
    names = [n for n in nodes if n in walk.digits and n in walk.types and walk.types[n].dtype]
    shown = [_showing(model, names, walk) for model in (old, new)]
    try:
        expected = _by_batches(shown[0], inputs, rows, names)
        found = Session(shown[1]).run(inputs, names, trial=True)
    except InvalidModelError:
        return None
    size, count = rows.size, len(inputs[rows.names[0]])
    for name in names:
        if not _equal(expected[name], found[name], walk.digits[name], size, count):
            return described(nodes[name])
    return None


def _showing(model: ModelProto, names: Sequence[str], walk: Walk) -> ModelProto:
    shown = ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(_info(name, walk) for name in names)
    return shown


def _info(name: str, walk: Walk) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, walk.types[name].dtype, None)
