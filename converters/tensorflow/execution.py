"""How TensorFlow lowerings are called: constants are folded, and layouts are assigned as values flow.

Values known while a graph is traced stay numpy arrays: shapes, axes and everything computed from them
alone. A lowering that gets only such values is run eagerly and its result becomes an array again, so shape
arithmetic costs nothing at run time and the traced graph is static.

TensorFlow's convolutions and pools on CPU are at their best channels last, ONNX is channels first. A lowering
with layout ``"NHWC"`` takes its first input, and returns its outputs, channels last; such results travel as
:class:`ChannelsLast`. Elementwise lowerings (layout ``"any"``) keep them so; all others get them turned
back, once per value.

Integers that QuantizeLinear made travel as :class:`Quantized`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from neuromatic.converters.lowering import Scope
from neuromatic.converters.registry import Lowering


class ChannelsLast:
    """A tensor in NHWC that stands for the NCHW value it came from; of any rank from 3 up."""

    def __init__(self, tensor: tf.Tensor) -> None:
        self.tensor = tensor
        self._first: tf.Tensor | None = None

    @property
    def rank(self) -> int:
        return int(self.tensor.shape.rank)

    def channels_first(self) -> tf.Tensor:
        """The NCHW tensor, made once."""
        if self._first is None:
            rank = self.rank
            self._first = tf.transpose(self.tensor, [0, rank - 1, *range(1, rank - 1)])
        return self._first


class Quantized:
    """Integers that also travel as floats, for the sake of their gradient.

    Attributes:
        tensor: the integers.
        steps: the same numbers as floats.
    """

    def __init__(self, tensor: tf.Tensor, steps: tf.Tensor) -> None:
        self.tensor = tensor
        self.steps = steps


def channels_first(value: Any) -> Any:
    """A value as ONNX has it: in its layout, in its type."""
    if isinstance(value, ChannelsLast):
        return value.channels_first()
    return value.tensor if isinstance(value, Quantized) else value


def _rank(value: Any) -> int:
    return value.rank if isinstance(value, ChannelsLast) else len(value.shape)


def channels_last(value: Any, rank: int) -> Any:
    """A value laid out NHWC for an operation of that rank; lower ranks are first padded with ones."""
    if isinstance(value, ChannelsLast):
        return value.tensor
    missing = rank - _rank(value)
    xp: Any = np if isinstance(value, np.ndarray) else tf
    if missing == rank:
        return value
    if missing:
        value = xp.reshape(value, [1] * missing + _shape(value))
    return xp.transpose(value, [0, *range(2, rank), 1])


def _shape(value: Any) -> Any:
    if isinstance(value, np.ndarray) or value.shape.is_fully_defined():
        return list(value.shape)
    dynamic = tf.shape(value)
    return [dynamic[i] if d is None else d for i, d in enumerate(value.shape)]


def call(lowering: Lowering, scope: Scope, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """Call one lowering on numpy arrays, tensors, :class:`ChannelsLast` and :class:`Quantized` values."""
    if any(isinstance(x, Quantized) for x in inputs):
        return _call_on_quantized(lowering, scope, inputs, attributes)
    if lowering.pure and all(x is None or isinstance(x, np.ndarray) for x in inputs):
        return _fold(lowering, scope, inputs, attributes)
    if lowering.layout == "NHWC" and _rank(inputs[0]) >= 3:
        first = channels_last(inputs[0], _rank(inputs[0]))
        rest = [channels_first(x) for x in inputs[1:]]
        return _tag(lowering.function(scope, first, *rest, **attributes))
    if lowering.layout == "any" and any(isinstance(x, ChannelsLast) for x in inputs):
        rank = max(_rank(x) for x in inputs if isinstance(x, ChannelsLast))
        if all(x is None or _rank(x) <= rank for x in inputs) and _same_rank(inputs, rank):
            laid_out = [None if x is None else channels_last(x, rank) for x in inputs]
            return _tag(lowering.function(scope, *laid_out, **attributes))
    if lowering.layout == "axis" and any(isinstance(x, ChannelsLast) for x in inputs):
        rank = _rank(inputs[0])
        laid_out = [channels_last(x, rank) for x in inputs]
        turned = {**attributes, "axis": _axis_of_channels_last(attributes["axis"], rank)}
        return _tag(lowering.function(scope, *laid_out, **turned))
    return lowering.function(scope, *(channels_first(x) for x in inputs), **attributes)


def _call_on_quantized(
    lowering: Lowering, scope: Scope, inputs: Sequence[Any], attributes: Mapping[str, Any]
) -> Any:
    """Only DequantizeLinear takes the floats; for all others the integers are meant."""
    if lowering.key.op == "DequantizeLinear":
        first, *rest = inputs
        return lowering.function(scope, first, *map(channels_first, rest), **attributes)
    return call(lowering, scope, [x.tensor if isinstance(x, Quantized) else x for x in inputs], attributes)


def _axis_of_channels_last(axis: int, rank: int) -> int:
    order: list[int] = [0, rank - 1, *range(1, rank - 1)]
    return order[axis]


def _same_rank(inputs: Sequence[Any], rank: int) -> bool:
    return all(x.rank == rank for x in inputs if isinstance(x, ChannelsLast))


def _tag(results: Any) -> Any:
    """Mark the image-like results of a channels-last call; statistics and the like stay as they are."""
    if isinstance(results, tuple):
        return tuple(_tag(r) for r in results)
    return ChannelsLast(results) if results is not None and len(results.shape) >= 3 else results


def _fold(lowering: Lowering, scope: Scope, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    with tf.init_scope():
        if lowering.layout == "NHWC" and inputs and inputs[0] is not None and inputs[0].ndim >= 3:
            first = channels_last(inputs[0], inputs[0].ndim)
            results = _tag(lowering.function(scope, first, *inputs[1:], **attributes))
        else:
            results = lowering.function(scope, *inputs, **attributes)
        return tuple(array(r) for r in results) if isinstance(results, tuple) else array(results)


def array(value: Any) -> Any:
    """A computed value as a numpy array, also where it is a scalar."""
    value = channels_first(value)
    if not isinstance(value, tf.Tensor):
        return value
    return np.asarray(value.numpy(), dtype=object if value.dtype == tf.string else None)
