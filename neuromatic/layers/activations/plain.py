"""Layers for the activations without arguments for which Keras has functions only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neuromatic.activations import ACTIVATIONS
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers.base import Layer

__all__ = [
    "Exponential",
    "HardSigmoid",
    "HardSwish",
    "HardTanh",
    "LogSigmoid",
    "Mish",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Tanh",
    "TanhShrink",
]


@dataclass(frozen=True, eq=False)
class _Function(Layer):
    """A layer that is one activation function without arguments."""

    keeps_mask = True
    activation: ClassVar[str]

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        return ACTIVATIONS[self.activation](g, x)


@dataclass(frozen=True, eq=False)
class Exponential(_Function):
    """``exp(x)`` (Keras' function ``exponential``; ONNX ``Exp``).

    Input: any shape of a float type.  Output: the same.

    >>> import neuromatic as nm
    >>> nm.layers.Exponential()(nm.Input((3,))).shape
    ('batch', 3)
    """

    activation = "exponential"


@dataclass(frozen=True, eq=False)
class HardSigmoid(_Function):
    """``min(max(x / 6 + 0.5, 0), 1)`` (Keras' function ``hard_sigmoid``; ONNX ``HardSigmoid``).

    Input: any shape of a float type.  Output: the same.

    >>> import neuromatic as nm
    >>> nm.layers.HardSigmoid()(nm.Input((3,))).shape
    ('batch', 3)
    """

    activation = "hard_sigmoid"


@dataclass(frozen=True, eq=False)
class HardSwish(_Function):
    """``x * min(max(x / 6 + 0.5, 0), 1)`` (Keras' function ``hard_swish``; ONNX ``HardSwish``).

    Input: any shape of a float type.  Output: the same.

    >>> import neuromatic as nm
    >>> nm.layers.HardSwish()(nm.Input((3,))).shape
    ('batch', 3)
    """

    activation = "hard_swish"


@dataclass(frozen=True, eq=False)
class HardTanh(_Function):
    """``min(max(x, -1), 1)`` (Keras' function ``hard_tanh``; ONNX ``Clip``).

    Input: any shape of a float type.  Output: the same.

    >>> import neuromatic as nm
    >>> nm.layers.HardTanh()(nm.Input((3,))).shape
    ('batch', 3)
    """

    activation = "hard_tanh"


@dataclass(frozen=True, eq=False)
class LogSigmoid(_Function):
    """``log(sigmoid(x))`` (Keras' function ``log_sigmoid``; ONNX ``Softplus``).

    Input: any shape of a float type.  Output: the same.

    >>> import neuromatic as nm
    >>> nm.layers.LogSigmoid()(nm.Input((3,))).shape
    ('batch', 3)
    """

    activation = "log_sigmoid"


@dataclass(frozen=True, eq=False)
class Mish(_Function):
    """``x * tanh(softplus(x))`` (Keras' function ``mish``; ONNX ``Softplus``, ``Tanh``, ``Mul``).

    Input: any shape of a float type.  Output: the same.

    >>> import neuromatic as nm
    >>> nm.layers.Mish()(nm.Input((3,))).shape
    ('batch', 3)
    """

    activation = "mish"


@dataclass(frozen=True, eq=False)
class ReLU6(_Function):
    """``min(max(x, 0), 6)`` (Keras' function ``relu6``; ONNX ``Clip``).

    Input: any shape of a float type.  Output: the same.

    >>> import neuromatic as nm
    >>> nm.layers.ReLU6()(nm.Input((3,))).shape
    ('batch', 3)
    """

    activation = "relu6"


@dataclass(frozen=True, eq=False)
class SELU(_Function):
    """``1.0507 * x`` where x is positive, ``1.7581 * (exp(x) - 1)`` elsewhere.

    Keras' function ``selu``; ONNX ``Selu``.

    Input: any shape of a float type.  Output: the same.

    >>> import neuromatic as nm
    >>> nm.layers.SELU()(nm.Input((3,))).shape
    ('batch', 3)
    """

    activation = "selu"


@dataclass(frozen=True, eq=False)
class SiLU(_Function):
    """``x * sigmoid(x)``, also called Swish (Keras' function ``silu``; ONNX ``Sigmoid``, ``Mul``).

    Input: any shape of a float type.  Output: the same.

    >>> import neuromatic as nm
    >>> nm.layers.SiLU()(nm.Input((3,))).shape
    ('batch', 3)
    """

    activation = "silu"


@dataclass(frozen=True, eq=False)
class Sigmoid(_Function):
    """``1 / (1 + exp(-x))`` (Keras' function ``sigmoid``; ONNX ``Sigmoid``).

    Input: any shape of a float type.  Output: the same.

    >>> import neuromatic as nm
    >>> nm.layers.Sigmoid()(nm.Input((3,))).shape
    ('batch', 3)
    """

    activation = "sigmoid"


@dataclass(frozen=True, eq=False)
class Softplus(_Function):
    """``log(1 + exp(x))`` (Keras' function ``softplus``; ONNX ``Softplus``).

    Input: any shape of a float type.  Output: the same.

    >>> import neuromatic as nm
    >>> nm.layers.Softplus()(nm.Input((3,))).shape
    ('batch', 3)
    """

    activation = "softplus"


@dataclass(frozen=True, eq=False)
class Softsign(_Function):
    """``x / (1 + |x|)`` (Keras' function ``softsign``; ONNX ``Softsign``).

    Input: any shape of a float type.  Output: the same.

    >>> import neuromatic as nm
    >>> nm.layers.Softsign()(nm.Input((3,))).shape
    ('batch', 3)
    """

    activation = "softsign"


@dataclass(frozen=True, eq=False)
class Tanh(_Function):
    """``tanh(x)`` (Keras' function ``tanh``; ONNX ``Tanh``).

    Input: any shape of a float type.  Output: the same.

    >>> import neuromatic as nm
    >>> nm.layers.Tanh()(nm.Input((3,))).shape
    ('batch', 3)
    """

    activation = "tanh"


@dataclass(frozen=True, eq=False)
class TanhShrink(_Function):
    """``x - tanh(x)`` (Keras' function ``tanh_shrink``; ONNX ``Tanh``, ``Sub``).

    Input: any shape of a float type.  Output: the same.

    >>> import neuromatic as nm
    >>> nm.layers.TanhShrink()(nm.Input((3,))).shape
    ('batch', 3)
    """

    activation = "tanh_shrink"
