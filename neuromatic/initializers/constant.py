"""Initial values without chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from neuromatic.errors import ShapeError
from neuromatic.initializers.base import Array, Fans, Initializer, Shape

__all__ = ["Constant", "Identity", "Ones", "STFT", "Zeros"]


@dataclass(frozen=True)
class Zeros(Initializer):
    """All zero (Keras ``Zeros``)."""

    def __call__(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        return np.zeros(shape)


@dataclass(frozen=True)
class Ones(Initializer):
    """All one (Keras ``Ones``)."""

    def __call__(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        return np.ones(shape)


@dataclass(frozen=True)
class Constant(Initializer):
    """One value everywhere, or an array (Keras ``Constant``).

    Args:
        value: a number, or what broadcasts to the parameter's shape.
    """

    value: ArrayLike = 0.0

    def __call__(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        try:
            return np.broadcast_to(np.asarray(self.value, np.float64), shape)
        except ValueError:
            raise ShapeError(
                f"Constant: a value of shape {np.shape(self.value)} does not fit a parameter of shape {shape}"
            ) from None


@dataclass(frozen=True)
class Identity(Initializer):
    """``gain`` on the diagonal of a matrix, 0 elsewhere (Keras ``Identity``).

    Args:
        gain: the number on the diagonal.

    Raises:
        ShapeError: when called, the parameter is not a matrix.
    """

    gain: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        if len(shape) != 2:
            raise ShapeError(f"Identity: initializes matrices, got a parameter of shape {shape}")
        return self.gain * np.eye(*shape)


_WINDOWS: dict[str, Callable[[int], Array]] = {
    "bartlett": np.bartlett,
    "blackman": np.blackman,
    "hamming": np.hamming,
    "hann": np.hanning,
}


@dataclass(frozen=True)
class STFT(Initializer):
    """Cosines or sines under a window, of shape (frame, 1, frequencies) (Keras ``STFT``).

    With ``fft = 2 (frequencies - 1)``: ``cos(-2 pi t f / fft) window[t] / scale``, or ``sin`` likewise.

    Args:
        side: ``"real"`` for cosines, ``"imag"`` for sines.
        window: ``"hann"``, ``"hamming"``, ``"blackman"``, ``"bartlett"``, an array of the frame's length, or
            None for no window.
        scaling: what windowed values are divided by: ``"density"``, the root of the window's sum of squares;
            ``"spectrum"``, its sum of absolute values; or None for 1.
        periodic: whether a window that is named goes on periodically instead of being symmetric.

    Raises:
        ValueError: an argument is none of these.
        ShapeError: when called, the parameter has not three axes, or the window another length.
    """

    side: Literal["real", "imag"] = "real"
    window: str | ArrayLike | None = "hann"
    scaling: Literal["density", "spectrum"] | None = "density"
    periodic: bool = False

    def __post_init__(self) -> None:
        if self.side not in ("real", "imag"):
            raise ValueError(f'STFT: side must be "real" or "imag", got {self.side!r}')
        if isinstance(self.window, str) and self.window not in _WINDOWS:
            raise ValueError(f"STFT: window must be one of {sorted(_WINDOWS)}, got {self.window!r}")
        if self.scaling not in ("density", "spectrum", None):
            raise ValueError(f'STFT: scaling must be "density", "spectrum" or None, got {self.scaling!r}')

    def __call__(self, rng: np.random.Generator, shape: Shape, fans: Fans) -> Array:
        if len(shape) != 3 or shape[2] < 2:
            raise ShapeError(f"STFT: initializes (frame, 1, frequencies), got a parameter of shape {shape}")
        frame, _, frequencies = shape
        time, frequency = np.arange(frame)[:, None, None], np.arange(frequencies)[None, None, :]
        angles = -2.0 * np.pi * time * (frequency / (2 * (frequencies - 1)))
        values = np.cos(angles) if self.side == "real" else np.sin(angles)
        window = self._window(frame)
        if window is not None:
            scale = {"density": np.sqrt((window**2).sum()), "spectrum": np.abs(window).sum(), None: 1.0}
            values = values * window[:, None, None] / scale[self.scaling]
        return np.broadcast_to(values, shape)

    def _window(self, frame: int) -> Array | None:
        if self.window is None:
            return None
        if isinstance(self.window, str):
            return _WINDOWS[self.window](frame + self.periodic)[:frame]
        window = np.asarray(self.window, np.float64)
        if window.shape != (frame,):
            raise ShapeError(f"STFT: a window of shape {window.shape} does not fit a frame of {frame}")
        return window
