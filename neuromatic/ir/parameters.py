"""Parameters and models to and from files: write back by name, load, save."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.helper import make_tensor_value_info

from neuromatic import external, layout, vetting
from neuromatic.errors import InvalidModelError, ModelError, ShapeError
from neuromatic.ir.tensors import array_of, is_mapped
from neuromatic.layout import serialize

__all__ = [
    "array_of",
    "carry_over",
    "check_model",
    "is_mapped",
    "load_proto",
    "save_proto",
    "serialize",
    "stored_tensors",
    "write_back",
]

Array = NDArray[Any]
MOST_BYTES = (2 << 30) - 1
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


def load_proto(path: str | os.PathLike[str]) -> tuple[ModelProto, bytes | None]:
    """Read and check an .onnx file; large external data are left where they are (:mod:`neuromatic.external`).

    Returns:
        The model, and the bytes of the file if writing the model would give others (protobuf allows
        several spellings of one message).

    Raises:
        InvalidModelError: the file cannot be read, does not parse, is not valid ONNX or asks for more than
            any model does (:mod:`neuromatic.vetting`).
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        if not size:
            raise InvalidModelError(f"{file} is empty; expected an ONNX model")
        if size > MOST_BYTES:
            raise InvalidModelError(f"{file} has {size:,} bytes; a model of over 2 GiB needs external data")
        data = file.read_bytes()
        model = ModelProto.FromString(data)
        differs = model.SerializeToString() != data
        _check(model, file, data)
        return model, data if differs else None
    except OSError as error:
        raise InvalidModelError(f"cannot read {file}: {error.strerror or error}") from error
    except InvalidModelError as error:
        if str(error).startswith(str(file)):
            raise
        raise InvalidModelError(f"{file} is not a valid ONNX model: {error}") from error
    except (
        DecodeError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        ValueError,
        TypeError,
        RuntimeError,
        MemoryError,
    ) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise InvalidModelError(f"{file} is not a valid ONNX model: {reason}") from error


def _check(model: ModelProto, file: Path, data: bytes) -> None:
    """Whatever can be told without running the model; the cheap checks come before those that might hang."""
    vetting.check_structure(model)
    if external.attach(model, Path(os.path.abspath(file)).parent):
        data = serialize(_without_mapped(model))
    onnx.checker.check_model(data)
    vetting.check_sizes(model)


def check_model(model: ModelProto) -> None:
    """``onnx.checker.check_model`` for a model some of whose values lie in other files.

    Raises:
        onnx.checker.ValidationError: the model is not valid ONNX.
    """
    onnx.checker.check_model(_without_mapped(model))


def _without_mapped(model: ModelProto) -> ModelProto:
    """A copy in which initializers that lie in other files are inputs; the checker wants no others."""
    copy = ModelProto()
    copy.CopyFrom(model)
    mapped = [t for t in copy.graph.initializer if is_mapped(t)]
    declared = {i.name for i in copy.graph.input}
    for tensor in mapped:
        if tensor.name not in declared:
            copy.graph.input.append(make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        copy.graph.initializer.remove(tensor)
    return copy


def save_proto(model: ModelProto, path: str | os.PathLike[str], data: bytes | None = None) -> None:
    """Write a model so that a failure leaves an existing file as it was (:mod:`neuromatic.layout`).

    Args:
        model: the model.
        path: the file to write; external data go beside it, in the layout they had.
        data: the bytes of the file, where it is known to be unchanged.

    Raises:
        ModelError: see :func:`serialize`.
        OSError: a file cannot be written.
    """
    layout.write(model, path, data)
