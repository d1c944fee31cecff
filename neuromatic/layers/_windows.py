"""What convolutions and poolings share: sizes along axes, image shapes, and Keras' padding as ONNX pads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neuromatic.errors import ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Dim, Shape, Value, shape_text

Sizes = int | Sequence[int]
"""One integer for all spatial axes, or one for each."""

Padding = str | int | Sequence[int | Sequence[int]]
"""A name, or zeros to add: one integer for all sides, or for each axis one or ``(before, after)``."""

CHANNELS = ("channels_first", "channels_last")
"""The values of ``data_format``."""

Pads = tuple[tuple[int, int], ...]

AXES = {1: ("steps",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""The spatial axes by their number."""

_KINDS = {1: "a sequence", 2: "an image", 3: "a volume"}


def sizes(owner: str, argument: str, value: Sizes, rank: int, *, least: int = 1) -> tuple[int, ...]:
    """One integer for each of ``rank`` axes.

    Raises:
        ValueError: ``value`` is neither one integer nor that many, or one is below ``least``.
    """
    values = (value,) * rank if isinstance(value, int) else tuple(value) if _is_sequence(value) else ()
    if len(values) != rank or not all(isinstance(v, int) and v >= least for v in values):
        integer = "a positive integer" if least == 1 else f"an integer of {least} or more"
        several = f"a sequence of {rank}" if rank == 1 else f"{rank} of them"
        raise ValueError(f"{owner}: {argument} must be {integer} or {several}, got {value!r}")
    return values


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def pads(owner: str, padding: Padding, rank: int, *, names: Sequence[str] = ("valid", "same")) -> str | Pads:
    """A padding as one of ``names``, in lower case, or as zeros before and after each axis.

    Raises:
        ValueError: ``padding`` is neither.
    """
    if isinstance(padding, str):
        if padding.lower() in names:
            return padding.lower()
    else:
        each = [padding] * rank if isinstance(padding, int) else list(padding)
        found = tuple((e, e) if isinstance(e, int) else tuple(e) for e in each)
        numbers = all(len(e) == 2 and all(isinstance(n, int) and n >= 0 for n in e) for e in found)
        if len(found) == rank and numbers:
            return tuple((before, after) for before, after in found)
    known = ", ".join(f'"{name}"' for name in names)
    axes = "the axis" if rank == 1 else f"each of {rank} axes"
    raise ValueError(
        f"{owner}: padding must be {known}, an integer, or for {axes} an integer or (before, after), "
        f"got {padding!r}"
    )


def image_shape(g: GraphBuilder, owner: str, x: Value, rank: int) -> Shape:
    """The shape of a batch of images with ``rank`` spatial axes, (batch, channels, height, width).

    Raises:
        ShapeError: ``x`` has another number of axes.
    """
    if x.shape is None or len(x.shape) != rank + 2:
        raise ShapeError(
            f"{g.scope}: {owner} takes {shape_text(('batch', 'channels', *AXES[rank]))}, "
            f"got {shape_text(x.shape)} from {x.name!r}; put a reshape() before it"
        )
    return x.shape


def known_channels(g: GraphBuilder, owner: str, x: Value, rank: int, groups: int = 1) -> int:
    """How many channels a batch of images has.

    Raises:
        ShapeError: ``x`` is no such batch, or its channels are unknown or not divisible by ``groups``.
    """
    channels = image_shape(g, owner, x, rank)[1]
    if not isinstance(channels, int) or channels % groups:
        divisible = f" divisible by groups={groups}" if groups > 1 else ""
        raise ShapeError(
            f"{g.scope}: {owner} takes {shape_text(('batch', 'channels', *AXES[rank]))} with known "
            f"channels{divisible}, got {shape_text(x.shape)} from {x.name!r}; images are channels first"
        )
    return channels


@dataclass(frozen=True)
class Window:
    """A window that moves over the spatial axes.

    Args:
        kernel: its size.
        strides: its steps.
        dilations: distance between neighbours inside it.
        padding: ``"valid"``: the window stays inside; ``"same"``: the output has ``ceil(size / stride)``
            elements, by zeros around the image, the odd one at its end (as Keras and TensorFlow do); or the
            zeros before and after each axis.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str | Pads = "valid"

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.kernel)

    @property
    def extent(self) -> tuple[int, ...]:
        """How many elements of the image the window spans."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def steps(self) -> dict[str, Any]:
        """The ONNX attributes besides padding."""
        found: dict[str, Any] = {"kernel_shape": self.kernel, "strides": self.strides}
        return {**found, "dilations": self.dilations} if max(self.dilations) > 1 else found

    def attributes(self, g: GraphBuilder, owner: str, x: Value) -> dict[str, Any]:
        """The ONNX attributes of this window over ``x``.

        ``"same"`` becomes explicit pads, and ``auto_pad`` only where they depend on an unknown size.

        Raises:
            ShapeError: ``x`` is not an image, smaller than the window, or of unknown size where it has to be
                known.
        """
        dims = image_shape(g, owner, x, self.rank)[2:]
        if self.padding != "same":
            given = ((0, 0),) * self.rank if isinstance(self.padding, str) else self.padding
            self._check_fits(g, owner, x, dims, given)
            return {**self.steps, "pads": onnx_pads(given)} if any(map(any, given)) else self.steps
        totals = [_padded(*axis) for axis in zip(dims, self.extent, self.strides, strict=True)]
        known = [total for total in totals if total is not None]
        if len(known) < len(totals):
            self._check_auto_pad(g, owner, x)
            return {**self.steps, "auto_pad": "SAME_UPPER"}
        return {**self.steps, "pads": onnx_pads([(total // 2, total - total // 2) for total in known])}

    def _check_fits(self, g: GraphBuilder, owner: str, x: Value, dims: Shape, given: Pads) -> None:
        for size, pad, extent in zip(dims, given, self.extent, strict=True):
            if isinstance(size, int) and size + sum(pad) < extent:
                needed = (max(e - sum(p), 1) for e, p in zip(self.extent, given, strict=True))
                least = " x ".join(map(str, needed))
                raise ShapeError(
                    f"{g.scope}: {owner} needs {_KINDS[self.rank]} of at least {least}, "
                    f'got {shape_text(x.shape)} from {x.name!r}; use padding="same" or a smaller window'
                )

    def _check_auto_pad(self, g: GraphBuilder, owner: str, x: Value) -> None:
        """Refuse where onnxruntime's ``SAME_UPPER`` would come to negative pads and stop."""
        if any(extent < stride for extent, stride in zip(self.extent, self.strides, strict=True)):
            raise ShapeError(
                f'{g.scope}: {owner} with padding="same" and strides above its window needs a known '
                f"{' and '.join(AXES[self.rank])}, got {shape_text(x.shape)} from {x.name!r}; "
                f"name the sizes or lower the strides"
            )


def onnx_pads(pads: Sequence[tuple[int, int]]) -> list[int]:
    """Pads as ONNX orders them: all that come before, then all that come after."""
    return [before for before, _ in pads] + [after for _, after in pads]


def _padded(size: Dim, extent: int, stride: int) -> int | None:
    """How many zeros ``"same"`` adds along one axis; None if that depends on an unknown size."""
    if 1 in (stride, extent):
        return extent - 1
    if not isinstance(size, int):
        return None
    return max((-(-size // stride) - 1) * stride + extent - size, 0)
