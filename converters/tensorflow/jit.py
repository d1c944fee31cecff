"""Whether a step is compiled with XLA.

XLA on a CPU gains where steps are small matrix products and elementwise work, since it saves the start of
many small kernels; it loses on convolutions, pools, loops and random numbers, for which TensorFlow's own CPU
kernels are better. On a GPU it gains throughout.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import tensorflow as tf

from neuromatic.converters.lowering import Plan
from neuromatic.converters.registry import Lowering

Jit = bool | Literal["auto"]

BETTER_WITHOUT_ON_CPU = frozenset(
    {
        "AveragePool",
        "Conv",
        "ConvTranspose",
        "Dropout",
        "GRU",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "LSTM",
        "Loop",
        "MaxPool",
        "RNN",
        "Scan",
    }
)


def should_jit(plan: Plan, jit: Jit) -> bool:
    """The choice for a planned step; ``"auto"`` follows the rule above."""
    if jit != "auto":
        return jit
    if tf.config.list_physical_devices("GPU"):
        return True
    return BETTER_WITHOUT_ON_CPU.isdisjoint(operators(plan))


def operators(plan: Plan) -> Iterator[str]:
    """The operators that a plan calls, those inside functions included."""
    for step in plan.steps:
        if isinstance(step.action, Lowering):
            yield step.action.key.op
        else:
            yield from operators(step.action)
