"""Windows put back into an image: Col2Im and MaxUnpool."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import Tensor, integers, shape
from neuromatic.converters.tensorflow.registry import ops


@ops.lowers("Col2Im", since=(18,))
def col2im(
    scope: Scope,
    input: Tensor,
    image_shape: Tensor,
    block_shape: Tensor,
    *,
    dilations: Sequence[int] | None,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Tensor:
    """The sum of blocks at their places in an image; input (N, C * prod(block), blocks), result (N, C, ...).

    https://onnx.ai/onnx/operators/onnx__Col2Im.html
    """
    sizes, block = integers(scope, image_shape, "image_shape"), integers(scope, block_shape, "block_shape")
    n = len(sizes)
    gaps, steps, edges = dilations or [1] * n, strides or [1] * n, pads or [0] * 2 * n
    full = [edges[i] + size + edges[n + i] for i, size in enumerate(sizes)]
    counts = [(f - g * (k - 1) - 1) // s + 1 for f, g, k, s in zip(full, gaps, block, steps, strict=True)]
    offsets = np.indices(block).reshape(n, -1, 1) * np.reshape(gaps, [n, 1, 1])
    starts = np.indices(counts).reshape(n, 1, -1) * np.reshape(steps, [n, 1, 1])
    places = np.ravel_multi_index(tuple(offsets + starts), full)
    batch, columns = shape(input)[:2]
    channels = columns // math.prod(block)
    elements = tf.reshape(input, [batch * channels, places.size])
    image = tf.math.unsorted_segment_sum(tf.transpose(elements), places.ravel(), math.prod(full))
    image = tf.reshape(tf.transpose(image), [batch, channels, *full])
    inner = (slice(edges[i], edges[i] + size) for i, size in enumerate(sizes))
    return image[(slice(None), slice(None), *inner)]


@ops.lowers("MaxUnpool", since=(9, 11, 22))
def max_unpool(
    scope: Scope,
    X: Tensor,
    I: Tensor,  # noqa: E741  # the schema's name
    output_shape: Tensor = None,
    *,
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Tensor:
    """X at the places that MaxPool found, I, counted in the result taken as one row; 0 elsewhere.

    https://onnx.ai/onnx/operators/onnx__MaxUnpool.html.  22: bfloat16.
    """
    n = len(kernel_shape)
    steps, edges = strides or [1] * n, pads or [0] * 2 * n
    batch, channels, *sizes = shape(X)
    full = [
        (size - 1) * step - edges[i] - edges[n + i] + k
        for i, (size, step, k) in enumerate(zip(sizes, steps, kernel_shape, strict=True))
    ]
    flat = tf.zeros([math.prod([batch, channels, *full])], X.dtype)
    flat = tf.tensor_scatter_nd_update(flat, tf.reshape(I, [-1, 1]), tf.reshape(X, [-1]))
    y = tf.reshape(flat, [batch, channels, *full])
    if output_shape is None:
        return y
    wanted = integers(scope, output_shape, "output_shape")[2:]
    return tf.pad(y, [(0, 0), (0, 0), *((0, w - f) for w, f in zip(wanted, full, strict=True))])
