"""How CNTK lowerings are called: what can be known here is, and only the rest is recorded.

A lowering sees at least one :class:`Tensor`. What depends on constants alone is computed at once; what
depends on the batch size, the step or the learning rate alone becomes a :class:`HostValue` and is computed by
Neuromatic at each step, in the types of ONNX, where CNTK has only float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx.defs
from numpy.typing import NDArray
from onnx import NodeProto, TypeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from neuromatic.converters import lowering
from neuromatic.converters.cntk.graph import Graph, HostValue, Moment, Tensor, Value
from neuromatic.converters.cntk.merged import Merged, call_merged
from neuromatic.converters.cntk.ops import CannotRecordError, tensor
from neuromatic.converters.cntk.prefix import HostOnly, Prefix
from neuromatic.converters.lowering import Plan, Scope, resolve_attributes, run
from neuromatic.converters.registry import TRAINING_DOMAIN, Lowering
from neuromatic.errors import UnsupportedFeatureError

Array = NDArray[Any]


@dataclass
class RecordingContext(lowering.Context):
    """What CNTK lowerings may know of the run.

    Attributes:
        graph: what is being recorded.
        values: every value so far, by name.
    """

    graph: Graph = field(default_factory=Graph)
    values: dict[str, Any] = field(default_factory=dict)


def run_with_host(
    whole: Plan,
    prefix: Prefix,
    values: dict[str, Any],
    context: RecordingContext,
    sample: Mapping[str, Array],
) -> None:
    """Record a plan; what CNTK refuses and the host can compute, the host computes.

    Args:
        values: the graph's data and initializers by name; gets all that is computed.
        sample: see :meth:`Prefix.value`.

    Raises:
        UnsupportedFeatureError: CNTK refuses a node that the host cannot compute either.
    """
    for step in whole.steps:
        try:
            if prefix.wants(step.action, step.outputs):
                raise UnsupportedFeatureError(f"cntk rounds integers of {step.node}")
            run(Plan((step,)), values, context, call)
        except UnsupportedFeatureError:
            if not prefix.covers(step.outputs):
                raise
            for name in filter(None, step.outputs):
                values[name] = prefix.value(name, context.graph, sample)


def call(lowering: Lowering, scope: Scope, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """Fold, postpone or record one node.

    Raises:
        UnsupportedFeatureError: CNTK cannot do what this node asks for.
    """
    if kept := next((x for x in inputs if isinstance(x, HostOnly)), None):
        raise UnsupportedFeatureError(f"cntk cannot do {scope.node}: it reads {kept.reason}")
    if not any(isinstance(x, (Tensor, Merged)) for x in inputs) and lowering.pure:
        if lowering.key.op == "Constant":
            return lowering.function(scope, **attributes)
        if any(isinstance(x, HostValue) for x in inputs):
            return _postponed(lowering, scope, inputs, attributes)
        return _evaluated(lowering, scope, inputs, attributes)
    graph: Graph = scope.context.graph
    around, graph.node = graph.node, scope.node
    try:
        if lowering.key.domain != TRAINING_DOMAIN and lowering.key.op not in HOST_OPERANDS:
            inputs = [tensor(x, graph) if isinstance(x, HostValue) else x for x in inputs]
        if any(isinstance(x, Merged) for x in inputs):
            return call_merged(lowering, scope, inputs, attributes)
        return lowering.function(scope, *inputs, **attributes)
    except CannotRecordError as error:
        raise UnsupportedFeatureError(f"cntk cannot do {scope.node}: {error}") from error
    finally:
        graph.node = around


HOST_OPERANDS = frozenset(
    (
        *("Reshape", "Expand", "Slice", "Tile", "Resize", "Pad", "Gather", "Squeeze", "Unsqueeze", "Split"),
        *("Trilu", "CumSum", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"),
        *("ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp"),
        *("LSTM", "GRU", "RNN", "If", "Loop", "GatherND", "ReverseSequence"),
    )
)
"""Operators whose lowerings look at shapes that depend on the batch size."""


NUMBERS_OF_ROWS = (1, 2, 3, 1009)
"""What is the same for these is taken to be the same for all."""


def _evaluated(
    lowering: Lowering, scope: Scope, inputs: Sequence[Array | None], attributes: Mapping[str, Any]
) -> Any:
    """The outputs of a node for constant inputs, by the reference implementation of ONNX."""
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    given = {name: x for name, x in zip(names, inputs, strict=True) if x is not None}
    outputs = [name and f"y{i}" for i, name in enumerate(scope.outputs)]
    node = _node(lowering, names, outputs, attributes)
    graph = helper.make_graph(
        [node],
        "folded",
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
            for n, x in given.items()
        ],
        [helper.make_value_info(name, TypeProto()) for name in outputs if name],
    )
    opset = helper.make_opsetid(lowering.key.domain, lowering.key.since_version)
    try:
        with np.errstate(all="ignore"):  # as an engine would compute: infinities without a warning
            results = ReferenceEvaluator(helper.make_model(graph, opset_imports=[opset])).run(None, given)
    except Exception as error:  # whatever it raises
        reason = str(error).strip().splitlines() or [repr(error)]
        raise UnsupportedFeatureError(f"{scope.node} cannot be computed beforehand: {reason[0]}") from error
    found = dict(zip([name for name in outputs if name], map(np.asarray, results), strict=True))
    values = tuple(found.get(name) for name in outputs)
    return values[0] if len(values) == 1 else values


def _node(
    lowering: Lowering, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, Any]
) -> NodeProto:
    schema = onnx.defs.get_schema(lowering.key.op, lowering.key.since_version, lowering.key.domain)
    defaults = resolve_attributes(NodeProto(), schema.attributes, {})
    known: dict[str, Any] = {
        name: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for name, value in attributes.items()
        if name in defaults
        and value is not None
        and (isinstance(value, np.ndarray) or value != defaults[name])
    }
    return helper.make_node(lowering.key.op, inputs, outputs, domain=lowering.key.domain, **known)


def _postponed(
    lowering: Lowering, scope: Scope, inputs: Sequence[Value | None], attributes: Mapping[str, Any]
) -> Any:
    """The outputs of a node as values of the host."""

    def compute(moment: Moment) -> Any:
        known = [x.at(moment) if isinstance(x, HostValue) else x for x in inputs]
        return _evaluated(lowering, scope, known, attributes)  # type: ignore[arg-type]

    moves = any(isinstance(x, HostValue) and x.moves for x in inputs)
    whole, graph = HostValue(compute, moves=moves), scope.context.graph
    if len(scope.outputs) == 1:
        return settled(whole, graph)
    parts = (
        HostValue(lambda moment, i=i: whole.at(moment)[i], moves=moves)  # type: ignore[misc]
        for i in range(len(scope.outputs))
    )
    return tuple(
        settled(part, graph) if name else None for name, part in zip(scope.outputs, parts, strict=True)
    )


def settled(value: HostValue, graph: Graph) -> HostValue | Array:
    """A constant in place of a value of the host that is the same for all numbers of rows."""
    if value.moves:
        return value
    few: list[Moment] = graph.memo.setdefault("numbers of rows", [Moment(n) for n in NUMBERS_OF_ROWS])
    try:
        first, *others = (value.at(moment) for moment in few[:-1])
        same = isinstance(first, np.ndarray) and all(_equal(first, other) for other in others)
        # The largest number last: what is of that size is not made unless small numbers show nothing.
        return first if same and _equal(first, value.at(few[-1])) else value
    except UnsupportedFeatureError:
        return value


def _equal(a: Array, b: Array) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
