"""Reading and writing .onnx files."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
from onnx import ModelProto
from onnx.helper import make_tensor_value_info

from neuromatic.errors import InvalidModelError
from neuromatic.ir.onnx_errors import ONNX_ERRORS, reason_of
from neuromatic.ir.tensors import is_mapped
from neuromatic.saving import external_data as external
from neuromatic.saving import limits as vetting
from neuromatic.saving import sizes
from neuromatic.saving import writer as layout
from neuromatic.saving.writer import serialize

MOST_BYTES = (2 << 30) - 1


def load_proto(path: str | os.PathLike[str], *, fit: bool = True) -> tuple[ModelProto, bytes | None]:
    """Read and check an .onnx file; large external data are left where they are
    (:mod:`neuromatic.saving.external_data`).

    Args:
        path: the file.
        fit: whether to refuse nodes whose inputs do not fit each other.

    Returns:
        The model, and the bytes of the file if writing the model would give others (protobuf allows
        several spellings of one message).

    Raises:
        InvalidModelError: the file cannot be read, does not parse, is not valid ONNX or asks for more than
            any model does (:mod:`neuromatic.saving.limits`).
    """
    file = Path(path)
    try:
        length = file.stat().st_size
        if not length:
            raise InvalidModelError(f"{file} is empty; expected an ONNX model")
        if length > MOST_BYTES:
            raise InvalidModelError(f"{file} has {length:,} bytes; a model of over 2 GiB needs external data")
        data = file.read_bytes()
        model = ModelProto.FromString(data)
        differs = model.SerializeToString() != data
        _check(model, file, data, fit)
        return model, data if differs else None
    except OSError as error:
        raise InvalidModelError(f"cannot read {file}: {error.strerror or error}") from error
    except InvalidModelError as error:
        if str(error).startswith(str(file)):
            raise
        raise InvalidModelError(f"{file} is not a valid ONNX model: {error}") from error
    except ONNX_ERRORS as error:
        raise InvalidModelError(f"{file} is not a valid ONNX model: {reason_of(error)}") from error


def _check(model: ModelProto, file: Path, data: bytes, fit: bool) -> None:
    """Whatever can be told without running the model; the cheap checks come before those that might hang."""
    vetting.check_structure(model)
    if external.attach(model, Path(os.path.abspath(file)).parent):
        data = serialize(_without_mapped(model))
    onnx.checker.check_model(data)
    sizes.check_sizes(model, fit=fit)


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
    """Write a model so that a failure leaves an existing file as it was (:mod:`neuromatic.saving.writer`).

    Args:
        model: the model.
        path: the file to write; external data go beside it, in the layout they had.
        data: the bytes of the file, where it is known to be unchanged.

    Raises:
        ModelError: see :func:`serialize`.
        OSError: a file cannot be written.
    """
    layout.write(model, path, data)
