"""Activation functions."""

from __future__ import annotations

import math

import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._elementwise import lower_unary
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, normalized, rank, shape
from neuromatic.converters.tensorflow.registry import ops

lower_unary("Relu", (6, 13, 14), "X", tf.nn.relu)
lower_unary("Sigmoid", (6, 13), "X", tf.sigmoid)
lower_unary("Tanh", (6, 13), "input", tf.tanh)
lower_unary("Erf", (9, 13), "input", tf.math.erf)
lower_unary("Softplus", (1, 22), "X", tf.nn.softplus)
lower_unary("Softsign", (1, 22), "input", tf.nn.softsign)
lower_unary("HardSwish", (14, 22), "X", lambda x: x * tf.nn.relu6(x + 3) / 6)
lower_unary("Mish", (18, 22), "X", lambda x: x * tf.tanh(tf.nn.softplus(x)))


@ops.lowers("Softmax", since=(13,), layout="axis")
def softmax(scope: Scope, input: Tensor, *, axis: int) -> Tensor:
    """exp(x) / sum(exp(x), axis), along one axis.

    https://onnx.ai/onnx/operators/onnx__Softmax.html.  13: one axis, the last by default.
    """
    return tf.nn.softmax(input, axis)


@ops.lowers("Softmax", since=(1, 11))
def softmax_of_matrix(scope: Scope, input: Tensor, *, axis: int) -> Tensor:
    """Softmax over all dimensions from ``axis`` on.  https://onnx.ai/onnx/operators/onnx__Softmax.html"""
    return tf.reshape(tf.nn.softmax(_as_matrix(input, axis)), shape(input))


@ops.lowers("LogSoftmax", since=(13,), layout="axis")
def log_softmax(scope: Scope, input: Tensor, *, axis: int) -> Tensor:
    """log(Softmax(x)), along one axis.

    https://onnx.ai/onnx/operators/onnx__LogSoftmax.html.  13: one axis, the last by default.
    """
    return tf.nn.log_softmax(input, axis)


@ops.lowers("LogSoftmax", since=(1, 11))
def log_softmax_of_matrix(scope: Scope, input: Tensor, *, axis: int) -> Tensor:
    """log(Softmax(x)) over all dimensions from ``axis`` on.

    https://onnx.ai/onnx/operators/onnx__LogSoftmax.html
    """
    return tf.reshape(tf.nn.log_softmax(_as_matrix(input, axis)), shape(input))


@ops.lowers("Hardmax", since=(13,))
def hardmax(scope: Scope, input: Tensor, *, axis: int) -> Tensor:
    """1 at the first maximum along one axis, 0 elsewhere.

    https://onnx.ai/onnx/operators/onnx__Hardmax.html.  13: one axis, the last by default.
    """
    axis = normalized(axis, rank(input))
    return tf.one_hot(tf.argmax(input, axis), shape(input)[axis], axis=axis, dtype=dtype(input))


@ops.lowers("Hardmax", since=(1, 11))
def hardmax_of_matrix(scope: Scope, input: Tensor, *, axis: int) -> Tensor:
    """1 at the first maximum over all dimensions from ``axis`` on, 0 elsewhere.

    https://onnx.ai/onnx/operators/onnx__Hardmax.html
    """
    return tf.reshape(hardmax(scope, _as_matrix(input, axis), axis=1), shape(input))


def _as_matrix(x: Tensor, axis: int) -> Tensor:
    columns = math.prod(shape(x)[normalized(axis, rank(x)) :])
    return tf.reshape(x, [-1, columns])


@ops.lowers("Elu", since=(6, 22), layout="any")
def elu(scope: Scope, X: Tensor, *, alpha: float) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1).  https://onnx.ai/onnx/operators/onnx__Elu.html"""
    return tf.nn.elu(X) if alpha == 1 else tf.where(X > 0, X, alpha * tf.nn.elu(X))


@ops.lowers("Selu", since=(6, 22), layout="any")
def selu(scope: Scope, X: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """gamma * Elu(x, alpha).  https://onnx.ai/onnx/operators/onnx__Selu.html"""
    return gamma * elu(scope, X, alpha=alpha)


@ops.lowers("Celu", since=(12, 28), layout="any")
def celu(scope: Scope, X: Tensor, *, alpha: float) -> Tensor:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1)).

    https://onnx.ai/onnx/operators/onnx__Celu.html.  28: all float types.
    """
    return alpha * tf.nn.elu(X / alpha)


@ops.lowers("LeakyRelu", since=(6, 16), layout="any")
def leaky_relu(scope: Scope, X: Tensor, *, alpha: float) -> Tensor:
    """x where x >= 0, else alpha * x.  https://onnx.ai/onnx/operators/onnx__LeakyRelu.html"""
    return tf.nn.leaky_relu(X, alpha)


@ops.lowers("PRelu", since=(7, 9, 16), layout="any")
def prelu(scope: Scope, X: Tensor, slope: Tensor) -> Tensor:
    """x where x >= 0, else slope * x; slope broadcasts to x.

    https://onnx.ai/onnx/operators/onnx__PRelu.html.  9: integers.
    """
    return tf.where(X < 0, slope * X, X)


@ops.lowers("HardSigmoid", since=(6, 22), layout="any")
def hard_sigmoid(scope: Scope, X: Tensor, *, alpha: float, beta: float) -> Tensor:
    """max(0, min(1, alpha * x + beta)).  https://onnx.ai/onnx/operators/onnx__HardSigmoid.html"""
    return tf.clip_by_value(alpha * X + beta, 0, 1)


@ops.lowers("Gelu", since=(20,), layout="any")
def gelu(scope: Scope, X: Tensor, *, approximate: str) -> Tensor:
    """x * Phi(x), Phi by erf or its tanh approximation.  https://onnx.ai/onnx/operators/onnx__Gelu.html"""
    return tf.nn.gelu(X, approximate=approximate == "tanh")


@ops.lowers("Swish", since=(24,), layout="any")
def swish(scope: Scope, X: Tensor, *, alpha: float) -> Tensor:
    """x * sigmoid(alpha * x).  https://onnx.ai/onnx/operators/onnx__Swish.html"""
    return X * tf.sigmoid(alpha * X)


@ops.lowers("ThresholdedRelu", since=(10, 22), layout="any")
def thresholded_relu(scope: Scope, X: Tensor, *, alpha: float) -> Tensor:
    """x where x > alpha, else 0.  https://onnx.ai/onnx/operators/onnx__ThresholdedRelu.html"""
    return tf.where(alpha < X, X, tf.zeros_like(X))
