"""Optimizers, each once, as one ONNX node for each parameter.

The node takes (learning rate, step, parameter, gradient, state ...) and gives (new parameter, new state
...), the signature of ``ai.onnx.preview.training``'s own optimizers. Where one of those means what Keras
means it is used; otherwise the node calls a model-local function made of ordinary operators. Either way the
file says in ONNX what an update does, and an engine needs to know nothing of optimizers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnx import FunctionProto

from neuromatic._names import by_name, from_name
from neuromatic.optimizers import adam, adaptive, config, function, multi, muon, sgd
from neuromatic.optimizers.adam import *
from neuromatic.optimizers.adaptive import *
from neuromatic.optimizers.base import Optimizer, State, UpdateRule
from neuromatic.optimizers.formula import FORMULAS, local_function
from neuromatic.optimizers.function import *
from neuromatic.optimizers.multi import *
from neuromatic.optimizers.muon import *
from neuromatic.optimizers.setting import Setting
from neuromatic.optimizers.sgd import *

__all__ = ["FORMULAS", "OPTIMIZERS", "Optimizer", "OptimizerLike", "Setting", "State", "UpdateRule"]
__all__ += ["from_config", "get", "local_function", "to_config"]
__all__ += adam.__all__
__all__ += adaptive.__all__
__all__ += function.__all__
__all__ += multi.__all__
__all__ += muon.__all__
__all__ += sgd.__all__

_ALL = by_name(Optimizer, adam, adaptive, function, multi, muon, sgd)
OPTIMIZERS = {name: cls for name, cls in _ALL.items() if cls not in (FunctionOptimizer, MultiOptimizer)}
"""Those that a name alone says, by that name."""

OptimizerLike = str | type[Optimizer] | Optimizer | FunctionProto


def get(optimizer: OptimizerLike, **arguments: Any) -> Optimizer:
    """An optimizer from its Keras name, its class, itself, or an ONNX function.

    >>> get("sgd", learning_rate=0.1)
    SGD(learning_rate=0.1)

    Raises:
        UnknownNameError: there is none of that name.
    """
    if isinstance(optimizer, FunctionProto):
        body: Any = optimizer  # which type checkers take for a class, too
        return FunctionOptimizer(body=body, **arguments)
    return from_name("optimizer", optimizer, OPTIMIZERS, Optimizer, **arguments)


def to_config(optimizer: Optimizer) -> dict[str, Any] | None:
    """Name and arguments of an optimizer, as JSON has them; None for a class of one's own."""
    return config.to_config(optimizer, _ALL)


def from_config(
    given: Mapping[str, Any], learning_rate: Any, functions: Sequence[FunctionProto]
) -> Optimizer:
    """The optimizer of a name and arguments; see :func:`neuromatic.optimizers.config.from_config`."""
    return config.from_config(given, learning_rate, functions, _ALL)
