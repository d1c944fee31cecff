"""Layers that act in training only."""

from __future__ import annotations

from dataclasses import dataclass

from neuromatic.graph import GraphBuilder
from neuromatic.layers.base import Layer
from neuromatic.values import Value

__all__ = ["Dropout"]


@dataclass(frozen=True, eq=False)
class Dropout(Layer):
    """Sets a share of its inputs to 0 in training and divides the others by ``1 - rate``.

    Keras ``Dropout``; ONNX ``Dropout`` in its inference form, which passes its input on. A training step
    gives the node its training meaning.

    Input: any shape of a float type.  Output: the same.

    Args:
        rate: the share, from 0 up to but not including 1 (Keras also takes 1).

    >>> import neuromatic as nm
    >>> nm.layers.Dropout(0.5)(nm.Input((3,))).shape
    ('batch', 3)
    """

    rate: float

    def __post_init__(self) -> None:
        if not isinstance(self.rate, (int, float)) or not 0 <= self.rate < 1:
            raise ValueError(f"Dropout: rate must be a number from 0 to below 1, got {self.rate!r}")

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return g.add("Dropout", x, g.const(self.rate))
