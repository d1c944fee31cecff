"""What of a graph depends on data and constants only: onnxruntime computes it, CNTK goes on from there.

CNTK computes in float32 and lacks many operators. Where it refuses a node that needs no gradient, because
nothing trained stands before it, the node's results become inputs of CNTK's graph: they are computed once for
each row when data are handed over, in the types of ONNX. Strings and sequences stay on the host altogether.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from neuromatic.converters.cntk.graph import Graph, HostValue, Moment, Tensor
from neuromatic.converters.cntk.ops import CannotRecordError
from neuromatic.converters.lowering import Scope
from neuromatic.converters.registry import (
    TRAINING_DOMAIN,
    Lowering,
    OpKey,
    Registry,
    domain_name,
    find_schema,
)
from neuromatic.errors import InvalidModelError, RecipeError, UnsupportedFeatureError
from neuromatic.inference import Session
from neuromatic.ir.opsets import NEUROMATIC_DOMAIN, TRAINING_SUFFIX
from neuromatic.ir.traversal import data_inputs, graphs_in, reads, upstream
from neuromatic.ir.types import value_types
from neuromatic.ir.values import Value
from neuromatic.recipe.schema import read

Array = NDArray[Any]
Kind = Literal["constant", "shape", "data"]
"""What a value depends on: nothing, the number of rows, or what is in them."""

LEVELS: tuple[Kind, ...] = ("constant", "shape", "data")
RANDOM = frozenset(
    (
        *("Bernoulli", "Dropout", "Multinomial"),
        *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
    )
)
SIZES = (2, 3)
"""Two numbers of rows: where a shape differs between them is the batch."""

GROWING = frozenset(("Mul", "Mod", "Div", "Pow", "MatMul", "CumSum", "ReduceSum", "ReduceProd"))
"""Operators whose integers the host computes where it can, since CNTK would round them beyond 2**24."""

_INTEGERS = (TensorProto.INT64, TensorProto.INT32, TensorProto.UINT64, TensorProto.UINT32)

CHUNK = 1024
"""Rows that are computed at once."""


class HostOnly:
    """A value that only the host can hold.

    Attributes:
        reason: why CNTK cannot.
        value: what it is, if that is known.
    """

    def __init__(self, reason: str, value: Any = None) -> None:
        self.reason, self.value = reason, value


class HostRegistry(Registry):
    """CNTK's lowerings, and for all other operators of ONNX one that refuses what is not constant."""

    def __init__(self, lowerings: Registry) -> None:
        super().__init__(lowerings.engine)
        self.lowerings = lowerings

    def find(self, op: str, opset: int, domain: str = "") -> Lowering | None:
        """See :meth:`Registry.find`."""
        return self.lowerings.find(op, opset, domain)

    def otherwise(self, op: str, opset: int, domain: str = "") -> Lowering | None:
        """See :meth:`Registry.otherwise`."""
        schema = find_schema(op, opset, domain)
        if schema is None or domain == TRAINING_DOMAIN:
            return None
        graphs = any(a.type == a.type.GRAPH for a in schema.attributes.values())
        key = OpKey(domain, op, schema.since_version)
        return Lowering(key, _refuse, schema, pure=op not in RANDOM and not graphs)


def _refuse(scope: Scope, *inputs: Any, **attributes: Any) -> Any:
    raise CannotRecordError("CNTK has no lowering for it")


