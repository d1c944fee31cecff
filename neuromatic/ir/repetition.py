"""How often the nodes of a model run: trips of its loops, as far as constants decide them.

The number of trips may be computed, by any operators, from constants and from shapes; it is worked out here
as a runtime would. Dimensions that are not known count as 1, and so do the trips of a loop that depends on
data or ends by a condition that it computes.
"""

from __future__ import annotations

import importlib
import warnings
from collections import ChainMap
from collections.abc import Iterable, Mapping, MutableMapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, numpy_helper

from neuromatic.errors import InvalidModelError
from neuromatic.ir import traversal as _walk
from neuromatic.ir.folding import FOLDED
from neuromatic.ir.tensors import is_mapped
from neuromatic.ir.traversal import reads, upstream

Array = NDArray[Any]
Known = MutableMapping[str, Array | None]
"""Values that depend on constants alone; None for those that are too large to work out."""
Types = MutableMapping[str, TypeProto]

LARGEST = 1 << 16
"""How many numbers a value has at most that is worked out."""
LATE = 1_000_000
"""A trip by which a loop that ends by counting, and is not too long, has ended."""
SMALL = 64
"""Where the shape of a result is not known, how many numbers its inputs have at most."""
RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


def runs(model: ModelProto, stored: Iterable[TensorProto]) -> int:
    """How many nodes run in all; 0 where none repeats.

    Args:
        model: a model without calls of local functions, with the types that shape inference found.
        stored: its initializers, those that it declares as inputs because they are large among them.

    Raises:
        InvalidModelError: a loop never ends, or its number of trips is constant and cannot be worked out.
    """
    if not any(_repeats(node) for body in _walk.bodies(model) for node in body.node):
        return 0
    opsets = {"" if o.domain == "ai.onnx" else o.domain: o.version for o in model.opset_import}
    known: Known = ChainMap({t.name: _array(t) for t in stored})
    return _Scope(model.graph, known, ChainMap(), opsets).runs()


def _repeats(node: NodeProto) -> bool:
    return node.op_type in ("Loop", "Scan") and _is_onnx(node)


def _is_onnx(node: NodeProto) -> bool:
    return node.domain in ("", "ai.onnx")


def _array(tensor: TensorProto) -> Array | None:
    if prod(tensor.dims) > LARGEST or is_mapped(tensor):
        return None
    array: Array = numpy_helper.to_array(tensor)
    return array


