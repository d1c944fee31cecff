"""The values of a graph: names with ONNX types, and how messages show these."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import TypeProto, helper

from neuromatic.errors import ShapeError

Dim = int | str | None
Shape = tuple[Dim, ...]


@dataclass(frozen=True)
class Value:
    """A value of a graph: its name, element type (``TensorProto.FLOAT`` ...) and shape.

    A dimension is a number, a symbol (``"batch"``) or None where unknown; ``shape`` is None if even the rank
    is unknown.
    """

    name: str
    dtype: int
    shape: Shape | None

    @property
    def rank(self) -> int:
        """Number of dimensions.

        Raises:
            ShapeError: the rank is unknown.
        """
        if self.shape is None:
            raise ShapeError(f"the rank of {self.name!r} is unknown")
        return len(self.shape)

    def dim(self, axis: int) -> Dim:
        """One dimension; negative axes count from the end.

        Raises:
            ShapeError: the rank is unknown, or there is no such axis.
        """
        if not -self.rank <= axis < self.rank:
            raise ShapeError(f"{self.name!r} {shape_text(self.shape)} has no axis {axis}")
        return list(self.shape or ())[axis]

    def type_proto(self) -> TypeProto:
        """The ONNX type of this value."""
        return helper.make_tensor_type_proto(self.dtype, self.shape)

    @classmethod
    def of(cls, name: str, type_proto: TypeProto) -> Value:
        """A value from its ONNX type; ``TensorProto.UNDEFINED`` for what is not a tensor."""
        tensor = type_proto.tensor_type
        if not tensor.HasField("shape"):
            return cls(name, tensor.elem_type, None)
        return cls(name, tensor.elem_type, tuple(_dim(d) for d in tensor.shape.dim))


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    if dim.HasField("dim_value"):
        return dim.dim_value
    if dim.dim_param.startswith("unk__"):  # shape inference's own names for what it does not know
        return None
    return dim.dim_param or None


def shape_text(shape: Shape | None) -> str:
    """A shape as messages show it: ``(batch, 3, 8)``."""
    if shape is None:
        return "(unknown rank)"
    dims = ", ".join("?" if d is None else str(d) for d in shape)
    return f"({dims},)" if len(shape) == 1 else f"({dims})"


def dtype_name(dtype: int) -> str:
    """An element type as numpy names it: ``float32``."""
    try:
        return str(helper.tensor_dtype_to_np_dtype(dtype)) if dtype else "unknown type"
    except KeyError:
        return f"unknown type {dtype}"
