"""Build, train and run ONNX models.

>>> import neuromatic as nm
>>> model = nm.Sequential(input_shape=(4,)).dense(20, activation="sigmoid").dense(1)
>>> model = model.loss("rmse").optimizer("adam")
"""

from __future__ import annotations

from neuromatic import (
    constraints,
    errors,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    schedules,
)
from neuromatic.builder.functional import Input
from neuromatic.builder.model import Model, load
from neuromatic.builder.sequential import Sequential
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.training import Callback, EarlyStopping, History, LearningRateScheduler, ReduceLROnPlateau

__version__ = "0.1.0"

__all__ = [
    "Callback",
    "EarlyStopping",
    "GraphBuilder",
    "History",
    "Input",
    "LearningRateScheduler",
    "Model",
    "ReduceLROnPlateau",
    "Sequential",
    "Value",
    "constraints",
    "errors",
    "initializers",
    "layers",
    "load",
    "losses",
    "metrics",
    "optimizers",
    "regularizers",
    "schedules",
]
