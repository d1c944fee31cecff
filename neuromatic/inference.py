"""onnxruntime sessions: what serves ``predict`` and ``evaluate``, and checks what engines trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from neuromatic.errors import EngineNotAvailableError, InvalidModelError
from neuromatic.weights import serialize

Array = NDArray[Any]
INSTALL = "pip install 'neuromatic[cpu]'"


class Session:
    """A model loaded in onnxruntime.

    Args:
        model: an ONNX model.

    Raises:
        EngineNotAvailableError: onnxruntime is not installed.
        InvalidModelError: onnxruntime refuses the model.
    """

    def __init__(self, model: ModelProto) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineNotAvailableError("onnxruntime", str(error), INSTALL) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                serialize(model), options, providers=onnxruntime.get_available_providers()
            )
        except Exception as error:  # onnxruntime's exceptions have no public base class
            reason = str(error).strip().splitlines()[0]
            raise InvalidModelError(f"onnxruntime refuses the model: {reason}") from error
        self.outputs: list[str] = [o.name for o in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """The outputs for one batch, by name.

        Raises:
            InvalidModelError: onnxruntime fails on these inputs.
        """
        names = list(outputs or self.outputs)
        try:
            results = self._session.run(names, dict(inputs))
        except Exception as error:  # see above
            reason = str(error).strip().splitlines()[0]
            raise InvalidModelError(f"onnxruntime cannot run the model on these inputs: {reason}") from error
        return dict(zip(names, results, strict=True))

    def run_batches(self, inputs: Mapping[str, Array], batch_size: int) -> dict[str, Array]:
        """The outputs for any number of rows, computed in batches and joined."""
        parts = [self.run(batch) for batch in batches(inputs, batch_size)]
        if len(parts) == 1:
            return parts[0]
        if single := [name for name in self.outputs if np.ndim(parts[0][name]) == 0]:
            raise InvalidModelError(
                f"output {single[0]!r} is one number for all rows; give a batch_size that covers them"
            )
        return {name: np.concatenate([part[name] for part in parts]) for name in self.outputs}


def batches(arrays: Mapping[str, Array], batch_size: int) -> Iterator[dict[str, Array]]:
    """Arrays of one length, cut into consecutive batches; the last may be smaller."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    length = len(next(iter(arrays.values())))
    for start in range(0, length, batch_size):
        yield {name: array[start : start + batch_size] for name, array in arrays.items()}
