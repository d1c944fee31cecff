"""A graph's outputs by TensorFlow, in inference or in training form."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from onnx import ModelProto

from neuromatic.converters.boundary import raising_our_errors
from neuromatic.converters.lowering import plan_outputs, run
from neuromatic.converters.tensorflow import execution
from neuromatic.converters.tensorflow.context import TensorFlowContext
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.converters.tensorflow.weights import Weights, as_outputs

Array = NDArray[Any]
Tensors = dict[str, Any]


class TensorFlowForward:
    """See :class:`neuromatic.engines.Forward`.

    Args:
        model: an ONNX model without a recipe.
        training: whether Dropout, BatchNormalization and the like have their training meaning.
        updated: names of initializers that a training step would replace.
        seed: determines what is drawn.
        jit: whether it is compiled with XLA.
    """

    def __init__(
        self, model: ModelProto, *, training: bool, updated: Collection[str], seed: int, jit: bool
    ) -> None:
        self._plan, self._names = plan_outputs(model, ops, training=training)
        self._weights = Weights(model, ())
        self._training, self._updated, self._seed = training, frozenset(updated), seed
        self._function = tf.function(self._outputs, jit_compile=jit, autograph=False)

    def run(self, inputs: Mapping[str, Array], batched: Collection[str], step: int) -> dict[str, Array]:
        """The outputs of one batch, by name."""
        with raising_our_errors("TensorFlow cannot run the graph"):
            given = {name: tf.constant(array) for name, array in inputs.items()}
            results = self._function(given, tf.constant(step, tf.int64))
        return {name: np.asarray(execution.array(value)) for name, value in results.items()}

    def close(self) -> None:
        """Nothing is held."""

    def _outputs(self, inputs: Tensors, step: Any) -> Tensors:
        values: Tensors = {**self._weights.constants, **inputs}
        context = TensorFlowContext(
            training=self._training,
            updated=self._updated,
            seed=self._seed,
            step=step,
            values=values,
            draws=True,
        )
        run(self._plan, values, context, execution.call)
        return as_outputs(values, self._names)