class Prefix:
    """The part of a graph that the host can compute.

    Args:
        model: the graph.
        changing: its initializers that are trained, updated, or differ from step to step.
        training: whether functions have their training meaning.

    Attributes:
        kinds: of each value that the host can compute, by name.
    """

    def __init__(self, model: ModelProto, changing: Collection[str], *, training: bool = False) -> None:
        self.model = model
        self.data = data_inputs(model.graph)
        self._training_functions = {
            (domain_name(f.domain), f.name.removesuffix(TRAINING_SUFFIX))
            for f in model.functions
            if training and f.domain == NEUROMATIC_DOMAIN and f.name.endswith(TRAINING_SUFFIX)
        }
        self._random_functions = _random_functions(model)
        stored = [t.name for t in model.graph.initializer]
        stored += [s.values.name for s in model.graph.sparse_initializer]
        self.kinds: dict[str, Kind] = {name: "constant" for name in stored if name not in changing}
        self.kinds |= {name: "data" for name in self.data if name not in changing}
        self._sized: set[str] = set()
        for node in model.graph.node:
            self._visit(node)
        self._found: dict[tuple[str, int], Any] = {}

    def _visit(self, node: NodeProto) -> None:
        made = [name for name in node.output if name]
        read = set(_free(node))
        if not self._is_fixed(node):
            return
        if node.op_type in ("Shape", "Size") or read <= self.kinds.keys() | self._sized:
            self._sized.update(made)
        if not read <= self.kinds.keys():
            return
        kind: Kind = LEVELS[max((LEVELS.index(self.kinds[name]) for name in read), default=0)]
        if node.op_type in ("Shape", "Size") and kind == "data":
            kind = "shape"
        self.kinds.update(dict.fromkeys(made, kind))

    def _is_fixed(self, node: NodeProto) -> bool:
        """Whether a node gives the same for the same inputs, in training too."""
        key = (domain_name(node.domain), node.op_type)
        inner = {n.op_type for n in _nodes_in(node)}
        return (
            key[0] != TRAINING_DOMAIN
            and key not in self._training_functions
            and key not in self._random_functions
            and not (inner | {node.op_type}) & RANDOM
        )

    def without_host(self) -> ModelProto:
        """The graph without what the host can compute: what CNTK must have a lowering for."""
        rest = ModelProto()
        rest.CopyFrom(self.model)
        del rest.graph.node[:]
        rest.graph.node.extend(n for n in self.model.graph.node if not self.covers(n.output, sized=True))
        return rest

    def covers(self, names: Sequence[str], *, sized: bool = False) -> bool:
        """Whether the host can compute all of some values.

        Args:
            sized: or can once the shapes of what CNTK computes are known.
        """
        known = self.kinds.keys() | (self._sized if sized else set())
        return all(name in known for name in names if name)

    def wants(self, action: Any, names: Sequence[str]) -> bool:
        """Whether an operator on data makes integers that float32 may not hold, as products are."""
        return (
            isinstance(action, Lowering)
            and action.key.op in GROWING
            and all(self.kinds.get(name) == "data" for name in names)
            and all(self._types[name].dtype in _INTEGERS for name in names if name in self._types)
        )

    def value(self, name: str, graph: Graph, sample: Mapping[str, Array]) -> Any:
        """A value as the recorded graph has it: an array, a value of the host, or an input of CNTK.

        Args:
            graph: gets the input.
            sample: some rows of the data.

        Raises:
            UnsupportedFeatureError: neither onnxruntime nor ONNX' reference computes it.
        """
        rows = {n: {k: np.resize(a, (n, *a.shape[1:])) for k, a in sample.items()} for n in SIZES}
        found = [self._sampled(name, n, rows[n]) for n in SIZES]
        if not all(isinstance(a, np.ndarray) for a in found):
            return HostOnly("what is no tensor")
        if self.kinds[name] != "data":
            if np.array_equal(*found) if found[0].dtype.kind in "OUS" else _same(*found):
                return found[0]
            return HostValue(lambda moment: self._sized_value(name, moment, sample))
        if found[0].dtype.kind in "OUS":
            return HostOnly("strings")
        axes = [i for i, pair in enumerate(zip(*(a.shape for a in found), strict=False)) if pair == SIZES]
        shapes = [[None if i in axes else n for i, n in enumerate(a.shape)] for a in found]
        if shapes[0] != shapes[1] or len(axes) != 1 or 0 in shapes[0]:
            return HostOnly(
                f"what is computed from data with shapes {found[0].shape} for 2 rows, {found[1].shape} for 3"
            )
        return graph.input(name, shapes[0], found[0].dtype)

    def _sampled(self, name: str, count: int, rows: Mapping[str, Array]) -> Any:
        if (name, count) not in self._found:
            self._found[name, count] = self.run([name], rows)[name]
        return self._found[name, count]

    def _sized_value(self, name: str, moment: Moment, sample: Mapping[str, Array]) -> Array:
        rows = {k: np.resize(a, (moment.batch, *a.shape[1:])) for k, a in sample.items()}
        return np.asarray(self.run([name], rows)[name])

    def compute(self, names: Sequence[str], arrays: Mapping[str, Array], inputs: Mapping[str, Tensor]) -> Any:
        """Values for all rows of some data, with the rows first.

        Args:
            names: of the values.
            inputs: as :meth:`value` made them.

        Raises:
            UnsupportedFeatureError: a value does not depend on each row alone, or is of another shape.
        """
        if not names:
            return {}
        count = len(next(iter(arrays.values())))
        parts = []
        for start in range(0, count, CHUNK):
            rows = np.arange(start, min(start + CHUNK, count))
            parts.append(self._rows(names, arrays, rows, inputs))
            few = np.unique(np.resize(rows[:: max(1, len(rows) // 2)][::-1], min(len(rows), 2)))
            few = np.resize(few, 2)
            for name, value in self._rows(names, arrays, few, inputs).items():
                if not _same(value, parts[-1][name][few - start]):
                    raise UnsupportedFeatureError(
                        f"cntk cannot go on from {name!r}, which onnxruntime computes: it mixes rows"
                    )
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def _rows(
        self, names: Sequence[str], arrays: Mapping[str, Array], rows: Array, inputs: Mapping[str, Tensor]
    ) -> dict[str, Array]:
        padded = rows if len(rows) > 1 else np.resize(rows, 2)  # a Squeeze may take one row for no axis
        found = self.run(names, {name: array[padded] for name, array in arrays.items()})
        result = {}
        for name in names:
            value, like = found[name], inputs[name]
            shape = tuple(len(padded) if n is None else n for n in like.shape)
            if value.shape != shape:
                raise UnsupportedFeatureError(
                    f"cntk cannot go on from {name!r}, which onnxruntime computes: its shape depends on what "
                    f"the data hold: {value.shape} for {len(padded)} rows, expected {shape}"
                )
            assert like.batch is not None
            result[name] = np.moveaxis(value, like.batch, 0)[: len(rows)]
        return result

    def run(self, names: Sequence[str], arrays: Mapping[str, Array]) -> dict[str, Any]:
        """Values for some rows, by onnxruntime, or by ONNX' reference where that is too old."""
        part = self._part(names, arrays)
        fed = {i.name: arrays[i.name] for i in part.graph.input}
        try:
            found = Session(part, as_written=True).run(fed, names)
            return {name: self._typed(name, value) for name, value in found.items()}
        except InvalidModelError as error:
            reason = error
        try:
            with np.errstate(all="ignore"):
                results = ReferenceEvaluator(part).run(list(names), fed)
        except Exception:
            raise UnsupportedFeatureError(f"{', '.join(map(repr, names))}: {reason}") from reason
        return {
            n: np.asarray(r) if isinstance(r, np.generic) else r for n, r in zip(names, results, strict=True)
        }

    @cached_property
    def _types(self) -> dict[str, Value]:
        return value_types(self.model)

    def _typed(self, name: str, value: Any) -> Any:
        """A value in its own type, where onnxruntime gives float32 in place of bfloat16."""
        known = self._types.get(name)
        if known is None or known.dtype != TensorProto.BFLOAT16 or not isinstance(value, np.ndarray):
            return value
        return value.astype(helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16))

    def _part(self, names: Sequence[str], arrays: Mapping[str, Array]) -> ModelProto:
        """The graph that computes some values."""
        graph = self.model.graph
        nodes = upstream(graph.node, names)
        used = {name for node in nodes for name in reads(node)} | set(names)
        part = ModelProto(ir_version=self.model.ir_version)
        part.opset_import.extend(self.model.opset_import)
        part.functions.extend(self.model.functions)
        part.graph.name = "host"
        part.graph.node.extend(nodes)
        part.graph.initializer.extend(t for t in graph.initializer if t.name in used)
        part.graph.sparse_initializer.extend(s for s in graph.sparse_initializer if s.values.name in used)
        for item in graph.input:
            if item.name not in used or item.name not in arrays:
                continue
            if not isinstance(arrays[item.name], np.ndarray):
                part.graph.input.append(item)
            else:
                shape = (None, *arrays[item.name].shape[1:])
                dtype = Value.of(item.name, item.type).dtype
                part.graph.input.append(helper.make_tensor_value_info(item.name, dtype, shape))
        declared = {o.name: o for o in graph.output}  # says which results are bfloat16
        empty = helper.make_empty_tensor_value_info
        part.graph.output.extend(declared[n] if n in declared else empty(n) for n in names)
        return part


def hosted_values(model: ModelProto) -> frozenset[str]:
    """The values of a graph that the host can compute; without a recipe all floats count as trained."""
    try:
        recipe = read(model)
    except RecipeError:
        recipe = None
    if recipe is not None:
        changing = {*recipe.trainable, *recipe.updates}
    else:
        changing = {t.name for t in model.graph.initializer if t.data_type in _FLOATS}
    return frozenset(Prefix(model, changing).kinds)


_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def _same(a: Array, b: Array) -> bool:
    """Whether two arrays are equal, floats but for rounding."""
    if a.shape != b.shape:
        return False
    if a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    return bool(np.allclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True))


def _random_functions(model: ModelProto) -> set[tuple[str, str]]:
    """The functions that draw random numbers, themselves or by what they call."""
    found: set[tuple[str, str]] = set()
    while True:
        more = {
            (domain_name(f.domain), f.name)
            for f in model.functions
            for node in f.node
            for n in (node, *_nodes_in(node))
            if n.op_type in RANDOM or (domain_name(n.domain), n.op_type) in found
        }
        if more <= found:
            return found
        found |= more


def _nodes_in(node: NodeProto) -> Iterator[NodeProto]:
    """The nodes of the graphs that a node carries."""
    for graph in graphs_in(node):
        for inner in graph.node:
            yield inner
            yield from _nodes_in(inner)


def _free(node: NodeProto) -> Iterator[str]:
    """The values that a node reads, also from inside the graphs that it carries."""
    yield from filter(None, node.input)
    for graph in graphs_in(node):
        own = {i.name for i in graph.input} | {t.name for t in graph.initializer}
        own |= {name for inner in graph.node for name in inner.output}
        read = {name for inner in graph.node for name in _free(inner)} | {o.name for o in graph.output}
        yield from read - own
