"""What preprocessing layers share: arguments, element types, constants, data to adapt to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper

from neuromatic.errors import ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.portable_ops import cast
from neuromatic.ir.values import Value, shape_text
from neuromatic.layers._arguments import check_positive

Array = NDArray[Any]
Range = Sequence[float]

_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def choice(owner: str, argument: str, value: object, allowed: Sequence[str]) -> None:
    """Refuse a name that is none of those allowed."""
    if value not in allowed:
        names = ", ".join(repr(a) for a in allowed)
        raise ValueError(f"{owner}: {argument} must be one of {names}, got {value!r}")


def positive(owner: str, **arguments: object) -> None:
    """Refuse arguments that are not positive integers."""
    for argument, value in arguments.items():
        check_positive(owner, argument, value)


def value_range(owner: str, values: Range) -> tuple[float, float]:
    """The lowest and the highest value that pixels can have.

    Raises:
        ValueError: these are not two different numbers.
    """
    if not isinstance(values, (tuple, list)) or len(values) != 2 or values[0] == values[1]:
        raise ValueError(f"{owner}: value_range must be two different numbers, got {values!r}")
    low, high = sorted(float(v) for v in values)
    return low, high


def is_float(x: Value) -> bool:
    """Whether elements are of a float type."""
    return x.dtype in _FLOATS


def as_float(g: GraphBuilder, x: Value) -> Value:
    """The value itself if it is of a float type, else as float32."""
    return x if is_float(x) else cast(g, x, TensorProto.FLOAT)


def as_dtype(g: GraphBuilder, x: Value, dtype: int) -> Value:
    """Numbers back to the element type of an image: rounded and limited where that is an integer type."""
    if is_float(Value("", dtype, None)):
        return cast(g, x, dtype)
    limits = np.iinfo(helper.tensor_dtype_to_np_dtype(dtype))
    y = g.add("Clip", g.add("Round", x), g.const(limits.min, x.dtype), g.const(limits.max, x.dtype))
    return cast(g, y, dtype)


def after_batch(g: GraphBuilder, numbers: ArrayLike, x: Value) -> Value:
    """A constant whose axes are those of ``x`` after the batch, from the first on."""
    array = np.asarray(numbers, np.float64)
    if array.ndim:
        array = array.reshape(array.shape + (1,) * (x.rank - 1 - array.ndim))
    return g.const(array, x.dtype)


def rescaled(g: GraphBuilder, x: Value, source: tuple[float, float], target: tuple[float, float]) -> Value:
    """Numbers from one range in another."""
    if source == target:
        return x

    def number(value: float) -> Value:
        return g.const(value, x.dtype)

    y = x if source[0] == 0 else g.add("Sub", x, number(source[0]))
    y = g.add("Mul", g.add("Div", y, number(source[1] - source[0])), number(target[1] - target[0]))
    return y if target[0] == 0 else g.add("Add", y, number(target[0]))


def image_sizes(g: GraphBuilder, owner: str, x: Value) -> tuple[int, int, int]:
    """Channels, height and width of a batch of images.

    Raises:
        ShapeError: ``x`` is not of rank 4, or one of these is unknown.
    """
    match x.shape:
        case (_, int(channels), int(height), int(width)):
            return channels, height, width
        case _:
            raise ShapeError(
                f"{g.scope}: {owner} takes (batch, channels, height, width) of known sizes, "
                f"got {shape_text(x.shape)} from {x.name!r}; give Input the sizes"
            )


def batches(owner: str, data: Any, steps: int | None = None) -> Iterator[Array]:
    """The batches of data to adapt to: one array, or an iterable of arrays or of tuples that begin with one.

    Raises:
        TypeError: ``data`` is neither.
        ValueError: there are no batches.
    """
    if isinstance(data, np.ndarray):
        data = [data]
    if not isinstance(data, Iterable) or isinstance(data, (str, bytes)):
        raise TypeError(f"{owner}: adapt takes an array or an iterable of batches, got {data!r}")
    count = 0
    for count, batch in enumerate(data, 1):
        if steps is not None and count > steps:
            break
        yield np.asarray(batch[0] if isinstance(batch, tuple) else batch)
    if count == 0:
        raise ValueError(f"{owner}: adapt needs at least one batch, got none")
