"""How large the values are that a model computes: the part of the vetting that infers types."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from math import prod

import onnx
import onnx.inliner
from onnx import GraphProto, ModelProto, NodeProto, TypeProto

from neuromatic.errors import InvalidModelError
from neuromatic.ir import traversal as _walk
from neuromatic.ir.bounds import MOST_RANK, SHAPED
from neuromatic.ir.folding import fold
from neuromatic.ir.misfits import first_misfit
from neuromatic.ir.onnx_errors import ONNX_ERRORS
from neuromatic.ir.onnx_ml.types import stand_in_types
from neuromatic.ir.repetition import runs
from neuromatic.ir.shape_inference import infer
from neuromatic.ir.types import combined
from neuromatic.saving.apart import check_inference
from neuromatic.saving.limits import (
    MOST_CONSTANT,
    MOST_ELEMENTS,
    MOST_TRIPS,
    MOST_VALUE,
    PER_STORED,
    check_count,
    check_rank,
    known_dims,
)


def check_sizes(model: ModelProto, *, fit: bool = True) -> None:
    """Check how large values are, as far as their shapes can be inferred, and how often loops run.

    Args:
        model: the model.
        fit: whether the inputs of nodes are to fit each other, too (:mod:`neuromatic.ir.misfits`).

    Raises:
        InvalidModelError: one exceeds a limit of :mod:`neuromatic.saving.limits`, or does not fit.
    """
    types = combined(model, weights=False)
    if model.functions:
        types = onnx.inliner.inline_local_functions(types)
    fold(types)
    stand_in_types(types)
    check_inference(types)
    try:
        types.graph.CopyFrom(infer(types))
    except ONNX_ERRORS:
        _check_runs(types, model)
        return  # types that contradict each other are reported where they are needed
    stored = sum(prod(tensor.dims) for tensor in model.graph.initializer)
    most = min(max(MOST_VALUE, PER_STORED * stored), MOST_ELEMENTS)
    _Values(most).check(types.graph, ChainMap(), ChainMap())
    _check_runs(types, model)
    if fit and (found := first_misfit(types.graph)) is not None:
        raise InvalidModelError(found)


def _check_runs(model: ModelProto, original: ModelProto) -> None:
    graphs = [original.graph, *(info.algorithm for info in original.training_info)]
    if runs(model, (t for graph in graphs for t in graph.initializer)) > MOST_TRIPS:
        raise InvalidModelError(f"its loops run nodes more than {MOST_TRIPS:,} times")


class _Values:
    """Checks how large the values of graphs are, of which ``most`` is the limit for one.

    Attributes:
        constant: how many numbers there are in values that depend on no input.
    """

    def __init__(self, most: int) -> None:
        self.most, self.constant = most, 0

    def check(self, graph: GraphProto, fed: ChainMap[str, None], types: ChainMap[str, TypeProto]) -> None:
        """Check a graph; ``fed`` are the values around it that depend on an input, and these their types."""
        fed = fed.new_child(dict.fromkeys(value.name for value in graph.input))
        own = {v.name: v.type for v in [*graph.value_info, *graph.output, *graph.input]}
        types = types.new_child(own)
        for node in graph.node:
            inner = list(_walk.graphs_in(node))
            for body in inner:
                self.check(body, fed, types)
            position = SHAPED.get(node.op_type, len(node.input))
            for name in node.input[position : position + 1]:
                self._shape(node, types.get(name, TypeProto()))
            depends = inner or any(name in fed for name in node.input)
            for name in node.output:
                if name in own:
                    check_rank(name, own[name])
                    self._count(name, known_dims(own[name]), depends=bool(depends))
                if depends:
                    fed[name] = None

    def _shape(self, node: NodeProto, kind: TypeProto) -> None:
        """A shape has as many numbers as a value may have dimensions."""
        dims = known_dims(kind)
        if len(dims) == 1 and dims[0] > MOST_RANK:
            raise InvalidModelError(
                f"{node.op_type} {node.name or node.output[0]!r} takes a shape of {dims[0]:,} dimensions, "
                f"more than {MOST_RANK}"
            )

    def _count(self, name: str, dims: Sequence[int], *, depends: bool) -> None:
        if depends:
            check_count(name, dims, self.most)
            return
        check_count(name, dims, MOST_CONSTANT)
        self.constant += prod(dims)
        if self.constant > MOST_CONSTANT:
            raise InvalidModelError(
                f"its constant values, {name!r} the last of them, have more than {MOST_CONSTANT:,} elements"
            )
