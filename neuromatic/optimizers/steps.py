"""What a step does besides an optimizer's own node, each as nodes that are there only if asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper

from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.opsets import NEUROMATIC_DOMAIN
from neuromatic.ir.values import Value, dtype_name
from neuromatic.optimizers.formula import (
    CAST_LIKE_OPSET,
    Number,
    formula,
    local_function,
    maximum,
    norm,
    opset_too_low,
)
from neuromatic.optimizers.setting import Setting, shape_of

if TYPE_CHECKING:
    from neuromatic.optimizers.base import Optimizer

AVERAGE = "average"
"""Begins the name of the moving average of a parameter."""


@formula("ClipByNorm")
def _clip_by_norm(G: Number, *, clipnorm: Number) -> Number:
    return G * clipnorm / maximum(norm(G), clipnorm)


@formula("SquaredNorm")
def _squared_norm(G: Number) -> Number:
    return (G * G).reduced("ReduceSum")


@formula("ClipByGlobalNorm")
def _clip_by_global_norm(G: Number, S: Number, *, clipnorm: Number) -> Number:
    return G * (clipnorm / maximum(S.apply("Sqrt"), clipnorm))


@formula("WeightDecay")
def _weight_decay(X: Number, R: Number, *, weight_decay: Number) -> Number:
    return X - X * weight_decay * R


@formula("MovingAverage")
def _moving_average(A: Number, X: Number, K: Number) -> Number:
    return K * A + (1.0 - K) * X


def call(
    g: GraphBuilder, name: str, like: Value, *more: Value, scalar: bool = False, to: str, **attributes: float
) -> Value:
    """Add a call of a formula of one result, of the type of its first input.

    Args:
        to: what it is for; names the node.
        scalar: whether the result has no axes, unlike the first input.
    """
    function = local_function(name, g.opset)
    if g.opset < CAST_LIKE_OPSET and like.dtype != TensorProto.FLOAT:
        raise opset_too_low(f"{name} of {dtype_name(like.dtype)}", CAST_LIKE_OPSET, g.opset)
    g.add_function(function)
    kind = (like.dtype, () if scalar else like.shape)
    given = function.input[1 + len(more) :]
    settings = [g.const(attributes.pop(key), like.dtype) for key in given]
    return g.add(name, like, *more, *settings, domain=NEUROMATIC_DOMAIN, types=[kind], name=to, **attributes)


@dataclass(frozen=True)
class _Counted:
    """Steps and updates, which are fewer where gradients are accumulated.

    Attributes:
        update: the number of the update that a step belongs to, from 1 on.
        due: whether the update takes place in this step; None for in each.
    """

    update: Value
    due: Value | None = None

    @classmethod
    def of(cls, g: GraphBuilder, step: Value, steps: int | None) -> _Counted:
        if not steps:
            return cls(step)
        one, count = g.const(1, TensorProto.INT64), g.const(steps, TensorProto.INT64)
        before = g.add("Div", g.add("Sub", step, one), count)
        update = g.add("Add", before, one, name="accumulate/update")
        return cls(update, g.add("Equal", g.add("Mul", update, count), step, name="accumulate/due"))


def updated(
    optimizer: Optimizer, setting: Setting, parameters: Sequence[Value], gradients: Sequence[Value]
) -> dict[str, Value]:
    """The update of :meth:`Optimizer.update`."""
    g = setting.g
    counted = _Counted.of(g, setting.step, optimizer.gradient_accumulation_steps)
    updates: dict[str, Value] = {}
    received = _received(optimizer, g, parameters, gradients, counted, updates)
    stages = _stages(optimizer)
    for parameter, gradient in zip(parameters, received, strict=True):
        rate = _own_rate(optimizer, g, parameter, setting.rate)
        own = replace(setting, rate=rate, step=counted.update)
        current = _decayed(optimizer, own, parameter)
        new = optimizer.emit(own, parameter, current, gradient, prefix=stages[0])
        if counted.due is not None:
            due = counted.due
            new = {n: _chosen(g, due, value, setting.held(n), stages[1], n) for n, value in new.items()}
        updates.update(new)
    if optimizer.use_ema:
        _average(optimizer, g, parameters, counted.update, updates)
    return updates


def _own_rate(optimizer: Optimizer, g: GraphBuilder, parameter: Value, rate: Value) -> Value:
    factor = optimizer.rate_factor(parameter)
    if factor == 1.0:
        return rate
    return g.add("Mul", rate, g.const(factor, rate.dtype), name=f"learning_rate/{parameter.name}")


def _received(
    optimizer: Optimizer,
    g: GraphBuilder,
    parameters: Sequence[Value],
    gradients: Sequence[Value],
    counted: _Counted,
    updates: dict[str, Value],
) -> list[Value]:
    """The gradients as the update gets them: averaged over steps, clipped."""
    received = list(gradients)
    if counted.due is not None:
        received = [
            _accumulated(g, p, x, counted.due, optimizer.gradient_accumulation_steps or 1, updates)
            for p, x in zip(parameters, received, strict=True)
        ]
    names = [f"clip/{p.name}" for p in parameters]
    if (limit := optimizer.clipnorm) is not None:
        return [
            call(g, "ClipByNorm", x, to=name, clipnorm=limit) for x, name in zip(received, names, strict=True)
        ]
    if (limit := optimizer.clipvalue) is not None:
        return [op.clip(g, x, -limit, limit) for x in received]
    if (limit := optimizer.global_clipnorm) is not None:
        return _clipped_together(g, received, names, limit)
    return received


def _accumulated(
    g: GraphBuilder, parameter: Value, gradient: Value, due: Value, steps: int, updates: dict[str, Value]
) -> Value:
    """The mean gradient since the last update; what has come so far is a state."""
    zeros = np.zeros(shape_of(parameter), helper.tensor_dtype_to_np_dtype(parameter.dtype))
    kept = g.initializer(g.fresh(f"gradient_accumulator/{parameter.name}"), zeros)
    total = g.add("Add", gradient, kept, name=f"accumulate/{parameter.name}")
    updates[kept.name] = _chosen(g, due, g.const(0.0, parameter.dtype), total, "new", kept.name)
    return g.add("Div", total, g.const(steps, parameter.dtype))


def _clipped_together(
    g: GraphBuilder, gradients: Sequence[Value], names: Sequence[str], limit: float
) -> list[Value]:
    """Gradients scaled by one factor, so that the norm of all of them is at most ``limit``."""
    squares = [
        call(g, "SquaredNorm", x, scalar=True, to=f"{name}/norm")
        for x, name in zip(gradients, names, strict=True)
    ]
    widest = max((s.dtype for s in squares), key=lambda d: helper.tensor_dtype_to_np_dtype(d).itemsize)
    total = op.total(g, *(op.cast(g, s, widest) for s in squares), name="clip/norm")
    return [
        call(g, "ClipByGlobalNorm", x, op.cast(g, total, x.dtype), to=name, clipnorm=limit)
        for x, name in zip(gradients, names, strict=True)
    ]


def _decayed(optimizer: Optimizer, setting: Setting, parameter: Value) -> Value:
    decay, current = optimizer.decay(parameter), setting.held(parameter.name)
    if decay is None:
        return current
    g = setting.g
    rate = op.cast(g, setting.rate, parameter.dtype)
    return call(g, "WeightDecay", current, rate, to=f"decay/{parameter.name}", weight_decay=decay)


def _stages(optimizer: Optimizer) -> tuple[str, str]:
    """What begins the names of an update's results, and of what is chosen from them: the last is ``new``."""
    accumulates = optimizer.gradient_accumulation_steps is not None
    overwrites = optimizer.use_ema and optimizer.ema_overwrite_frequency is not None
    last = "chosen" if overwrites else "new"
    return ("next" if accumulates else last), last


