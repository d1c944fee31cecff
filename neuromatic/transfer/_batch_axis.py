"""Where the batch is in each value of a graph that was exported for a fixed one.

Exporters write the batch size into shapes: targets of Reshape, sizes of Expand and Resize, initial states.
The walk follows the batch from the inputs on. In row-major order it is a digit: reshaping moves it to the
axis whose preceding axes have the same product. Each node that has its size written down is changed to take
it from its input (:mod:`neuromatic.transfer._batch_rules`); where the batch is lost, or is not to be told
from other axes, the node is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, defs, helper, numpy_helper, shape_inference

from neuromatic.errors import ConversionError, InvalidModelError
from neuromatic.inference import Session
from neuromatic.ir import folding
from neuromatic.ir.opsets import opset_of
from neuromatic.ir.tensors import array_of
from neuromatic.ir.traversal import reads
from neuromatic.ir.types import part_for
from neuromatic.ir.values import Dim, Shape, Value

Array = NDArray[Any]
SMALL = 64
"""Shapes have at most this many numbers."""
BROADCASTING = frozenset(
    [
        *("Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual"),
        *("Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Sum"),
        *("Where", "Xor"),
    ]
)
COMPUTED = folding.FOLDED | {"And", "ConstantOfShape", "Equal", "Greater", "Less", "Not", "Or", "Where"}
"""Operators that shapes are computed by."""
PROBES = (1_000_003, 999_983)
"""Two batch sizes that nothing else in a graph is likely to be."""
Rule = Callable[["Walk", NodeProto], None]


@dataclass(frozen=True)
class Digit:
    """Where the batch is in a value.

    Attributes:
        axis: the axis that it is in.
        left: the product of what is merged with it in this axis, before it,
        right: and after it.
    """

    axis: int
    left: int = 1
    right: int = 1

    @property
    def alone(self) -> bool:
        """Whether the axis is the batch and nothing besides."""
        return self.left == self.right == 1


Order = Callable[[Digit, Digit, int], tuple[int, ...]]


def features_apart(found: Digit, before: Digit, rank: int) -> tuple[int, ...]:
    """Prefer the batch alone, then not in the last axis, where features are, then at the front."""
    last = found.axis == rank - 1 and found.right != 1
    return (not found.alone, last, found.left != 1, abs(found.axis - before.axis))


def batch_behind(found: Digit, before: Digit, rank: int) -> tuple[int, ...]:
    """Prefer the batch alone, then after what it is merged with."""
    return (not found.alone, found.right != 1, found.left != 1, abs(found.axis - before.axis))


class Walk:
    """Makes the batch of a graph dynamic, in place.

    Args:
        model: the model; its graph is changed.
        size: the batch size that is written down in it.
        inputs: names of the inputs whose first axis is the batch.
        name: what the axis is called.
        rules: by operator, what changes a node and follows the batch to its outputs.
        types: the values of the graph, by name.
        order: of several axes that the batch may be in, the one for which this is the least.

    Attributes:
        digits: where the batch is, by the name of a value that has it.
        vectors: by name, shapes that the graph computes: numbers, the name of the batch, or None.
        doubtful: nodes that had several places for it.

    Raises:
        ConversionError: names a node.
    """

    def __init__(
        self,
        model: ModelProto,
        size: int,
        inputs: Sequence[str],
        name: str,
        *,
        rules: Mapping[str, Rule],
        types: Mapping[str, Value],
        order: Order,
    ) -> None:
        self.model, self.size, self.name, self._rules = model, size, name, rules
        self.opset = opset_of(model) or 1
        self.opsets = {o.domain: o.version for o in model.opset_import}
        self.types, self._order = dict(types), order
        self._before = ModelProto()
        self._before.CopyFrom(model)
        self.digits = {name: Digit(0) for name in inputs}
        self.doubtful: list[NodeProto] = []
        self.vectors: dict[str, Array] = {}
        self._known = {t.name: t for t in model.graph.initializer if prod(t.dims) <= SMALL}
        self._symbols: dict[str, tuple[int, int]] = {}
        self._nodes: list[NodeProto] = []
        for node in list(model.graph.node):
            self._visit(node)
        del model.graph.node[:]
        model.graph.node.extend(self._nodes)

    # -- nodes -------------------------------------------------------------------------------------

    def _visit(self, node: NodeProto) -> None:
        if node.op_type == "Constant":
            self._learn(node)
        elif self.digits.keys().isdisjoint(reads(node)):
            if not self._computed(node):
                rule = self._rules.get(node.op_type) if node.domain in ("", "ai.onnx") else None
                if rule is not None and not self.vectors.keys().isdisjoint(node.input):
                    rule(self, node)
        else:
            rule = self._rules.get(node.op_type) if node.domain in ("", "ai.onnx") else None
            (rule or Walk.by_inference)(self, node)
        self._nodes.append(node)

    def _computed(self, node: NodeProto) -> bool:
        """Whether a node computes a few numbers from shapes and constants, which are now known.

        Computed with two batch sizes, what is the same for both has no part of the batch.
        """
        vectors = [self.vector(name) if name else np.zeros(0) for name in node.input]
        if node.op_type not in COMPUTED or node.domain not in ("", "ai.onnx") or len(node.output) != 1:
            return False
        if not vectors or any(v is None for v in vectors):
            return False
        name = node.output[0]
        one, other = (self._evaluated(node, [v for v in vectors if v is not None], batch) for batch in PROBES)
        if one is None or other is None or one.shape != other.shape:
            return False
        if bool(np.all(one == other)):
            self._known[name] = numpy_helper.from_array(one, name)
            return True
        plain = [
            int(a) if a == b else self.name if (a, b) == PROBES else None
            for a, b in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)
        ]
        self.vectors[name] = np.array([*plain, None], object)[:-1].reshape(one.shape)
        return True

    def _evaluated(self, node: NodeProto, vectors: Sequence[Array], batch: int) -> Array | None:
        inputs: dict[str, Any] = {}
        for name, vector in zip(node.input, vectors, strict=True):
            if not name:
                continue
            values = vector
            if vector.dtype == object:
                if None in vector.ravel().tolist():
                    return None
                values = np.where(vector == self.name, batch, vector).astype(np.int64)
            inputs[name] = values
        if node.op_type == "ConstantOfShape" and prod(next(iter(inputs.values())).tolist()) > SMALL:
            return None
        return folding.evaluated(node, inputs, self.model)

    def _learn(self, node: NodeProto) -> None:
        tensor = next((a.t for a in node.attribute if a.name == "value"), None)
        if tensor is not None and prod(tensor.dims) <= SMALL:
            self._known[node.output[0]] = tensor
        for attribute in node.attribute:
            if attribute.name in ("value_int", "value_ints"):
                array = np.array(helper.get_attribute_value(attribute), np.int64)
                self._known[node.output[0]] = numpy_helper.from_array(array, node.output[0])

    def by_inference(self, node: NodeProto) -> None:
        """Whatever shape inference says of the outputs, with a name in the place of the batch."""
        if not self.digits.keys() & set(node.input):  # a shape, or what a graph of the node reads
            self._guess(node)
            return
        if node.op_type in BROADCASTING and self.size > 1:
            self._cut_rows(node)
        found, sure = self._inferred(node), False
        for name in filter(None, node.output):
            shape = found.get(name)
            places = [i for i, dim in enumerate(shape or ()) if dim in self._symbols]
            if len(places) > 1:
                raise self.refused(
                    node, f"its output {name!r} has the batch in two axes: rows depend on each other"
                )
            if places and shape is not None:
                self.digits[name] = Digit(places[0], *self._symbols[str(shape[places[0]])])
            sure |= shape is not None and all(isinstance(dim, int) for dim in shape)
        if self.digits.keys().isdisjoint(node.output):
            if sure:
                raise self.refused(
                    node, "its outputs have no batch: rows depend on each other, or it is taken off"
                )
            self._guess(node)

    def _guess(self, node: NodeProto) -> None:
        """Of what shape inference does not know: the batch stays in its axis."""
        for name in filter(None, node.output):
            shape = self.shape(name)
            for given in reads(node):
                digit = self.digits.get(given)
                if digit and shape and len(shape) > digit.axis and shape[digit.axis] == self.shape_at(given):
                    self.digits.setdefault(name, digit)

    def _inferred(self, node: NodeProto) -> dict[str, Shape | None]:
        try:
            schema = defs.get_schema(node.op_type, self.opsets.get(node.domain, self.opset), node.domain)
            types = {n: self._symbolic(n) for n in node.input if n in self.types}
            data = {n: self._known[n] for n in node.input if n in self._known}
            found = shape_inference.infer_node_outputs(
                schema, node, types, data, opset_imports=list(self.model.opset_import)
            )
        except (KeyError, RuntimeError, ValueError, shape_inference.InferenceError, defs.SchemaError):
            return {}
        return {name: Value.of(name, kind).shape for name, kind in found.items()}

    def _symbolic(self, name: str) -> Any:
        """The type of a value with a name in the place of the batch."""
        value, digit = self.types[name], self.digits.get(name)
        if digit is None or value.shape is None:
            return value.type_proto()
        symbol = f"{digit.left}*{self.name}*{digit.right}"
        self._symbols[symbol] = (digit.left, digit.right)
        shape: list[Dim] = list(value.shape)
        shape[digit.axis] = symbol
        return helper.make_tensor_type_proto(value.dtype, shape)

    # -- what rules ask ----------------------------------------------------------------------------

    def shape(self, name: str) -> Shape | None:
        """The shape of a value as it is written in the file."""
        return self.types[name].shape if name in self.types else None

    def shape_at(self, name: str) -> Dim:
        """The size of the axis that the batch is in."""
        return (self.shape(name) or ())[self.digits[name].axis]

    def known(self, name: str) -> Array | None:
        """The values of a constant of few numbers."""
        tensor = self._known.get(name)
        return None if tensor is None else array_of(tensor)

    def vector(self, name: str) -> Array | None:
        """The numbers of a shape, with the name of the batch where it is; None for what is not known."""
        return self.vectors[name] if name in self.vectors else self.known(name)

    def refused(self, node: NodeProto, why: str) -> ConversionError:
        """An error that names a node."""
        return ConversionError(f"the batch of {self.size} cannot be made dynamic at {described(node)}: {why}")

    def constant(self, node: NodeProto, values: Any) -> str:
        """The name of a new int64 constant."""
        name = self.fresh(node, "constant")
        tensor = numpy_helper.from_array(np.asarray(values, np.int64))
        self._nodes.append(helper.make_node("Constant", [], [name], name=name, value=tensor))
        return name

    def add(self, node: NodeProto, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """The output of a new node before another one."""
        name = self.fresh(node, op)
        self._nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def fresh(self, node: NodeProto, kind: str) -> str:
        """A new name that tells what it is for."""
        base = f"{node.name or next(filter(None, node.output))}/{self.name}/{kind}"
        name, count = base, 0
        taken = self.types.keys() | {o for n in self._nodes for o in n.output}
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        return name

    def batch_of(self, node: NodeProto, name: str) -> str:
        """A vector of one number: the size of the axis of a value that the batch is in."""
        sizes = self.add(node, "Shape", [name])
        return self.add(node, "Gather", [sizes, self.constant(node, [self.digits[name].axis])], axis=0)

    def sizes(self, node: NodeProto, name: str, numbers: Sequence[int], axis: int) -> str:
        """A shape of some numbers, with the batch of a value at an axis."""
        parts = [self.constant(node, numbers[:axis])] if axis else []
        parts.append(self.batch_of(node, name))
        if axis + 1 < len(numbers):
            parts.append(self.constant(node, numbers[axis + 1 :]))
        return parts[0] if len(parts) == 1 else self.add(node, "Concat", parts, axis=0)

    def one_row(self, node: NodeProto, name: str, axis: int) -> str:
        """A value that is the same for all rows, of one row.

        Raises:
            ConversionError: its rows differ, or it depends on the inputs.
        """
        if self.size == 1:
            return name
        array = self._constant_value(name)
        if array is None or not (array == array.take([0], axis)).all():
            raise self.refused(node, f"{name!r} has a value for each of {self.size} rows")
        one = self.add(node, "Gather", [name, self.constant(node, [0])], axis=axis)
        shape = list(self.shape(name) or ())
        shape[axis] = 1
        self.types[one] = Value(one, self.types[name].dtype, tuple(shape))
        return one

    def _constant_value(self, name: str) -> Array | None:
        """What a value is that does not depend on the inputs."""
        stored = next((t for t in self.model.graph.initializer if t.name == name), None)
        if stored is not None:
            return array_of(stored)
        part = part_for(self._before, [name], self.types)
        try:
            return Session(part).run({}, trial=True)[name]
        except InvalidModelError:
            return None

    def expanded(self, node: NodeProto, name: str, axis: int, like: str) -> str:
        """A value of a fixed number of equal rows, for as many rows as another value has."""
        rank = len(self.shape(name) or ())
        shape = self.sizes(node, like, [1] * rank, axis)
        return self.add(node, "Expand", [self.one_row(node, name, axis), shape])

    def has_rows(self, name: str, axis: int) -> bool:
        """Whether a value that does not depend on the batch has its size at an axis."""
        shape = self.shape(name)
        return (
            name not in self.digits and shape is not None and axis < len(shape) and shape[axis] == self.size
        )

    def _cut_rows(self, node: NodeProto) -> None:
        """Constants with a value for each row, one for all where these are equal."""
        rank = max(len(self.shape(n) or ()) for n in node.input)
        places = {
            rank - len(self.shape(n) or ()) + self.digits[n].axis for n in node.input if n in self.digits
        }
        for i, name in enumerate(node.input):
            for place in places:
                axis = place - (rank - len(self.shape(name) or ()))
                if axis >= 0 and self.has_rows(name, axis):
                    node.input[i] = self.one_row(node, name, axis)

    def place(self, node: NodeProto, digit: Digit, before: Shape, after: Shape) -> Digit:
        """Where the batch is after reshaping.

        Raises:
            ConversionError: nowhere.
        """
        same = digit.axis < len(after) and before[: digit.axis] == after[: digit.axis]
        if digit.alone and same and after[digit.axis] == before[digit.axis]:
            return digit
        found = []
        if all(isinstance(d, int) for d in before[: digit.axis]):
            total = prod(int(d or 0) for d in before[: digit.axis]) * digit.left
            found = list(_candidates(total, after, self.size))
        if not found:
            raise self.refused(node, f"the batch is in no axis of {after}, which {before} is reshaped to")
        if len(found) > 1:
            self.doubtful.append(node)
        return min(found, key=lambda d: self._order(d, digit, len(after)))


def _candidates(total: int, after: Shape, size: int) -> list[Digit]:
    """The axes that a digit with so much before it in row-major order can be in."""
    found, before = [], 1
    for axis, dim in enumerate(after):
        if not isinstance(dim, int) or not dim or total % before:
            break
        left = total // before
        if dim % left == 0 and (dim // left) % size == 0:
            found.append(Digit(axis, left, dim // left // size))
        before *= dim
    return found


def described(node: NodeProto) -> str:
    """A node as messages name it."""
    if node.name:
        return f"node {node.name!r} ({node.op_type})"
    return f"the {node.op_type} that makes {next(filter(None, node.output), '')!r}"
