"""Passes that say an ONNX graph in simpler or older operators; outputs and parameters stay the same.

Each is a function ``(model, keep)`` that returns a new model; ``keep`` names the initializers that are
parameters, which nothing is computed from beforehand. :func:`to_opset9` composes them.
"""

from neuromatic.converters.normalize.native import NATIVE_OPERATORS
from neuromatic.converters.normalize.opset9 import PASSES, to_opset9

__all__ = ["NATIVE_OPERATORS", "PASSES", "to_opset9"]
