"""The parameters of recurrent layers: ONNX' layout, but initial values and terms as for Keras' matrices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromatic import constraints, initializers, regularizers
from neuromatic.constraints import ConstraintLike
from neuromatic.initializers import Initializer, InitializerLike
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.terms import Term
from neuromatic.ir.values import Value
from neuromatic.layers._parameters import parameter
from neuromatic.regularizers import RegularizerLike

Array = NDArray[Any]
Turn = Callable[[GraphBuilder, Value], Value]


@dataclass(frozen=True)
class ParameterSpec:
    """What a layer asks of one parameter.

    Attributes:
        initializer: its initial values.
        regularizer: a penalty for it in the loss.
        constraint: what holds for it after each update.
    """

    initializer: InitializerLike
    regularizer: RegularizerLike
    constraint: ConstraintLike


@dataclass(frozen=True)
class TransposedInitializer(Initializer):
    """Initial values drawn for Keras' shape, then transposed into ONNX' layout."""

    inner: Initializer
    shape: tuple[int, ...]
    transpose: Callable[[Array], Array]

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...], fans: tuple[float, float]) -> Array:
        return self.transpose(np.asarray(self.inner(rng, self.shape, fans))).reshape(shape)


@dataclass(frozen=True)
class ForgetOnes(Initializer):
    """The values of another initializer, but ones for the forget gate, the second quarter."""

    inner: Initializer

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...], fans: tuple[float, float]) -> Array:
        units = shape[0] // 4
        first = self.inner(rng, (units,), (units, units))
        others = self.inner(rng, (2 * units,), (2 * units, 2 * units))
        return np.concatenate([first, np.ones(units), others])


@dataclass(frozen=True)
class Gates:
    """The gates of a recurrent operator.

    Regularizers and constraints see a parameter in Keras' shape, with the gates in ONNX' order, which makes
    no difference to those of Keras.

    Attributes:
        order: for each gate in ONNX' order, its place in Keras' order.
        units: the size of each.
    """

    order: tuple[int, ...]
    units: int

    @property
    def width(self) -> int:
        """Units of all gates."""
        return len(self.order) * self.units

    def matrix(self, g: GraphBuilder, name: str, inputs: int, spec: ParameterSpec, dtype: int) -> Value:
        """W or R, (1, gates * units, inputs); for Keras it is (inputs, gates * units)."""

        def seen(b: GraphBuilder, w: Value) -> Value:
            return b.add("Transpose", op.squeeze(b, w, 0), perm=[1, 0])

        def stored(b: GraphBuilder, w: Value) -> Value:
            return op.unsqueeze(b, b.add("Transpose", w, perm=[1, 0]), 0)

        return parameter(
            g,
            name,
            (1, self.width, inputs),
            initializer=TransposedInitializer(
                initializers.get(spec.initializer),
                (inputs, self.width),
                lambda array: self._in_onnx_order(array).T,
            ),
            fans=(inputs, self.width),
            regularizer=_seen_as(regularizers.get(spec.regularizer), seen, None),
            constraint=_seen_as(constraints.get(spec.constraint), seen, stored),
            dtype=dtype,
        )

    def biases(self, g: GraphBuilder, rows: int, spec: ParameterSpec, dtype: int) -> Value:
        """B, (1, rows * gates * units): that for X, and that for H if there are two rows, as for Keras."""
        shape = (self.width,) if rows == 1 else (2, self.width)

        def seen(b: GraphBuilder, w: Value) -> Value:
            return b.add("Reshape", w, b.ints(*shape))

        def stored(b: GraphBuilder, w: Value) -> Value:
            return b.add("Reshape", w, b.ints(1, rows * self.width))

        return parameter(
            g,
            "bias",
            (1, rows * self.width),
            initializer=TransposedInitializer(initializers.get(spec.initializer), shape, self._in_onnx_order),
            fans=(shape[0], shape[-1]),
            regularizer=_seen_as(regularizers.get(spec.regularizer), seen, None),
            constraint=_seen_as(constraints.get(spec.constraint), seen, stored),
            dtype=dtype,
        )

    def _in_onnx_order(self, array: Array) -> Array:
        parts = np.split(array, len(self.order), axis=-1)
        return np.concatenate([parts[i] for i in self.order], axis=-1)


def _seen_as(term: Term | None, seen: Turn, stored: Turn | None) -> Term | None:
    """The term on a parameter as ``seen`` shows it; what it gives goes back through ``stored``."""
    if term is None:
        return None
    inner = term

    def turned(b: GraphBuilder, w: Value) -> Value:
        result = inner(b, seen(b, w))
        return result if stored is None else stored(b, result)

    turned.__name__ = getattr(term, "__name__", type(term).__name__)
    return turned
