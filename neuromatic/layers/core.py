"""Dense, the fully connected layer."""

from __future__ import annotations

from dataclasses import dataclass

from neuromatic import initializers
from neuromatic.errors import ShapeError
from neuromatic.graph import GraphBuilder, Value, shape_text
from neuromatic.initializers import Initializer
from neuromatic.layers.activation import ActivationLike, activate
from neuromatic.layers.base import Layer


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """Fully connected layer, ``y = activation(x @ kernel + bias)`` (Keras ``Dense``; ONNX ``Gemm``).

    Input: (batch, ..., features) of a float type.  Output: (batch, ..., units).
    Parameters: ``<name>/kernel`` (features, units) and ``<name>/bias`` (units,).
    Inputs of rank above 2 are multiplied along their last axis, by ONNX ``MatMul``.

    Args:
        units: number of outputs, at least 1.
        activation: name of an activation, or None for none.
        use_bias: whether to add a bias.
        kernel_initializer: first values of the kernel.
        bias_initializer: first values of the bias.

    Raises:
        ShapeError: the input has no features axis, or its size is unknown.

    >>> import neuromatic as nm
    >>> nm.layers.Dense(20, activation="sigmoid")(nm.Input((3,))).shape
    ('batch', 20)
    """

    units: int
    activation: ActivationLike = None
    use_bias: bool = True
    kernel_initializer: str | Initializer = "glorot_uniform"
    bias_initializer: str | Initializer = "zeros"

    def __post_init__(self) -> None:
        if not isinstance(self.units, int) or self.units < 1:
            raise ValueError(f"Dense: units must be a positive integer, got {self.units!r}")

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        match x.shape:
            case (_, *_, int(features)):
                pass
            case _:
                raise ShapeError(
                    f"{g.scope}: Dense takes (batch, ..., features) with known features, "
                    f"got {shape_text(x.shape)} from {x.name!r}; put a flatten() before it"
                )
        kernel_init = initializers.get(self.kernel_initializer).for_fans(features, self.units)
        kernel = g.param("kernel", kernel_init, (features, self.units), x.dtype)
        bias = None
        if self.use_bias:
            bias_init = initializers.get(self.bias_initializer).for_fans(self.units, self.units)
            bias = g.param("bias", bias_init, (self.units,), x.dtype)
        if x.rank == 2:
            y = g.add("Gemm", x, kernel, bias) if bias else g.add("Gemm", x, kernel)
        else:
            y = g.add("MatMul", x, kernel)
            y = g.add("Add", y, bias) if bias else y
        return activate(g, y, self.activation)
