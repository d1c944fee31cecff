"""A node of ai.onnx.ml as nodes of ONNX' own operators, and its type."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import onnx
from onnx import FunctionProto, NodeProto, TensorProto, helper

from neuromatic.errors import ModelError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.onnx_ml._forms import FORMS, NoFormError
from neuromatic.ir.opsets import DEFAULT_OPSET
from neuromatic.ir.values import Value

DOMAIN = "ai.onnx.ml"
ASSUMED = {"OneHotEncoder": TensorProto.INT64}
"""The type that an input is taken to have where it is not known; of every other operator, float32."""

COMPARES_TEXTS = 19
"""The opset from which on Equal takes strings."""

REFUSED = (
    ModelError,
    onnx.checker.ValidationError,
    ValueError,
    TypeError,
    OverflowError,
    NotImplementedError,
)
"""What numbers that fit nowhere end in."""


def write(
    g: GraphBuilder,
    node: NodeProto,
    inputs: Sequence[Value],
    attributes: Mapping[str, Any],
    wanted: Collection[str],
) -> list[Value | None]:
    """Add the nodes that an ai.onnx.ml node stands for; returns its outputs, None for what is not wanted.

    Raises:
        NoFormError: there are none.
    """
    form = FORMS.get(node.op_type)
    if form is None:
        raise NoFormError("no operators of ONNX stand for it")
    given = [inputs] if form.variadic else inputs
    flags = [name in wanted for name in node.output] + [False] * (form.outputs - len(node.output))
    try:
        if form.outputs == 1:
            return [form.write(g, *given, attributes)]
        return list(form.write(g, *given, attributes, flags))
    except REFUSED as error:
        raise NoFormError(str(error)) from error


def function(
    node: NodeProto,
    types: Mapping[str, Value],
    attributes: Mapping[str, Any],
    wanted: Collection[str],
) -> FunctionProto:
    """The function that an ai.onnx.ml node calls, in effect: its body has the node's numbers in it.

    Args:
        node: the node.
        types: those of its inputs, as far as they are known.
        attributes: the values of its attributes; of what it does not have, the default, or None.
        wanted: names of the outputs that are used; others are left out.

    Raises:
        NoFormError: no operators of ONNX say what it does.
    """
    inputs = [_typed(f"in_{i}", types.get(name), node) for i, name in enumerate(node.input)]
    texts = any(x.dtype == TensorProto.STRING for x in inputs)
    g = GraphBuilder(opset=COMPARES_TEXTS if texts else DEFAULT_OPSET)
    with g.layer(node.op_type):
        inputs = [g.declare(x) for x in inputs]
        outputs = write(g, node, inputs, attributes, wanted)
    # An output that is left out has a name that nothing computes, which is how functions may leave one out.
    names = [v.name if v is not None else f"left_out_{i}" for i, v in enumerate(outputs)]
    opsets = [helper.make_opsetid("", g.opset)]
    return helper.make_function(
        DOMAIN, node.op_type, [v.name for v in inputs], names, list(g.graph.node), opsets
    )


def _typed(name: str, known: Value | None, node: NodeProto) -> Value:
    """An input of a form: of its known type, else of the one that it should have."""
    dtype = known.dtype if known is not None and known.dtype else ASSUMED.get(node.op_type, TensorProto.FLOAT)
    return Value(name, dtype, None if known is None else known.shape)
