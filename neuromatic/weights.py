"""Parameters and models to and from files: write back by name, load, save."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError, EncodeError
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from neuromatic import files
from neuromatic.errors import InvalidModelError, ModelError, ShapeError

Array = NDArray[Any]


def stored_tensors(model: ModelProto) -> dict[str, TensorProto]:
    """Every initializer of a model, those of its training algorithm included, by name."""
    graphs = [model.graph, *(info.algorithm for info in model.training_info)]
    return {tensor.name: tensor for graph in graphs for tensor in graph.initializer}


def write_back(model: ModelProto, parameters: Mapping[str, Array]) -> None:
    """Replace the values of initializers by name, in place; nothing else of the model changes.

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
    write_back(new, {name: numpy_helper.to_array(tensor) for name, tensor in kept.items()})


def _set_values(tensor: TensorProto, array: Array) -> None:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    fresh = numpy_helper.from_array(array.astype(dtype, copy=False))
    if not tensor.HasField("raw_data"):
        # Values that were stored in a typed field (float_data ...) move to raw_data.
        for field in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
            tensor.ClearField(field)
    tensor.raw_data = fresh.raw_data


def load_proto(path: str | os.PathLike[str]) -> tuple[ModelProto, bytes | None]:
    """Read and check an .onnx file, external data included.

    Returns:
        The model, and the bytes of the file if writing the model would give others (protobuf allows
        several spellings of one message) and no external data belong to it.

    Raises:
        InvalidModelError: the file cannot be read, does not parse or is not valid ONNX.
    """
    file = Path(path)
    try:
        if not file.stat().st_size:
            raise InvalidModelError(f"{file} is empty; expected an ONNX model")
        onnx.checker.check_model(str(file))
        model = onnx.load(str(file))
        return model, _differing_bytes(model, file)
    except OSError as error:
        raise InvalidModelError(f"cannot read {file}: {error.strerror or error}") from error
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


def _differing_bytes(model: ModelProto, file: Path) -> bytes | None:
    stored = ModelProto()
    data = file.read_bytes()
    stored.ParseFromString(data)
    if stored != model:  # external data were read into the model
        return None
    return None if model.SerializeToString() == data else data


def serialize(model: ModelProto) -> bytes:
    """A model as bytes.

    Raises:
        ModelError: it is larger than the 2 GiB that one protobuf message may have.
    """
    try:
        data: bytes = model.SerializeToString()
        return data
    except (EncodeError, ValueError) as error:
        raise ModelError(f"the model cannot be written as one file: {error}") from error


def save_proto(model: ModelProto, path: str | os.PathLike[str]) -> None:
    """Write a model so that a failure leaves an existing file as it was.

    Raises:
        ModelError: see :func:`serialize`.
        OSError: the file cannot be written.
    """
    files.write(path, serialize(model))
