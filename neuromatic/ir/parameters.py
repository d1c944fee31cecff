"""Parameters of a model by name: found, written back, carried over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from neuromatic.errors import ModelError, ShapeError
from neuromatic.ir.tensors import array_of, is_mapped

Array = NDArray[Any]
TYPED: dict[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.INT32: "int32_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT64: "uint64_data",
}
"""The types whose values a tensor that has them in a field of their own keeps there."""


def stored_tensors(model: ModelProto) -> dict[str, TensorProto]:
    """Every initializer of a model, those of its training algorithm included, by name."""
    graphs = [model.graph, *(info.algorithm for info in model.training_info)]
    return {tensor.name: tensor for graph in graphs for tensor in graph.initializer}


def write_back(model: ModelProto, parameters: Mapping[str, Array]) -> None:
    """Replace the values of initializers by name, in place; nothing else of the model changes.

    Values stay in the field that they are in; of types that share ``int32_data`` they move to ``raw_data``.

    Raises:
        ModelError: the model has no initializer of a name.
        ShapeError: an array has another shape than the initializer.
    """
    tensors = stored_tensors(model)
    for name, array in parameters.items():
        if name not in tensors:
            raise ModelError(f"the model has no initializer {name!r} to write to")
        tensor = tensors[name]
        if tuple(tensor.dims) != array.shape:
            raise ShapeError(f"initializer {name!r} has shape {tuple(tensor.dims)}, got {array.shape}")
    for name, array in parameters.items():
        _set_values(tensors[name], array)


def carry_over(old: ModelProto, new: ModelProto) -> None:
    """Give a recipe the state of another: initializers of its algorithm of the same name and shape."""
    tensors = stored_tensors(new)
    stored = [tensor for info in old.training_info for tensor in info.algorithm.initializer]
    kept = {t.name: t for t in stored if t.name in tensors and tensors[t.name].dims == t.dims}
    write_back(new, {name: array_of(tensor) for name, tensor in kept.items()})


def _set_values(tensor: TensorProto, array: Array) -> None:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    field = TYPED.get(tensor.data_type)
    if field is not None and not tensor.HasField("raw_data") and getattr(tensor, field):
        getattr(tensor, field)[:] = array.astype(dtype, copy=False).ravel().tolist()
        return
    tensor.raw_data = numpy_helper.from_array(array.astype(dtype, copy=False)).raw_data
    if is_mapped(tensor):
        tensor.ClearField("data_location")
    for other in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        tensor.ClearField(other)
