"""Masking: which steps of a sequence count."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers.base import Layer

__all__ = ["Masking"]


@dataclass(frozen=True, eq=False)
class Masking(Layer):
    """Skips the steps of which every feature equals ``mask_value`` (Keras ``Masking``).

    By ONNX ``Equal``, ``ReduceMax`` and ``Where`` such steps become zeros, and later layers that know masks
    do not count them.

    Input: (batch, steps, features) of a float type.  Output: the same.

    Args:
        mask_value: the number.

    Raises:
        TypeError: ``mask_value`` is not a number.
        ShapeError: the input is not of rank 3.

    >>> import neuromatic as nm
    >>> nm.layers.Masking()(nm.Input((5, 3))).masked
    True
    """

    mask_value: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.mask_value, (int, float)):
            raise TypeError(f"Masking: mask_value must be a number, got {self.mask_value!r}")

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        if x.shape is None or len(x.shape) != 3:
            raise ShapeError(
                f"{g.scope}: Masking takes (batch, steps, features), got {shape_text(x.shape)} "
                f"from {x.name!r}; put a reshape() before it"
            )
        other = g.add("Not", op.equal(g, x, g.const(self.mask_value, x.dtype)))
        counts = op.reduce(g, "ReduceMax", op.cast(g, other, x.dtype), (2,), keepdims=True)
        counts = g.add("Cast", counts, to=TensorProto.BOOL)
        y = g.add("Where", counts, x, g.const(0.0, x.dtype))
        g.set_mask(y, op.squeeze(g, counts, 2))
        return y
