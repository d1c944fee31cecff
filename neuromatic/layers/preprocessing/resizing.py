"""Sizes of images: CenterCrop, Resizing."""

from __future__ import annotations

from dataclasses import dataclass

from neuromatic.errors import ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers.base import Layer
from neuromatic.layers.preprocessing._interpolation import INTERPOLATIONS, margins, part, resize, widest_part
from neuromatic.layers.preprocessing._shared import as_dtype, as_float, choice, image_sizes, positive

__all__ = ["CenterCrop", "Resizing"]


@dataclass(frozen=True, eq=False)
class CenterCrop(Layer):
    """The middle of an image, ``height`` by ``width`` (Keras ``CenterCrop``; ONNX ``Slice``).

    Of an image that is lower or narrower, the largest part in the middle with that ratio of sides, resized
    by bilinear interpolation (ONNX ``Resize``).

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: (batch, channels, ``height``, ``width``), float32 where the input is not of a float type.

    Args:
        height: rows of the result.
        width: columns of the result.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.CenterCrop(24, 24)(nm.Input((3, 28, 28))).shape
    ('batch', 3, 24, 24)
    """

    height: int
    width: int

    def __post_init__(self) -> None:
        positive("CenterCrop", height=self.height, width=self.width)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        _, height, width = image_sizes(g, "CenterCrop", x)
        target = (self.height, self.width)
        x = as_float(g, x)
        if height >= self.height and width >= self.width:
            return part(g, x, ((height - self.height) // 2, (width - self.width) // 2, *target))
        return resize(g, part(g, x, widest_part(height, width, target)), target, "bilinear", False)


@dataclass(frozen=True, eq=False)
class Resizing(Layer):
    """Images in another size (Keras ``Resizing``; ONNX ``Resize``, ``Gather`` or ``MatMul``).

    ``"bilinear"`` and ``"bicubic"`` are ``Resize``, ``"nearest"`` is ``Gather``. Lanczos interpolation, and
    any with ``antialias``, are products with constant matrices.

    Input: (batch, channels, height, width), channels **first**. Height and width may be unknown for
    ``"bilinear"``, ``"bicubic"`` and ``"nearest"`` without other arguments; such a model predicts, but
    engines do not train it.
    Output: (batch, channels, ``height``, ``width``) of the input's type; integers are rounded.

    Args:
        height: rows of the result.
        width: columns of the result.
        interpolation: ``"bilinear"``, ``"nearest"``, ``"bicubic"``, ``"lanczos3"`` or ``"lanczos5"``.
            (TensorFlow looks bicubic weights up in a table, so that Keras there is off by up to 1e-3.)
        crop_to_aspect_ratio: take the largest part in the middle that has the new ratio of sides.
        pad_to_aspect_ratio: bring the image to that ratio by margins.
        fill_mode: how to fill margins: only ``"constant"``.
        fill_value: with what.
        antialias: when an image becomes smaller, widen the interpolation by as much.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.Resizing(14, 14)(nm.Input((3, 28, 28))).shape
    ('batch', 3, 14, 14)
    """

    height: int
    width: int
    interpolation: str = "bilinear"
    crop_to_aspect_ratio: bool = False
    pad_to_aspect_ratio: bool = False
    fill_mode: str = "constant"
    fill_value: float = 0.0
    antialias: bool = False

    def __post_init__(self) -> None:
        positive("Resizing", height=self.height, width=self.width)
        choice("Resizing", "interpolation", self.interpolation, INTERPOLATIONS)
        choice("Resizing", "fill_mode", self.fill_mode, ("constant",))
        if self.crop_to_aspect_ratio and self.pad_to_aspect_ratio:
            raise ValueError("Resizing: crop_to_aspect_ratio and pad_to_aspect_ratio exclude each other")

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        target = (self.height, self.width)
        y = x if self.interpolation == "nearest" else as_float(g, x)
        if self._needs_sizes():
            _, height, width = image_sizes(g, "Resizing", x)
            if self.crop_to_aspect_ratio:
                y = part(g, y, widest_part(height, width, target))
            if self.pad_to_aspect_ratio:
                rows, columns = margins(height, width, target)
                pads = g.ints(0, 0, rows, columns, 0, 0, rows, columns)
                y = g.add("Pad", y, pads, g.const(self.fill_value, y.dtype))
        elif x.shape is None or len(x.shape) != 4:
            raise ShapeError(
                f"{g.scope}: Resizing takes (batch, channels, height, width), got {shape_text(x.shape)} "
                f"from {x.name!r}"
            )
        y = resize(g, y, target, self.interpolation, self.antialias)
        return as_dtype(g, y, x.dtype) if y.dtype != x.dtype else y

    def _needs_sizes(self) -> bool:
        by_matrix = self.interpolation.startswith("lanczos") or self.antialias
        return self.crop_to_aspect_ratio or self.pad_to_aspect_ratio or by_matrix
