"""Nodes whose inputs cannot fit, as far as shapes tell: what runtimes notice only when they run.

When they take a model, neither ``onnx.checker`` nor onnxruntime compares the channels of a convolution with
its kernel, or the sizes of scales, biases and slopes with what they belong to. Only numbers are compared;
what is symbolic or not known fits.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from onnx import GraphProto, NodeProto, TensorProto, TypeProto, helper, numpy_helper

from neuromatic.ir import traversal as _walk
from neuromatic.ir.tensors import is_mapped

Size = int | None
Shape = tuple[Size, ...] | None
SMALL = 1024


class Facts:
    """What is known of one node.

    Attributes:
        node: the node.
        shapes: of its inputs; None for what is not there or of unknown rank.
    """

    def __init__(
        self, node: NodeProto, shapes: Mapping[str, Shape], stored: Mapping[str, TensorProto]
    ) -> None:
        self.node, self._stored = node, stored
        self.shapes = [shapes.get(name) for name in node.input]
        self._attributes = {a.name: a for a in node.attribute}

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute's value."""
        found = self._attributes.get(name)
        return default if found is None or found.ref_attr_name else helper.get_attribute_value(found)

    def shape(self, position: int) -> Shape:
        """The shape of an input."""
        return self.shapes[position] if position < len(self.shapes) else None

    def size(self, position: int, axis: int) -> Size:
        """One dimension of an input."""
        shape = self.shape(position)
        return shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None

    def integers(self, position: int) -> list[int] | None:
        """The numbers of an input that is an initializer."""
        name = self.node.input[position] if position < len(self.node.input) else ""
        tensor = self._stored.get(name)
        if tensor is None or is_mapped(tensor) or prod(tensor.dims) > SMALL:
            return None
        if tensor.data_type not in (TensorProto.INT64, TensorProto.INT32):
            return None
        return [int(number) for number in numpy_helper.to_array(tensor).ravel()]


def first_misfit(graph: GraphProto) -> str | None:
    """One sentence on the first node that cannot run; None where all may.

    Args:
        graph: with the types that shape inference found.
    """
    return _first(graph, ChainMap(), ChainMap())


def _first(graph: GraphProto, shapes: ChainMap[str, Shape], stored: ChainMap[str, TensorProto]) -> str | None:
    values = [*graph.value_info, *graph.input, *graph.output]
    known = shapes.new_child({v.name: _shape(v.type) for v in values})
    known.update((t.name, tuple(t.dims)) for t in graph.initializer)
    tensors = stored.new_child({t.name: t for t in graph.initializer})
    for node in graph.node:
        if node.domain in ("", "ai.onnx") and node.op_type in RULES:
            reason = RULES[node.op_type](Facts(node, known, tensors))
            if reason is not None:
                return f"{node.op_type} {node.name or node.output[0]!r}: {reason}"
        for inner in _walk.graphs_in(node):
            if found := _first(inner, known, tensors):
                return found
    return None


def _shape(kind: TypeProto) -> Shape:
    if not kind.tensor_type.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.tensor_type.shape.dim)


def _differ(a: Size, b: Size) -> bool:
    return a is not None and b is not None and a != b


# -- rules ---------------------------------------------------------------------------------------------


def _convolution(facts: Facts) -> str | None:
    transposed = facts.node.op_type == "ConvTranspose"
    x, w, group = facts.shape(0), facts.shape(1), facts.attribute("group", 1)
    if group < 1:
        return f"there is no convolution in {group} groups"
    if x is None or w is None or len(x) != len(w) or len(x) < 3:
        return None if x is None or w is None else f"input and kernel have shapes {_text(x)} and {_text(w)}"
    taken = w[0] if transposed else None if w[1] is None else w[1] * group
    if _differ(x[1], taken):
        return f"the input has {x[1]} channels, the kernel {_text(w)} takes {taken} in {group} groups"
    if w[0] is not None and w[0] % group:
        return f"{w[0]} filters are no {group} groups"
    kernel = facts.attribute("kernel_shape", w[2:])
    if len(kernel) != len(w) - 2 or any(map(_differ, kernel, w[2:])):
        return f"kernel_shape is {list(kernel)}, the kernel {_text(w)}"
    given = (None if w[1] is None else w[1] * group) if transposed else w[0]
    if _differ(facts.size(2, 0), given):
        return f"the bias has {facts.size(2, 0)} numbers for {given} filters"
    return None if transposed else _window(facts, x, kernel)


