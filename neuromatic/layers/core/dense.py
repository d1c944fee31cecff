"""Dense, the fully connected layer."""

from __future__ import annotations

from dataclasses import dataclass

from neuromatic.constraints import ConstraintLike
from neuromatic.errors import ShapeError
from neuromatic.initializers import InitializerLike
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers._arguments import check_positive
from neuromatic.layers._parameters import parameter, penalize_activity
from neuromatic.layers.activations.activation import ActivationLike, activate
from neuromatic.layers.base import Layer
from neuromatic.regularizers import RegularizerLike

__all__ = ["Dense"]


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
        kernel_regularizer: a penalty for the kernel in the loss.
        bias_regularizer: likewise for the bias.
        activity_regularizer: likewise for the output, divided by the batch size.
        kernel_constraint: what holds for the kernel after each update.
        bias_constraint: likewise for the bias.

    Keras' LoRA and quantization are left out.

    Raises:
        ValueError: ``units`` is not a positive integer.
        ShapeError: the input has no features axis, or its size is unknown.

    >>> import neuromatic as nm
    >>> nm.layers.Dense(20, activation="sigmoid")(nm.Input((3,))).shape
    ('batch', 20)
    """

    keeps_mask = True

    units: int
    activation: ActivationLike = None
    use_bias: bool = True
    kernel_initializer: InitializerLike = "glorot_uniform"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    activity_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None

    def __post_init__(self) -> None:
        check_positive("Dense", "units", self.units)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        match x.shape:
            case (_, *_, int(features)):
                pass
            case _:
                raise ShapeError(
                    f"{g.scope}: Dense takes (batch, ..., features) with known features, "
                    f"got {shape_text(x.shape)} from {x.name!r}; put a flatten() before it"
                )
        kernel = parameter(
            g,
            "kernel",
            (features, self.units),
            initializer=self.kernel_initializer,
            fans=(features, self.units),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            dtype=x.dtype,
        )
        bias = None
        if self.use_bias:
            bias = parameter(
                g,
                "bias",
                (self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                dtype=x.dtype,
            )
        if x.rank == 2:
            y = g.add("Gemm", x, kernel, bias) if bias else g.add("Gemm", x, kernel)
        else:
            y = g.add("MatMul", x, kernel)
            y = g.add("Add", y, bias) if bias else y
        return penalize_activity(g, activate(g, y, self.activation), self.activity_regularizer)
