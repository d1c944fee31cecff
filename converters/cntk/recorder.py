"""From a model with a recipe to recorded graphs: for a training step, for evaluation, for prediction."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.graph import Graph, HostValue, Moment, Tensor, described, feeds_at
from neuromatic.converters.cntk.learner import recognise
from neuromatic.converters.cntk.lowerings import ops
from neuromatic.converters.cntk.merged import Merged, register_of
from neuromatic.converters.cntk.native import Native, native
from neuromatic.converters.cntk.prefix import HostOnly, HostRegistry, Prefix
from neuromatic.converters.cntk.recording import RecordingContext, run_with_host
from neuromatic.converters.lowering import Plan, initial_values, plan, plan_outputs
from neuromatic.errors import RecipeError, UnsupportedFeatureError
from neuromatic.ir.traversal import data_inputs
from neuromatic.ir.types import part_for
from neuromatic.ir.values import Value
from neuromatic.recipe import schema as recipes
from neuromatic.recipe.sections import reported_part, step_part, strip

Array = NDArray[Any]
Kind = Literal["train", "evaluate", "predict"]
Loader = Literal["builder", "native"]
Spec = tuple[tuple[str, tuple[int, ...], str], ...]
"""Names, shapes of a row, and dtypes of data."""

HOST = HostRegistry(ops)
LARGE_CONSTANT = 1024
"""Frozen weights of more elements are handed to the worker once, not with each graph."""


@dataclass(frozen=True)
class Recording:
    """A recorded graph.

    Attributes:
        graph: what was recorded.
        outputs: the loss and the sums of each metric, or the model's outputs.
        values: every value of the ONNX graph, by name.
        header: what a worker is told to build it.
        next_step: the step counter after a training step; None if the recipe has none.
    """

    graph: Graph
    outputs: tuple[Tensor | Merged, ...]
    values: Mapping[str, Any] = field(repr=False)
    header: Mapping[str, Any] = field(repr=False)
    next_step: HostValue | None = None

    def feeds(self, moments: list[Moment]) -> Array:
        """The host's numbers for some steps, a line for each."""
        return np.stack([feeds_at(self.graph, moment) for moment in moments])


