"""Compares a layer in onnxruntime with the Keras layer it is named after, with the same weights.

Keras runs with channels last, because its channels-first kernels need a GPU; arrays are transposed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
from hypothesis import settings
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from neuromatic.builder.sequential import Sequential
from neuromatic.ir.opsets import DEFAULT_IR_VERSION, DEFAULT_OPSET
from neuromatic.ir.values import Dim
from neuromatic.layers import Layer

Array = NDArray[Any]

FEW = settings(derandomize=True, deadline=None, max_examples=40, database=None)
TOLERANCE = 1e-5


def check(model: ModelProto) -> None:
    """What every model owes: valid ONNX of the default versions, a symbolic batch, unique node names."""
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", DEFAULT_OPSET)]
    assert model.ir_version == DEFAULT_IR_VERSION
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch", value
    names = [node.name for node in model.graph.node]
    assert all(names)
    assert len(names) == len(set(names))


def run(model: ModelProto, *inputs: Array) -> Array:
    """The first output of a model in onnxruntime."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {value.name: array for value, array in zip(model.graph.input, inputs, strict=True)}
    return np.asarray(session.run(None, feed)[0])


def parameters(model: ModelProto) -> dict[str, Array]:
    """The initializers of a model by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def randomize(model: ModelProto, rng: np.random.Generator) -> None:
    """Give every parameter new values, so that zeros and ones hide nothing; variances stay positive."""
    for tensor in model.graph.initializer:
        values: Array = rng.normal(size=tuple(tensor.dims)).astype(np.float32)
        if tensor.name.endswith("variance"):
            values = np.abs(values) + 0.5
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def channels_last(array: Array) -> Array:
    """A batch of images as Keras takes it; other arrays stay as they are."""
    return np.moveaxis(array, 1, -1) if array.ndim == 4 else array


def channels_first(array: Array) -> Array:
    """A batch of images as ONNX takes it; other arrays stay as they are."""
    return np.moveaxis(array, -1, 1) if array.ndim == 4 else array


def keras_weight(array: Array) -> Array:
    """A parameter in Keras' layout: OIHW becomes HWIO, CHW becomes HWC."""
    match array.ndim:
        case 4:
            return array.transpose(2, 3, 1, 0)
        case 3:
            return array.transpose(1, 2, 0)
        case _:
            return array


def assert_equals_keras(
    layer: Layer,
    twin: Any,
    input_shape: Sequence[int],
    *,
    declared: Sequence[Dim] | None = None,
    tolerance: float = TOLERANCE,
) -> None:
    """The layer's model is in order and computes what its twin does, for two sizes of the batch.

    Args:
        layer: the layer.
        twin: the Keras layer.
        input_shape: shape of the data without the batch, channels first.
        declared: the shape the model is built for, where it says less than ``input_shape``.
        tolerance: largest difference, absolute and relative.
    """
    rng = np.random.default_rng(len(str(layer)))
    model = Sequential(input_shape if declared is None else declared).append(layer).onnx()
    check(model)
    randomize(model, rng)
    for batch in (1, 3):
        x = rng.normal(size=(batch, *input_shape)).astype(np.float32)
        if not twin.built:
            twin.build(channels_last(x).shape)
            found = parameters(model)
            assert [w.name for w in twin.weights] == [name.split("/")[-1] for name in found]
            twin.set_weights([keras_weight(array) for array in found.values()])
        expected = channels_first(keras.ops.convert_to_numpy(twin(channels_last(x), training=False)))
        np.testing.assert_allclose(run(model, x), expected, rtol=tolerance, atol=tolerance)
