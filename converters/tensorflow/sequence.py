"""Sequences and optionals: values of the trace, not of TensorFlow.

A sequence is a tuple of tensors whose length is known while the graph is traced; an optional without an
element is None. Neither leaves anything in the traced graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from onnx import TypeProto

from neuromatic.converters.lowering import Scope
from neuromatic.converters.tensorflow._tensors import (
    Tensor,
    integers,
    known_dimension,
    normalized,
    rank,
    unsupported,
)
from neuromatic.converters.tensorflow.registry import ops


@dataclass(frozen=True)
class TensorSequence:
    """A sequence of ONNX: tensors of one type, of any shapes."""

    items: tuple[Any, ...] = ()


def _position(scope: Scope, position: Tensor, length: int, last: int) -> int:
    """A position counted from the front, at most ``last``; without one, that."""
    if position is None:
        return last
    (place,) = integers(scope, position, "position")
    if not -length <= place <= last:
        raise unsupported(scope, f"position {place} is outside of its sequence of {length} tensors")
    return place + length if place < 0 else place


@ops.lowers("SequenceEmpty", since=(11,))
def sequence_empty(scope: Scope, *, dtype: int | None) -> TensorSequence:
    """No tensors.  https://onnx.ai/onnx/operators/onnx__SequenceEmpty.html"""
    return TensorSequence()


@ops.lowers("SequenceConstruct", since=(11,))
def sequence_construct(scope: Scope, *inputs: Tensor) -> TensorSequence:
    """The inputs as a sequence.  https://onnx.ai/onnx/operators/onnx__SequenceConstruct.html"""
    return TensorSequence(inputs)


@ops.lowers("SequenceAt", since=(11,))
def sequence_at(scope: Scope, input_sequence: TensorSequence, position: Tensor) -> Tensor:
    """The tensor at a position.  https://onnx.ai/onnx/operators/onnx__SequenceAt.html"""
    items = input_sequence.items
    if (
        isinstance(position, tf.Tensor)
        and items
        and len({(str(x.dtype), tuple(x.shape)) for x in items}) == 1
    ):
        place = tf.reshape(position, [])
        return tf.gather(tf.stack(items), tf.where(place < 0, place + len(items), place))
    return items[_position(scope, position, len(items), len(items) - 1)]


@ops.lowers("SequenceInsert", since=(11,))
def sequence_insert(
    scope: Scope, input_sequence: TensorSequence, tensor: Tensor, position: Tensor = None
) -> TensorSequence:
    """The sequence with a tensor put in before a position, or at the end.

    https://onnx.ai/onnx/operators/onnx__SequenceInsert.html
    """
    items = input_sequence.items
    place = _position(scope, position, len(items), len(items))
    return TensorSequence((*items[:place], tensor, *items[place:]))


@ops.lowers("SequenceErase", since=(11,))
def sequence_erase(scope: Scope, input_sequence: TensorSequence, position: Tensor = None) -> TensorSequence:
    """The sequence without the tensor at a position, or at the end.

    https://onnx.ai/onnx/operators/onnx__SequenceErase.html
    """
    items = input_sequence.items
    place = _position(scope, position, len(items), len(items) - 1)
    return TensorSequence((*items[:place], *items[place + 1 :]))


@ops.lowers("SequenceLength", since=(11,))
def sequence_length(scope: Scope, input_sequence: TensorSequence) -> Tensor:
    """The number of tensors.  https://onnx.ai/onnx/operators/onnx__SequenceLength.html"""
    return np.array(len(input_sequence.items), np.int64)


@ops.lowers("SplitToSequence", since=(11, 24), pure=False)
def split_to_sequence(
    scope: Scope, input: Tensor, split: Tensor = None, *, axis: int, keepdims: int
) -> TensorSequence:
    """Parts of the input along one axis: of size 1, of one given size, the last smaller, or of given sizes.

    https://onnx.ai/onnx/operators/onnx__SplitToSequence.html.  24: bfloat16.
    """
    axis = normalized(axis, rank(input))
    if split is None or rank(split) == 0:
        total = known_dimension(scope, input, axis)
        part = 1 if split is None else integers(scope, split, "split")[0]
        sizes = [min(part, total - start) for start in range(0, total, part)]
    else:
        sizes = integers(scope, split, "split")
    known = isinstance(input, np.ndarray)
    parts = np.split(input, np.cumsum(sizes)[:-1], axis) if known else tf.split(input, sizes, axis)
    if split is None and not keepdims:
        parts = [(np if known else tf).squeeze(part, axis) for part in parts]
    return TensorSequence(tuple(parts))


@ops.lowers("ConcatFromSequence", since=(11,))
def concat_from_sequence(scope: Scope, input_sequence: TensorSequence, *, axis: int, new_axis: int) -> Tensor:
    """The tensors one after the other along one axis, which is a new one if ``new_axis``.

    https://onnx.ai/onnx/operators/onnx__ConcatFromSequence.html
    """
    return (tf.stack if new_axis else tf.concat)(list(input_sequence.items), axis)


@ops.lowers("Optional", since=(15, 28))
def optional(scope: Scope, input: Any = None, *, type: TypeProto | None) -> Any:
    """The input as an optional, or one without an element.

    https://onnx.ai/onnx/operators/onnx__Optional.html.  28: bfloat16.
    """
    return input


@ops.lowers("OptionalHasElement", since=(15, 18, 28))
def optional_has_element(scope: Scope, input: Any = None) -> Tensor:
    """Whether an optional has an element; any other value counts as one.

    https://onnx.ai/onnx/operators/onnx__OptionalHasElement.html.  18: the input may be left out.
    """
    return np.array(input is not None)


@ops.lowers("OptionalGetElement", since=(15, 18, 28))
def optional_get_element(scope: Scope, input: Any) -> Any:
    """The element of an optional.

    https://onnx.ai/onnx/operators/onnx__OptionalGetElement.html.  18: other values stand for themselves.
    """
    if input is None:
        raise unsupported(scope, f"{scope.inputs[0]!r} is an optional without an element; test it by If")
    return input
