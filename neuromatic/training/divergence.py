"""Where numbers stopped being finite: the step, and the first node."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper

from neuromatic.engines import Program
from neuromatic.errors import NeuromaticError
from neuromatic.inference import Session
from neuromatic.ir.tensors import array_of
from neuromatic.ir.traversal import data_inputs, reads, upstream
from neuromatic.ir.types import FLOATS, value_types

Array = NDArray[Any]
MOST_SECONDS = 20.0
"""A run is repeated up to its divergence if it has taken at most so long."""


def first_not_finite(model: ModelProto, inputs: Mapping[str, Array]) -> str | None:
    """The first node of a graph whose value is not finite in onnxruntime, as messages name it.

    That is the first node that makes NaN, or, where numbers became infinite on the way to it, the first that
    made them so from finite ones.

    Args:
        model: its graph, recipe or none.
        inputs: at least the graph's inputs.

    Returns:
        The node, or None where all is finite or onnxruntime cannot tell.
    """
    try:
        types = value_types(model)
        nodes = model.graph.node
        names = [n for node in nodes for n in node.output if n in types and types[n].dtype in FLOATS]
        shown = ModelProto()
        shown.CopyFrom(model)
        del shown.training_info[:], shown.graph.output[:]
        shown.graph.output.extend(helper.make_tensor_value_info(n, types[n].dtype, None) for n in names)
        wanted = data_inputs(model.graph)
        values = Session(shown).run({name: inputs[name] for name in wanted}, names)
    except (NeuromaticError, KeyError, MemoryError):
        return None
    stored = {t.name: t for t in model.graph.initializer}
    known: dict[str, Array] = {**inputs, **values}
    known |= {n: array_of(stored[n]) for n in stored}
    return _origin(model, known)


def _origin(model: ModelProto, values: Mapping[str, Array]) -> str | None:
    """See :func:`first_not_finite`; what is infinite in a constant is meant so, as in masks."""
    nodes = {name: node for node in model.graph.node for name in node.output if name}
    bad = [name for name in nodes if name in values and np.isnan(values[name].astype(np.float64)).any()]
    if not bad:
        bad = [n for n in nodes if n in values and np.isinf(values[n].astype(np.float64)).any()]
    if not bad:
        return None
    behind = upstream(list(model.graph.node), [bad[0]])
    for node in behind:
        made = [n for n in node.output if n in values and not _finite(values[n])]
        given = [n for n in reads(node) if n in values]
        if made and given and all(_finite(values[n]) for n in given):
            return _described(node, made[0])
    node = nodes[bad[0]]
    weights = [n for n in reads(node) if n not in nodes and n in values and not _finite(values[n])]
    told = _described(node, bad[0])
    return f"{told}, whose {weights[0]!r} is not finite" if weights else told


def _finite(array: Array) -> bool:
    return array.dtype.kind == "O" or bool(np.isfinite(array.astype(np.float64)).all())


def _described(node: Any, output: str) -> str:
    return (
        f"node {node.name!r} ({node.op_type})" if node.name else f"the {node.op_type} that makes {output!r}"
    )


class Trail:
    """What a run did since its start, so that a divergence can be looked at where it happens.

    Repeating the steps before it gives the parameters that it began with, bit for bit. Of a run that has
    taken longer than :data:`MOST_SECONDS` nothing is kept.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._calls: list[tuple[Array, Array]] = []
        self._start: tuple[dict[str, Array], int] | None = None
        self._until = 0.0

    def begin(self, parameters: dict[str, Array], steps_done: int) -> None:
        """The state before the first step."""
        self._start = parameters, steps_done
        self._until = time.monotonic() + MOST_SECONDS

    def add(self, rows: Array, rates: Array) -> None:
        """What the engine is about to be asked."""
        if self._start is None:
            return
        if time.monotonic() > self._until:
            self._start, self._calls = None, []
            return
        self._calls.append((rows, rates))

    def go_to(self, dataset: Any, steps: int) -> bool:
        """Bring the program to where it was after so many steps of this run; False if it cannot be done."""
        if self._start is None:
            return False
        parameters, done = self._start
        self._program.assign(parameters)
        self._program.steps_done = done
        for rows, rates in self._calls:
            if steps <= 0:
                break
            self._program.train(dataset, rows[:steps], rates[:steps])
            steps -= len(rows)
        return True
