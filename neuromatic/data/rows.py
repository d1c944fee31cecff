"""Which inputs, targets and outputs of a model are rows, and which are given whole.

The named axes of a model tell: inputs whose first axes have one name share their rows. An input that has
another name there, or a number where the others have a name, has no rows, such as the edges (2, m) of a graph
beside its nodes (n, 4). Where all first axes are numbers, the batch size is fixed in the file.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from neuromatic.errors import DataError, DataWarning, InvalidModelError
from neuromatic.ir.randomness import drawing_nodes
from neuromatic.ir.traversal import data_inputs
from neuromatic.ir.types import value_types
from neuromatic.ir.values import Dim, Shape, Value, shape_text
from neuromatic.recipe.schema import Recipe

Array = NDArray[Any]
Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]

TRIED_ROWS = 64
"""On how many rows it is tried whether they depend on each other."""
UNNAMED = re.compile(r"unk__\d+|.*_dynamic_axes_\d+|\?|None|-1")
"""Names that exporters make up for each axis, so that they say nothing about two being the same."""
DYNAMIC = (
    "make the batch dynamic: model.dynamic_batch(), or neuromatic convert MODEL -o NEW.onnx --dynamic-batch"
)


@dataclass(frozen=True)
class Rows:
    """The batch axis of a model.

    Attributes:
        shared: the inputs, targets and sample weights whose first axis it is; all others are given whole.
        size: the batch size, where it is fixed in the file.
        source: an input with that axis, as messages show it; empty where there is none.
        outputs: by output, which of its axes it is; None for none.
        whole: the inputs that have no such axis.
        ordered: whether rows depend on each other: they are taken in their order.
    """

    shared: frozenset[str]
    size: int | None = None
    source: str = ""
    outputs: Mapping[str, int | None] = field(default_factory=dict)
    whole: tuple[str, ...] = ()
    ordered: bool = False

    def count(self, arrays: Mapping[str, Array]) -> int:
        """How many rows some arrays have; what is given whole is one."""
        return next((len(array) for name, array in arrays.items() if name in self.shared), 1)

    def take(self, arrays: Mapping[str, Array], rows: NDArray[np.int64] | slice) -> dict[str, Array]:
        """Some rows of all arrays that have rows, and the others."""
        return {name: array[rows] if name in self.shared else array for name, array in arrays.items()}

    def given_whole(self, arrays: Mapping[str, Array]) -> frozenset[str]:
        """The arrays among some that have no rows."""
        return frozenset(arrays) - self.shared

    def batch_size(self, wanted: int | None, default: int, arrays: Mapping[str, Array]) -> int:
        """The batch size: the file's, else the wanted one or a default.

        Raises:
            ValueError: it is below 1.
            DataError: the file has another one, or its inputs have no batch.
        """
        if wanted is not None and wanted < 1:
            raise ValueError(f"batch_size must be at least 1, got {wanted}")
        if not self.shared:
            longest = max([len(array) for array in arrays.values() if np.ndim(array)], default=1)
            if wanted is not None and 1 < wanted < longest:
                raise DataError(
                    f"batch_size={wanted}: the rows of this model's inputs depend on each other, all of them "
                    f"are one batch; leave batch_size out"
                )
            return 1
        if self.size is None:
            return default if wanted is None else wanted
        if wanted not in (None, self.size):
            raise DataError(
                f"batch_size={wanted}: the file has a fixed batch of {self.size}, in {self.source}; "
                f"leave batch_size out, or {DYNAMIC}"
            )
        return self.size

    def padded(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row numbers, repeated up to the batch size where that is fixed."""
        if self.size is None or len(rows) >= self.size:
            return rows
        return np.resize(rows, self.size)

    def first(self, most: int, arrays: Mapping[str, Array]) -> NDArray[np.int64]:
        """The numbers of the first rows, at most so many, or as many as a fixed batch has."""
        return self.padded(np.arange(min(self.size or most, self.count(arrays))))

    def kept(self, arrays: Mapping[str, Array], what: str) -> int:
        """How many rows an epoch of training has; says which a fixed batch leaves out.

        Raises:
            DataError: there are fewer than a batch, or rows that depend on each other and are no whole
                batches.
        """
        count = self.count(arrays)
        if self.size is None or count % self.size == 0:
            return count
        if count < self.size or self.ordered:
            more = "" if count < self.size else ", which depend on each other"
            raise DataError(
                f"{what} has {count} rows; the file has a fixed batch of {self.size} rows{more}, in "
                f"{self.source}: give a multiple of {self.size}" + ("" if self.ordered else f", or {DYNAMIC}")
            )
        warnings.warn(
            f"{count} rows are no multiple of {self.size}, the batch size that is fixed in the file: each "
            f"epoch leaves out {count % self.size} of them",
            DataWarning,
            stacklevel=4,
        )
        return count

    def batches(self, arrays: Mapping[str, Array], batch_size: int) -> list[NDArray[np.int64]]:
        """The numbers of the rows of consecutive batches; the last may be smaller.

        Raises:
            DataError: rows depend on each other and are no whole batches.
        """
        rows = np.arange(self.count(arrays))
        if self.ordered and self.size is not None and len(rows) % self.size:
            self.kept(arrays, "x")
        return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]

    def join(
        self, parts: Sequence[Mapping[str, Array]], sizes: Sequence[int], batch_size: int
    ) -> dict[str, Array]:
        """The outputs of consecutive batches as one array each.

        Args:
            parts: the outputs of each batch.
            sizes: how many rows of each count; what is more has been added to fill the batch.
            batch_size: how many rows all but the last have.

        Raises:
            InvalidModelError: an output is no tensor, or has no batch axis and differs between batches.
        """
        if other := [
            name for name, value in parts[0].items() if not isinstance(value, np.ndarray | np.generic)
        ]:
            raise InvalidModelError(f"output {other[0]!r} is not a tensor; choose outputs that are")
        return {
            name: self._joined(name, [part[name] for part in parts], sizes, batch_size) for name in parts[0]
        }

    def _joined(self, name: str, arrays: list[Array], sizes: Sequence[int], batch_size: int) -> Array:
        axis = self.outputs.get(name, 0)
        rows = [batch_size if self.size else size for size in sizes]
        if axis is None and all(a.ndim and len(a) == n for a, n in zip(arrays, rows, strict=True)):
            axis = 0
        if axis is not None and all(a.ndim > axis for a in arrays):
            if self.size:
                arrays = [_cut(a, axis, n, self.size) for a, n in zip(arrays, sizes, strict=True)]
            return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis)
        if all(np.array_equal(a, arrays[0]) for a in arrays[1:]):
            return arrays[0]
        kind = f"has shape {arrays[0].shape}, without a batch axis," if arrays[0].ndim else "is one number"
        raise InvalidModelError(
            f"output {name!r} {kind} for all rows of a batch; "
            + ("give the rows of one batch at a time" if self.size else "give a batch_size that covers them")
        )


