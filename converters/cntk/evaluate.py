"""Run a graph once with CNTK, to compare it with another runtime."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from neuromatic.converters import lowering
from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.graph import Graph, HostValue, Moment, Tensor, described, feeds_at
from neuromatic.converters.cntk.lowerings import ops
from neuromatic.converters.cntk.recording import RecordingContext, call

Array = NDArray[Any]


def run_model(
    model: ModelProto,
    inputs: Mapping[str, Array],
    worker: Worker,
    *,
    batched: Collection[str] = (),
    known: Collection[str] = (),
) -> dict[str, Array]:
    """The outputs of a model's graph by name, for inputs by name.

    Args:
        model: its initializers are constants.
        inputs: an array for each input of the graph that has no initializer.
        worker: who computes.
        batched: names of inputs whose first axis is CNTK's batch; the others are of fixed shape.
        known: names of inputs to use as constants, such as axes and shapes.

    Raises:
        UnsupportedOpError: CNTK has no lowering for some nodes.
        UnsupportedFeatureError: a node uses an operator in a way that is not handled.
    """
    plan = lowering.plan(model, ops)
    graph = Graph()
    values: dict[str, Any] = dict(lowering.initial_values(model))
    fed = [name for name in inputs if name not in known]
    for name, array in inputs.items():
        if name in known:
            values[name] = array
        else:
            shape = [None, *array.shape[1:]] if name in batched else array.shape
            values[name] = graph.input(name, shape, array.dtype)
    lowering.run(plan, values, RecordingContext(graph=graph, values=values), call)
    names = [output.name for output in model.graph.output]
    moment = Moment(next((len(inputs[name]) for name in batched), 1))
    recorded = {name: values[name] for name in names if isinstance(values[name], Tensor)}
    found: dict[str, Array] = {
        name: values[name].at(moment) if isinstance(values[name], HostValue) else values[name]
        for name in names
        if name not in recorded
    }
    if recorded:
        outputs = [t.register for t in recorded.values()]
        worker.build("evaluate", graph, described(graph, outputs=outputs, loss=False))
        arrays = [np.asarray(inputs[name], np.float32) for name in fed]
        results = worker.run_arrays("evaluate", feeds_at(graph, moment), dict(zip(fed, arrays, strict=True)))
        found |= {n: as_onnx(v, t) for v, (n, t) in zip(results, recorded.items(), strict=True)}
        worker.forget(programs=["evaluate"])
    return found


def as_onnx(value: Array, like: Tensor) -> Array:
    """A value of the worker, batch first, with ONNX' axes and type."""
    if like.batch is not None:
        value = np.moveaxis(value, 0, like.batch)
    return value.astype(like.dtype)
