"""A graph's outputs by CNTK, in inference or in training form."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from numpy.typing import NDArray
from onnx import ModelProto

from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.evaluate import computed, record_model

Array = NDArray[Any]


class CNTKForward:
    """See :class:`neuromatic.engines.Forward`.

    Args:
        model: an ONNX model without a recipe.
        training: whether Dropout, BatchNormalization and the like have their training meaning.
        updated: names of initializers that a training step would replace.
        worker: who computes; ended by :meth:`close`.
    """

    def __init__(
        self, model: ModelProto, *, training: bool, updated: Collection[str], worker: Worker
    ) -> None:
        self._model, self._worker = model, worker
        self._training, self._updated = training, frozenset(updated)

    def run(self, inputs: Mapping[str, Array], batched: Collection[str], step: int) -> dict[str, Array]:
        """The outputs of one batch, by name."""
        recorded = record_model(
            self._model,
            inputs,
            batched=batched,
            host=True,
            changing=self._updated,
            training=self._training,
        )
        return computed(recorded, self._worker, step)

    def close(self) -> None:
        """End the worker."""
        self._worker.close()
