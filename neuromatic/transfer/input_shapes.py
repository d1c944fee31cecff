"""Other sizes and names for the axes of a model's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import GraphProto, ModelProto, TypeProto, shape_inference

from neuromatic.errors import ShapeError, UnknownNameError
from neuromatic.ir.onnx_errors import ONNX_ERRORS, reason_of
from neuromatic.ir.traversal import data_inputs
from neuromatic.ir.values import Dim, Value, shape_text

Shape = Sequence[int | str]


def with_input_shapes(model: ModelProto, shapes: Mapping[str, Shape]) -> ModelProto:
    """A copy some of whose axes have another size or name.

    A size that an axis gets is that of all axes of its name. The shapes of outputs follow.

    Args:
        model: an ONNX model.
        shapes: for some inputs, by name, the whole shape.

    Raises:
        UnknownNameError: there is no such input.
        ShapeError: the shape has another number of axes, or another size where the file has one, or the graph
            cannot be of that shape.
    """
    changed = ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    inputs = {i.name: i for i in graph.input if i.name in set(data_inputs(graph))}
    renamed: dict[str, Dim] = {}
    for name, shape in shapes.items():
        if name not in inputs:
            raise UnknownNameError("input", name, inputs)
        _set_shape(name, inputs[name].type, tuple(shape), renamed)
    for value in (*graph.input, *graph.output):
        _rename(value.type, renamed)
    for info in changed.training_info:
        for value in info.algorithm.input:
            _rename(value.type, renamed)
        del info.algorithm.value_info[:]
    _infer(changed)
    return changed


def _set_shape(name: str, kind: TypeProto, shape: tuple[int | str, ...], renamed: dict[str, Dim]) -> None:
    known = Value.of(name, kind).shape
    if known is None:
        known = (None,) * len(shape)
        kind.tensor_type.shape.SetInParent()
        for _ in shape:
            kind.tensor_type.shape.dim.add()
    wrong = [n for n in shape if not (isinstance(n, str) and n) and not (isinstance(n, int) and n > 0)]
    if len(shape) != len(known) or wrong:
        raise ShapeError(
            f"input {name!r} is {shape_text(known)}; {shape_text(shape)} is no shape for it: give a size "
            f"above 0 or a name for each of its {len(known)} axes"
        )
    for axis, (old, new) in enumerate(zip(known, shape, strict=True)):
        if isinstance(old, int) and old != new:
            raise ShapeError(
                f"input {name!r} is {shape_text(known)}: its axis {axis} has size {old} in the file, which "
                f"{new!r} cannot replace"
            )
        if isinstance(old, str) and renamed.setdefault(old, new) != new:
            raise ShapeError(f"axis {old!r} is to be {renamed[old]!r} and {new!r}; it has one size")
        _set_dim(kind, axis, new)


def _rename(kind: TypeProto, renamed: Mapping[str, Dim]) -> None:
    for axis, dim in enumerate(kind.tensor_type.shape.dim):
        if dim.dim_param in renamed and dim.dim_param:
            _set_dim(kind, axis, renamed[dim.dim_param])


def _set_dim(kind: TypeProto, axis: int, size: Dim) -> None:
    dim = kind.tensor_type.shape.dim[axis]
    dim.Clear()
    if isinstance(size, int):
        dim.dim_value = size
    elif size is not None:
        dim.dim_param = size


def _infer(model: ModelProto) -> None:
    """Types of the values between inputs and outputs, and sizes of outputs that are known now.

    Raises:
        ShapeError: some node cannot be of these shapes.
    """
    told = bool(model.graph.value_info)
    del model.graph.value_info[:]
    bare = ModelProto()
    bare.CopyFrom(model)
    del bare.training_info[:]
    try:
        inferred: GraphProto = shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True).graph
    except ONNX_ERRORS as error:
        raise ShapeError(f"the graph cannot be of these shapes: {reason_of(error)}") from error
    if told:
        model.graph.value_info.extend(inferred.value_info)
    for value, found in zip(model.graph.output, inferred.output, strict=True):
        for old, new in zip(value.type.tensor_type.shape.dim, found.type.tensor_type.shape.dim, strict=False):
            if not old.HasField("dim_value") and new.HasField("dim_value"):
                old.CopyFrom(new)