class Recorder:
    """Records the graphs of one model.

    Args:
        model: a model with a recipe.
        own_learners: use CNTK's own learners where they are equal; else updates are always recorded.
        loader: how the inference graph comes into CNTK: ``"builder"`` records it node by node, ``"native"``
            uses CNTK's own ONNX import.

    Attributes:
        recipe: the model's.
        cells: the initializers that the worker keeps by name, with their values in the model.
        learner: see ``learner.recognise``.
        outputs: names of the model's outputs that CNTK can compute.
        first_step: what the step counter says.

    Raises:
        RecipeError: the model has none.
        UnsupportedOpError: CNTK has no lowering for some nodes; it lists them all.
        UnsupportedFeatureError: parameters are not float32.
    """

    def __init__(self, model: ModelProto, *, own_learners: bool = True, loader: Loader = "builder") -> None:
        found = recipes.read(model)
        if found is None:
            raise RecipeError("the model has no recipe to train by")
        if found.gradient_of is not None:
            raise UnsupportedFeatureError(
                f"cntk takes gradients of the loss itself, not of {found.gradient_of!r}: choose an optimizer "
                f"without loss_scale_factor"
            )
        self.model, self.recipe = model, found
        self.learner = recognise(model, found) if own_learners else None
        whole = step_part(model, found)
        self._constants: dict[str, Any] = dict(initial_values(whole))
        self.cells = self._choose_cells()
        self.first_step = int(self._constants[found.step]) if found.step else 0
        graphs: dict[Kind, ModelProto] = {
            "train": _without(whole, frozenset() if self.learner is None else self.learner.nodes),
            "evaluate": reported_part(model, found),
            "predict": _numbers(strip(model)),
        }
        self._native: Native | None = None
        if loader == "native":
            self._native = native(model, self.cells, model.training_info[0].algorithm.node)
            imported = frozenset(node.output[0] for node in model.graph.node if node.output)
            graphs = {kind: _without(graph, imported) for kind, graph in graphs.items()}
        changing = {*found.updates, *found.trainable, found.step or "", found.learning_rate or ""}
        self._prefixes = {
            kind: Prefix(graph, changing, training=kind == "train") for kind, graph in graphs.items()
        }
        for kind, prefix in self._prefixes.items():
            if kind != "predict":
                plan(prefix.without_host(), ops, training=kind == "train")  # or it says what is lacking
        predict, self.outputs = self._predicted(graphs.pop("predict"))
        self._plans = {kind: plan(graph, HOST, training=kind == "train") for kind, graph in graphs.items()}
        self._plans["predict"] = predict

    def _predicted(self, graph: ModelProto) -> tuple[Plan, tuple[str, ...]]:
        """The plan of the outputs that can be computed, and their names."""
        prefix = self._prefixes["predict"]
        rest = prefix.without_host()
        hosted = [o.name for o in rest.graph.output if prefix.covers([o.name])]
        names = set(hosted)
        if len(hosted) < len(rest.graph.output):
            names.update(plan_outputs(rest, ops)[1])
        kept = tuple(o.name for o in graph.graph.output if o.name in names)
        types = {o.name: Value.of(o.name, o.type) for o in graph.graph.output}
        return plan(part_for(graph, kept, types), HOST), kept

    def _choose_cells(self) -> dict[str, Array]:
        recipe, found = self.recipe, {}
        for name, array in self._constants.items():
            if name in (recipe.step, recipe.learning_rate):
                continue
            kept = name in recipe.updates or name in recipe.trainable
            if kept and array.dtype != np.float32:
                raise UnsupportedFeatureError(
                    f"cntk computes in float32; {name!r}, which the recipe updates, is {array.dtype}"
                )
            if kept or (array.dtype == np.float32 and array.size > LARGE_CONSTANT):
                found[name] = array
        return found

    def record(self, kind: Kind, spec: Spec, sample: Mapping[str, Array] | None = None) -> Recording:
        """Record a graph for data of some shapes.

        Args:
            sample: some rows of such data, for what is computed from them; zeros if there are none.

        Raises:
            UnsupportedFeatureError: a node uses an operator in a way that CNTK cannot do.
        """
        recipe = self.recipe
        graph, values = self._recorded(kind, spec, sample or _zeros(spec))
        if kind == "predict":
            shown = [
                values[n] if isinstance(values[n], Merged) else ck.tensor(values[n], graph)
                for n in self.outputs
            ]
            registers = [register_of(value) for value in shown]
            header = described(graph, outputs=registers, loss=False)
            return Recording(graph, tuple(shown), values, header)
        loss = ck.reshape(ck.tensor(values[recipe.loss], graph), ())
        outputs = [loss, *(ck.tensor(values[m.sums], graph) for m in recipe.metrics)]
        more: dict[str, Any] = {"outputs": [t.register for t in outputs], "loss": kind == "train"}
        if kind == "evaluate":
            return Recording(graph, tuple(outputs), values, described(graph, **more))
        next_step = values[recipe.updates[recipe.step]] if recipe.step else None
        if next_step is not None and not isinstance(next_step, HostValue):
            raise UnsupportedFeatureError(f"cntk needs a step counter {recipe.step!r} that only counts steps")
        more["assign"] = self._assignments(graph, values)
        more["learner"] = None if self.learner is None else self.learner.header()
        received = [{"name": n, "register": t.register} for n, t in graph.gradients.items()]
        more["gradients"] = received
        return Recording(graph, tuple(outputs), values, described(graph, **more), next_step)

    def _recorded(self, kind: Kind, spec: Spec, sample: Mapping[str, Array]) -> tuple[Graph, dict[str, Any]]:
        recipe, graph = self.recipe, Graph()
        values = dict(self._constants)
        for name, array in self.cells.items():
            values[name] = graph.cell(name, array)
        if recipe.step:
            counter = values[recipe.step].dtype
            values[recipe.step] = HostValue(lambda moment: np.array(moment.step, counter), moves=True)
        if recipe.learning_rate is not None:
            values[recipe.learning_rate] = HostValue(
                lambda m: np.array(m.learning_rate, np.float32), moves=True
            )
        inputs = data_inputs(self.model.graph)
        for name, shape, dtype in spec:
            if kind != "predict" or name in inputs:
                strings = np.dtype(dtype).kind in "OUS"
                values[name] = (
                    HostOnly("strings") if strings else graph.input(name, (None, *shape), np.dtype(dtype))
                )
        updated = frozenset(recipe.updates) if kind == "train" else frozenset()
        context = RecordingContext(training=kind == "train", updated=updated, graph=graph, values=values)
        if self._native is not None:
            self._native.record(graph, values, context.training)
        fed = {name: array for name, array in sample.items() if name in values}
        run_with_host(self._plans[kind], self._prefixes[kind], values, context, fed)
        return graph, values

    def prepare(self, recordings: Mapping[Kind, Recording], arrays: Mapping[str, Array]) -> dict[str, Array]:
        """All that some recordings feed to CNTK: data, and what onnxruntime computes from data.

        Raises:
            UnsupportedFeatureError: see :meth:`Prefix.compute`.
        """
        fed: dict[str, Array] = {}
        for kind, recording in recordings.items():
            needed = [entry["name"] for entry in recording.header["inputs"] if entry["name"] not in fed]
            made = [name for name in needed if name not in arrays]
            fed |= {name: arrays[name] for name in needed if name in arrays}
            fed |= self._prefixes[kind].compute(made, arrays, recording.graph.inputs)
        return fed

    def _assignments(self, graph: Graph, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What the recorded update writes, besides what CNTK's own learner does."""
        learned = frozenset() if self.learner is None else self.learner.updated
        found = []
        for name, new in self.recipe.updates.items():
            if name in self.cells and name not in learned:
                fitted = ck.reshape(ck.tensor(values[new], graph), self.cells[name].shape)
                found.append({"name": name, "register": graph.after_gradients(fitted).register})
        return found


def _numbers(model: ModelProto) -> ModelProto:
    """The part that computes the outputs that are no texts, which CNTK does not have."""
    outputs = [o.name for o in model.graph.output if o.type.tensor_type.elem_type != TensorProto.STRING]
    if not outputs or len(outputs) == len(model.graph.output):
        return model
    return part_for(model, outputs, {o.name: Value.of(o.name, o.type) for o in model.graph.output})


def _zeros(spec: Spec) -> dict[str, Array]:
    """Two rows of data that say nothing."""
    kinds = [(name, shape, np.dtype(dtype)) for name, shape, dtype in spec]
    return {n: np.full((2, *s), "" if d.kind in "OUS" else 0, d) for n, s, d in kinds}


def _without(whole: ModelProto, nodes: Collection[str]) -> ModelProto:
    """A graph without some nodes, named by their first outputs: what CNTK has in another way."""
    kept = [node for node in whole.graph.node if not node.output or node.output[0] not in nodes]
    del whole.graph.node[:]
    whole.graph.node.extend(kept)
    return whole
