"""Model-local functions: their bodies are written with a GraphBuilder, as everything else is.

A function may have a second meaning for training, see :func:`call`. In the file this is a sibling function
whose name ends in ``_training``; runtimes never call it, so they run the first.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import onnx.inliner
from onnx import FunctionProto, ModelProto, helper

from neuromatic.errors import ModelError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.opsets import NEUROMATIC_DOMAIN, TRAINING_SUFFIX
from neuromatic.ir.values import Value

Body = Callable[..., Any]
"""``(builder, value, ...)`` to a value, or to ``(value, {"state": new value, ...})`` where it has states."""

NEW = "new_"
"""Begins the name of an output that replaces the input named after it."""


def call(
    g: GraphBuilder, op: str, *inputs: Value, inference: Body, training: Body | None = None, **options: Any
) -> Value:
    """Add a call of a model-local function of one output, and the function where the model lacks it.

    Args:
        op: the function's name, numbered where one of that name has another body.
        inputs: its arguments; in the body they have the names of the parameters of ``inference``.
        inference: writes the body, from a builder and a value for each input.
        training: writes what a training step computes instead. It may also return ``(value, {"u": new})``:
            a step then replaces the initializer that was given for the parameter ``u`` by ``new``.
        options: more arguments of :meth:`GraphBuilder.add`, for instance ``outputs``.

    Raises:
        ModelError: a body makes parameters.
    """
    formals = list(inspect.signature(inference).parameters)[1:]
    if len(formals) == 1 and len(inputs) > 1:
        formals = [f"{formals[0]}_{i}" for i in range(len(inputs))]
    function, kind = _function(g, op, formals, inputs, inference)
    found = [function]
    if training is not None:
        found.append(_function(g, op + TRAINING_SUFFIX, formals, inputs, training)[0])
    count, unique = 0, op
    while not _fits(g, unique, found):
        count += 1
        unique = f"{op}_{count}"
    for body, suffix in zip(found, ("", TRAINING_SUFFIX), strict=False):
        body.name = unique + suffix
        g.add_function(body)
    return g.add(unique, *inputs, domain=NEUROMATIC_DOMAIN, types=[kind], **options)


def _fits(g: GraphBuilder, name: str, bodies: Sequence[FunctionProto]) -> bool:
    """Whether the name is free, or stands for these bodies already."""
    names = [name, name + TRAINING_SUFFIX]
    known = [g.functions[n] for n in names if n in g.functions]
    if not known:
        return True
    copies = []
    for body, n in zip(bodies, names, strict=False):
        copy = FunctionProto()
        copy.CopyFrom(body)
        copy.name = n
        copies.append(copy)
    return known == copies


def _function(
    g: GraphBuilder, name: str, formals: Sequence[str], inputs: Sequence[Value], body: Body
) -> tuple[FunctionProto, Any]:
    b = GraphBuilder(opset=g.opset)
    values = [b.declare(Value(f, x.dtype, x.shape)) for f, x in zip(formals, inputs, strict=True)]
    result = body(b, *values)
    y, states = result if isinstance(result, tuple) else (result, {})
    if b.graph.initializer:
        raise ModelError(f"the body of function {name!r} makes parameters; make them outside, as its inputs")
    outputs = [b.output(y, b.fresh("y"))]
    outputs += [b.output(new, b.fresh(NEW + formal)) for formal, new in states.items()]
    for inner in b.functions.values():
        g.add_function(inner)
    opsets = [helper.make_opsetid("", g.opset)]
    if b.functions:
        opsets.append(helper.make_opsetid(NEUROMATIC_DOMAIN, 1))
    function = helper.make_function(
        NEUROMATIC_DOMAIN, name, list(formals), [o.name for o in outputs], b.graph.node, opsets
    )
    return function, (outputs[0].dtype, outputs[0].shape)


def inlined(model: ModelProto) -> ModelProto:
    """The model with the inference meaning of Neuromatic's functions in place of their calls."""
    names = [(f.domain, f.name) for f in model.functions if f.domain == NEUROMATIC_DOMAIN]
    if not names:
        return model
    result: ModelProto = onnx.inliner.inline_selected_functions(model, names)
    for found in [f for f in result.functions if f.domain == NEUROMATIC_DOMAIN]:
        result.functions.remove(found)
    for found in [o for o in result.opset_import if o.domain == NEUROMATIC_DOMAIN]:
        result.opset_import.remove(found)
    return result
