"""An ONNX graph as a ``tf.Module``: what is written as a SavedModel."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import tensorflow as tf
from onnx import ModelProto

from neuromatic.converters.lowering import initial_values, plan, run
from neuromatic.converters.tensorflow.context import TensorFlowContext
from neuromatic.converters.tensorflow.execution import call, channels_first
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.converters.tensorflow.program import _constant, _variable_name
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
        values: dict[str, Any] = dict(initial_values(model))
        self.parameters = {n: tf.Variable(values.pop(n), name=_variable_name(n)) for n in trained}
        self._constants = {name: _constant(array) for name, array in values.items()}
        signature = [tf.TensorSpec(_shape(f), tf.as_dtype(f.dtype), names[f.name]) for f in fields]
        self.serve = tf.function(self._serve, input_signature=signature, autograph=False)
        self.__call__ = self.serve

    def _serve(self, *inputs: Any) -> dict[str, Any]:
        state = {name: variable.read_value() for name, variable in self.parameters.items()}
        values: dict[str, Any] = {
            **self._constants,
            **state,
            **dict(zip(self._inputs, inputs, strict=True)),
        }
        run(self._plan, values, TensorFlowContext(values=values), call)
        return {name: tf.convert_to_tensor(channels_first(values[name])) for name in self._outputs}


def _shape(field: Field) -> Any:
    """The shape as TensorFlow takes it: None for what is open, or for an unknown rank."""
    if field.shape is None:
        return None
    return [dim if isinstance(dim, int) else None for dim in field.shape]
