"""Convolutions over one to three spatial axes, channels last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import Tensor, dtype, rank, shape, unsupported
from neuromatic.converters.tensorflow._windows import Window, padded, window
from neuromatic.converters.tensorflow.registry import ops

_FORMATS: dict[int, Any] = {1: "NWC", 2: "NHWC", 3: "NDHWC"}


@ops.lowers("Conv", since=(1, 11, 22), layout="NHWC")
def conv(
    scope: Scope,
    X: Tensor,
    W: Tensor,
    B: Tensor = None,
    *,
    auto_pad: str,
    dilations: Sequence[int] | None,
    group: int,
    kernel_shape: Sequence[int] | None,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Tensor:
    """Y[n, ..., m] = B[m] + sum of X * W;  X (N, ..., C), W (M, C/group, k1, ...), B (M,).

    https://onnx.ai/onnx/operators/onnx__Conv.html.  11: strides default to 1.
    """
    n = _spatial_rank(scope, W)
    w = window(
        scope, X, list(W.shape[2:]), auto_pad=auto_pad, pads=pads, strides=strides, dilations=dilations
    )
    kernel = tf.transpose(W, [*range(2, n + 2), 1, 0])
    if w.dilated and any(s != 1 for s in w.strides):  # TensorFlow does one or the other
        kernel = _dilated(kernel, w.dilations)
        w = replace(w, dilations=[1] * n)
    return _biased(_convolution(padded(X, w.pads), kernel, w, group), B)


def _thinned(x: Tensor, w: Window) -> tuple[Tensor, Window]:
    """The input without what a kernel of size 1 strides over.

    oneDNN's gradient of such a kernel is wrong on AVX2 where channels are few, and breaks memory on AVX-512.
    """
    over = [s if k == 1 else 1 for k, s in zip(w.kernel, w.strides, strict=True)]
    if all(step == 1 for step in over):
        return x, w
    kept = tuple(slice(None, None, step) for step in over)
    return x[(slice(None), *kept)], replace(w, strides=[s // o for s, o in zip(w.strides, over, strict=True)])


def _convolution(x: Tensor, kernel: Tensor, w: Window, group: int) -> Tensor:
    """The convolution of a padded input with a kernel (k1, ..., C/group, M)."""
    n = len(w.kernel)
    if group == 1:
        x, w = _thinned(x, w)
        if _needs_a_second_channel(kernel.shape[-2], w.strides):
            x, kernel = _with_zeros(x, n + 1), _with_zeros(kernel, n)
    native = group == 1 or (n <= 2 and dtype(x) == tf.float32 and _has_grouped_kernels())
    if n == 2 and group > 1 and kernel.shape[2] == 1 and w.strides[0] == w.strides[1]:
        height, width, _, outputs = shape(kernel)
        depthwise = tf.reshape(kernel, [height, width, group, outputs // group])
        return tf.nn.depthwise_conv2d(x, depthwise, [1, *w.strides, 1], w.padding, dilations=w.dilations)
    if not native and n == 1 and kernel.shape[2] == 1:
        plane = Window([1, *w.kernel], w.strides * 2, [1, *w.dilations], None, w.padding, [])
        return tf.squeeze(_convolution(x[:, None], kernel[None], plane, group), 1)
    if not native:
        return _by_group(lambda x, k: _convolution(x, k, w, 1), x, kernel, group, kernel_axis=-1)
    return tf.nn.convolution(x, kernel, w.strides, w.padding, data_format=_FORMATS[n], dilations=w.dilations)


def _needs_a_second_channel(channels: int, strides: list[int]) -> bool:
    """Whether oneDNN on AVX-512 would get rows of one window wrong; of zeros, the channel changes nothing."""
    return channels == 1 and len(strides) > 1 and strides[-1] > 1 and strides[-2] == 1


def _with_zeros(x: Tensor, axis: int) -> Tensor:
    """A second element of an axis; not by tf.pad, which oneDNN takes for the input's, ending the process."""
    return tf.concat([x, tf.zeros_like(x)], axis)


@cache
def _has_grouped_kernels() -> bool:
    """Whether TensorFlow has kernels of grouped convolutions, over one or two axes, and of their gradients.

    On a CPU only oneDNN has them. Whether it is on was settled when TensorFlow was imported, by
    TF_ENABLE_ONEDNN_OPTS or else the processor; what the variable says now does not tell, so one is tried.
    """
    with tf.init_scope():
        try:
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=[1, 1, 1, 2],
                filter=tf.zeros([1, 1, 1, 2]),
                out_backprop=tf.zeros([1, 1, 1, 2]),
                strides=[1, 1, 1, 1],
                padding="VALID",
            )
        except tf.errors.OpError:
            return False
    return True


