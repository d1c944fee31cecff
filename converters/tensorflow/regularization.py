"""Dropout."""

from __future__ import annotations

import zlib

import numpy as np
import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, shape, unsupported
from neuromatic.converters.tensorflow.noise import seeded
from neuromatic.converters.tensorflow.registry import ops


@ops.lowers("Dropout", since=(12, 13, 22), layout="any", pure=False)
def dropout(
    scope: Scope, data: Tensor, ratio: Tensor = None, training_mode: Tensor = None, *, seed: int | None
) -> Tensor:
    """In training, each element 0 with probability ratio, else data / (1 - ratio); else data.

    https://onnx.ai/onnx/operators/onnx__Dropout.html.  12: ratio and training_mode as inputs.
    """
    active = scope.context.training or _is_true(scope, training_mode)
    return _dropout(scope, data, 0.5 if ratio is None else ratio, active, seed)


@ops.lowers("Dropout", since=(10,), layout="any", pure=False)
def dropout_10(scope: Scope, data: Tensor, *, ratio: float) -> Tensor:
    """Dropout by attributes.  https://onnx.ai/onnx/operators/onnx__Dropout.html.  10: the mask is boolean."""
    return _dropout(scope, data, ratio, scope.context.training, None)


@ops.lowers("Dropout", since=(7,), layout="any", pure=False)
def dropout_7(scope: Scope, data: Tensor, *, ratio: float) -> Tensor:
    """Dropout-10 whose mask has the type of the data.  https://onnx.ai/onnx/operators/onnx__Dropout.html"""
    results = _dropout(scope, data, ratio, scope.context.training, None)
    return (results[0], tf.cast(results[1], dtype(data))) if isinstance(results, tuple) else results


def _is_true(scope: Scope, training_mode: Tensor) -> bool:
    if training_mode is None:
        return False
    if not isinstance(training_mode, np.ndarray):
        raise unsupported(scope, "training_mode depends on what the graph computes; make it an initializer")
    return bool(training_mode)


def _dropout(scope: Scope, data: Tensor, ratio: Tensor, active: bool, seed: int | None) -> Tensor:
    if isinstance(ratio, np.ndarray):
        ratio = ratio.item()
    if not active or (isinstance(ratio, float) and ratio == 0):
        return (data, tf.ones(shape(data), tf.bool)) if scope.wants(1) else data
    ratio = tf.cast(ratio, tf.float32)
    drawn = tf.random.stateless_uniform(shape(data), _seed(scope, seed), alg="philox")
    kept = drawn >= ratio
    y = data * tf.cast(tf.cast(kept, tf.float32) / (1 - ratio), dtype(data))
    return (y, kept) if scope.wants(1) else y


def _seed(scope: Scope, seed: int | None) -> Tensor:
    """The run's own seed, with the node's if it has one, in training; outside, the node's alone."""
    if scope.context.training or seed is None:
        return scope.context.random_seed(seeded(scope.within + scope.outputs[0], seed))
    return tf.constant([seed & 0x7FFFFFFF, zlib.crc32(scope.outputs[0].encode())], tf.int64)
