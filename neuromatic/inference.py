"""onnxruntime sessions: what serves ``predict`` and ``evaluate``, and checks what engines trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from neuromatic._interrupts import interrupts_after
from neuromatic.errors import EngineNotAvailableError, InvalidModelError, ModelError
from neuromatic.ir.onnx_errors import reason_of
from neuromatic.ir.tensors import array_of, is_mapped, place_of
from neuromatic.ir.widening import BFLOAT16, has_bfloat16, widened
from neuromatic.saving import writer as layout
from neuromatic.saving.external_data import detach, served, set_entry
from neuromatic.saving.writer import serialize

Array = NDArray[Any]
FOLDER_OPTION = "session.model_external_initializers_file_folder_path"
LONGEST = 300
"""So many characters of what onnxruntime says are enough; it begins with the kind of exception in numbers."""
ERRORS, SILENT = 3, 4
"""How much onnxruntime prints."""
INSTALL = "pip install 'neuromatic[cpu]'"


def refusal(model: ModelProto) -> str | None:
    """Why onnxruntime does not take a model; None if it does, or is not installed."""
    try:
        with interrupts_after():
            import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        data, _values = _served(widened(model) if has_bfloat16(model) else model, options)
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # see Session
        return reason_of(error).split(" : ", 3)[-1][:LONGEST]
    return None


class Session:
    """A model loaded in onnxruntime. What is bfloat16 is computed in float32 (:mod:`neuromatic.widening`).

    Args:
        model: an ONNX model.
        as_written: compute quantised parts as the graph says. Otherwise onnxruntime may take products of
            rounded numbers in integers, inputs rounded too, which is faster and differs by about one step.

    Raises:
        EngineNotAvailableError: onnxruntime is not installed.
        InvalidModelError: onnxruntime refuses the model.
        ModelError: the model cannot be handed to it: over 2 GiB that are no external data.
    """

    def __init__(self, model: ModelProto, *, as_written: bool = False) -> None:
        try:
            with interrupts_after():
                import onnxruntime
        except ImportError as error:
            raise EngineNotAvailableError("onnxruntime", str(error), INSTALL) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS
        if as_written:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        narrow = (*model.graph.input, *model.graph.output) if has_bfloat16(model) else ()
        self._bfloat16 = {v.name for v in narrow if v.type.tensor_type.elem_type == TensorProto.BFLOAT16}
        data, _values = _served(widened(model) if has_bfloat16(model) else model, options)
        try:
            self._session = onnxruntime.InferenceSession(
                data, options, providers=onnxruntime.get_available_providers()
            )
        except Exception as error:  # onnxruntime's exceptions have no public base class
            reason = str(error).strip().splitlines()[0]
            raise InvalidModelError(f"onnxruntime refuses the model: {reason}") from error
        self.outputs: list[str] = [o.name for o in self._session.get_outputs()]

    def run(
        self, inputs: Mapping[str, Array], outputs: Sequence[str] | None = None, *, trial: bool = False
    ) -> dict[str, Array]:
        """The outputs for one batch, by name.

        Args:
            inputs: an array for each input.
            outputs: names of the outputs wanted, by default all.
            trial: a failure is nothing that onnxruntime has to report.

        Raises:
            InvalidModelError: onnxruntime fails on these inputs.
        """
        import onnxruntime

        names, options = list(outputs or self.outputs), onnxruntime.RunOptions()
        options.log_severity_level = SILENT if trial else ERRORS
        try:
            given = {k: self._as(np.float32, k, v) for k, v in inputs.items()}
            results = self._session.run(names, given, options)
        except Exception as error:  # see above
            reason = str(error).strip().splitlines()[0]
            raise InvalidModelError(f"onnxruntime cannot run the model on these inputs: {reason}") from error
        return {k: self._as(BFLOAT16, k, v) for k, v in zip(names, results, strict=True)}

    def _as(self, dtype: Any, name: str, array: Array) -> Array:
        """An array as another type if the model declares its value as bfloat16."""
        return array.astype(dtype) if name in self._bfloat16 else array


def _served(model: ModelProto, options: Any) -> tuple[bytes, list[Any]]:
    """A model as onnxruntime takes it; what lies in other files is mapped into memory, not read.

    Returns:
        The model as bytes, and values that have to live until the session is made: what makes a model too
        large for one message is handed over beside it.

    Raises:
        ModelError: its external data lie in several folders, or the rest has more than 2 GiB.
    """
    large = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > layout.MOST_INLINE
    if not large and not any(is_mapped(tensor) for tensor in model.graph.initializer):
        return serialize(model), []
    copy, folders, handed = ModelProto(), set[str](), dict[str, Any]()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        place = place_of(tensor) if is_mapped(tensor) else None
        if place is not None:
            folder, location = served(place)
            folders.add(str(folder))
            detach(tensor)
            set_entry(tensor, "location", location)
        elif large and len(tensor.raw_data) >= layout.LEAST_SPILLED:
            handed[tensor.name] = _ort_value(tensor)
    if len(folders) > 1:
        raise ModelError(f"the model's external data lie in several folders: {sorted(folders)}")
    if folders:
        options.add_session_config_entry(FOLDER_OPTION, folders.pop())
    options.add_external_initializers(list(handed), list(handed.values()))
    return serialize(copy), list(handed.values())


def _ort_value(tensor: TensorProto) -> Any:
    """A tensor's values for onnxruntime; the tensor itself becomes a reference to them."""
    import onnxruntime

    value = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array_of(tensor).copy(), tensor.data_type)
    del tensor.external_data[:]
    tensor.external_data.add(key="location", value="in memory")
    detach(tensor)
    return value
