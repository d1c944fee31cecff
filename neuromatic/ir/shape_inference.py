"""Shape inference by ``onnx``, in bounds: what data propagation would write down of long vectors is hidden.

To find shapes that a graph computes, inference writes down each number of every vector that is added, cut or
joined. A vector of ten million parameters would take half a gigabyte; one that is declared to have 2^31 - 1,
the memory of any machine. So the length of a long vector is a symbol while types are inferred.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import FunctionProto, GraphProto, ModelProto, TypeProto

from neuromatic.ir import traversal as _walk
from neuromatic.ir.bounds import MOST_VECTOR

HIDDEN = "neuromatic/length="
"""Begins the symbols."""


def infer(model: ModelProto, *, strict: bool = False) -> GraphProto:
    """The graph of a model with the types of its values, as far as they can be found.

    Args:
        model: the model.
        strict: raise where types contradict each other.

    Raises:
        onnx.shape_inference.InferenceError, RuntimeError, ValueError: the types do not fit.
    """
    hide_lengths(model)
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=strict, data_prop=True)
    finally:
        _show_lengths(model)
    _show_lengths(inferred)
    return inferred.graph


def hide_lengths(model: ModelProto) -> None:
    """Make symbols of the lengths of long vectors."""
    for kind in _types(model):
        dims = kind.tensor_type.shape.dim
        if len(dims) == 1 and dims[0].dim_value > MOST_VECTOR:
            dims[0].dim_param = f"{HIDDEN}{dims[0].dim_value}"


def _show_lengths(model: ModelProto) -> None:
    """Undo :func:`hide_lengths`, also in what was inferred from it."""
    for kind in _types(model):
        for dim in kind.tensor_type.shape.dim:
            if dim.dim_param.startswith(HIDDEN):
                dim.dim_value = int(dim.dim_param.removeprefix(HIDDEN))


def _types(model: ModelProto) -> Iterator[TypeProto]:
    """The types that a model's graphs and functions declare."""
    for body in _walk.bodies(model):
        values = [*body.value_info, *([] if isinstance(body, FunctionProto) else [*body.input, *body.output])]
        for value in values:
            if value.type.HasField("tensor_type"):
                yield value.type
