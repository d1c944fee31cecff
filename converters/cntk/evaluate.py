"""Run a graph once with CNTK, to compare it with another runtime."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from neuromatic.converters import lowering
from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.graph import Graph, HostValue, Moment, Tensor, described, feeds_at
from neuromatic.converters.cntk.lowerings import ops
from neuromatic.converters.cntk.merged import Merged, register_of
from neuromatic.converters.cntk.prefix import HostOnly, HostRegistry, Prefix
from neuromatic.converters.cntk.recording import RecordingContext, call
from neuromatic.errors import UnsupportedFeatureError

Array = NDArray[Any]


@dataclass
class Run:
    """A graph as CNTK is to compute it, with the inputs that it is computed for.

    Attributes:
        graph: what was recorded.
        values: every value by name.
        outputs: names of the model's outputs.
        inputs: all inputs by name.
        moment: the number of rows.
        hosted: names of the values that CNTK does not compute though it was asked to, and of outputs that
            are constant.
        training: whether nodes have their training meaning.
    """

    graph: Graph
    values: dict[str, Any]
    outputs: list[str]
    inputs: Mapping[str, Any]
    moment: Moment
    hosted: list[str] = field(default_factory=list)
    training: bool = False


def run_model(
    model: ModelProto,
    inputs: Mapping[str, Any],
    worker: Worker,
    *,
    batched: Collection[str] = (),
    known: Collection[str] = (),
    host: bool = False,
) -> dict[str, Any]:
    """The outputs of a model's graph by name, for inputs by name; see :func:`record_model`."""
    return computed(record_model(model, inputs, batched=batched, known=known, host=host), worker)


def record_model(
    model: ModelProto,
    inputs: Mapping[str, Any],
    *,
    batched: Collection[str] = (),
    known: Collection[str] = (),
    host: bool = False,
    changing: Collection[str] = (),
    training: bool = False,
) -> Run:
    """Record a graph for inputs by name.

    Args:
        model: its initializers are constants.
        inputs: an array for each input of the graph that has no initializer.
        batched: names of inputs whose first axis is CNTK's batch; the others are of fixed shape.
        known: names of inputs to use as constants, such as axes and shapes.
        host: whether onnxruntime computes what CNTK refuses, for these inputs.
        changing: initializers that a training step replaces: what depends on them is not the host's.
        training: whether nodes have their training meaning.

    Raises:
        UnsupportedOpError: CNTK has no lowering for some nodes.
        UnsupportedFeatureError: a node uses an operator in a way that is not handled.
    """
    plan = lowering.plan(model, HostRegistry(ops) if host else ops, training=training)
    graph = Graph()
    values: dict[str, Any] = dict(lowering.initial_values(model))
    for name, array in inputs.items():
        if not isinstance(array, np.ndarray):
            values[name] = HostOnly("what is no tensor", array)
        elif name in known:
            values[name] = array
        else:
            shape = [None, *array.shape[1:]] if name in batched else array.shape
            values[name] = graph.input(name, shape, array.dtype)
    updated = frozenset(changing) if training else frozenset()
    context = RecordingContext(training=training, updated=updated, graph=graph, values=values)
    moment = Moment(next((len(inputs[name]) for name in batched), 1))
    made = Run(graph, values, [o.name for o in model.graph.output], inputs, moment, training=training)
    if host:
        prefix = Prefix(model, changing, training=training)
        _run_or_host(plan, prefix, inputs, context, made.hosted)
    else:
        lowering.run(plan, values, context, call)
    made.hosted.extend(name for name in made.outputs if not isinstance(values[name], (Tensor, Merged)))
    return made


def computed(run: Run, worker: Worker, step: int = 0) -> dict[str, Any]:
    """The outputs of a recorded graph by name; random numbers are those of a step."""
    found: dict[str, Any] = {}
    recorded: dict[str, Tensor | Merged] = {}
    for name in run.outputs:
        value = run.values[name]
        if isinstance(value, (Tensor, Merged)):
            recorded[name] = value
        else:
            found[name] = _of_host(value, run.moment)
    if recorded:
        registers = [register_of(t) for t in recorded.values()]
        header = described(run.graph, outputs=registers, loss=False, training=run.training)
        worker.build("evaluate", run.graph, header)
        fed = {e["name"]: np.asarray(run.inputs[e["name"]], np.float32) for e in header["inputs"]}
        results = worker.run_arrays(
            "evaluate", feeds_at(run.graph, run.moment), fed, rows=run.moment.batch, step=step
        )
        found |= {n: as_onnx(v, t) for v, (n, t) in zip(results, recorded.items(), strict=True)}
        worker.forget(programs=["evaluate"])
    return found


def _run_or_host(
    plan: lowering.Plan,
    prefix: Prefix,
    inputs: Mapping[str, Any],
    context: RecordingContext,
    hosted: list[str],
) -> None:
    """Record a plan; what CNTK refuses is computed by onnxruntime."""
    for step in plan.steps:
        try:
            lowering.run(lowering.Plan((step,)), context.values, context, call)
        except UnsupportedFeatureError:
            names = [name for name in step.outputs if name]
            if not prefix.covers(names):
                raise
            found = prefix.run(names, inputs)
            hosted.extend(names)
            context.values.update(
                (n, v if isinstance(v, np.ndarray) else HostOnly("what is no tensor", v))
                for n, v in found.items()
            )


def _of_host(value: Any, moment: Moment) -> Any:
    if isinstance(value, HostOnly):
        return value.value
    return value.at(moment) if isinstance(value, HostValue) else value


def as_onnx(value: Array, like: Tensor | Merged) -> Array:
    """A value of the worker, batch first, with ONNX' axes and type."""
    if isinstance(like, Merged):
        value = as_onnx(value, like.tensor)
        end = like.start + like.count
        return value.reshape([*value.shape[: like.start], -1, *value.shape[end:]])
    if like.batch is not None:
        value = np.moveaxis(value, 0, like.batch)
    return value.astype(like.dtype)
