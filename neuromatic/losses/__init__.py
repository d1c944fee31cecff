"""Losses, each once, as ONNX nodes from (target, prediction) to the numbers that training makes small.

Names, arguments and values are those of Keras 3. A final ``Softmax`` or ``Sigmoid`` of the model is
recognised: the crossentropies then start from its input, which is exact where probabilities round to 0 or 1.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from onnx import FunctionProto, ModelProto

from neuromatic._names import by_name, from_name
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.losses import ctc, focal, hinge, probabilistic, regression, segmentation, similarity
from neuromatic.losses._reduction import Reduction
from neuromatic.losses.base import ElementLoss, FunctionLoss, Loss
from neuromatic.losses.ctc import *
from neuromatic.losses.focal import *
from neuromatic.losses.hinge import *
from neuromatic.losses.onnx_graph import GraphLoss, read
from neuromatic.losses.probabilistic import *
from neuromatic.losses.regression import *
from neuromatic.losses.segmentation import *
from neuromatic.losses.similarity import *

__all__ = [
    "LOSSES",
    "ElementLoss",
    "FunctionLoss",
    "GraphLoss",
    "Loss",
    "LossLike",
    "Reduction",
    "get",
]
__all__ += ctc.__all__
__all__ += focal.__all__
__all__ += hinge.__all__
__all__ += probabilistic.__all__
__all__ += regression.__all__
__all__ += segmentation.__all__
__all__ += similarity.__all__

LOSSES = by_name(Loss, ctc, focal, hinge, probabilistic, regression, segmentation, similarity)

LossLike = (
    str
    | os.PathLike[str]
    | type[Loss]
    | Loss
    | ModelProto
    | FunctionProto
    | Callable[[GraphBuilder, Value, Value], Value]
)


def get(loss: LossLike, **arguments: Any) -> Loss:
    """A loss from its Keras name, its class, itself, a function that adds ONNX nodes, or from ONNX.

    A name that ends in ``.onnx`` is a file, see :class:`GraphLoss`.

    >>> get("huber", delta=0.5).delta
    0.5

    Raises:
        UnknownNameError: there is none of that name.
        InvalidModelError: a file cannot be read or is not valid ONNX.
    """
    given: Any = loss
    if isinstance(given, (type, Loss)) or (isinstance(given, str) and not given.endswith(".onnx")):
        return from_name("loss", given, LOSSES, Loss, **arguments)
    if isinstance(given, (str, os.PathLike, ModelProto, FunctionProto)):
        return read(given, **arguments)
    if not callable(given):
        return from_name("loss", given, LOSSES, Loss)
    function: Callable[..., Any] = given
    return FunctionLoss(function, **arguments)
