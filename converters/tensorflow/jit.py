"""Whether a step is compiled with XLA.

XLA on a CPU gains where steps are small matrix products and elementwise work, since it saves the start of
many small kernels; it loses on convolutions, pools, loops and random numbers, for which TensorFlow's own CPU
kernels are better. On a GPU it gains throughout.
"""

from __future__ import annotations

from typing import Literal

import tensorflow as tf

from neuromatic.converters.lowering import Plan

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
        "MaxPool",
        "RNN",
    }
)


NEVER = frozenset(
    {
        "Compress",
        "Det",
        "If",
        "Loop",
        "NonMaxSuppression",
        "NonZero",
        "RegexFullMatch",
        "RoiAlign",
        "Scan",
        "StringConcat",
        "StringNormalizer",
        "StringSplit",
        "Unique",
    }
)
"""Operators that XLA lacks: with sizes that depend on values, of strings, and determinants."""


def should_jit(plan: Plan, jit: Jit) -> bool:
    """The choice for a planned step; ``"auto"`` follows the rule above."""
    if jit != "auto":
        return jit
    used = {lowering.key.op for lowering in plan.lowerings()}
    if tf.config.list_physical_devices("GPU"):
        return NEVER.isdisjoint(used)
    return (BETTER_WITHOUT_ON_CPU | NEVER).isdisjoint(used)
