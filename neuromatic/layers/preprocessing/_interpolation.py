"""Images of another size: as ``Resize`` where it equals TensorFlow's interpolation, else by constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers.preprocessing._shared import Array

Box = tuple[int, int, int, int]
"""Top, left, height and width of a part of an image."""

INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")


def widest_part(height: int, width: int, target: tuple[int, int]) -> Box:
    """The largest part, in the middle, whose sides are to each other as those of ``target``."""
    new_height, new_width = target
    part_height = max(min(height, int(np.float32(width * new_height) / np.float32(new_width))), 1)
    part_width = max(min(width, int(np.float32(height * new_width) / np.float32(new_height))), 1)
    return (height - part_height) // 2, (width - part_width) // 2, part_height, part_width


def margins(height: int, width: int, target: tuple[int, int]) -> tuple[int, int]:
    """How many rows above and below and columns beside an image bring it to the ratio of ``target``."""
    new_height, new_width = target
    rows = max(height, int(np.float32(width * new_height) / np.float32(new_width))) - height
    columns = max(width, int(np.float32(height * new_width) / np.float32(new_height))) - width
    return rows // 2, columns // 2


def part(g: GraphBuilder, x: Value, box: Box) -> Value:
    """That part of each image."""
    top, left, height, width = box
    return g.add("Slice", x, g.ints(top, left), g.ints(top + height, left + width), g.ints(2, 3))


def resize(g: GraphBuilder, x: Value, target: tuple[int, int], interpolation: str, antialias: bool) -> Value:
    """Images (batch, channels, height, width) in another height and width.

    Sizes have to be known, except for ``"nearest"``, ``"bilinear"`` and ``"bicubic"`` without ``antialias``.
    """
    result = [(x.dtype, (*(x.shape or ())[:2], *target))]
    match x.shape:
        case (_, _, int(height), int(width)):
            sizes = (height, width)
        case _:
            front = g.add("Slice", g.add("Shape", x), g.ints(0), g.ints(2))
            all_sizes = g.add("Concat", front, g.ints(*target), axis=0)
            return g.add("Resize", x, None, None, all_sizes, types=result, **_MODES[interpolation])
    if interpolation == "nearest":
        for axis, new, old in zip((2, 3), target, sizes, strict=True):
            if new != old:
                # in float32, as TensorFlow does: halves between two pixels go where it goes
                places = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * np.float32(old / new)
                places = np.minimum(np.floor(places), old - 1).astype(np.int64)
                x = g.add("Gather", x, g.ints(*places.tolist()), axis=axis)
        return x
    if interpolation in ("bilinear", "bicubic") and not antialias:
        scales = [1.0, 1.0, *(_scale(old, new) for old, new in zip(sizes, target, strict=True))]
        return g.add("Resize", x, None, g.const(scales), types=result, **_MODES[interpolation])
    across, down = (_matrix(o, n, interpolation, antialias) for o, n in zip(sizes, target, strict=True))
    y = g.add("MatMul", x, g.const(down.T, x.dtype))
    return g.add("MatMul", g.const(across, x.dtype), y)


_MODES: dict[str, dict[str, Any]] = {
    "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
    "bicubic": {
        "mode": "cubic",
        "coordinate_transformation_mode": "half_pixel",
        "cubic_coeff_a": -0.5,
        "exclude_outside": 1,
    },
    "nearest": {
        "mode": "nearest",
        "coordinate_transformation_mode": "half_pixel",
        "nearest_mode": "round_prefer_ceil",
    },
}


def _scale(old: int, new: int) -> float:
    """A float32 factor by which ``old`` becomes ``new``, not one less, when runtimes round down."""
    scale = np.float32(new / old)
    return float(scale if float(scale) * old >= new else np.nextafter(scale, np.float32(np.inf)))


def _matrix(old: int, new: int, interpolation: str, antialias: bool) -> Array:
    """What each of ``new`` elements is of ``old`` ones: a matrix whose rows sum up to 1."""
    radius, kernel = _KERNELS[interpolation]
    stretch = max(old / new, 1.0) if antialias else 1.0
    centre = (np.arange(new)[:, None] + 0.5) * (old / new)
    distance = np.abs(np.arange(old)[None, :] + 0.5 - centre) / stretch
    weights = np.where(distance <= radius, kernel(distance), 0.0)
    result: Array = weights / weights.sum(1, keepdims=True)
    return result


def _cubic(x: Array) -> Array:
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    result: Array = np.where(x < 1, near, far)
    return result


def _lanczos(radius: float) -> tuple[float, Callable[[Array], Array]]:
    return radius, lambda x: np.sinc(x) * np.sinc(x / radius)


_KERNELS: dict[str, tuple[float, Callable[[Array], Array]]] = {
    "bilinear": (1.0, lambda x: 1.0 - x),
    "bicubic": (2.0, _cubic),
    "lanczos3": _lanczos(3.0),
    "lanczos5": _lanczos(5.0),
}
