"""Run a graph once with TensorFlow, to compare it with another runtime."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from neuromatic.converters import lowering
from neuromatic.converters.tensorflow import execution
from neuromatic.converters.tensorflow.context import TensorFlowContext
from neuromatic.converters.tensorflow.lowerings import ops

Array = np.ndarray[Any, Any]


def run_model(
    model: onnx.ModelProto,
    inputs: Mapping[str, Array],
    *,
    jit: bool = False,
    eager: bool = False,
    known: Collection[str] = (),
) -> dict[str, Array]:
    """The outputs of a model's graph by name, for inputs by name.

    Args:
        model: its initializers are constants of the traced graph.
        inputs: an array for each input of the graph that has no initializer.
        jit: compile with XLA.
        eager: run each operation by itself, without tracing; the inputs still count as unknown.
        known: names of inputs to use as constants, such as axes and shapes.

    Raises:
        UnsupportedOpError: TensorFlow has no lowering for some nodes.
        UnsupportedFeatureError: a node uses an operator in a way that is not handled.
    """
    plan = lowering.plan(model, ops)
    constants = lowering.initial_values(model) | {name: inputs[name] for name in known}

    def graph(fed: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            tape.watch([t for t in fed.values() if t.dtype.is_floating and t.dtype.size > 1])
            values: dict[str, Any] = {**constants, **fed}
            context = TensorFlowContext(tape=tape, values=values)
            lowering.run(plan, values, context, execution.call)
        return {o.name: execution.channels_first(values[o.name]) for o in model.graph.output}

    function = graph if eager else tf.function(graph, jit_compile=jit, autograph=False)
    fed = {name: tf.convert_to_tensor(array) for name, array in inputs.items() if name not in known}
    results = function(fed)
    return {name: execution.array(value) for name, value in results.items()}
