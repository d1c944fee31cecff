"""Upper bounds of what shape inference makes of a graph, told without inferring anything.

Inference writes down every dimension of every value, and each number of a vector that may become a shape.
Some operators make many of few: ``Gather`` of matrices doubles dimensions, ``Concat`` doubles vectors, and a
shape of a million numbers is a value of a million dimensions. Each node is looked at once; where nothing can
be told, infinity is the bound.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf, prod
from typing import Any

from onnx import GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, numpy_helper

from neuromatic.ir import traversal as _walk
from neuromatic.ir.tensors import is_mapped

MOST_RANK = 64
"""As many dimensions as numpy's arrays have at most."""
MOST_VECTOR = 4096
"""Shapes have fewer numbers; what inference is to write down of longer vectors is hidden from it."""
MOST_BYTES = 384 << 20
"""What inference may write down in all."""
ENTRY = 64
"""Bytes of a dimension, its name aside."""
KNOWN = 128
"""Of no more numbers than these, the values are looked at."""

WRITING = {"Add", "Cast", "Concat", "Gather", "Mul", "Size", "Slice", "Squeeze", "Sub", "Unsqueeze"}
"""Operators for which inference writes down the numbers of vectors."""
PAIRED = {
    *("Add", "And", "BitShift", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max"),
    *("Mean", "Min", "Mod", "Mul", "Or", "Pow", "Sub", "Sum", "Where", "Xor"),
}
"""Operators whose inputs are broadcast."""
SHAPED = {
    **{"AffineGrid": 1, "CenterCropPad": 1, "ConstantOfShape": 0, "Expand": 1, "MaxUnpool": 2},
    **{"Reshape": 1, "Resize": 3},
}
"""Operators that take a shape, and which input that is."""
SAME = {
    *(
        "Abs",
        "BatchNormalization",
        "Cast",
        "CastLike",
        "Ceil",
        "Clip",
        "Cos",
        "Dropout",
        "Erf",
        "Exp",
        "Floor",
    ),
    *("Gelu", "Identity", "LayerNormalization", "LeakyRelu", "Log", "LogSoftmax", "Neg", "Not", "Reciprocal"),
    *("Relu", "Round", "Sigmoid", "Sign", "Sin", "Slice", "Softmax", "Split", "Sqrt", "Tanh", "Transpose"),
    "Trilu",
}
"""Operators that give no more elements than their first input has."""
OTHER = {
    *("ConcatFromSequence", "DynamicQuantizeLinear", "If", "ImageDecoder", "Loop"),
    *("NegativeLogLikelihoodLoss", "NonMaxSuppression", "NonZero", "Optional", "OptionalGetElement"),
    *("RoiAlign", "STFT", "Scan", "SequenceAt", "SequenceConstruct", "SequenceErase", "SequenceInsert"),
    *("SequenceMap", "SoftmaxCrossEntropyLoss", "SplitToSequence", "StringSplit", "Unique", "Compress"),
    *("Det", "OneHot", "Attention", "MaxRoiPool"),
}
"""Operators of whose results nothing is told but that they have few dimensions more."""
FEW = 3


@dataclass(frozen=True)
class Bound:
    """What is known of a value.

    Attributes:
        low: how many dimensions it has at least,
        rank: and at most.
        least: how many elements it has at least,
        count: and at most, as far as inference may know them: 0 for what is hidden from it.
        values: its numbers, where they are few and known.
    """

    low: float = 0
    rank: float = 0
    least: float = 0
    count: float = inf
    values: tuple[Any, ...] | None = None


NOTHING = Bound()
SCALAR = Bound(0, 0, 1, 1)
Known = ChainMap[str, Bound]


class Inference:
    """Bounds for one graph.

    Args:
        graph: the graph.
        types: of its values, where some are known.

    Attributes:
        entries: how many dimensions and numbers are written down at most.
        few_dimensions: whether it is certain that no value has many.
        short_vectors: whether it is certain that no vector whose numbers are written down is long.
    """

    def __init__(self, graph: GraphProto, types: Mapping[str, TypeProto] | None = None) -> None:
        self.entries, self.few_dimensions, self.short_vectors, self.longest = 0.0, True, True, 0
        self._types = types or {}
        self._graph(graph, ChainMap(), None)

    @property
    def few_entries(self) -> bool:
        """Whether it is certain that dimensions and numbers take little memory, long vectors aside."""
        return self.few_dimensions and self.entries * (ENTRY + self.longest) <= MOST_BYTES

    @property
    def harmless(self) -> bool:
        """Whether it is certain that inference takes little memory."""
        return self.few_entries and self.short_vectors

    def _graph(self, graph: GraphProto, outer: Known, given: Bound | None) -> list[Bound]:
        """Look at a graph; ``given`` bounds what a node gives the graph that it carries."""
        known = outer.new_child()
        for value in graph.input:
            known[value.name] = given or _declared(value.type)
        for value in (*graph.input, *graph.output, *graph.value_info):
            self.longest = max([self.longest, *(len(d.dim_param) for d in dims_of(value.type))])
        known.update((t.name, _stored(t)) for t in graph.initializer)
        known.update((s.values.name, _sized(s.dims)) for s in graph.sparse_initializer)
        for node in graph.node:
            inputs = [known.get(name, NOTHING) for name in node.input] or [NOTHING]
            bound = self._node(node, inputs, self._inner(node, known, inputs))
            results = {name: self._narrowed(name, bound) for name in node.output}
            self._write(node, inputs, results.values())
            if not self.few_dimensions:
                break
            known.update(results)
        return [known.get(value.name, NOTHING) for value in graph.output]

    def _narrowed(self, name: str, bound: Bound) -> Bound:
        """A bound with what is known of the value's type."""
        kind = self._types.get(name)
        if kind is not None and kind.tensor_type.HasField("shape"):
            found = _declared(kind)
            unknown = found.rank == 1 and not found.count
            bound = replace(found, count=bound.count if unknown else found.count, values=bound.values)
        return bound if bound.rank else replace(bound, count=1)

    def _write(self, node: NodeProto, given: Sequence[Bound], results: Collection[Bound]) -> None:
        """Count what inference writes down for a node."""
        ranks = [bound.rank for bound in results]
        self.entries += sum(ranks)
        self.few_dimensions &= max(ranks, default=0) <= MOST_RANK
        if node.op_type in WRITING:
            counts = [bound.count for bound in (*given, *results) if bound.low <= 1]
            self.short_vectors &= max(counts, default=0) <= MOST_VECTOR
            self.entries += sum(count for count in counts if count <= MOST_VECTOR)

    def _node(self, node: NodeProto, given: Sequence[Bound], inner: Iterable[Bound]) -> Bound:
        """The bound of a node's outputs."""
        operator, first = node.op_type, given[0]
        highest = max(bound.rank for bound in (*given, *inner))
        if operator in SHAPED:
            return self._shaped(node, given)
        if operator in _RULES:
            return _RULES[operator](node, given)
        if operator.startswith(("Reduce", "ArgM")):
            return _reduced(node, given)
        if operator in PAIRED:
            low, least = max(b.low for b in given), max(b.least for b in given)
            if highest <= 1:
                return Bound(low, highest, least, max(b.count for b in given))
            return Bound(low, highest, least, prod(max(b.count, 1) for b in given))
        if operator in OTHER or node.domain not in ("", "ai.onnx"):
            return Bound(0, highest + FEW)
        if any(a.name == "shape" for a in node.attribute):
            return _sized(next(a.ints for a in node.attribute if a.name == "shape"))
        return replace(first, least=0, count=first.count if operator in SAME else inf, values=None)

    def _shaped(self, node: NodeProto, given: Sequence[Bound]) -> Bound:
        """What a node gives that takes a shape; the numbers of the shape are as many as dimensions."""
        position = SHAPED[node.op_type]
        written = next((len(a.ints) for a in node.attribute if a.name == "shape"), 0)
        shape = given[position] if len(given) > position else Bound(1, 1, written, written)
        self.few_dimensions &= shape.count <= MOST_RANK
        if node.op_type == "Reshape":
            return Bound(shape.least, shape.count, given[0].least, given[0].count)
        if node.op_type == "ConstantOfShape":
            return Bound(shape.least, shape.count, 0, inf if shape.values is None else prod(shape.values))
        return Bound(max(shape.least, given[0].low), max(shape.count, given[0].rank))

    def _inner(self, node: NodeProto, known: Known, given: Sequence[Bound]) -> list[Bound]:
        """The outputs of the graphs that a node carries."""
        inputs = Bound(0, max(bound.rank for bound in given))
        return [bound for graph in _walk.graphs_in(node) for bound in self._graph(graph, known, inputs)]


def dims_of(kind: TypeProto) -> Sequence[TensorShapeProto.Dimension]:
    """The dimensions of a tensor's type, or of what a sequence or optional holds."""
    while kind.WhichOneof("value") in ("sequence_type", "optional_type"):
        inner = kind.sequence_type if kind.HasField("sequence_type") else kind.optional_type
        kind = inner.elem_type
    dims: Sequence[TensorShapeProto.Dimension] = kind.tensor_type.shape.dim
    return dims or kind.sparse_tensor_type.shape.dim


def _declared(kind: TypeProto) -> Bound:
    """The bound of a value whose type is declared; what has no shape gets none by inference."""
    if not kind.tensor_type.HasField("shape"):
        return Bound(0, len(dims_of(kind)), 0, 0)
    return _sized([dim.dim_value for dim in dims_of(kind)])


def _sized(dims: Sequence[int]) -> Bound:
    if len(dims) == 1:
        return Bound(1, 1, dims[0], dims[0] if dims[0] <= MOST_VECTOR else 0)
    return Bound(len(dims), len(dims), prod(dims), prod(size or 1 for size in dims))


def _stored(tensor: TensorProto) -> Bound:
    bound = _sized(tensor.dims)
    if bound.count > KNOWN or is_mapped(tensor):
        return bound
    return replace(bound, values=tuple(numpy_helper.to_array(tensor).ravel().tolist()))


def _constant(node: NodeProto, given: Sequence[Bound]) -> Bound:
    del given
    for attribute in node.attribute:
        if attribute.name == "value":
            return _stored(attribute.t)
        if attribute.name == "value_ints":
            return replace(_sized([len(attribute.ints)]), values=tuple(attribute.ints))
        if attribute.name == "sparse_value":
            return _sized(attribute.sparse_tensor.dims)
        listed = len(attribute.floats) + len(attribute.strings)
        return _sized([listed]) if attribute.name.endswith("s") else SCALAR
    return NOTHING


def _axes(node: NodeProto, given: Sequence[Bound], others: tuple[float, float]) -> tuple[float, float]:
    """How many axes a node names, at least and at most; ``others`` where it names none."""
    written = next((len(a.ints) for a in node.attribute if a.name == "axes"), None)
    if written is not None:
        return written, written
    return (given[1].least, given[1].count) if len(given) > 1 else others


def _unsqueeze(node: NodeProto, given: Sequence[Bound]) -> Bound:
    first, (fewest, most) = given[0], _axes(node, given, (0, inf))
    return replace(first, low=first.low + fewest, rank=first.rank + most, values=None)


def _squeeze(node: NodeProto, given: Sequence[Bound]) -> Bound:
    first, (fewest, most) = given[0], _axes(node, given, (0, inf))
    return replace(first, low=max(first.low - most, 0), rank=max(first.rank - fewest, 0), values=None)


def _reduced(node: NodeProto, given: Sequence[Bound]) -> Bound:
    first = given[0]
    if next((a.i for a in node.attribute if a.name == "keepdims"), 1):
        return replace(first, least=0, values=None)
    if node.op_type.startswith("Arg"):
        return Bound(max(first.low - 1, 0), first.rank, 0, first.count)
    fewest, most = _axes(node, given, (inf, inf))
    if fewest == inf:
        return SCALAR
    return Bound(max(first.low - most, 0), max(first.rank - fewest, 0), 0, first.count)


def _concat(node: NodeProto, given: Sequence[Bound]) -> Bound:
    low, rank = max(b.low for b in given), max(b.rank for b in given)
    return Bound(low, rank, sum(b.least for b in given), sum(b.count for b in given) if low <= 1 else inf)


def _gather(node: NodeProto, given: Sequence[Bound]) -> Bound:
    first, indices = given[0], given[-1]
    lost = 1 if node.op_type == "Gather" else first.low
    low, least = max(first.low + indices.low - lost, 0), indices.least if first.rank <= 1 else 0
    rank = first.rank + indices.rank - (1 if node.op_type == "Gather" else 0)
    return Bound(low, max(rank, 0), least, indices.count if first.rank <= 1 else inf)


def _matmul(node: NodeProto, given: Sequence[Bound]) -> Bound:
    low = max(bound.low for bound in given)
    vectors = min(bound.low for bound in given) <= 1
    return Bound(max(low - vectors, 0), max(bound.rank for bound in given))


def _einsum(node: NodeProto, given: Sequence[Bound]) -> Bound:
    letters = sum(len(attribute.s) for attribute in node.attribute)
    return Bound(0, max(bound.rank for bound in given) + letters)


def _range(node: NodeProto, given: Sequence[Bound]) -> Bound:
    """Inference knows its length where all three numbers are constants."""
    numbers = [bound.values for bound in given]
    if len(numbers) != 3 or not all(numbers):
        return Bound(1, 1, 0, 0)
    start, limit, delta = (found[0] for found in numbers if found)
    return _sized([max(ceil((limit - start) / (delta or 1)), 0)])


_RULES: dict[str, Callable[[NodeProto, Sequence[Bound]], Bound]] = {
    **dict.fromkeys(("GRU", "LSTM", "RNN"), lambda node, given: Bound(3, 4)),
    "Concat": _concat,
    "Constant": _constant,
    "Einsum": lambda node, given: Bound(
        0, max(b.rank for b in given) + sum(len(a.s) for a in node.attribute)
    ),
    "Flatten": lambda node, given: Bound(2, 2),
    "Gather": _gather,
    "GatherND": _gather,
    "Gemm": lambda node, given: Bound(2, 2),
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
    "Range": _range,
    "SequenceLength": lambda node, given: SCALAR,
    "Shape": lambda node, given: Bound(1, 1, given[0].low, given[0].rank),
    "Size": lambda node, given: SCALAR,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
}
