"""Layers that make the axes after the channels longer by a whole factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuromatic.errors import ShapeError
from neuromatic.ir.graph import Array, GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers.base import Layer

__all__ = ["PixelShuffle", "UpSampling1D", "UpSampling2D", "UpSampling3D"]

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "area", "lanczos3", "lanczos5")


def _factors(owner: str, size: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """The factor of each axis.

    Raises:
        ValueError: ``size`` is not a positive integer nor one for each axis.
    """
    found = (
        (size,) * axes if isinstance(size, int) else tuple(size) if isinstance(size, (list, tuple)) else ()
    )
    if len(found) != axes or not all(isinstance(n, int) and n > 0 for n in found):
        wanted = "a positive integer" if axes == 1 else f"a positive integer or {axes} of them"
        raise ValueError(f"{owner}: size must be {wanted}, got {size!r}")
    return found


def _check_rank(g: GraphBuilder, owner: str, x: Value, names: str) -> None:
    if x.rank != 2 + names.count(",") + 1:
        raise ShapeError(
            f"{g.scope}: {owner} takes (batch, channels, {names}), got {shape_text(x.shape)} "
            f"from {x.name!r}; put a reshape() before it"
        )


def _resized(g: GraphBuilder, x: Value, factors: Sequence[int], **options: Any) -> Value:
    """``Resize`` of the axes after the channels; says the shape, in which ONNX would forget the batch."""
    scales = g.const([1.0, 1.0, *map(float, factors)])
    sizes = [
        d * factor if isinstance(d, int) else None
        for d, factor in zip((x.shape or ())[2:], factors, strict=True)
    ]
    return g.add("Resize", x, None, scales, types=[(x.dtype, (*(x.shape or ())[:2], *sizes))], **options)


_REPEATED = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
_RESIZED: dict[str, dict[str, Any]] = {
    "nearest": _REPEATED,
    "area": _REPEATED,
    "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
    "bicubic": {
        "mode": "cubic",
        "coordinate_transformation_mode": "half_pixel",
        "cubic_coeff_a": -0.5,
        "exclude_outside": 1,
    },
}


def _lanczos(radius: int, size: int, factor: int) -> Array:
    """The matrix (new size, size) of weights of lanczos interpolation; those inside the image sum to 1."""
    at = (np.arange(size * factor) + 0.5) / factor - 0.5
    distance = np.abs(at[:, None] - np.arange(size))
    inside = np.sinc(distance) * np.sinc(distance / radius)
    weights = np.where(distance < radius, inside, 0.0)
    normalized: Array = weights / weights.sum(axis=1, keepdims=True)
    return normalized


@dataclass(frozen=True, eq=False)
class UpSampling1D(Layer):
    """Each step ``size`` times (Keras ``UpSampling1D``; ONNX ``Resize``).

    Input: (batch, channels, steps) of a float type.  Output: (batch, channels, steps * size).
    Keras' takes (batch, steps, features).

    Args:
        size: how often, at least 1.

    Raises:
        ShapeError: the input is not of that rank.

    >>> import neuromatic as nm
    >>> nm.layers.UpSampling1D(3)(nm.Input((8, 5))).shape
    ('batch', 8, 15)
    """

    size: int = 2

    def __post_init__(self) -> None:
        _factors("UpSampling1D", self.size, 1)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        _check_rank(g, "UpSampling1D", x, "steps")
        return _resized(g, x, _factors("UpSampling1D", self.size, 1), **_REPEATED)


@dataclass(frozen=True, eq=False)
class UpSampling2D(Layer):
    """An image of more pixels (Keras ``UpSampling2D``; ONNX ``Resize``, for lanczos ``MatMul``).

    Input: (batch, channels, height, width) of a float type.
    Output: (batch, channels, height * size[0], width * size[1]).

    Args:
        size: the factors of height and width; one integer for both.
        interpolation: ``"nearest"`` or ``"area"``, which repeat pixels, ``"bilinear"``, ``"bicubic"``,
            ``"lanczos3"`` or ``"lanczos5"``.

    Raises:
        ShapeError: the input is not of that rank, or for lanczos its height or width is unknown.

    >>> import neuromatic as nm
    >>> nm.layers.UpSampling2D(2, interpolation="bilinear")(nm.Input((3, 5, 6))).shape
    ('batch', 3, 10, 12)
    """

    size: int | Sequence[int] = (2, 2)
    interpolation: str = "nearest"

    def __post_init__(self) -> None:
        _factors("UpSampling2D", self.size, 2)
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"UpSampling2D: interpolation must be one of {', '.join(INTERPOLATIONS)}, "
                f"got {self.interpolation!r}"
            )

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        _check_rank(g, "UpSampling2D", x, "height, width")
        factors = _factors("UpSampling2D", self.size, 2)
        if self.interpolation in _RESIZED:
            return _resized(g, x, factors, **_RESIZED[self.interpolation])
        return self._by_matrices(g, x, factors, int(self.interpolation[-1]))

    def _by_matrices(self, g: GraphBuilder, x: Value, factors: Sequence[int], radius: int) -> Value:
        height, width = x.dim(2), x.dim(3)
        if not isinstance(height, int) or not isinstance(width, int):
            raise ShapeError(
                f"{g.scope}: UpSampling2D with {self.interpolation} needs a known height and width, got "
                f"{shape_text(x.shape)} from {x.name!r}; take bicubic instead"
            )
        rows = g.const(_lanczos(radius, height, factors[0]), x.dtype)
        columns = g.const(_lanczos(radius, width, factors[1]).T, x.dtype)
        return g.add("MatMul", rows, g.add("MatMul", x, columns))


@dataclass(frozen=True, eq=False)
class UpSampling3D(Layer):
    """A volume with each element repeated along each axis (Keras ``UpSampling3D``; ONNX ``Resize``).

    Input: (batch, channels, depth, height, width) of a float type.
    Output: the last three times ``size[0]``, ``size[1]`` and ``size[2]``.

    Args:
        size: the factors of depth, height and width; one integer for all.

    Raises:
        ShapeError: the input is not of that rank.

    >>> import neuromatic as nm
    >>> nm.layers.UpSampling3D((1, 2, 3))(nm.Input((3, 5, 6, 7))).shape
    ('batch', 3, 5, 12, 21)
    """

    size: int | Sequence[int] = (2, 2, 2)

    def __post_init__(self) -> None:
        _factors("UpSampling3D", self.size, 3)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        _check_rank(g, "UpSampling3D", x, "depth, height, width")
        return _resized(g, x, _factors("UpSampling3D", self.size, 3), **_REPEATED)


@dataclass(frozen=True, eq=False)
class PixelShuffle(Layer):
    """Channels laid out as pixels: enlarges an image by ``upscale_factor`` (Shi et al. 2016).

    PyTorch ``PixelShuffle``, which Keras does not have; ONNX ``DepthToSpace`` in its mode CRD.

    Input: (batch, channels, height, width).
    Output: (batch, channels / factor², height * factor, width * factor).

    Args:
        upscale_factor: how much longer both sides become; its square has to divide the channels.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.PixelShuffle(2)(nm.Input((12, 8, 8))).shape
    ('batch', 3, 16, 16)
    """

    upscale_factor: int

    def __post_init__(self) -> None:
        if not isinstance(self.upscale_factor, int) or self.upscale_factor < 1:
            raise ValueError(
                f"PixelShuffle: upscale_factor must be a positive integer, got {self.upscale_factor!r}"
            )

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        _check_rank(g, "PixelShuffle", x, "height, width")
        channels = x.dim(1)
        if not isinstance(channels, int) or channels % self.upscale_factor**2:
            raise ShapeError(
                f"{g.scope}: PixelShuffle takes channels divisible by {self.upscale_factor**2}, "
                f"got {shape_text(x.shape)} from {x.name!r}; choose another factor"
            )
        return g.add("DepthToSpace", x, blocksize=self.upscale_factor, mode="CRD")
