"""Models whose batch is fixed, as CNTK takes them."""

from __future__ import annotations

from onnx import ModelProto

from neuromatic.data import rows_of
from neuromatic.ir.traversal import data_inputs
from neuromatic.transfer.dynamic_batch import Batches, dynamic_batch


def with_free_batch(model: ModelProto) -> ModelProto:
    """A model whose batch is not fixed: CNTK keeps it apart from other axes, whatever its size.

    Raises:
        ConversionError: rows depend on each other, or the batch cannot be told from other axes.
    """
    rows = rows_of(model)
    if rows.size is None or not rows.shared:
        return model
    inputs = tuple(name for name in data_inputs(model.graph) if name in rows.shared)
    return dynamic_batch(model, Batches(rows.size, inputs), check=False)
