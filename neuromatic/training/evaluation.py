"""Outputs, loss and metrics of any number of rows, also where the file has a fixed batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper

from neuromatic import engines
from neuromatic.data import Rows
from neuromatic.errors import DataError
from neuromatic.inference import Session
from neuromatic.ir.inference_form import inference_form
from neuromatic.ir.traversal import reads, upstream
from neuromatic.ir.types import value_types
from neuromatic.ir.values import Value
from neuromatic.recipe.dropout import without_dropout
from neuromatic.recipe.schema import Recipe
from neuromatic.recipe.sections import evaluation_part, reported_names, strip
from neuromatic.training.tally import Tally

Array = NDArray[Any]


def predict(session: Session, inputs: Mapping[str, Array], rows: Rows, batch_size: int) -> dict[str, Array]:
    """The outputs for all rows, computed by onnxruntime in batches and joined.

    Raises:
        InvalidModelError: there are several batches, and an output without a batch axis that differs.
    """
    return in_batches(lambda batch, number: session.run(batch), inputs, rows, batch_size)


def run_on_engine(
    model: ModelProto,
    recipe: Recipe | None,
    inputs: Mapping[str, Array],
    rows: Rows,
    *,
    batch_size: int,
    engine: str,
    training: bool,
    seed: int,
    options: Mapping[str, Any],
) -> dict[str, Array]:
    """The outputs for all rows, computed by an engine; see :meth:`neuromatic.Model.run`."""
    bare = inference_form(strip(model))
    if training and recipe is not None and recipe.dropout == "off":
        without_dropout(bare)
    updated = [t.name for t in bare.graph.initializer] if recipe is None else list(recipe.updates)
    forward = engines.find(engine).forward(
        bare, training=training, updated=updated, seed=seed, options=options
    )
    try:
        batched = rows.shared.intersection(inputs)
        return in_batches(lambda batch, number: forward.run(batch, batched, number), inputs, rows, batch_size)
    finally:
        forward.close()


def in_batches(
    run: Callable[[Mapping[str, Array], int], Mapping[str, Array]],
    inputs: Mapping[str, Array],
    rows: Rows,
    batch_size: int,
) -> dict[str, Array]:
    """The outputs of all batches, joined.

    Args:
        run: from the inputs of a batch, and its number from 0, to its outputs.
    """
    parts, sizes = [], []
    for number, index in enumerate(rows.batches(inputs, batch_size)):
        parts.append(run(rows.take(inputs, rows.padded(index)), number))
        sizes.append(len(index))
    return rows.join(parts, sizes, batch_size)


def evaluate(
    model: ModelProto, recipe: Recipe, data: Mapping[str, Array], rows: Rows, batch_size: int
) -> Tally:
    """Loss and metrics of all rows in inference form, by onnxruntime."""
    model = inference_form(model)
    session = Session(evaluation_part(model, recipe))
    tally = Tally(recipe.metrics)
    for index in rows.batches(data, batch_size):
        if rows.size is None or len(index) == rows.size:
            values = session.run(rows.take(data, index))
        else:
            values = Remainder(model, recipe, rows).in_onnxruntime(data, index)
        tally.add_batch(values, recipe.loss, len(index))
    return tally


class Remainder:
    """Loss and metrics of fewer rows than a fixed batch has, exactly.

    The inference graph computes a whole batch, of which some rows are repeated; loss and metrics are computed
    from what it gives for the others only.

    Args:
        model: a model with a recipe and its current parameters.
        recipe: the recipe.
        rows: with a fixed batch size.

    Attributes:
        wanted: the values of the inference graph that loss and metrics are computed from.

    Raises:
        DataError: the inference graph computes the loss or a metric itself.
    """

    def __init__(self, model: ModelProto, recipe: Recipe, rows: Rows) -> None:
        self._model, self._recipe, self._rows = model, recipe, rows
        self._names = reported_names(recipe)
        own = {name for node in model.graph.node for name in node.output}
        if inside := own.intersection(self._names):
            raise DataError(
                f"{sorted(inside)[0]!r} is one number for a fixed batch of {rows.size} rows: give a multiple "
                f"of {rows.size}"
            )
        self._nodes = upstream(model.training_info[0].algorithm.node, self._names)
        read = dict.fromkeys(name for node in self._nodes for name in reads(node))
        self.wanted = tuple(name for name in read if name in own)

    def in_onnxruntime(self, data: Mapping[str, Array], index: NDArray[np.int64]) -> dict[str, Array]:
        """The values of loss and metrics for some rows."""
        bare = strip(self._model)
        types = value_types(bare)
        del bare.graph.output[:]
        bare.graph.output.extend(helper.make_tensor_value_info(n, types[n].dtype, None) for n in self.wanted)
        needed = [i.name for i in bare.graph.input if i.name in data]
        inputs = {name: data[name] for name in needed}
        found = Session(bare).run(self._rows.take(inputs, self._rows.padded(index)), self.wanted)
        return self.values(found, data, index)

    def values(
        self, computed: Mapping[str, Array], data: Mapping[str, Array], index: NDArray[np.int64]
    ) -> dict[str, Array]:
        """The values of loss and metrics for some rows.

        Args:
            computed: the wanted values for these rows, padded to a batch.
            data: inputs and targets.
            index: the numbers of the rows.
        """
        part, size = self._part(), self._rows.size
        known = self._rows.take(data, index)
        known |= {n: v[: len(index)] if v.ndim and len(v) == size else v for n, v in computed.items()}
        wanted = {i.name for i in part.graph.input} - {t.name for t in part.graph.initializer}
        return Session(part).run({name: known[name] for name in wanted}, self._names)

    def _part(self) -> ModelProto:
        """The graph from wanted values, inputs and targets to loss and metrics."""
        model, algorithm = self._model, self._model.training_info[0].algorithm
        part = ModelProto(ir_version=max(model.ir_version, 8))
        part.opset_import.extend(model.opset_import)
        part.functions.extend(model.functions)
        part.graph.name = "remainder"
        part.graph.node.extend(self._nodes)
        used = {name for node in self._nodes for name in reads(node)}
        types = value_types(model)
        given = [*self.wanted, *(i.name for g in (model.graph, algorithm) for i in g.input)]
        part.graph.input.extend(_info(types[name]) for name in dict.fromkeys(given) if name in used)
        for graph in (model.graph, algorithm):
            part.graph.initializer.extend(t for t in graph.initializer if t.name in used)
        part.graph.output.extend(_info(types[name]) for name in self._names)
        return part


def _info(value: Value) -> Any:
    """A value of its type, of any shape."""
    return helper.make_tensor_value_info(value.name, value.dtype, None)
