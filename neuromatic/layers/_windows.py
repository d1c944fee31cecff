"""What convolutions and poolings share: pairs of integers, image shapes, and Keras' padding as ONNX pads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neuromatic.errors import ShapeError
from neuromatic.graph import GraphBuilder
from neuromatic.values import Dim, Shape, Value, shape_text

Pair = int | Sequence[int]


def pair(owner: str, argument: str, value: Pair) -> tuple[int, int]:
    """One integer for both axes, or one for each.

    Raises:
        ValueError: ``value`` is neither, or not positive.
    """
    values = (value, value) if isinstance(value, int) else tuple(value) if _is_sequence(value) else ()
    if len(values) != 2 or not all(isinstance(v, int) and v > 0 for v in values):
        raise ValueError(f"{owner}: {argument} must be a positive integer or two of them, got {value!r}")
    return values[0], values[1]


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def check_padding(owner: str, padding: str) -> None:
    """Refuse a padding that is neither ``"valid"`` nor ``"same"``."""
    if padding not in ("valid", "same"):
        raise ValueError(f'{owner}: padding must be "valid" or "same", got {padding!r}')


def image_shape(g: GraphBuilder, owner: str, x: Value) -> Shape:
    """The shape of a batch of images, (batch, channels, height, width).

    Raises:
        ShapeError: ``x`` is not of rank 4.
    """
    if x.shape is None or len(x.shape) != 4:
        raise ShapeError(
            f"{g.scope}: {owner} takes (batch, channels, height, width), got {shape_text(x.shape)} "
            f"from {x.name!r}; put a reshape() before it"
        )
    return x.shape


@dataclass(frozen=True)
class Window:
    """A window that moves over height and width.

    Args:
        kernel: its size.
        strides: its steps.
        dilations: distance between neighbours inside it.
        padding: ``"valid"``: the window stays inside; ``"same"``: the output has ``ceil(size / stride)``
            elements, by zeros around the image, the odd one at its end (as Keras and TensorFlow do).
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int] = (1, 1)
    padding: str = "valid"

    @property
    def extent(self) -> tuple[int, int]:
        """How many elements of the image the window spans."""
        height, width = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))
        return height, width

    def attributes(self, g: GraphBuilder, owner: str, x: Value) -> dict[str, Any]:
        """The ONNX attributes of this window over ``x``.

        ``"same"`` becomes explicit pads, and ``auto_pad`` only where they depend on an unknown size.

        Raises:
            ShapeError: ``x`` is not an image, smaller than the window, or of unknown size where it has to be
                known.
        """
        sizes = image_shape(g, owner, x)[2:]
        result: dict[str, Any] = {"kernel_shape": self.kernel, "strides": self.strides}
        if self.dilations != (1, 1):
            result["dilations"] = self.dilations
        if self.padding == "valid":
            self._check_fits(g, owner, x, sizes)
            return result
        totals = [_padded(*axis) for axis in zip(sizes, self.extent, self.strides, strict=True)]
        known = [total for total in totals if total is not None]
        if len(known) < len(totals):
            self._check_auto_pad(g, owner, x)
            return {**result, "auto_pad": "SAME_UPPER"}
        begins = [total // 2 for total in known]
        return {**result, "pads": begins + [t - b for t, b in zip(known, begins, strict=True)]}

    def _check_fits(self, g: GraphBuilder, owner: str, x: Value, sizes: Shape) -> None:
        if any(isinstance(n, int) and n < k for n, k in zip(sizes, self.extent, strict=True)):
            raise ShapeError(
                f"{g.scope}: {owner} needs an image of at least {self.extent[0]} x {self.extent[1]}, "
                f'got {shape_text(x.shape)} from {x.name!r}; use padding="same" or a smaller window'
            )

    def _check_auto_pad(self, g: GraphBuilder, owner: str, x: Value) -> None:
        """Refuse where onnxruntime's ``SAME_UPPER`` would come to negative pads and stop."""
        if any(extent < stride for extent, stride in zip(self.extent, self.strides, strict=True)):
            raise ShapeError(
                f'{g.scope}: {owner} with padding="same" and strides above its window needs a known height '
                f"and width, got {shape_text(x.shape)} from {x.name!r}; name the sizes or lower the strides"
            )


def _padded(size: Dim, extent: int, stride: int) -> int | None:
    """How many zeros ``"same"`` adds along one axis; None if that depends on an unknown size."""
    if 1 in (stride, extent):
        return extent - 1
    if not isinstance(size, int):
        return None
    return max((-(-size // stride) - 1) * stride + extent - size, 0)
