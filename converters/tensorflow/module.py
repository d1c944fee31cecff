"""An ONNX graph as a ``tf.Module``: what is written as a SavedModel."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import tensorflow as tf
from onnx import ModelProto

from neuromatic.converters.lowering import plan
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.converters.tensorflow.weights import Weights, as_outputs
from neuromatic.data import Field


class OnnxModule(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """A model's graph in inference form.

    Args:
        model: an ONNX model.
        trained: names of the initializers that become variables; all others are constants.
        fields: the inputs that data are fed to.
        names: for each input, the name of the argument.

    Attributes:
        parameters: the variables by the names of the initializers.
        serve: takes the inputs, by position or by ``names``; gives the outputs by name.
    """

    def __init__(
        self, model: ModelProto, trained: Collection[str], fields: Sequence[Field], names: Mapping[str, str]
    ) -> None:
        super().__init__(name="onnx")
        self._plan = plan(model, ops)
        self._outputs = [output.name for output in model.graph.output]
        self._inputs = [field.name for field in fields]
        self._weights = Weights(model, trained)
        self.parameters = self._weights.variables
        signature = [tf.TensorSpec(_shape(f), tf.as_dtype(f.dtype), names[f.name]) for f in fields]
        self.serve = tf.function(self._serve, input_signature=signature, autograph=False)
        self.__call__ = self.serve

    def _serve(self, *inputs: Any) -> dict[str, Any]:
        fed = dict(zip(self._inputs, inputs, strict=True))
        return as_outputs(self._weights.infer(self._plan, fed), self._outputs)


def _shape(field: Field) -> Any:
    """The shape as TensorFlow takes it: None for what is open, or for an unknown rank."""
    if field.shape is None:
        return None
    return [dim if isinstance(dim, int) else None for dim in field.shape]
