"""Random parts and mirror images in training: flip, crop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.portable_ops import cast
from neuromatic.ir.values import Value
from neuromatic.layers.augmentation._base import Augmentation, Draws, check_seed, shared, uniform
from neuromatic.layers.augmentation._sampling import size_of
from neuromatic.layers.preprocessing._interpolation import part, resize, widest_part
from neuromatic.layers.preprocessing._shared import choice, positive

__all__ = ["RandomCrop", "RandomFlip"]

FLIPS = {"horizontal": (3,), "vertical": (2,), "horizontal_and_vertical": (2, 3)}


@dataclass(frozen=True, eq=False)
class RandomFlip(Augmentation):
    """In training, flips half of the images: ``y[i] = x[-1 - i]`` along the axes of ``mode``.

    With two axes, an image is flipped along both or along none. Keras ``RandomFlip``; ONNX
    ``RandomUniformLike``, ``Slice`` and ``Where``, in training alone: inference passes the input on.

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: the same shape, float32 where the input is not of a float type.

    Args:
        mode: ``"horizontal"``, ``"vertical"`` or ``"horizontal_and_vertical"``.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomFlip("horizontal")(nm.Input((3, 28, 28))).shape
    ('batch', 3, 28, 28)
    """

    mode: str = "horizontal_and_vertical"
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandomFlip", self.seed)
        choice("RandomFlip", "mode", self.mode, tuple(FLIPS))

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        return (b.add("LessOrEqual", uniform(b, x, (0.0, 1.0), self.seed), b.const(0.5)),)

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        axes = FLIPS[self.mode]
        last, back = [-1] * len(axes), [np.iinfo(np.int64).min] * len(axes)
        flipped = b.add("Slice", x, b.ints(*last), b.ints(*back), b.ints(*axes), b.ints(*last))
        return b.add("Where", drawn[0], flipped, x)


@dataclass(frozen=True, eq=False)
class RandomCrop(Augmentation):
    """A part of images of ``height`` by ``width``: at a random place in training, else in the middle.

    In training, all images of a batch have the same place, drawn where the input is higher and wider. Where
    it is not, it is what there is from the corner of the largest part in the middle with the new ratio of
    sides, resized by bilinear interpolation. Inference takes that largest part itself and resizes it. Keras
    ``RandomCrop``; ONNX ``RandomUniformLike`` and ``Gather`` in training, ``Slice`` and ``Resize``.

    Keras' layer passes its input on in inference, in another size than in training.

    Input: (batch, channels, height, width) of known sizes, channels **first**.
    Output: (batch, channels, ``height``, ``width``), float32 where the input is not of a float type.

    Args:
        height: rows of the result.
        width: columns of the result.
        seed: makes the numbers others; by default they depend on the run's seed, the layer and the step.

    Raises:
        ShapeError: the input is not such an image.

    >>> import neuromatic as nm
    >>> nm.layers.RandomCrop(24, 24)(nm.Input((3, 28, 28))).shape
    ('batch', 3, 24, 24)
    """

    height: int
    width: int
    seed: int | None = None

    def __post_init__(self) -> None:
        check_seed("RandomCrop", self.seed)
        positive("RandomCrop", height=self.height, width=self.width)

    def inferred(self, b: GraphBuilder, x: Value) -> Value:
        target = (self.height, self.width)
        box = widest_part(*size_of(x), target)
        return self._resized(b, x if box[2:] == size_of(x) else part(b, x, box))

    def _resized(self, b: GraphBuilder, x: Value) -> Value:
        target = (self.height, self.width)
        return x if size_of(x) == target else resize(b, x, target, "bilinear", False)

    def draws(self, b: GraphBuilder, x: Value) -> Draws:
        rests = [old - new for old, new in zip(size_of(x), (self.height, self.width), strict=True)]
        if min(rests) <= 0:
            return ()
        places = (shared(b, (0.0, rest + 1.0), self.seed) for rest in rests)
        return tuple(cast(b, b.add("Floor", place), TensorProto.INT64) for place in places)

    def transformed(self, b: GraphBuilder, x: Value, drawn: Draws) -> Value:
        sizes = self.height, self.width
        if not drawn:
            box = widest_part(*size_of(x), sizes)
            rest = (old - start for old, start in zip(size_of(x), box[:2], strict=True))
            height, width = (min(new, r) for new, r in zip(sizes, rest, strict=True))
            return self._resized(b, part(b, x, (*box[:2], height, width)))
        for axis, start, size in zip((2, 3), drawn, sizes, strict=True):
            places = b.add("Add", start, b.ints(*range(size)))
            x = b.add("Gather", x, places, axis=axis)
        return x
