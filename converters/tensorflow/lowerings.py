"""All TensorFlow lowerings: importing this module fills the registry ``ops``."""

from __future__ import annotations

from neuromatic.converters.tensorflow import (
    activation,
    constant,
    conv,
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
from neuromatic.converters.tensorflow.registry import ops

__all__ = [
    "activation",
    "constant",
    "conv",
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
