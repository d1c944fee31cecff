"""A wrapper that divides the kernel of a layer by its largest singular value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.initializers import TruncatedNormal
from neuromatic.ir import functions
from neuromatic.ir.graph import Array, GraphBuilder
from neuromatic.ir.terms import Term
from neuromatic.ir.values import Value
from neuromatic.layers._parameters import parameter
from neuromatic.layers.base import Layer
from neuromatic.layers.normalization._statistics import of_unit_length

__all__ = ["SpectralNormalization"]

KERNELS = ("kernel", "embeddings")
SHORTEST = 1e-7
"""Keras' lower bound for the lengths of the vectors of a power iteration."""


@dataclass(frozen=True, eq=False)
class SpectralNormalization(Layer):
    """The wrapped layer with ``kernel / sigma`` in place of its kernel (Miyato et al. 2018).

    Keras ``SpectralNormalization``; ONNX ``MatMul`` and ``Div``. ``sigma`` is the largest singular value of
    the kernel as a matrix with its outputs as columns, by power iterations that begin with the vector ``u``.
    A training step keeps the new ``u``. Keras overwrites the kernel itself in each training step and takes it
    as it is in inference; here the kernel stays and is divided each time, and gradients go through ``sigma``.

    Input and Output: those of the layer.
    Parameters: those of the layer, under ``<name>/<its name, or "layer">``, and ``<name>/vector_u``
    (1, outputs).

    Args:
        layer: a layer with a parameter ``kernel`` or ``embeddings``, such as Dense or Conv2D.
        power_iterations: how often ``u`` is improved each time, at least 1.

    Raises:
        ShapeError: the layer has no such parameter.

    >>> import neuromatic as nm
    >>> nm.layers.SpectralNormalization(nm.layers.Dense(4))(nm.Input((3,))).shape
    ('batch', 4)
    """

    layer: Layer
    power_iterations: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Layer):
            raise TypeError(f"SpectralNormalization: layer must be a layer, got {self.layer!r}")
        if not isinstance(self.power_iterations, int) or self.power_iterations < 1:
            raise ValueError(
                f"SpectralNormalization: power_iterations must be a positive integer, "
                f"got {self.power_iterations!r}"
            )

    def emit(self, g: GraphBuilder, *inputs: Value, **options: Any) -> Value | tuple[Value, ...]:
        scope = g.scope
        inner = _Normalizing(g, lambda kernel: self._normalized(g, scope, kernel))
        with g.layer(self.layer.name or "layer", inside=True):
            result = self.layer.emit(inner, *inputs, **options)
        if not inner.kernels:
            raise ShapeError(
                f"{g.scope}: SpectralNormalization needs a layer with a kernel or embeddings, "
                f"{type(self.layer).__name__} has none; wrap another layer"
            )
        return result

    def _normalized(self, g: GraphBuilder, scope: str, kernel: Value) -> Value:
        outputs = _outputs(kernel)
        with g.layer(scope):
            u = parameter(
                g, "vector_u", (1, outputs), initializer=TruncatedNormal(stddev=0.02), dtype=kernel.dtype
            )
            return functions.call(
                g,
                "SpectralNormalization",
                kernel,
                u,
                inference=lambda b, kernel, u: self._body(b, kernel, u)[0],
                training=self._body,
            )

    def _body(self, b: GraphBuilder, kernel: Value, u: Value) -> tuple[Value, dict[str, Value]]:
        """The normalized kernel, and what takes the place of ``u``."""
        # (outputs, ...) for convolutions, (..., outputs) for matrices.
        matrix = kernel if kernel.rank == 2 else b.add("Flatten", kernel, axis=1)
        turned = b.add("Transpose", matrix, perm=[1, 0])
        down, up = (turned, matrix) if kernel.rank == 2 else (matrix, turned)

        def there_and_back(u: Value) -> Value:
            return b.add("MatMul", of_unit_length(b, b.add("MatMul", u, down), (1,), SHORTEST), up)

        image = there_and_back(u)
        for _ in range(self.power_iterations - 1):
            image = there_and_back(of_unit_length(b, image, (1,), SHORTEST))
        u = of_unit_length(b, image, (1,), SHORTEST)
        sigma = b.add("MatMul", image, b.add("Transpose", u, perm=[1, 0]))
        divisor = b.add("Max", sigma, b.const(SHORTEST, kernel.dtype))  # a kernel of zeros stays one
        return b.add("Div", kernel, b.add("Reshape", divisor, b.ints(1))), {"u": u}


def _outputs(kernel: Value) -> int:
    """The number of outputs of a kernel: the last axis of a matrix, the first of a convolution's."""
    size = kernel.dim(-1 if kernel.rank == 2 else 0)
    assert isinstance(size, int)
    return size


class _Normalizing(GraphBuilder):
    """The same graph for the inner layer, which gets another value where it asks for its kernel.

    Attributes:
        kernels: the normalized kernel by the name of the parameter.
    """

    __slots__ = ("_normalize", "kernels")  # the rest, in __dict__, is the outer builder's

    def __init__(self, g: GraphBuilder, normalize: Callable[[Value], Value]) -> None:
        self.__dict__ = g.__dict__
        self._normalize = normalize
        self.kernels: dict[str, Value] = {}

    def param(
        self,
        name: str,
        initialize: Callable[[np.random.Generator, tuple[int, ...]], Array],
        shape: Sequence[int],
        dtype: int = TensorProto.FLOAT,
    ) -> Value:
        value = super().param(name, initialize, shape, dtype)
        if name not in KERNELS:
            return value
        if value.name not in self.kernels:
            self.kernels[value.name] = self._normalize(value)
        return self.kernels[value.name]

    def constrain(self, parameter: Value, term: Term) -> None:
        names = {kernel.name: name for name, kernel in self.kernels.items()}
        super().constrain(self.value(names.get(parameter.name, parameter.name)), term)
