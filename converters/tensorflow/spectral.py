"""Fourier transforms and what is made with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import (
    Tensor,
    dtype,
    element_type,
    integers,
    move_axis_last,
    normalized,
    rank,
    unsupported,
)
from neuromatic.converters.tensorflow.registry import ops


def _complex(x: Tensor, kind: tf.DType) -> Tensor:
    """The complex numbers of a last axis of (real,) or (real, imaginary)."""
    x = tf.cast(x, kind)
    real = x[..., 0]
    return tf.complex(real, x[..., 1] if x.shape[-1] == 2 else tf.zeros_like(real))


def _parts(z: Tensor, kind: tf.DType) -> Tensor:
    return tf.cast(tf.stack([tf.math.real(z), tf.math.imag(z)], -1), kind)


def _sized(z: Tensor, size: int | None) -> Tensor:
    """The last axis cut off, or filled with zeros, to a size."""
    if size is None or z.shape[-1] == size:
        return z
    z = z[..., :size]
    missing = size - tf.shape(z)[-1]
    padding: Any = [*[(0, 0)] * (rank(z) - 1), (0, missing)]
    return tf.ensure_shape(tf.pad(z, padding), [*z.shape[:-1], size])


def _transformed(z: Tensor, size: int | None, inverse: bool, onesided: bool, kind: tf.DType) -> Tensor:
    """The transform along the last axis, with its result's real and imaginary parts in a new one."""
    if not onesided:
        z = _sized(z, size)
        return _parts(tf.signal.ifft(z) if inverse else tf.signal.fft(z), kind)
    length = None if size is None else [size]
    if inverse:
        return tf.cast(tf.signal.irfft(z, length)[..., None], kind)
    return _parts(tf.signal.rfft(tf.math.real(z), length), kind)


def _dft(scope: Scope, x: Tensor, dft_length: Tensor, axis: int, inverse: int, onesided: int) -> Tensor:
    size = None if dft_length is None else integers(scope, dft_length, "dft_length")[0]
    # Real numbers in float64, as numpy does it, so that frequencies that cancel leave next to nothing.
    exact = x.shape[-1] == 1 or dtype(x) == tf.float64
    z, back = move_axis_last(_complex(x, tf.float64 if exact else tf.float32), normalized(axis, rank(x)))
    y = _transformed(z, size, bool(inverse), bool(onesided), dtype(x))
    return tf.transpose(y, [*back, rank(y) - 1])


@ops.lowers("DFT", since=(20,))
def dft(
    scope: Scope,
    input: Tensor,
    dft_length: Tensor = None,
    axis: Tensor = None,
    *,
    inverse: int,
    onesided: int,
) -> Tensor:
    """The discrete Fourier transform along one axis; the last axis holds real and imaginary parts.

    onesided: the half of the frequencies that determines the others, of, or with inverse to, real numbers.
    https://onnx.ai/onnx/operators/onnx__DFT.html.  20: axis as an input.
    """
    along = -2 if axis is None else integers(scope, axis, "axis")[0]
    return _dft(scope, input, dft_length, along, inverse, onesided)


@ops.lowers("DFT", since=(17,))
def dft_17(
    scope: Scope, input: Tensor, dft_length: Tensor = None, *, axis: int, inverse: int, onesided: int
) -> Tensor:
    """DFT with an attribute.  https://onnx.ai/onnx/operators/onnx__DFT.html"""
    return _dft(scope, input, dft_length, axis, inverse, onesided)


@ops.lowers("STFT", since=(17,))
def stft(
    scope: Scope,
    signal: Tensor,
    frame_step: Tensor,
    window: Tensor = None,
    frame_length: Tensor = None,
    *,
    onesided: int,
) -> Tensor:
    """The Fourier transforms of frames of a signal (batch, length, 1 or 2), each times the window.

    https://onnx.ai/onnx/operators/onnx__STFT.html
    """
    (step,) = integers(scope, frame_step, "frame_step")
    size = window.shape[0] if frame_length is None and window is not None else None
    if size is None:
        if frame_length is None:
            raise unsupported(scope, "it has neither a window nor a frame_length; give it one")
        (size,) = integers(scope, frame_length, "frame_length")
    z = _complex(signal, tf.float64 if dtype(signal) == tf.float64 else tf.float32)
    frames = tf.complex(*(tf.signal.frame(part, size, step) for part in (tf.math.real(z), tf.math.imag(z))))
    if window is not None:
        frames *= tf.cast(window, frames.dtype)
    return _transformed(frames, size, False, bool(onesided), dtype(signal))


@ops.lowers("MelWeightMatrix", since=(17,))
def mel_weight_matrix(
    scope: Scope,
    num_mel_bins: Tensor,
    dft_length: Tensor,
    sample_rate: Tensor,
    lower_edge_hertz: Tensor,
    upper_edge_hertz: Tensor,
    *,
    output_datatype: int,
) -> Tensor:
    """Triangles that are evenly spaced on the mel scale: weights (dft_length // 2 + 1, num_mel_bins).

    https://onnx.ai/onnx/operators/onnx__MelWeightMatrix.html
    """
    (bins,) = integers(scope, num_mel_bins, "num_mel_bins")
    (length,) = integers(scope, dft_length, "dft_length")
    (rate,) = integers(scope, sample_rate, "sample_rate")
    for value, name in ((lower_edge_hertz, "lower_edge_hertz"), (upper_edge_hertz, "upper_edge_hertz")):
        integers(scope, value, name)  # refuses what is not known
    low, high = (_mel(float(edge.item())) for edge in (lower_edge_hertz, upper_edge_hertz))
    mels = low + np.arange(bins + 2) * (high - low) / (bins + 2)
    edges = np.floor((length + 1) * 700 * np.expm1(mels * np.log(10) / 2595) / rate)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    spectrum = np.arange(length // 2 + 1)[:, None]
    up = np.where(centre > left, (spectrum - left) / np.maximum(centre - left, 1), 1.0)
    down = (right - spectrum) / np.maximum(right - centre, 1)
    rising = (spectrum >= left) & (spectrum <= centre)
    falling = (spectrum > centre) & (spectrum < right)
    weights = np.where(rising, up, 0.0) + np.where(falling, down, 0.0)
    return weights.astype(element_type(scope, output_datatype).as_numpy_dtype)


def _mel(hertz: float) -> Any:
    return 2595 * np.log10(1 + hertz / 700)