class _Scope:
    """A graph, with what is known of the values in it and around it."""

    def __init__(self, graph: GraphProto, known: Known, types: Types, opsets: Mapping[str, int]) -> None:
        self.graph, self.known, self.types, self.opsets = graph, known, types, opsets
        self._inner: dict[int, _Scope] = {}
        known.update({t.name: _array(t) for t in graph.initializer})
        types.update({v.name: v.type for v in [*graph.input, *graph.value_info, *graph.output]})
        for node in upstream(graph.node, self._asked_for()):
            self._work_out(node)

    def _asked_for(self) -> set[str]:
        """The values that trips may depend on, in this graph and those that its nodes carry."""
        names = {o.name for o in self.graph.output}
        for node in self.graph.node:
            if _repeats(node):
                names.update(node.input)
            if list(_walk.graphs_in(node)):
                names.update(reads(node))
        return names - {""}

    def runs(self) -> int:
        """How many nodes run when the graph runs once."""
        total = 0
        for node in self.graph.node:
            inner = [(body, self.inner(node, body)) for body in _walk.graphs_in(node)]
            trips = self._trips(node, *inner[0]) if _repeats(node) and inner else 1
            total += 1 + trips * sum(scope.runs() for _, scope in inner)
        return total

    def inner(self, node: NodeProto, body: GraphProto) -> _Scope:
        """The scope of a graph that a node carries."""
        if id(body) not in self._inner:
            self._inner[id(body)] = self._begin(node, body)
        return self._inner[id(body)]

    def _begin(self, node: NodeProto, body: GraphProto) -> _Scope:
        given: dict[str, Array | None] = {}
        if node.op_type == "Loop" and len(body.input) > 1:
            given = self._last_trip(node, body)
            given |= self._unchanged(node.input[2:], body, 2, 1)
        elif node.op_type == "Scan":
            given |= self._unchanged(node.input, body, 0, 0)
        known = ChainMap(given, *getattr(self.known, "maps", [self.known]))
        return _Scope(body, known, ChainMap({}, *getattr(self.types, "maps", [self.types])), self.opsets)

    def _last_trip(self, node: NodeProto, body: GraphProto) -> dict[str, Array | None]:
        """What a loop gives to the trip that is its last, or late enough, if nothing ended it before."""
        most = node.input[0] if node.input else ""
        given: dict[str, Array | None] = {body.input[1].name: np.array(True)}
        trips = LATE if not most else _number(self.known.get(most), None)
        if trips is not None:
            given[body.input[0].name] = np.array(max(min(trips, LATE) - 1, 0))
        return given

    def _unchanged(
        self, initial: Iterable[str], body: GraphProto, skip_in: int, skip_out: int
    ) -> dict[str, Array | None]:
        """What a loop hands from trip to trip as it was at first."""
        makers = {name: node for node in body.node for name in node.output}
        found = {}
        for name, given, handed in zip(initial, body.input[skip_in:], body.output[skip_out:], strict=False):
            if name in self.known and _origin(handed.name, makers) == given.name:
                found[given.name] = self.known[name]
        return found

    # -- values ------------------------------------------------------------------------------------

    def _work_out(self, node: NodeProto) -> None:
        """Add what a node computes to what is known, if it depends on constants alone."""
        if not _is_onnx(node) or node.op_type in RANDOM:
            return
        if node.op_type in ("Shape", "Size") and node.input and node.input[0] not in self.known:
            self._work_out_shape(node)
        elif node.op_type == "If":
            self._work_out_branches(node)
        elif all(name in self.known for name in _taken(node)):
            self.known.update(zip(node.output, self._evaluate(node), strict=False))

    def _work_out_shape(self, node: NodeProto) -> None:
        dims = _dims(self.types.get(node.input[0]))
        if dims is not None and prod(dims) < 2**63:
            standing = np.lib.stride_tricks.as_strided(np.zeros((), np.int8), dims, [0] * len(dims))
            found = self._reference(node, {node.input[0]: standing})
            self.known.update(zip(node.output, found, strict=False))

    def _work_out_branches(self, node: NodeProto) -> None:
        """The larger of what the branches give, or that of the branch that is taken."""
        condition = self.known.get(node.input[0]) if node.input else None
        branches = {a.name: self.inner(node, a.g) for a in node.attribute if a.HasField("g")}
        if condition is not None and condition.size == 1:
            wanted = "then_branch" if condition.item() else "else_branch"
            branches = {name: scope for name, scope in branches.items() if name == wanted}
        for i, output in enumerate(node.output):
            scopes = [scope for scope in branches.values() if i < len(scope.graph.output)]
            found = [scope.known.get(scope.graph.output[i].name) for scope in scopes]
            numbers = [x for x in found if x is not None and x.size and x.dtype.kind in "biuf"]
            if numbers:
                self.known[output] = max(numbers, key=lambda x: float(x.max()))

    def _evaluate(self, node: NodeProto) -> list[Array | None]:
        inputs = {name: self.known.get(name) for name in node.input if name}
        shapes = [_dims(self.types.get(name)) for name in node.output]
        bounded = all(shape is not None and prod(shape) <= LARGEST for shape in shapes) or (
            node.op_type in (*FOLDED, "Constant")
            and all(x is not None and x.size <= SMALL for x in inputs.values())
        )
        if not bounded or list(_walk.graphs_in(node)) or any(x is None for x in inputs.values()):
            return [None] * len(node.output)
        return self._reference(node, inputs)

    def _reference(self, node: NodeProto, inputs: Mapping[str, Array | None]) -> list[Array | None]:
        reference = importlib.import_module("onnx.reference")
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                found = reference.ReferenceEvaluator(node, opsets=self.opsets).run(None, dict(inputs))
        except Exception:  # the reference raises what it likes
            return [None] * len(node.output)
        arrays = [np.asarray(x) if isinstance(x, (np.ndarray, np.generic)) else None for x in found]
        return [x if x is not None and x.size <= LARGEST else None for x in arrays]

    # -- trips -------------------------------------------------------------------------------------

    def _trips(self, node: NodeProto, body: GraphProto, inside: _Scope) -> int:
        """How often a loop runs; 1 where data decide."""
        if node.op_type == "Scan":
            return self._length(node, body)
        if not body.output or body.output[0].name not in inside.known:
            return 1  # a condition that is computed in each trip
        most, begin = (node.input[i] if i < len(node.input) else "" for i in (0, 1))
        if begin in self.known and not _number(self.known[begin], 1):
            return 0
        if not _number(inside.known[body.output[0].name], 1):
            return 1
        if not most:
            raise InvalidModelError(f"{_title(node)} has neither a number of trips nor an end")
        if most not in self.known:
            return 1
        trips = _number(self.known[most], None)
        if trips is None:
            raise InvalidModelError(
                f"{_title(node)} has a constant number of trips, {most!r}, that cannot be worked out"
            )
        return max(int(trips), 0)

    def _length(self, node: NodeProto, body: GraphProto) -> int:
        """The length of what a Scan goes through."""
        given = {a.name: a for a in node.attribute}
        count = given["num_scan_inputs"].i if "num_scan_inputs" in given else 0
        axes = list(given["scan_input_axes"].ints) if "scan_input_axes" in given else []
        first = 1 if self.opsets.get("", 1) < 9 else 0  # version 8 has a batch axis before
        longest = 1
        for i, name in enumerate(list(node.input)[len(node.input) - count :] if count > 0 else []):
            known = self.known.get(name)
            dims = list(known.shape) if known is not None else _dims(self.types.get(name))
            axis = axes[i] if i < len(axes) else first
            if dims is not None and -len(dims) <= axis < len(dims):
                longest = max(longest, dims[axis])
        return longest


