"""A model's initializers in TensorFlow, and its graph run with them in inference form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from onnx import ModelProto

from neuromatic.converters.lowering import Plan, initial_values, run
from neuromatic.converters.tensorflow.context import Draws, TensorFlowContext
from neuromatic.converters.tensorflow.execution import call, channels_first

Tensors = dict[str, Any]

LARGE_CONSTANT = 1024
"""Constants of more elements than this are handed to TensorFlow once, not copied into each graph."""
ALIGNMENT = 64
"""TensorFlow uses memory in place that begins at a multiple of this."""


class Weights:
    """Variables for the initializers that may change, constants for all others.

    Args:
        model: an ONNX model; only its graph counts.
        changing: names of the initializers that become variables.

    Attributes:
        variables: by initializer name.
        constants: likewise; small ones are numpy arrays, which lowerings may read while they are traced.
    """

    def __init__(self, model: ModelProto, changing: Iterable[str]) -> None:
        values: dict[str, Any] = dict(initial_values(model))
        self.variables = {n: tf.Variable(values.pop(n), name=_variable_name(n)) for n in changing}
        self.constants = {name: _constant(array) for name, array in values.items()}

    def read(self) -> Tensors:
        """The current values of the variables."""
        return {name: variable.read_value() for name, variable in self.variables.items()}

    def infer(self, plan: Plan, inputs: Mapping[str, Any], draws: Draws | None = None) -> Tensors:
        """Run a plan in inference form; returns every value of its graph by name.

        Args:
            draws: what random numbers depend on; without it there are none.
        """
        values: Tensors = {**self.constants, **self.read(), **inputs}
        context = TensorFlowContext(values=values)
        if draws is not None:
            context.draws, context.seed, context.step = True, draws.seed, draws.step
        run(plan, values, context, call)
        return values


def as_outputs(values: Mapping[str, Any], names: Iterable[str]) -> Tensors:
    """Some values as tensors in ONNX' layout."""
    return {name: tf.convert_to_tensor(channels_first(values[name])) for name in names}


def _constant(array: NDArray[np.generic]) -> Any:
    if array.size <= LARGE_CONSTANT:
        return array
    return _borrowed(array) if _is_mapped(array) else tf.constant(array)


def _is_mapped(array: NDArray[np.generic]) -> bool:
    """Whether an array maps a file of external data in a way that TensorFlow can use in place."""
    aligned = array.ctypes.data % ALIGNMENT == 0 and array.dtype.kind in "fiu"
    return isinstance(array.base, np.memmap) and aligned


def _borrowed(array: NDArray[Any]) -> Any:
    """A tensor in the memory of an array, for what is too large to be copied; on a GPU it is one copy."""
    tensor = tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.identity(tensor) if tf.config.list_logical_devices("GPU") else tensor


def _variable_name(name: str) -> str:
    """A parameter's name with the characters that TensorFlow allows."""
    return re.sub(r"[^A-Za-z0-9_.\\/>-]", "_", name).lstrip("_\\/->") or "parameter"
