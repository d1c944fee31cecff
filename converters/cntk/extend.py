"""Tensors made larger: Pad, Expand, Tile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk._pick import picked
from neuromatic.converters.cntk._shapes import integers, sizes
from neuromatic.converters.cntk.graph import Tensor, Value
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope


@ops.lowers("Pad", since=(18, 19, 21, 23, 24, 25))
def pad(
    scope: Scope,
    data: Value,
    pads: Value,
    constant_value: Value | None = None,
    axes: Value | None = None,
    *,
    mode: str,
) -> Tensor:
    """The input with elements added, or taken away, before and after each axis.

    https://onnx.ai/onnx/operators/onnx__Pad.html.  18: axes.  19: mode wrap.
    """
    x = ck.tensor(data, scope.context.graph)
    value = 0.0 if constant_value is None else float(ck.array(constant_value, "the padding").item())
    chosen = range(x.rank) if axes is None else integers(axes, "axes")
    return _pad(x, integers(pads, "pads"), chosen, mode, value)


@ops.lowers("Pad", since=(11, 13))
def pad_11(
    scope: Scope, data: Value, pads: Value, constant_value: Value | None = None, *, mode: str
) -> Tensor:
    """Pad of all axes.  https://onnx.ai/onnx/operators/onnx__Pad.html.  11: pads as an input."""
    return pad(scope, data, pads, constant_value, mode=mode)


@ops.lowers("Pad", since=(2,))
def pad_by_attribute(scope: Scope, data: Tensor, *, mode: str, pads: Sequence[int], value: float) -> Tensor:
    """Pad with attributes.  https://onnx.ai/onnx/operators/onnx__Pad.html"""
    return _pad(data, pads, range(data.rank), mode, value)


def _pad(x: Tensor, pads: Sequence[int], axes: Sequence[int], mode: str, value: float) -> Tensor:
    n = len(pads) // 2
    grown = [(0, 0)] * x.rank
    for axis, before, after in zip(axes, pads[:n], pads[n:], strict=True):
        axis %= x.rank
        size = x.shape[axis]
        if before < 0 or after < 0:  # takes away
            if size is None:
                raise ck.CannotRecordError("taking rows away from the batch")
            x = picked(x, axis, range(size)[max(-before, 0) : size + min(after, 0)])
        grown[axis] = (max(before, 0), max(after, 0))
    if mode == "constant":
        return ck.pad(x, grown, value=value)
    for axis, width in enumerate(grown):
        if any(width):
            x = picked(x, axis, _padded(x.shape[axis], width, mode))
    return x


def _padded(size: int | None, width: tuple[int, int], mode: Any) -> list[int]:
    """Which elements stand where along a padded axis."""
    if size is None:
        raise ck.CannotRecordError("padding the batch")
    found: list[int] = np.pad(np.arange(size), width, mode=mode).tolist()
    return found


@ops.lowers("Expand", since=(8, 13))
def expand(scope: Scope, input: Value, shape: Value) -> Tensor:
    """The input broadcast with a shape, in both directions.

    https://onnx.ai/onnx/operators/onnx__Expand.html
    """
    x, target = ck.tensor(input, scope.context.graph), sizes(shape, "the new shape")
    if len(target) > x.rank:
        x = ck.expand_dims(x, range(len(target) - x.rank))
    target = [*[1] * (x.rank - len(target)), *target]
    if target.count(None) > 1:
        raise ck.CannotRecordError("a shape that has the batch size twice")
    if None in target and x.batch is None:
        x = ck.repeated_for_batch(x, target.index(None))
    if x.batch is not None and target[x.batch] is None:
        target[x.batch] = 1
    if None in target:
        raise ck.CannotRecordError("the batch in the place of another axis")
    wanted = [size or 1 for size in target]
    if all(size in (1, old) for size, old in zip(wanted, x.shape, strict=True)):
        return x
    return ck.multiply(x, np.ones(wanted, np.float32))


@ops.lowers("Tile", since=(6, 13))
def tile(scope: Scope, input: Value, repeats: Value) -> Tensor:
    """The input repeated along each axis.  https://onnx.ai/onnx/operators/onnx__Tile.html"""
    x = ck.tensor(input, scope.context.graph)
    for axis, count in enumerate(integers(repeats, "repeats")):
        if count == 1:
            continue
        size = x.shape[axis]
        if size is None:
            raise ck.CannotRecordError("repeating the batch")
        if count < 1:
            raise ck.CannotRecordError("a tensor without elements")
        ones = np.ones([count] + [1] * (x.rank - axis), np.float32)
        repeated = ck.multiply(ck.expand_dims(x, [axis]), ones)
        x = ck.reshape(repeated, [*x.shape[:axis], count * size, *x.shape[axis + 1 :]])
    return x