def _taken(node: NodeProto) -> set[str]:
    """The values that a node takes from around it, those that the graphs it carries take included."""
    names, pending = set(reads(node)), list(_walk.graphs_in(node))
    while pending:
        body = pending.pop()
        names.difference_update(value.name for value in (*body.input, *body.initializer))
        for inner in body.node:
            names.difference_update(inner.output)
            pending += _walk.graphs_in(inner)
    return names | set(filter(None, node.input))


def _origin(name: str, makers: Mapping[str, NodeProto]) -> str:
    """The value that another is, through nodes that change nothing."""
    for _ in range(len(makers)):
        if name not in makers or makers[name].op_type != "Identity":
            break
        name = makers[name].input[0] if makers[name].input else ""
    return name


def _dims(kind: TypeProto | None) -> list[int] | None:
    """The shape of a tensor, with 1 for what is not known; None where not even the rank is."""
    if kind is None or not kind.tensor_type.HasField("shape"):
        return None
    dims = kind.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else 1 for dim in dims]


def _number(array: Array | None, unknown: Any) -> Any:
    """The largest number of a value that is to be one whole number or a truth value."""
    if array is None or not array.size or array.dtype.kind not in "biu":
        return unknown
    return int(array.max())


def _title(node: NodeProto) -> str:
    made = ", ".join(map(repr, node.output))
    return f"{node.op_type} {node.name!r}" if node.name else f"the {node.op_type} that gives {made}"
