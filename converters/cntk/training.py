"""What only a training step has: Gradient and the optimizers of ``ai.onnx.preview.training``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.graph import HostValue, Tensor, Value
from neuromatic.converters.cntk.registry import ops
from neuromatic.converters.lowering import Scope
from neuromatic.converters.registry import TRAINING_DOMAIN


@ops.lowers("Gradient", since=(1,), domain=TRAINING_DOMAIN, pure=False)
def gradient(
    scope: Scope, *Inputs: Value, xs: Sequence[str], y: str, zs: Sequence[str] | None
) -> tuple[Tensor, ...]:
    """The gradient of ``y`` for each of ``xs``, which the worker finds by CNTK's backpropagation.

    https://onnx.ai/onnx/operators/onnx_aionnxpreviewtraining_Gradient.html
    """
    graph = scope.context.graph
    if list(scope.inputs[: len(xs)]) != list(xs) or not all(name in graph.cells for name in xs):
        raise ck.CannotRecordError(f"its first inputs have to be its xs, parameters: {', '.join(xs)}")
    for name in xs:
        if name not in graph.gradients:
            cell = graph.cells[name]
            graph.gradients[name] = graph.new(cell.shape, cell.dtype, "update")
    return tuple(graph.gradients[name] for name in xs)


def _groups(inputs: Sequence[Any], count: int) -> list[tuple[Any, ...]]:
    """(X, G, state ...) for each optimized tensor."""
    size = len(inputs) // count
    return list(zip(*(inputs[i * size : (i + 1) * size] for i in range(count)), strict=True))


def _grouped(results: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """All new X, then all of each new state."""
    return tuple(tensor for group in zip(*results, strict=True) for tensor in group)


def _regularized(X: Tensor, G: Tensor, norm_coefficient: float) -> Tensor:
    return G if norm_coefficient == 0 else ck.plus(ck.scaled(X, norm_coefficient), G)


def _mix(old: Tensor, new: Tensor, kept: float) -> Tensor:
    return ck.plus(ck.scaled(old, kept), ck.scaled(new, 1 - kept))


def _on_host(name: str, value: Value) -> HostValue:
    """A rate or step as a value of the host.

    Raises:
        CannotRecordError: it is computed from tensors.
    """
    if isinstance(value, Tensor):
        raise ck.CannotRecordError(f"{name} computed from tensors")
    return value if isinstance(value, HostValue) else HostValue(lambda moment: value)


@ops.lowers("Adam", since=(1,), domain=TRAINING_DOMAIN, pure=False)
def adam(
    scope: Scope,
    R: Value,
    T: Value,
    *inputs: Tensor,
    alpha: float,
    beta: float,
    epsilon: float,
    norm_coefficient: float,
    norm_coefficient_post: float,
) -> tuple[Tensor, ...]:
    """V = alpha V + (1 - alpha) G;  H = beta H + (1 - beta) G**2;  X -= R' V / (sqrt(H) + epsilon).

    R' = R sqrt(1 - beta**T) / (1 - alpha**T) where T > 0, else R.
    https://onnx.ai/onnx/operators/onnx_aionnxpreviewtraining_Adam.html
    """
    rate, step = _on_host("R", R), _on_host("T", T)

    def corrected(moment: Any) -> Any:
        t = float(step.at(moment))
        factor = np.sqrt(1 - beta**t) / (1 - alpha**t) if t > 0 else 1.0
        return np.asarray(rate.at(moment) * factor, np.float32)

    scaled_rate = HostValue(corrected)
    results = []
    for X, G, V, H in _groups(inputs, 4):
        g = _regularized(X, G, norm_coefficient)
        v, h = _mix(V, g, alpha), _mix(H, ck.multiply(g, g), beta)
        root = ck.shifted(ck.unary("sqrt", h), epsilon)
        x = ck.minus(X, ck.divide(ck.multiply(scaled_rate, v), root))
        results.append((ck.scaled(x, 1 - norm_coefficient_post), v, h))
    return _grouped(results)


@ops.lowers("Momentum", since=(1,), domain=TRAINING_DOMAIN, pure=False)
def momentum(
    scope: Scope,
    R: Value,
    T: Value,
    *inputs: Tensor,
    alpha: float,
    beta: float,
    mode: str,
    norm_coefficient: float,
) -> tuple[Tensor, ...]:
    """V = alpha V + beta' G;  X -= R V, or R (G + alpha V) in mode "nesterov".

    beta' = beta where T > 0, else 1.  https://onnx.ai/onnx/operators/onnx_aionnxpreviewtraining_Momentum.html
    """
    rate, step = _on_host("R", R), _on_host("T", T)
    damping = HostValue(lambda m: np.array(beta if step.at(m) > 0 else 1, np.float32))
    results = []
    for X, G, V in _groups(inputs, 3):
        g = _regularized(X, G, norm_coefficient)
        v = ck.plus(ck.scaled(V, alpha), ck.multiply(damping, g) if beta != 1 else g)
        moved = ck.plus(g, ck.scaled(v, alpha)) if mode == "nesterov" else v
        results.append((ck.minus(X, ck.multiply(rate, moved)), v))
    return _grouped(results)


@ops.lowers("Adagrad", since=(1,), domain=TRAINING_DOMAIN, pure=False)
def adagrad(
    scope: Scope,
    R: Value,
    T: Value,
    *inputs: Tensor,
    decay_factor: float,
    epsilon: float,
    norm_coefficient: float,
) -> tuple[Tensor, ...]:
    """H = H + G**2;  X -= R / (1 + T decay_factor) * G / (sqrt(H) + epsilon).

    https://onnx.ai/onnx/operators/onnx_aionnxpreviewtraining_Adagrad.html
    """
    rate, step = _on_host("R", R), _on_host("T", T)
    decayed = HostValue(lambda m: np.asarray(rate.at(m) / (1 + step.at(m) * decay_factor), np.float32))
    results = []
    for X, G, H in _groups(inputs, 3):
        g = _regularized(X, G, norm_coefficient)
        h = ck.plus(H, ck.multiply(g, g))
        root = ck.shifted(ck.unary("sqrt", h), epsilon)
        results.append((ck.minus(X, ck.divide(ck.multiply(decayed, g), root)), h))
    return _grouped(results)
