"""Losses, each once, as ONNX nodes from (target, prediction) to the numbers that training makes small.

Names, arguments and values are those of Keras 3. A final ``Softmax`` or ``Sigmoid`` of the model is
recognised: the crossentropies then start from its input, which is exact where probabilities round to 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neuromatic._lookup import by_name, from_name
from neuromatic.graph import GraphBuilder
from neuromatic.losses import probabilistic, regression
from neuromatic.losses.base import FunctionLoss, Loss
from neuromatic.losses.probabilistic import *
from neuromatic.losses.regression import *
from neuromatic.values import Value

__all__ = ["LOSSES", "FunctionLoss", "Loss", "LossLike", "get"]
__all__ += probabilistic.__all__
__all__ += regression.__all__

LOSSES = by_name(Loss, probabilistic, regression)

LossLike = str | type[Loss] | Loss | Callable[[GraphBuilder, Value, Value], Value]


def get(loss: LossLike, **arguments: Any) -> Loss:
    """A loss from its Keras name, its class, itself, or a function that adds ONNX nodes.

    >>> get("mse")
    MeanSquaredError()

    Raises:
        UnknownNameError: there is none of that name.
    """
    if callable(loss) and not isinstance(loss, (type, Loss)):
        return FunctionLoss(loss, **arguments)
    return from_name("loss", loss, LOSSES, Loss, **arguments)