@ops.lowers("ConvTranspose", since=(1, 11, 22), layout="NHWC")
def conv_transpose(
    scope: Scope,
    X: Tensor,
    W: Tensor,
    B: Tensor = None,
    *,
    auto_pad: str,
    dilations: Sequence[int] | None,
    group: int,
    kernel_shape: Sequence[int] | None,
    output_padding: Sequence[int] | None,
    output_shape: Sequence[int] | None,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Tensor:
    """The gradient of Conv by its input, plus B;  X (N, ..., C), W (C, M/group, k1, ...), B (M,).

    Axis i has stride * (size - 1) + output_padding + (k - 1) * dilation + 1 - pads elements.
    https://onnx.ai/onnx/operators/onnx__ConvTranspose.html.  11: strides default to 1.
    """
    n = _spatial_rank(scope, W)
    steps, extra = list(strides or [1] * n), list(output_padding or [0] * n)
    # TensorFlow has no dilated transposed convolution on CPU.
    kernel = _dilated(tf.transpose(W, [*range(2, n + 2), 1, 0]), list(dilations or [1] * n))
    sizes = shape(X)[1:-1]
    full = [s * (i - 1) + k for s, i, k in zip(steps, sizes, kernel.shape[:n], strict=True)]
    y = _transposed_convolution(X, kernel, steps, full, group)
    if any(extra):
        y = tf.pad(y, [(0, 0), *((0, e) for e in extra), (0, 0)])
        full = [f + e for f, e in zip(full, extra, strict=True)]
    if auto_pad in ("SAME_UPPER", "SAME_LOWER") and output_shape is None:
        output_shape = [i * s for i, s in zip(sizes, steps, strict=True)]
    cut = list(zip((pads or [0] * 2 * n)[:n], (pads or [0] * 2 * n)[n:], strict=True))
    if output_shape is not None:
        totals = [f - o for f, o in zip(full, list(output_shape)[-n:], strict=True)]
        upper = auto_pad == "SAME_UPPER"
        cut = [(t // 2, t - t // 2) if upper else (t - t // 2, t // 2) for t in totals]
    return _biased(_cropped(y, cut, full), B)


def _transposed_convolution(
    x: Tensor, kernel: Tensor, strides: list[int], full: list[Tensor], group: int
) -> Tensor:
    """The transposed convolution, not cropped, with a kernel (k1, ..., M/group, C)."""
    if group > 1:
        return _by_group(
            lambda x, k: _transposed_convolution(x, k, strides, full, 1), x, kernel, group, kernel_axis=-1
        )
    n = len(strides)
    batch, outputs = shape(x)[0], shape(kernel)[-2]
    over = [s if k == 1 else 1 for k, s in zip(kernel.shape[:n], strides, strict=True)]
    steps = [s // o for s, o in zip(strides, over, strict=True)]
    extra = int(_needs_a_second_channel(outputs, steps))
    if extra:
        kernel = _with_zeros(kernel, n)
    sizes = [(f - 1) // o + 1 for f, o in zip(full, over, strict=True)]
    made = tf.stack([batch, *sizes, outputs + extra])
    y = tf.nn.conv_transpose(x, kernel, made, steps, "VALID", data_format=_FORMATS[n])
    if extra:
        wanted: Any = (..., slice(outputs))
        y = y[wanted]
    return _dilated(y, [1, *over])


def _dilated(x: Tensor, dilations: list[int]) -> Tensor:
    """The elements with zeros between them along each axis, in the distance given for it."""
    for axis, d in enumerate(dilations):
        if d > 1:
            sizes = shape(x)
            wide = tf.pad(tf.expand_dims(x, axis + 1), _pad_of_axis(rank(x) + 1, axis + 1, d - 1))
            wide = tf.reshape(wide, [*sizes[:axis], sizes[axis] * d, *sizes[axis + 1 :]])
            x = wide[(slice(None),) * axis + (slice(0, sizes[axis] * d - d + 1),)]
    return x


def _pad_of_axis(rank: int, axis: int, after: int) -> list[tuple[int, int]]:
    return [(0, after if i == axis else 0) for i in range(rank)]


def _cropped(y: Tensor, cut: list[tuple[Tensor, Tensor]], full: list[Tensor]) -> Tensor:
    """The input without ``cut`` elements before and after each axis; negative ones are zeros to add."""
    if all(before == 0 and after == 0 for before, after in cut):
        return y
    if any(isinstance(c, int) and c < 0 for axis in cut for c in axis):
        y = tf.pad(y, [(0, 0), *((max(-b, 0), max(-a, 0)) for b, a in cut), (0, 0)])
        full = [f + max(-b, 0) + max(-a, 0) for f, (b, a) in zip(full, cut, strict=True)]
        cut = [(max(b, 0), max(a, 0)) for b, a in cut]
    kept = [slice(before, size - after) for size, (before, after) in zip(full, cut, strict=True)]
    return y[(slice(None), *kept)]


def _by_group(
    convolve: Callable[[Tensor, Tensor], Tensor], x: Tensor, kernel: Tensor, group: int, kernel_axis: int
) -> Tensor:
    parts = zip(tf.split(x, group, -1), tf.split(kernel, group, kernel_axis), strict=True)
    return tf.concat([convolve(x, k) for x, k in parts], -1)


def _biased(y: Tensor, B: Tensor) -> Tensor:
    return y if B is None else tf.nn.bias_add(y, B)


def _spatial_rank(scope: Scope, W: Tensor) -> int:
    n = rank(W) - 2
    if n not in _FORMATS:
        raise unsupported(scope, f"its kernel has {n} spatial axes; 1, 2 or 3 are handled")
    return n
