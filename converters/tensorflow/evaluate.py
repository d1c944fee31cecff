"""Run a graph once with TensorFlow, to compare it with another runtime."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from neuromatic.converters import lowering
from neuromatic.converters.tensorflow import execution
from neuromatic.converters.tensorflow.context import TensorFlowContext
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.converters.tensorflow.sequence import TensorSequence
from neuromatic.errors import UnsupportedFeatureError

Array = np.ndarray[Any, Any]


def run_model(
    model: onnx.ModelProto,
    inputs: Mapping[str, Any],
    *,
    jit: bool = False,
    eager: bool = False,
    known: Collection[str] = (),
) -> dict[str, Any]:
    """The outputs of a model's graph by name, for inputs by name.

    Args:
        model: its initializers are constants of the traced graph.
        inputs: an array for each input of the graph that has no initializer; a list of arrays for a
            sequence, None for an optional without an element. Results are given likewise.
        jit: compile with XLA.
        eager: run each operation by itself, without tracing; the inputs still count as unknown.
        known: names of inputs to use as constants, such as axes and shapes.

    Raises:
        UnsupportedOpError: TensorFlow has no lowering for some nodes.
        UnsupportedFeatureError: a node uses an operator in a way that is not handled.
    """
    plan = lowering.plan(model, ops)
    absent = [name for name, value in inputs.items() if value is None]
    constants: dict[str, Any] = dict(lowering.initial_values(model))
    constants |= {name: _sequence(inputs[name]) for name in (*known, *absent)}

    def graph(fed: Mapping[str, Any]) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            tape.watch([t for t in tf.nest.flatten(fed) if t.dtype.is_floating and t.dtype.size > 1])
            values: dict[str, Any] = {**constants, **{n: _sequence(v) for n, v in fed.items()}}
            context = TensorFlowContext(tape=tape, values=values)
            lowering.run(plan, values, context, execution.call)
        return {o.name: _plain(values[o.name]) for o in model.graph.output}

    function = graph if eager else tf.function(graph, jit_compile=jit, autograph=False)
    fed = {
        name: tf.nest.map_structure(functools.partial(_tensor, name), value)
        for name, value in inputs.items()
        if name not in constants or (name not in known and value is not None)
    }
    results = function(fed)
    return {name: _arrays(value) for name, value in results.items()}


def _tensor(name: str, value: Array) -> tf.Tensor:
    try:
        return tf.convert_to_tensor(value)
    except ValueError as error:
        raise UnsupportedFeatureError(
            f"tensorflow: input {name!r}: TensorFlow has no type for {value.dtype.name}"
        ) from error


def _sequence(value: Any) -> Any:
    """A list as a sequence of ONNX, everything else as it is."""
    return TensorSequence(tuple(value)) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """A value as a traced function can return it."""
    if isinstance(value, TensorSequence):
        return [execution.channels_first(item) for item in value.items]
    return execution.channels_first(value)


def _arrays(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [execution.array(item) for item in value]
    return execution.array(value)
