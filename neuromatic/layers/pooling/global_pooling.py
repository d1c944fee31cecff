"""Poolings over all of a sequence, an image or a volume; channels first, as in ONNX."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from onnx import TensorProto

from neuromatic.errors import ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.portable_ops import cast, reduce, unsqueeze
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers._windows import CHANNELS, image_shape
from neuromatic.layers.base import Layer

__all__ = [
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
]


@dataclass(frozen=True, eq=False)
class _GlobalPooling(Layer):
    """A pooling over all of ``rank`` spatial axes by the ONNX operator ``op``."""

    rank: ClassVar[int]
    op: ClassVar[str]

    keepdims: bool = False

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        image_shape(g, type(self).__name__, x, self.rank)
        y = g.add(self.op, x)
        return y if self.keepdims else g.add("Flatten", y, axis=1)


@dataclass(frozen=True, eq=False)
class _GlobalPooling1D(_GlobalPooling):
    """A pooling over steps, which are the last axis or, in sequences, the one after the batch."""

    rank = 1
    reduction: ClassVar[str]

    _: KW_ONLY
    data_format: str = "channels_first"

    def __post_init__(self) -> None:
        if self.data_format not in CHANNELS:
            raise ValueError(
                f'{type(self).__name__}: data_format must be "channels_first" or "channels_last", '
                f"got {self.data_format!r}"
            )

    @property
    def _steps(self) -> int:
        return 2 if self.data_format == "channels_first" else 1

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        if self.data_format == "channels_first":
            return super().emit(g, x)
        if x.shape is None or len(x.shape) != 3:
            raise ShapeError(
                f"{g.scope}: {type(self).__name__} takes (batch, steps, channels), got {shape_text(x.shape)} "
                f"from {x.name!r}; put a reshape() before it"
            )
        return reduce(g, self.reduction, x, (self._steps,), keepdims=self.keepdims)


@dataclass(frozen=True, eq=False)
class GlobalAveragePooling1D(_GlobalPooling1D):
    """The mean of each channel (Keras ``GlobalAveragePooling1D``; ONNX ``GlobalAveragePool``).

    Input: (batch, channels, steps) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels).
    Sequences (batch, steps, channels), as recurrent layers give them, need ``data_format="channels_last"``;
    that is ONNX ``ReduceMean``. Where there is a mask (batch, steps), of such a sequence or given as
    ``layer(x, mask=m)``, only the steps that it leaves in count: ONNX ``Where``, ``ReduceSum`` and ``Div``.

    Args:
        keepdims: whether the axis of the steps stays, with size 1.
        data_format: ``"channels_first"``, or ``"channels_last"`` for (batch, steps, channels).

    Raises:
        ShapeError: the input has not these axes.

    >>> import neuromatic as nm
    >>> nm.layers.GlobalAveragePooling1D()(nm.Input((8, 20))).shape
    ('batch', 8)
    """

    op = "GlobalAveragePool"
    reduction = "ReduceMean"

    def emit(self, g: GraphBuilder, x: Value, mask: Value | None = None) -> Value:
        if mask is None and self.data_format == "channels_last":
            mask = g.mask(x)
        if mask is None:
            return super().emit(g, x)
        chosen = unsqueeze(g, cast(g, mask, TensorProto.BOOL), 3 - self._steps)
        kept = g.add("Where", chosen, x, g.const(0.0, x.dtype))
        total, count = (
            reduce(g, "ReduceSum", part, (self._steps,), keepdims=self.keepdims)
            for part in (kept, cast(g, chosen, x.dtype))
        )
        return g.add("Div", total, count)


@dataclass(frozen=True, eq=False)
class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of each channel (Keras ``GlobalAveragePooling2D``; ONNX ``GlobalAveragePool``).

    Input: (batch, channels, height, width) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels).

    Args:
        keepdims: whether the output is (batch, channels, 1, 1) instead.

    Raises:
        ShapeError: the input has not these axes.

    >>> import neuromatic as nm
    >>> nm.layers.GlobalAveragePooling2D()(nm.Input((8, 28, 28))).shape
    ('batch', 8)
    """

    rank = 2
    op = "GlobalAveragePool"


@dataclass(frozen=True, eq=False)
class GlobalAveragePooling3D(_GlobalPooling):
    """The mean of each channel (Keras ``GlobalAveragePooling3D``; ONNX ``GlobalAveragePool``).

    Input: (batch, channels, depth, height, width) of a float type: channels **first**, Keras' default is
    last.  Output: (batch, channels).

    Args:
        keepdims: whether the output is (batch, channels, 1, 1, 1) instead.

    Raises:
        ShapeError: the input has not these axes.

    >>> import neuromatic as nm
    >>> nm.layers.GlobalAveragePooling3D(keepdims=True)(nm.Input((8, 6, 28, 28))).shape
    ('batch', 8, 1, 1, 1)
    """

    rank = 3
    op = "GlobalAveragePool"


@dataclass(frozen=True, eq=False)
class GlobalMaxPooling1D(_GlobalPooling1D):
    """The largest value of each channel (Keras ``GlobalMaxPooling1D``; ONNX ``GlobalMaxPool``).

    Input: (batch, channels, steps) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels).
    Sequences (batch, steps, channels), as recurrent layers give them, need ``data_format="channels_last"``;
    that is ONNX ``ReduceMax``. A mask is not looked at, as in Keras.

    Args:
        keepdims: whether the axis of the steps stays, with size 1.
        data_format: ``"channels_first"``, or ``"channels_last"`` for (batch, steps, channels).

    Raises:
        ShapeError: the input has not these axes.

    >>> import neuromatic as nm
    >>> nm.layers.GlobalMaxPooling1D()(nm.Input((8, 20))).shape
    ('batch', 8)
    """

    op = "GlobalMaxPool"
    reduction = "ReduceMax"


@dataclass(frozen=True, eq=False)
class GlobalMaxPooling2D(_GlobalPooling):
    """The largest value of each channel (Keras ``GlobalMaxPooling2D``; ONNX ``GlobalMaxPool``).

    Input: (batch, channels, height, width) of a float type: channels **first**, Keras' default is last.
    Output: (batch, channels).

    Args:
        keepdims: whether the output is (batch, channels, 1, 1) instead.

    Raises:
        ShapeError: the input has not these axes.

    >>> import neuromatic as nm
    >>> nm.layers.GlobalMaxPooling2D()(nm.Input((8, 28, 28))).shape
    ('batch', 8)
    """

    rank = 2
    op = "GlobalMaxPool"


@dataclass(frozen=True, eq=False)
class GlobalMaxPooling3D(_GlobalPooling):
    """The largest value of each channel (Keras ``GlobalMaxPooling3D``; ONNX ``GlobalMaxPool``).

    Input: (batch, channels, depth, height, width) of a float type: channels **first**, Keras' default is
    last.  Output: (batch, channels).

    Args:
        keepdims: whether the output is (batch, channels, 1, 1, 1) instead.

    Raises:
        ShapeError: the input has not these axes.

    >>> import neuromatic as nm
    >>> nm.layers.GlobalMaxPooling3D(keepdims=True)(nm.Input((8, 6, 28, 28))).shape
    ('batch', 8, 1, 1, 1)
    """

    rank = 3
    op = "GlobalMaxPool"


GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
