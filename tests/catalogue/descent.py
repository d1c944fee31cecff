"""Optimizers on gradients that are known beforehand, here and in Keras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic.builder.model import Model
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.optimizers import Optimizer

Array = NDArray[Any]
STEPS, BATCH, INPUTS, UNITS = 10, 4, 3, 5


def product(g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
    """A loss whose gradient does not depend on the parameters."""
    return g.add("Mul", y_true, y_pred)


def rows(steps: int = STEPS, dtype: str = "float32") -> tuple[Array, Array]:
    """Inputs and targets of some steps; the gradients grow, so that some are clipped and some are not."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(steps * BATCH, INPUTS)) * np.linspace(0.3, 3.0, steps * BATCH)[:, None]
    return x.astype(dtype), rng.normal(size=(steps * BATCH, UNITS)).astype(dtype)


def net(optimizer: Optimizer, dtype: str = "float32") -> Model:
    layer = nm.layers.Dense(UNITS, bias_initializer="random_normal")
    return nm.Sequential((INPUTS,), dtype).append(layer).loss(product).optimizer(optimizer)


def gradients(x: Array, y: Array) -> list[list[Array]]:
    """What each step gives for kernel and bias."""
    scale = BATCH * UNITS
    found = []
    for i in range(0, len(x), BATCH):
        a, b = x[i : i + BATCH], y[i : i + BATCH]
        found.append([(a.T @ b / scale).astype(x.dtype), (b.sum(axis=0) / scale).astype(x.dtype)])
    return found


def trained(
    optimizer: Optimizer, dtype: str = "float32", steps: int = STEPS, **options: Any
) -> dict[str, Array]:
    """Parameters and states after some steps."""
    model = net(optimizer, dtype)
    x, y = rows(steps, dtype)
    settings: dict[str, Any] = {"batch_size": BATCH, "shuffle": False, "verbose": 0} | options
    if settings.get("engine", "tensorflow") == "tensorflow":
        settings.setdefault("engine_options", {"jit": False})
    model.train(x, y, **settings)
    return everything(model)


def everything(model: Model) -> dict[str, Array]:
    """Every initializer of a model and of its recipe, by name."""
    from onnx import numpy_helper

    from neuromatic.ir.parameters import stored_tensors

    return {name: numpy_helper.to_array(t) for name, t in stored_tensors(model.proto).items()}


def keras_trained(
    optimizer: Any,
    start: Sequence[Array],
    dtype: str = "float32",
    steps: int = STEPS,
    rate: Callable[[int], float] | None = None,
) -> list[Array]:
    """Keras' kernel and bias after the same gradients, with what ends its ``fit``."""
    names = ("dense_kernel", "dense_bias")
    variables = [
        keras.Variable(value, name=name, dtype=dtype) for value, name in zip(start, names, strict=True)
    ]
    optimizer.build(variables)
    for step, found in enumerate(gradients(*rows(steps, dtype))):
        if rate is not None:
            optimizer.learning_rate = rate(step)
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in found], variables)
    optimizer.finalize_variable_values(variables)
    return [np.asarray(v) for v in variables]


def assert_equals_keras(
    ours: Optimizer,
    theirs: Any,
    dtype: str = "float32",
    steps: int = STEPS,
    tolerance: float = 1e-5,
    **options: Any,
) -> None:
    start = [net(ours, dtype).parameters()[f"dense/{name}"] for name in ("kernel", "bias")]
    expected = keras_trained(theirs, start, dtype, steps, options.get("learning_rate"))
    found = trained(ours, dtype, steps, **options)
    for name, wanted in zip(("kernel", "bias"), expected, strict=True):
        np.testing.assert_allclose(found[f"dense/{name}"], wanted, rtol=tolerance, atol=tolerance)