def _average(
    optimizer: Optimizer,
    g: GraphBuilder,
    parameters: Sequence[Value],
    update: Value,
    updates: dict[str, Value],
) -> None:
    """Moving averages of the new parameters, as states, which take their place every so often."""
    later = op.greater(g, update, g.const(1, TensorProto.INT64), name=f"{AVERAGE}/later")
    replaces = None
    if optimizer.ema_overwrite_frequency is not None:
        count = g.const(optimizer.ema_overwrite_frequency, TensorProto.INT64)
        whole = g.add("Mul", g.add("Div", update, count), count)
        replaces = g.add("Equal", whole, update, name=f"{AVERAGE}/replaces")
    momenta: dict[int, Value] = {}
    for parameter in parameters:
        dtype = parameter.dtype
        if dtype not in momenta:
            kept, none = g.const(optimizer.ema_momentum, dtype), g.const(0.0, dtype)
            momenta[dtype] = op.where(g, later, kept, none, name=f"{AVERAGE}/momentum")
        zeros = np.zeros(shape_of(parameter), helper.tensor_dtype_to_np_dtype(dtype))
        old = g.initializer(f"{AVERAGE}/{parameter.name}", zeros)
        new = updates[parameter.name]
        average = call(g, "MovingAverage", old, new, momenta[dtype], to=f"new/{old.name}")
        updates[old.name] = average
        if replaces is not None:
            updates[parameter.name] = _chosen(g, replaces, average, new, "new", parameter.name)


def _chosen(g: GraphBuilder, condition: Value, yes: Value, no: Value, prefix: str, of: str) -> Value:
    """``yes`` where the condition holds, else ``no``, as ``<prefix>/<of>``."""
    name = g.fresh(f"{prefix}/{of}")
    return op.where(g, condition, yes, no, name=name, outputs=[name])
