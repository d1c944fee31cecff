"""Matrix products: Gemm, MatMul, Einsum."""

from __future__ import annotations

import functools

import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, rank, shape
from neuromatic.converters.tensorflow.registry import ops


@ops.lowers("Gemm", since=(7, 9, 11, 13))
def gemm(
    scope: Scope,
    A: Tensor,
    B: Tensor,
    C: Tensor = None,
    *,
    alpha: float,
    beta: float,
    transA: int,
    transB: int,
) -> Tensor:
    """Y = alpha * A' @ B' + beta * C;  A' (M, K), B' (K, N), C broadcasts to (M, N).

    https://onnx.ai/onnx/operators/onnx__Gemm.html.  11: C became optional.  13: bfloat16.
    """
    y = tf.matmul(A, B, transpose_a=bool(transA), transpose_b=bool(transB))
    y = _scaled(y, alpha)
    if C is None or beta == 0:
        return y
    if list(C.shape) in ([y.shape[1]], [1, y.shape[1]]) and dtype(y).is_floating:
        # Said so, since TensorFlow fuses A' @ B + (1, N) into a kernel that then refuses that shape.
        return tf.nn.bias_add(y, tf.reshape(_scaled(C, beta), [-1]))
    return y + _scaled(C, beta)


def _scaled(x: Tensor, factor: float) -> Tensor:
    """``factor * x`` in the type of ``x``, where integers are scaled as floats and truncated."""
    if factor == 1:
        return x
    kind = dtype(x)
    return factor * x if kind.is_floating else tf.cast(factor * tf.cast(x, tf.float64), kind)


@ops.lowers("MatMul", since=(1, 9, 13))
def matmul(scope: Scope, A: Tensor, B: Tensor) -> Tensor:
    """Y = A @ B as numpy.matmul: (..., M, K) @ (..., K, N), leading dimensions broadcast.

    https://onnx.ai/onnx/operators/onnx__MatMul.html.  9: integers.  13: bfloat16.
    """
    if rank(A) == 1:
        return tf.squeeze(matmul(scope, tf.expand_dims(A, 0), B), -2 if rank(B) > 1 else 0)
    if rank(B) == 1:
        return tf.squeeze(matmul(scope, A, tf.expand_dims(B, 1)), -1)
    if rank(A) > 2 and rank(B) == 2:  # one large product: its gradient needs no sum over the batch
        *batch, inner = shape(A)
        return tf.reshape(tf.matmul(tf.reshape(A, [-1, inner]), B), [*batch, shape(B)[1]])
    return tf.matmul(A, B)


@ops.lowers("Einsum", since=(12, 28))
def einsum(scope: Scope, *Inputs: Tensor, equation: str) -> Tensor:
    """The sum of products over the letters of the equation that its result lacks, as numpy.einsum.

    https://onnx.ai/onnx/operators/onnx__Einsum.html.  28: bfloat16.
    """
    equation, kind = equation.replace(" ", ""), dtype(Inputs[0])
    if set(equation) <= {",", "-", ">"}:  # scalars alone, which tf.einsum does not take
        return functools.reduce(tf.multiply, Inputs)
    if kind.is_floating or kind in (tf.int32, tf.int64):
        return tf.einsum(equation, *Inputs)
    return tf.cast(tf.einsum(equation, *(tf.cast(x, tf.int64) for x in Inputs)), kind)
