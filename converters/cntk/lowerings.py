"""All CNTK lowerings: importing this module fills the registry ``ops``."""

from __future__ import annotations

from neuromatic.converters.cntk import (
    activation,
    constant,
    control,
    conv,
    einsum,
    extend,
    feature_norm,
    gather,
    linear,
    logic,
    loss,
    math,
    noise,
    norm,
    pool,
    recurrent,
    reduce,
    regularization,
    reshape,
    resize,
    training,
)
from neuromatic.converters.cntk.registry import ops

__all__ = [
    "activation",
    "constant",
    "control",
    "conv",
    "einsum",
    "extend",
    "feature_norm",
    "gather",
    "linear",
    "logic",
    "loss",
    "math",
    "noise",
    "norm",
    "ops",
    "pool",
    "recurrent",
    "reduce",
    "regularization",
    "reshape",
    "resize",
    "training",
]
