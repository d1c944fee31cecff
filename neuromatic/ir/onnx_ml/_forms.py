"""What the forms of ai.onnx.ml share: the table of them, and small steps that several take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value

Attributes = Mapping[str, Any]
"""By name; one that a node lacks may be missing or None."""
INTEGERS = frozenset({TensorProto.INT64, TensorProto.INT32, TensorProto.INT16})


class NoFormError(Exception):
    """There are no operators of ONNX that say what a node does; says why."""


@dataclass(frozen=True)
class Form:
    """How an operator is written by others.

    Attributes:
        write: adds the nodes to a builder, from the node's inputs and attributes; gives its outputs.
        variadic: whether it takes all inputs as one list.
        outputs: how many outputs it has; with more than one, ``write`` also takes which are wanted.
    """

    write: Callable[..., Any]
    variadic: bool = False
    outputs: int = 1


FORMS: dict[str, Form] = {}


def form(
    op: str, *, variadic: bool = False, outputs: int = 1
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make the decorated function the form of an operator."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        FORMS[op] = Form(function, variadic, outputs)
        return function

    return register


def as_float(g: GraphBuilder, x: Value) -> Value:
    """A value as float32."""
    return x if x.dtype == TensorProto.FLOAT else g.add("Cast", x, to=TensorProto.FLOAT)


def fit_features(x: Value, numbers: Sequence[float], what: str) -> NDArray[Any]:
    """One number, or one for each feature, as an array that broadcasts with ``x`` (N, features).

    Raises:
        NoFormError: ``x`` has more axes, or another number of features.
    """
    array = np.array(numbers)
    if len(array) == 1 or x.shape is None:
        return array
    if len(x.shape) > 2:
        raise NoFormError(f"its input has rank {len(x.shape)}, expected 2")
    if x.shape and isinstance(x.shape[-1], int) and x.shape[-1] != len(array):
        raise NoFormError(f"{what} has {len(array)} numbers for {x.shape[-1]} features")
    return array


def texts(g: GraphBuilder, values: Sequence[str]) -> Value:
    """A constant of strings."""
    return g.add("Constant", value=numpy_helper.from_array(np.array(values, object)))


def constant(g: GraphBuilder, values: NDArray[Any]) -> Value:
    """A constant of any type."""
    if values.dtype.kind in "OUS":
        return texts(g, [v.decode() if isinstance(v, bytes) else str(v) for v in values.ravel()])
    return g.add("Constant", value=numpy_helper.from_array(values))