def _window(facts: Facts, x: Sequence[Size], kernel: Sequence[Size]) -> str | None:
    """A kernel is no larger than the padded input."""
    if facts.attribute("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return None
    axes = len(kernel)
    pads = facts.attribute("pads", [0] * 2 * axes)
    dilations = facts.attribute("dilations", [1] * axes)
    if len(pads) != 2 * axes or len(dilations) != axes:
        return f"pads {list(pads)} or dilations {list(dilations)} are not those of {axes} axes"
    for i, (size, width) in enumerate(zip(x[2:], kernel, strict=False)):
        if size is not None and width is not None:
            padded = size + pads[i] + pads[i + axes]
            if (width - 1) * dilations[i] + 1 > padded:
                return f"a kernel of {width} does not fit into {padded}"
    return None


def _pool(facts: Facts) -> str | None:
    x, kernel = facts.shape(0), facts.attribute("kernel_shape", None)
    if x is None or kernel is None or facts.attribute("ceil_mode", 0):
        return None
    if len(kernel) != len(x) - 2:
        return f"kernel_shape {list(kernel)} is not that of {len(x) - 2} axes"
    return _window(facts, x, kernel)


def _gemm(facts: Facts) -> str | None:
    bias, columns = facts.shape(2), facts.size(1, 0 if facts.attribute("transB", 0) else 1)
    if bias and _differ(bias[-1], columns) and bias[-1] != 1:
        return f"the bias {_text(bias)} has another size than the {columns} columns"
    return None


def _channels(facts: Facts) -> str | None:
    for position, name in enumerate(facts.node.input[1:], 1):
        if _differ(facts.size(position, 0), facts.size(0, 1)):
            return f"{name!r} has {facts.size(position, 0)} numbers for {facts.size(0, 1)} channels"
    return None


def _normalized(facts: Facts) -> str | None:
    """Scale and bias are broadcast to the axes that are normalized."""
    return next(filter(None, (_broadcast(facts, position) for position in (1, 2))), None)


def _broadcast(facts: Facts, position: int = 1) -> str | None:
    """An input fits into the first by broadcasting."""
    x, other = facts.shape(0), facts.shape(position)
    if x is None or other is None:
        return None
    pairs = zip(reversed(x), reversed(other), strict=False)
    if len(other) > len(x) or any(_differ(a, b) and b != 1 for a, b in pairs):
        return f"{facts.node.input[position]!r} {_text(other)} does not fit {_text(x)}"
    return None


def _reshape(facts: Facts) -> str | None:
    x, to = facts.shape(0), facts.integers(1)
    if x is None or to is None or None in x or 0 in to or 0 in x:
        return None
    count = prod(size or 0 for size in x)
    fixed = prod(size for size in to if size != -1)
    if count != fixed if -1 not in to else count % fixed:
        return f"{count:,} elements {_text(x)} cannot have the shape {_text(to)}"
    return None


def _gather(facts: Facts) -> str | None:
    indices, size = facts.integers(1), facts.size(0, facts.attribute("axis", 0))
    if indices and size is not None and not all(-size <= index < size for index in indices):
        return f"index {max(indices, key=abs)} is beyond {size}"
    return None


def _gather_nd(facts: Facts) -> str | None:
    """Each row of indices is one of so many axes."""
    indices, shape = facts.integers(1), facts.shape(1)
    if not indices or not shape or facts.attribute("batch_dims", 0):
        return None
    for position, index in enumerate(indices):
        size = facts.size(0, position % (shape[-1] or 1))
        if size is not None and not -size <= index < size:
            return f"index {index} is beyond {size}"
    return None


def _scatter_nd(facts: Facts) -> str | None:
    """Updates have the shape of the rows of indices, then that of what these point to."""
    x, indices, updates = facts.shape(0), facts.shape(1), facts.shape(2)
    if x is None or not indices or updates is None or indices[-1] is None:
        return None
    expected = (*indices[:-1], *x[indices[-1] :])
    if len(updates) != len(expected) or any(map(_differ, updates, expected)):
        return f"the updates {_text(updates)} should be {_text(expected)}"
    return None


def _blocks(facts: Facts) -> str | None:
    block = facts.attribute("blocksize", 1)
    sizes = (
        [facts.size(0, 1)] if facts.node.op_type == "DepthToSpace" else [facts.size(0, 2), facts.size(0, 3)]
    )
    parts = block**2 if facts.node.op_type == "DepthToSpace" else block
    if block < 1:
        return f"there are no blocks of {block}"
    for size in sizes:
        if size is not None and size % parts:
            return f"{size} cannot be divided by {parts}"
    return None


def _einsum(facts: Facts) -> str | None:
    """A letter is one size."""
    equation = facts.attribute("equation", b"").decode(errors="replace").replace(" ", "")
    terms = equation.split("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, facts.shapes, strict=False):
        if shape is None or "." in term or len(term) != len(shape):
            continue
        for letter, size in zip(term, shape, strict=True):
            if size is not None and size != 1 and sizes.setdefault(letter, size) != size:
                return f"{letter!r} is {sizes[letter]} and {size}"
    return None


def _quantization(facts: Facts) -> str | None:
    axis, scale = facts.attribute("axis", 1), facts.shape(1)
    if facts.attribute("block_size", 0) or scale is None or len(scale) != 1 or scale == (1,):
        return None
    if _differ(scale[0], facts.size(0, axis)):
        return f"{scale[0]} scales for a size of {facts.size(0, axis)}"
    return None


def _text(shape: Sequence[Size]) -> str:
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"


RULES: dict[str, Callable[[Facts], str | None]] = {
    "AveragePool": _pool,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "DepthToSpace": _blocks,
    "DequantizeLinear": _quantization,
    "Einsum": _einsum,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "Gemm": _gemm,
    "InstanceNormalization": _channels,
    "LayerNormalization": _normalized,
    "MaxPool": _pool,
    "PRelu": _broadcast,
    "QuantizeLinear": _quantization,
    "Reshape": _reshape,
    "ScatterND": _scatter_nd,
    "SpaceToDepth": _blocks,
}
