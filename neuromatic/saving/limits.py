"""What is looked at before a model goes to the checker, shape inference or a runtime.

A file of 4 kB can ask for more nodes or numbers than any computer holds, and the libraries would set out to
make them. Each check reads the model once. The limits are far above what models need:

=====================  =============  ====================================================================
limit                  value          of what
=====================  =============  ====================================================================
``MOST_EXPANDED``      50,000         nodes that calls of local functions add, after all are put in place
``MOST_DEPTH``         100            functions and graphs of nodes inside each other
``MOST_TRIPS``         1,000,000      times that nodes run in all, by loops of a fixed number of trips
``MOST_INPUTS``        10,000         inputs and outputs of a graph
``MOST_NAME``          2000           characters of a name
``MOST_CONSTANT``      2**27          numbers in an input, and in all values together that depend on none
``MOST_VALUE``         2**27          numbers in any value, where unknown dimensions are 1: 512 MiB of floats,
                                      or ``PER_STORED`` for each number that the file holds, if that is more,
``MOST_ELEMENTS``      2**32          but no more than so many
``MOST_RANK``          64             dimensions of a value (:mod:`neuromatic.ir.bounds`)
=====================  =============  ====================================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import onnx
import onnx.inliner
from onnx import (
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TypeProto,
    helper,
)

from neuromatic.errors import InvalidModelError
from neuromatic.ir import traversal as _walk
from neuromatic.ir.bounds import MOST_RANK
from neuromatic.ir.tensors import BITS, byte_count, is_mapped
from neuromatic.saving.wellformed import check_nodes, check_text, check_texts, domain_key, values_of

MOST_EXPANDED = 50_000
MOST_DEPTH = 100
MOST_TRIPS = 1_000_000
MOST_INPUTS = 10_000
MOST_CONSTANT = 1 << 27
MOST_VALUE = 1 << 27
PER_STORED = 1000
MOST_ELEMENTS = 1 << 32

FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")

FunctionKey = tuple[str, str, str]


def check_structure(model: ModelProto) -> None:
    """Check what can be counted: names, imports, functions, declared shapes and stored tensors.

    Raises:
        InvalidModelError: says what is wrong, or which limit is exceeded.
    """
    _check_imports(model)
    for body in _walk.bodies(model):
        if isinstance(body, GraphProto):
            _check_interface(body)
    check_texts(model)
    check_nodes(model)
    for tensor in _walk.tensors(model):
        _check_tensor(tensor)
    for sparse in _walk.sparse_tensors(model):
        check_count(sparse.values.name, sparse.dims, MOST_CONSTANT)
    _Expansion(model).check()


def check_count(name: str, dims: Iterable[int], most: int) -> None:
    """Refuse a value of more elements than ``most``.

    Raises:
        InvalidModelError: it has more.
    """
    shape = tuple(dims)
    if prod(shape) > most:
        raise InvalidModelError(f"{name!r} has {prod(shape):,} elements {shape}, more than {most:,}")


def _check_imports(model: ModelProto) -> None:
    for imports in [model.opset_import, *(f.opset_import for f in model.functions)]:
        versions: dict[str, int] = {}
        for item in imports:
            domain = domain_key(item.domain)
            if versions.setdefault(domain, item.version) != item.version:
                raise InvalidModelError(
                    f"it imports versions {versions[domain]} and {item.version} of domain {domain!r}"
                )


def _check_interface(graph: GraphProto) -> None:
    stored = {t.name for t in graph.initializer}
    inputs = {i.name for i in graph.input} - stored
    for kind, names in (("inputs", inputs), ("outputs", {o.name for o in graph.output})):
        if len(names) > MOST_INPUTS:
            raise InvalidModelError(
                f"graph {graph.name!r} has {len(names):,} {kind}, more than {MOST_INPUTS:,}"
            )
    for value in [*graph.input, *graph.output]:
        if any(dim.dim_value < 0 for dim in _dims(value.type)):
            raise InvalidModelError(
                f"{value.name!r} has shape {tuple(dim.dim_value for dim in _dims(value.type))}; a dimension "
                f"that is not known has a name or nothing, no number"
            )
    for value in values_of(graph):
        _check_type(value.name, value.type)
        most = MOST_CONSTANT if value.name in inputs else MOST_ELEMENTS
        check_count(value.name, known_dims(value.type), most)
        check_rank(value.name, value.type)


def check_rank(name: str, kind: TypeProto) -> None:
    """Refuse a value of more dimensions than :data:`MOST_RANK`.

    Raises:
        InvalidModelError: it has more.
    """
    if (rank := len(_dims(kind))) > MOST_RANK:
        raise InvalidModelError(f"{name!r} has {rank:,} dimensions, more than {MOST_RANK}")


def _check_type(name: str, kind: TypeProto) -> None:
    """The elements of a value, and of what is in it, are of a type that there is."""
    for inner in (kind.sequence_type.elem_type, kind.optional_type.elem_type, kind.map_type.value_type):
        if inner.WhichOneof("value"):
            _check_type(name, inner)
    for element in (kind.tensor_type.elem_type, kind.sparse_tensor_type.elem_type, kind.map_type.key_type):
        if element not in TensorProto.DataType.values():
            raise InvalidModelError(f"{name!r} has unknown type {element}")


def _dims(kind: TypeProto) -> list[onnx.TensorShapeProto.Dimension]:
    return list(kind.tensor_type.shape.dim) or list(kind.sparse_tensor_type.shape.dim)


def known_dims(kind: TypeProto) -> list[int]:
    """The dimensions that are known; where shapes were inferred, negative numbers stand for others."""
    return [dim.dim_value for dim in _dims(kind) if dim.HasField("dim_value") and dim.dim_value >= 0]


def _check_tensor(tensor: TensorProto) -> None:
    """A tensor has its values in one place, as many as its shape says, and text is text."""
    if tensor.HasField("segment"):
        raise InvalidModelError(f"tensor {tensor.name!r} is a segment of another, which nothing reads")
    text = tensor.data_type == TensorProto.STRING
    needed = 0 if text else byte_count(tensor)
    filled = [field for field in FIELDS if getattr(tensor, field)]
    filled += ["raw_data"] if tensor.HasField("raw_data") else []
    if is_mapped(tensor):
        if filled or text:
            raise InvalidModelError(f"tensor {tensor.name!r} has external data and {(filled or ['text'])[0]}")
        return
    if len(filled) > 1:
        raise InvalidModelError(f"tensor {tensor.name!r} has values in {filled[0]} and {filled[1]}")
    raw = filled == ["raw_data"]
    field = helper.tensor_dtype_to_field(tensor.data_type)
    if filled and not (raw and not text) and filled != [field]:
        kind = TensorProto.DataType.Name(tensor.data_type)
        raise InvalidModelError(
            f"tensor {tensor.name!r} of {kind} has its values in {filled[0]}, expected {field}"
        )
    for item in tensor.string_data:
        check_text(item, f"tensor {tensor.name!r}")
    values = tensor.raw_data if raw else getattr(tensor, filled[0]) if filled else ()
    if len(values) not in ({needed} if raw else _counts(tensor)):
        expected = f"bytes, expected {needed}" if raw else f"values, expected {prod(tensor.dims)}"
        raise InvalidModelError(
            f"tensor {tensor.name!r} of shape {tuple(tensor.dims)} has {len(values)} {expected}"
        )


def _counts(tensor: TensorProto) -> set[int]:
    """How many entries of a typed field the values of a tensor may be."""
    count = prod(tensor.dims)
    kind = TensorProto.DataType.Name(tensor.data_type)
    if kind.startswith("COMPLEX"):
        return {2 * count}
    return {count, -(-count * BITS[kind] // 8)} if kind in BITS else {count}


@dataclass(frozen=True)
class _Size:
    """What some nodes amount to: nodes once functions are put in place, and how deep."""

    nodes: int = 0
    depth: int = 0


class _Expansion:
    """Counts what functions amount to, each once."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.functions = {(domain_key(f.domain), f.name, f.overload): f for f in model.functions}
        self.sizes: dict[FunctionKey, _Size] = {}
        self.open: set[FunctionKey] = set()
        self.stored = sum(len(body.node) for body in _walk.bodies(model))

    def check(self) -> None:
        """Refuse a model that amounts to too much."""
        graphs = [self.model.graph, *(i.algorithm for i in self.model.training_info)]
        sizes = [self.body(graph, 0) for graph in graphs]
        sizes += [self.function(key, 0) for key in self.functions]
        if max(size.nodes for size in sizes) > self.stored + MOST_EXPANDED:
            raise InvalidModelError(f"its functions expand to more than {MOST_EXPANDED:,} further nodes")

    def function(self, key: FunctionKey, above: int) -> _Size:
        if key in self.open:
            raise InvalidModelError(f"function {key[1]!r} calls itself")
        if key not in self.sizes:
            self.open.add(key)
            self.sizes[key] = self.body(self.functions[key], above)
            self.open.remove(key)
        return self.sizes[key]

    def body(self, body: GraphProto | FunctionProto, above: int) -> _Size:
        """The size of a graph or function, ``above`` others deep."""
        if above > MOST_DEPTH:
            raise InvalidModelError(
                f"its functions and graphs stand in each other more than {MOST_DEPTH} deep"
            )
        nodes, depth = 0, 0
        for size in (self.node(node, above) for node in body.node):
            nodes, depth = nodes + size.nodes, max(depth, size.depth)
        if above + depth > MOST_DEPTH:
            raise InvalidModelError(
                f"its functions and graphs stand in each other more than {MOST_DEPTH} deep"
            )
        return _Size(nodes, depth + 1)

    def node(self, node: NodeProto, above: int) -> _Size:
        inner = [self.body(graph, above + 1) for graph in _walk.graphs_in(node)]
        key = (domain_key(node.domain), node.op_type, node.overload)
        inner += [self.function(key, above + 1)] if key in self.functions else []
        nodes = sum(size.nodes for size in inner)
        return _Size(1 + nodes, max((size.depth for size in inner), default=0))
