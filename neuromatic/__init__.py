"""Build, train and run ONNX models.

>>> import neuromatic as nm
>>> model = nm.Sequential(input_shape=(4,)).dense(20, activation="sigmoid").dense(1)
>>> model = model.loss("rmse").optimizer("adam")
"""

from __future__ import annotations

from neuromatic import errors, initializers, layers, losses, metrics, optimizers
from neuromatic.functional import Input
from neuromatic.graph import GraphBuilder, Value
from neuromatic.model import Model, load
from neuromatic.sequential import Sequential
from neuromatic.training import Callback, EarlyStopping, History

__version__ = "0.1.0"

__all__ = [
    "Callback",
    "EarlyStopping",
    "GraphBuilder",
    "History",
    "Input",
    "Model",
    "Sequential",
    "Value",
    "errors",
    "initializers",
    "layers",
    "load",
    "losses",
    "metrics",
    "optimizers",
]
