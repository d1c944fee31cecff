"""From a .keras file to .onnx, by Keras' own export.

A .keras file can hold code; it is loaded with ``safe_mode`` and without its training configuration, and what
needs more is refused.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, ModelProto

from neuromatic._quiet import quiet, wanted
from neuromatic.converters.formats.onnx_file import default_opset, raise_opset
from neuromatic.converters.formats.verify import verify
from neuromatic.converters.tensorflow import engine
from neuromatic.data import Field
from neuromatic.errors import ConversionError, EngineNotAvailableError
from neuromatic.inference import Session
from neuromatic.ir.opsets import BATCH, DEFAULT_OPSET
from neuromatic.saving.atomic import replacing
from neuromatic.saving.model_file import load_proto
from neuromatic.saving.writer import serialize

EXPORTED_OPSETS = range(11, 19)
"""The versions of ONNX' operators that the export writes; newer ones are reached by raising."""
INSTALL = "pip install 'neuromatic[keras]'"


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    opset: int | None = None,
    check: bool = True,
    atol: float = 1e-4,
    seed: int = 0,
) -> float | None:
    """Write a .keras file as .onnx with a symbolic batch.

    Args:
        source: a .keras file, saved by Keras 3.
        target: the file to write; replaced only on success.
        opset: version of ONNX' operators, 11 or more.
        check: whether Keras and onnxruntime are compared.
        atol: how far they may differ.
        seed: determines the inputs they are compared on.

    Returns:
        The largest difference found; None where nothing was compared.

    Raises:
        EngineNotAvailableError: Keras, TensorFlow or tf2onnx is not installed.
        ConversionError: the file cannot be loaded safely, or not exported.
        VerificationError: Keras and onnxruntime differ.
    """
    opset = DEFAULT_OPSET if opset is None else opset
    if opset < EXPORTED_OPSETS.start:
        raise ConversionError(f"Keras writes opset {EXPORTED_OPSETS.start} and newer, not {opset}")
    keras = _import_keras()
    with warnings.catch_warnings(), quiet(1, 2):
        if wanted():
            warnings.simplefilter("ignore")
        network = _load(keras, Path(source))
        with replacing(target) as temporary:
            model = _exported(keras, network, temporary, opset)
            difference = _verify(network, model, atol, seed) if check else None
            temporary.write_bytes(serialize(model))
    return difference


def _exported(keras: Any, network: Any, temporary: Path, opset: int) -> ModelProto:
    """The model as Keras exports it, with its batch named, in the opset that is wanted."""
    _export(keras, network, temporary, min(opset, EXPORTED_OPSETS.stop - 1))
    model, _ = load_proto(temporary)
    _name_batch(model)
    if opset != default_opset(model):
        model = raise_opset(model, opset)
    onnx.checker.check_model(model)
    return model


def _import_keras() -> Any:
    engine.load()
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        with quiet(2), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("tf2onnx")
            return importlib.import_module("keras")
    except ImportError as error:
        raise EngineNotAvailableError("the export of Keras", str(error), INSTALL) from error


def _load(keras: Any, source: Path) -> Any:
    if not source.is_file():
        raise ConversionError(f"cannot read {source}: there is no such file")
    try:
        network = keras.models.load_model(str(source), safe_mode=True, compile=False)
    except Exception as error:  # what Keras raises on bad files is of many kinds
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConversionError(f"{source} cannot be loaded as a Keras model: {reason}") from error
    if not getattr(network, "inputs", None):
        raise ConversionError(f"{source} does not say what its inputs are; call the model once, then save it")
    return network


def _export(keras: Any, network: Any, path: Path, opset: int) -> None:
    signature = keras.tree.map_structure(
        lambda i: keras.InputSpec(shape=(None, *i.shape[1:]), dtype=i.dtype, name=i.name), _structure(network)
    )
    if not isinstance(network, keras.Sequential):
        signature = [signature]
    try:
        network.export(
            str(path), format="onnx", verbose=False, input_signature=signature, opset_version=opset
        )
    except Exception as error:  # tf2onnx' errors have no common kind either
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConversionError(f"Keras cannot export the model: {reason}") from error


def _structure(network: Any) -> Any:
    """The model's inputs as a call takes them: one, a list, a mapping ..."""
    return getattr(network, "_inputs_struct", network.inputs)


def _name_batch(model: ModelProto) -> None:
    """Give the batch, to which tf2onnx gives another name in each place, one name."""
    graph: GraphProto = model.graph
    names = {
        info.type.tensor_type.shape.dim[0].dim_param
        for info in graph.input
        if info.type.tensor_type.shape.dim
    }
    for info in graph.output:
        shape = info.type.tensor_type.shape.dim
        if shape and not shape[0].HasField("dim_value"):
            names.add(shape[0].dim_param)
    for info in [*graph.input, *graph.output, *graph.value_info]:
        for place, dim in enumerate(info.type.tensor_type.shape.dim):
            if dim.dim_param and (
                dim.dim_param in names or (place == 0 and dim.dim_param.startswith("unk__"))
            ):
                dim.dim_param = BATCH


def _verify(network: Any, model: ModelProto, atol: float, seed: int) -> float:
    session = Session(model)
    tree = importlib.import_module("keras").tree
    names = [i.name for i in network.inputs]
    outputs = [o.name for o in model.graph.output]

    def expected(inputs: dict[str, Any]) -> Mapping[str, Any]:
        given = [inputs[name] for name in names]
        packed = given[0] if len(given) == 1 else tree.pack_sequence_as(_structure(network), given)
        flat = tree.flatten(network(packed, training=False))
        return {name: np.asarray(value) for name, value in zip(outputs, flat, strict=True)}

    fields = [Field(i.name, np.dtype(i.dtype), tuple(i.shape)) for i in network.inputs]
    return verify(expected, session.run, fields, what="the exported model", atol=atol, seed=seed)
