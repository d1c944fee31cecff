"""What all convolutions share: checks, windows from arguments, depthwise kernels, bias and activation."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Protocol

from neuromatic.constraints import ConstraintLike
from neuromatic.initializers import InitializerLike
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers._parameters import parameter, penalize_activity
from neuromatic.layers._windows import Padding, Sizes, Window, pads, sizes
from neuromatic.layers.activations.activation import ActivationLike, activate
from neuromatic.regularizers import RegularizerLike


class Finishing(Protocol):
    """The arguments of a convolution that act after its kernel."""

    @property
    def activation(self) -> ActivationLike: ...
    @property
    def use_bias(self) -> bool: ...
    @property
    def bias_initializer(self) -> InitializerLike: ...
    @property
    def bias_regularizer(self) -> RegularizerLike: ...
    @property
    def bias_constraint(self) -> ConstraintLike: ...
    @property
    def activity_regularizer(self) -> RegularizerLike: ...


def check_counts(owner: str, **counts: object) -> None:
    """Refuse arguments that are not positive integers."""
    for argument, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{owner}: {argument} must be a positive integer, got {value!r}")


def check_steps(owner: str, window: Window) -> None:
    """Refuse strides and dilations together, as Keras does."""
    if max(window.strides) > 1 and max(window.dilations) > 1:
        raise ValueError(
            f"{owner}: strides above 1 and dilation_rate above 1 exclude each other, "
            f"got strides={window.strides} and dilation_rate={window.dilations}"
        )


def window(
    owner: str,
    rank: int,
    kernel_size: Sizes,
    strides: Sizes,
    dilation_rate: Sizes,
    padding: Padding,
    *,
    paddings: Sequence[str] = ("valid", "same"),
) -> Window:
    """The window that a layer's arguments describe; ``paddings`` are the names that it may give one.

    Raises:
        ValueError: an argument is wrong.
    """
    return Window(
        sizes(owner, "kernel_size", kernel_size, rank),
        sizes(owner, "strides", strides, rank),
        sizes(owner, "dilation_rate", dilation_rate, rank),
        pads(owner, padding, rank, names=paddings),
    )


def depthwise_kernel(
    g: GraphBuilder,
    name: str,
    x: Value,
    channels: int,
    multiplier: int,
    window: Window,
    *,
    initializer: InitializerLike,
    regularizer: RegularizerLike,
    constraint: ConstraintLike,
) -> Value:
    """A kernel for ONNX' ``Conv`` with a group for each channel; its fans are those of Keras' layout."""
    area = prod(window.kernel)
    return parameter(
        g,
        name,
        (channels * multiplier, 1, *window.kernel),
        initializer=initializer,
        fans=(channels * area, multiplier * area),
        regularizer=regularizer,
        constraint=constraint,
        dtype=x.dtype,
    )


def convolved(
    g: GraphBuilder, layer: Finishing, op: str, x: Value, kernel: Value, outputs: int, **attributes: Any
) -> Value:
    """The operator on ``x`` and the kernel, with the layer's bias, activation and penalty for the output."""
    inputs = [x, kernel]
    if layer.use_bias:
        bias = parameter(
            g,
            "bias",
            (outputs,),
            initializer=layer.bias_initializer,
            regularizer=layer.bias_regularizer,
            constraint=layer.bias_constraint,
            dtype=x.dtype,
        )
        inputs.append(bias)
    y = activate(g, g.add(op, *inputs, **attributes), layer.activation)
    return penalize_activity(g, y, layer.activity_regularizer)
