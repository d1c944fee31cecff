"""Spectrograms of sound: STFTSpectrogram, MelSpectrogram."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from onnx import TensorProto

from neuromatic import initializers
from neuromatic.errors import ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.portable_ops import unsqueeze
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers.base import Layer
from neuromatic.layers.preprocessing import _fourier
from neuromatic.layers.preprocessing._shared import Array, as_float, choice, is_float, positive

__all__ = ["MelSpectrogram", "STFTSpectrogram"]

EPSILON = 1e-7
STFT_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")


@dataclass(frozen=True, eq=False)
class STFTSpectrogram(Layer):
    """Short-time Fourier transform of each channel (Keras ``STFTSpectrogram``; ONNX ``Conv``).

    Frames are multiplied with a window and with cosines and sines, all of which are kernels of a
    convolution that training may change, as in Keras; ``freeze`` them for plain preprocessing. With ``re``
    and ``im`` as its results, ``"real"`` and ``"imag"`` are these, ``"stft"`` both, ``"angle"`` is
    ``atan2(im, re)``, ``"magnitude"`` ``sqrt(max(re² + im², 1e-7))``, ``"log"`` its logarithm, and ``"psd"``
    is ``re² + im²``, twice that for frequencies that have a negative twin.

    Input: (batch, channels, time) of a float type, channels **first**.
    Output: (batch, channels * frequencies, new time), or with ``expand_dims`` (batch, channels, new time,
    frequencies); there are ``fft_length // 2 + 1`` frequencies, twice that with ``"stft"``.
    Parameters: ``<name>/real_kernel`` and ``<name>/imag_kernel`` (frequencies, 1, frame_length), of which
    ``"imag"`` and ``"real"`` lack the other one.

    Args:
        mode: what to return, see above.
        frame_length: length of a frame.
        frame_step: distance of frames, by default half of that, at most all of it.
        fft_length: length of the transform, at least that of a frame; by default the next power of two.
        window: ``"hann"``, ``"hamming"``, ``"blackman"``, ``"bartlett"``, the numbers of a window, or None.
        periodic: whether a window by name is one period of its function, not symmetric.
        scaling: ``"density"`` to divide by the root of the sum of the window's squares, ``"spectrum"`` by the
            sum of its absolute values, or None. Without a window there is none.
        padding: ``"valid"``, or ``"same"`` for ``ceil(time / frame_step)`` frames by zeros around the sound.
        expand_dims: see above.

    Raises:
        ShapeError: the input is not of this form, its channels are unknown, or it is shorter than a frame.

    >>> import neuromatic as nm
    >>> nm.layers.STFTSpectrogram(frame_length=32, frame_step=16)(nm.Input((1, 160))).shape
    ('batch', 17, 9)
    """

    mode: str = "log"
    frame_length: int = 256
    frame_step: int | None = None
    fft_length: int | None = None
    window: str | Sequence[float] | Array | None = "hann"
    periodic: bool = False
    scaling: Literal["density", "spectrum"] | None = "density"
    padding: str = "valid"
    expand_dims: bool = False

    def __post_init__(self) -> None:
        owner = "STFTSpectrogram"
        choice(owner, "mode", self.mode, STFT_MODES)
        choice(owner, "padding", self.padding, ("valid", "same"))
        if self.scaling is not None:
            choice(owner, "scaling", self.scaling, ("density", "spectrum"))
        positive(owner, frame_length=self.frame_length, frame_step=self._step(), fft_length=self._length())
        if self._step() > self.frame_length:
            raise ValueError(
                f"{owner}: frame_step must be at most frame_length={self.frame_length}, got {self.frame_step}"
            )
        if self._length() < self.frame_length:
            raise ValueError(
                f"{owner}: fft_length must be at least frame_length={self.frame_length}, "
                f"got {self.fft_length}"
            )
        initializers.STFT("real", self.window, self.scaling, self.periodic)
        if not isinstance(self.window, (str, type(None))) and np.shape(self.window) != (self.frame_length,):
            raise ValueError(
                f"{owner}: window must have frame_length={self.frame_length} numbers, "
                f"got shape {np.shape(self.window)}"
            )

    def _step(self) -> int:
        return self.frame_length // 2 if self.frame_step is None else self.frame_step

    def _length(self) -> int:
        if self.fft_length is not None:
            return self.fft_length
        return int(2 ** math.ceil(math.log2(self.frame_length)))

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        match x.shape:
            case (_, int(channels), _) if is_float(x):
                pass
            case _:
                raise ShapeError(
                    f"{g.scope}: STFTSpectrogram takes (batch, channels, time) of a float type with known "
                    f"channels, got {shape_text(x.shape)} from {x.name!r}; sound is channels first"
                )
        self._check_fits(g, x)
        kernels = [self._kernel(g, x, part) for part in self._parts()]
        if self.mode == "stft":
            both = g.add("Concat", *kernels, axis=0)
            return self._arranged(g, self._transformed(g, x, both, channels), channels)
        parts = [self._transformed(g, x, kernel, channels) for kernel in kernels]
        return self._arranged(g, self._result(g, parts, channels), channels)

    def _parts(self) -> Sequence[Literal["real", "imag"]]:
        """The parts of the transform that the mode needs."""
        if self.mode == "real":
            return ["real"]
        return ["imag"] if self.mode == "imag" else ["real", "imag"]

    def _check_fits(self, g: GraphBuilder, x: Value) -> None:
        time = x.dim(2)
        if self.padding == "valid" and isinstance(time, int) and time < self.frame_length:
            raise ShapeError(
                f"{g.scope}: STFTSpectrogram needs at least frame_length={self.frame_length} samples, "
                f'got {shape_text(x.shape)} from {x.name!r}; use padding="same" or a shorter frame'
            )

    def _kernel(self, g: GraphBuilder, x: Value, part: Literal["real", "imag"]) -> Value:
        frequencies = self._length() // 2 + 1
        waves = initializers.STFT(part, self.window, self.scaling, self.periodic)

        def initialize(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
            return waves(rng, (self.frame_length, 1, frequencies), (1.0, 1.0)).transpose(2, 1, 0)

        return g.param(f"{part}_kernel", initialize, (frequencies, 1, self.frame_length), x.dtype)

    def _transformed(self, g: GraphBuilder, x: Value, kernel: Value, channels: int) -> Value:
        if channels > 1:
            kernel = g.add("Concat", *[kernel] * channels, axis=0)
        attributes = {"auto_pad": "SAME_UPPER"} if self.padding == "same" else {}
        return g.add(
            "Conv",
            x,
            kernel,
            kernel_shape=[self.frame_length],
            strides=[self._step()],
            group=channels,
            **attributes,
        )

    def _result(self, g: GraphBuilder, parts: Sequence[Value], channels: int) -> Value:
        if len(parts) == 1:
            return parts[0]
        if self.mode == "angle":
            return _fourier.angle(g, *parts)
        real, imag = parts
        power = g.add("Add", g.add("Mul", real, real), g.add("Mul", imag, imag))
        if self.mode == "psd":
            twins = np.full(self._length() // 2 + 1, 2.0)
            twins[[0, -1]] = 1.0
            return g.add("Mul", power, g.const(np.tile(twins, channels)[:, None], power.dtype))
        least = g.const(EPSILON, power.dtype)
        magnitude = g.add("Sqrt", g.add("Max", power, least))
        return magnitude if self.mode == "magnitude" else g.add("Log", g.add("Max", magnitude, least))

    def _arranged(self, g: GraphBuilder, y: Value, channels: int) -> Value:
        if not self.expand_dims:
            return y
        frequencies = (self._length() // 2 + 1) * (2 if self.mode == "stft" else 1)
        if channels == 1:
            apart = unsqueeze(g, y, 1)
        else:
            apart = g.add("Reshape", y, g.ints(0, channels, frequencies, -1))
        return g.add("Transpose", apart, perm=[0, 1, 3, 2])


@dataclass(frozen=True, eq=False)
class MelSpectrogram(Layer):
    """Power of sound at frequencies that ears tell apart (Keras ``MelSpectrogram``; ONNX ``Conv``).

    The magnitudes of a Fourier transform of frames, to the power of ``mag_exp``, are summed over triangles
    that are equally wide in mel, ``1127 log(1 + f / 700)``. With ``power_to_db``, the result is
    ``10 log10(max(power, min_power) / max(|ref_power|, min_power))``, at least its maximum over the batch
    minus ``top_db``. The kernels are constants that the graph makes of one period of a cosine, so that a file
    stays small.

    Input: (batch, samples).  Output: (batch, num_mel_bins, time), ``time = samples // sequence_stride + 1``
    for an even ``fft_length``. Frames are centred; the sound is mirrored at its ends.

    Args:
        fft_length: length of the transform.
        sequence_stride: distance of frames.
        sequence_length: length of the window, by default that of the transform.
        window: ``"hann"``, ``"hamming"``, the numbers of a window, or None.
        sampling_rate: samples per second.
        num_mel_bins: how many triangles.
        min_freq: where the first begins, in hertz.
        max_freq: where the last ends, by default half the sampling rate.
        power_to_db: whether to return decibels.
        top_db: see above.
        mag_exp: 1 for magnitudes, 2 for power.
        min_power: see above.
        ref_power: see above.

    Raises:
        ShapeError: the input is not of this form, or it is too short to be mirrored.

    >>> import neuromatic as nm
    >>> layer = nm.layers.MelSpectrogram(fft_length=64, sequence_stride=32, num_mel_bins=10)
    >>> layer(nm.Input((160,))).shape
    ('batch', 10, 6)
    """

    fft_length: int = 2048
    sequence_stride: int = 512
    sequence_length: int | None = None
    window: str | Sequence[float] | Array | None = "hann"
    sampling_rate: int = 16000
    num_mel_bins: int = 128
    min_freq: float = 20.0
    max_freq: float | None = None
    power_to_db: bool = True
    top_db: float = 80.0
    mag_exp: float = 2.0
    min_power: float = 1e-10
    ref_power: float = 1.0

    def __post_init__(self) -> None:
        positive(
            "MelSpectrogram",
            fft_length=self.fft_length,
            sequence_stride=self.sequence_stride,
            sequence_length=self._length(),
            sampling_rate=self.sampling_rate,
            num_mel_bins=self.num_mel_bins,
        )
        if self.fft_length < self._length():
            raise ValueError(
                f"MelSpectrogram: fft_length must be at least sequence_length={self._length()}, "
                f"got {self.fft_length}"
            )
        self._window()

    def _length(self) -> int:
        return self.fft_length if self.sequence_length is None else self.sequence_length

    def _window(self) -> Array:
        """The window in the middle of a frame; by name and of odd length it is symmetric, as in Keras."""
        length = self._length()
        win = _fourier.window("MelSpectrogram", self.window, length, length % 2 == 0)
        before = (self.fft_length - length) // 2
        whole = np.zeros(self.fft_length)
        whole[before : before + length] = win
        return np.ones(self.fft_length) if self.window is None else whole

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        margin = self.fft_length // 2
        if x.shape is None or len(x.shape) != 2 or (isinstance(x.shape[1], int) and x.shape[1] <= margin):
            raise ShapeError(
                f"{g.scope}: MelSpectrogram takes (batch, samples) of more than fft_length // 2 = {margin} "
                f"samples, got {shape_text(x.shape)} from {x.name!r}"
            )
        x = as_float(g, x)
        mirrored = g.add("Pad", x, g.ints(0, margin, 0, margin), mode="reflect")
        sound = unsqueeze(g, mirrored, 1)
        strides = [self.sequence_stride]
        parts = [
            g.add(
                "Conv", sound, self._kernel(g, x.dtype, part), kernel_shape=[self.fft_length], strides=strides
            )
            for part in ("real", "imag")
        ]
        power = g.add("Add", *(g.add("Mul", part, part) for part in parts))
        if self.mag_exp != 2:
            power = g.add("Pow", g.add("Sqrt", power), g.const(self.mag_exp, x.dtype))
        mel = _fourier.mel_matrix(
            self.num_mel_bins,
            self.fft_length // 2 + 1,
            self.sampling_rate,
            self.min_freq,
            self.max_freq or self.sampling_rate // 2,
        )
        y = g.add("Conv", power, g.const(mel[:, :, None], x.dtype), kernel_shape=[1])
        return self._decibels(g, y) if self.power_to_db else y

    def _kernel(self, g: GraphBuilder, dtype: int, part: str) -> Value:
        """Waves times the window, each looked up in one period: (frequencies, 1, fft_length)."""
        frequency = g.const(np.arange(self.fft_length // 2 + 1).reshape(-1, 1, 1), TensorProto.INT64)
        time = g.const(np.arange(self.fft_length), TensorProto.INT64)
        product = g.add("Mul", frequency, time)
        length = g.const(self.fft_length, TensorProto.INT64)
        turns = g.add("Sub", product, g.add("Mul", g.add("Div", product, length), length))
        period = g.const(_fourier.period(self.fft_length, part), dtype)
        return g.add("Mul", g.add("Gather", period, turns, axis=0), g.const(self._window(), dtype))

    def _decibels(self, g: GraphBuilder, power: Value) -> Value:
        logarithm = g.add("Log", g.add("Max", power, g.const(self.min_power, power.dtype)))
        y = g.add("Mul", logarithm, g.const(10 / math.log(10), power.dtype))
        reference = 10 * math.log10(max(abs(self.ref_power), self.min_power))
        if reference:
            y = g.add("Sub", y, g.const(reference, power.dtype))
        loudest = g.add("ReduceMax", y, keepdims=0)
        return g.add("Max", y, g.add("Sub", loudest, g.const(self.top_db, power.dtype)))