def _cut(array: Array, axis: int, rows: int, size: int) -> Array:
    """The part of an output that belongs to the first rows of a batch."""
    if rows == size or array.shape[axis] % size:
        return array
    return array.take(np.arange(rows * (array.shape[axis] // size)), axis)


def rows_of(model: ModelProto, recipe: Recipe | None = None) -> Rows:
    """What the axes of a model's inputs and outputs say about its rows."""
    values = {i.name: Value.of(i.name, i.type) for i in model.graph.input}
    inputs = {name: values[name].shape for name in data_inputs(model.graph)}
    outputs = _output_shapes(model, recipe)
    firsts = {name: _first(shape) for name, shape in inputs.items() if shape != ()}
    if not firsts:
        return Rows(frozenset(), whole=tuple(inputs))
    if all(isinstance(first, int) for first in firsts.values()):
        batch: Dim = _fixed_size(firsts, outputs)
    else:
        batch = _symbol(firsts, inputs, outputs)
    if batch == NO_BATCH:
        return Rows(frozenset(), whole=tuple(inputs), outputs=dict.fromkeys(outputs))
    shared = {name for name, first in firsts.items() if first == batch or (first is None and batch is None)}
    if not isinstance(batch, int):  # an axis without a name may be the batch
        shared |= {name for name, first in firsts.items() if first is None}
    source = next(name for name in firsts if name in shared)
    axes = {name: _batch_axis(shape, batch, inputs) for name, shape in outputs.items()}
    return Rows(
        frozenset(shared | _targets(recipe, axes)),
        batch if isinstance(batch, int) else None,
        f"input {source!r} {shape_text(inputs[source])}",
        axes,
        tuple(name for name in inputs if name not in shared),
    )


NO_BATCH = ""
"""In place of the name of a batch axis: there is none."""


def _first(shape: Shape | None) -> Dim:
    """The first axis of a shape: a size, or a name that says something, or None."""
    if shape is None:
        return None
    return None if isinstance(shape[0], str) and UNNAMED.fullmatch(shape[0]) else shape[0]


def _output_shapes(model: ModelProto, recipe: Recipe | None) -> dict[str, Shape | None]:
    """The shapes of the outputs, those with a loss first."""
    found = {o.name: Value.of(o.name, o.type).shape for o in model.graph.output}
    if any(shape is None for shape in found.values()):
        types = value_types(model)
        found = {name: types[name].shape if name in types else None for name in found}
    trained = [t.output for t in recipe.targets if t.output in found] if recipe else []
    return {name: found[name] for name in [*(n for n in trained if n), *found]}


def _fixed_size(firsts: Mapping[str, Dim], outputs: Mapping[str, Shape | None]) -> Dim:
    """The batch size of a file in which all first axes are numbers: one that an output begins with, too."""
    known = [shape for shape in outputs.values() if shape]
    for size in firsts.values():
        if isinstance(size, int) and any(
            size in shape or not isinstance(shape[0], int) or (size and shape[0] % size == 0)
            for shape in known
        ):
            return size
    return NO_BATCH


def _symbol(
    firsts: Mapping[str, Dim], inputs: Mapping[str, Shape | None], outputs: Mapping[str, Shape | None]
) -> Dim:
    """The name of the batch axis; None where it has none."""
    named = list(dict.fromkeys(first for first in firsts.values() if isinstance(first, str)))
    elsewhere = {dim for shape in inputs.values() for dim in (shape or ())[1:] if isinstance(dim, str)}
    elsewhere = elsewhere if len(firsts) > 1 else set()
    ends = [_first(shape) for shape in outputs.values() if shape]
    trained = ends[0] if ends else None
    if (
        named
        and not any("batch" in n.lower() for n in named)
        and any("batch" in n.lower() for n in elsewhere)
    ):
        return NO_BATCH  # such as sequences of which the first axis is time
    if isinstance(trained, str) and trained in elsewhere:
        return NO_BATCH  # such as one of (nodes, nodes)
    if isinstance(trained, str) and trained in named:
        return trained
    if isinstance(trained, int) and named and len(firsts) > 1 and len(set(firsts.values())) > 1:
        return NO_BATCH  # one result for all, such as for a whole graph
    first = named[0] if named else None
    return NO_BATCH if first in elsewhere else first


def _targets(recipe: Recipe | None, outputs: Mapping[str, int | None]) -> set[str]:
    """The targets and sample weights of a recipe: what is compared with rows has rows."""
    chosen = (
        [] if recipe is None else [t for t in recipe.targets if outputs.get(t.output or "", 0) is not None]
    )
    return {t.name for t in chosen} | {t.weights for t in chosen if t.weights}


def _batch_axis(shape: Shape | None, batch: Dim, inputs: Mapping[str, Shape | None]) -> int | None:
    if not shape:
        return None if shape == () else 0
    if batch is not None and batch in shape:
        return shape.index(batch)
    first = _first(shape)
    if isinstance(batch, int):
        return 0 if isinstance(first, int) and first % batch == 0 else None
    others = {dim for known in inputs.values() for dim in known or () if isinstance(dim, str)}
    return None if isinstance(first, int) or first in others else 0


def settled(rows: Rows, model: ModelProto, run: Run, arrays: Mapping[str, Array]) -> Rows:
    """Rows that depend on each other found out by computing: they are one batch, or stay in their order.

    That is tried where a model has inputs without rows, or a fixed batch of several: other rows beside them,
    or another order, must not change what a row gives.

    Args:
        rows: what the axes say.
        model: the inference graph.
        run: computes its outputs.
        arrays: data for its inputs.
    """
    doubtful = (rows.shared and rows.whole) or (rows.size or 0) > 1
    if not doubtful or drawing_nodes(model) or not _depend(rows, run, arrays):
        return rows
    if rows.size is not None:
        return replace(rows, ordered=True)
    return Rows(frozenset(), whole=(*rows.whole, *rows.shared), outputs=dict.fromkeys(rows.outputs))


def _depend(rows: Rows, run: Run, arrays: Mapping[str, Array]) -> bool:
    index = rows.first(TRIED_ROWS, arrays)
    if len(index) < 2:
        return False
    order = np.random.default_rng(0).permutation(len(index))
    if (order == np.arange(len(order))).all():
        order = order[::-1]
    trials = [order] if rows.size else [order, np.arange(len(index) // 2)]
    try:
        before = run(rows.take(arrays, index))
        results = [run(rows.take(arrays, index[trial])) for trial in trials]
    except InvalidModelError:
        return True
    for name, axis in rows.outputs.items():
        if axis is None or name not in before or before[name].dtype.kind not in "fiub":
            continue
        for trial, found in zip(trials, results, strict=True):
            if before[name].shape[axis] != len(index) or found[name].shape[axis] != len(trial):
                continue
            if not _close(before[name].take(trial, axis), found[name]):
                return True
    return False


def _close(one: Array, other: Array) -> bool:
    """Whether two values differ by rounding only, which batches of another order may do."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    scale, half = np.abs(np.nan_to_num(a)).max(initial=1e-6), one.dtype.kind == "f" and one.dtype.itemsize < 4
    return bool(
        np.allclose(a, b, rtol=0.05 if half else 1e-3, atol=(0.01 if half else 1e-4) * scale, equal_nan=True)
    )
