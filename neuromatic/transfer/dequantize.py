"""Weights of integers become floats, which can be trained.

What stands for a float is ``(integer - zero point) * scale``. Where these are stored, the float is stored in
their place, and operators on integers become those on floats. Between layers, what QuantizeLinear and
DequantizeLinear do is kept, or only that they clip, which often is all that is left of an activation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from neuromatic.errors import ModelError
from neuromatic.ir.tensors import array_of
from neuromatic.ir.traversal import reads, rewire, store
from neuromatic.recipe.integers import CARRYING, QUANTIZED, integer_weights, quantized_inputs
from neuromatic.recipe.sections import strip
from neuromatic.transfer._edit import keep, prune

Array = NDArray[Any]
HANDING_ON = CARRYING | {"Flatten", "MaxPool"}
"""Operators that commute with making floats of integers."""
CLIP_BY_INPUTS = 11
"""The opset from which Clip has its bounds as inputs."""
SUFFIX = "_quantized"
"""Ends the names that onnxruntime gives to quantized initializers."""


def dequantize(model: ModelProto, rounding: bool = False) -> ModelProto:
    """A copy without recipe whose weights of integers are floats, as far as ONNX' own operators tell.

    Args:
        rounding: keep the rounding of what goes from layer to layer.

    Raises:
        ModelError: there is none that can be made a float.
    """
    result = strip(model)
    before = {name for node in result.graph.node for name in reads(node)}
    rewriter = _Rewriter(result)
    rewriter.run()
    if not rewriter.stored:
        raise ModelError(
            "there is nothing to dequantize: no stored integers are the weight of "
            f"{', '.join(list(QUANTIZED)[:-1])} or {list(QUANTIZED)[-1]}"
        )
    _carry_floats(result.graph)
    if not rounding:
        _clip(result, rewriter.constants)
    prune(result.graph, [o.name for o in result.graph.output])
    unused = before.difference(*(reads(node) for node in result.graph.node))
    gone = unused & rewriter.constants.keys()
    for items in (result.graph.initializer, result.graph.input, result.graph.value_info):
        keep(items, [item for item in items if item.name not in gone])
    return result


def _carry_floats(graph: GraphProto) -> None:
    """Let floats go through what hands integers on, such as Flatten, since gradients go by floats alone.

    ``QuantizeLinear, Flatten, DequantizeLinear`` becomes ``QuantizeLinear, DequantizeLinear, Flatten``.
    """
    twins: dict[str, tuple[str, list[str]]] = {}  # of a value of integers: itself as floats, scale and zero
    nodes: list[NodeProto] = []
    for node in list(graph.node):
        first = node.input[0] if node.input else ""
        nodes.append(node)
        if node.op_type == "QuantizeLinear" and not node.attribute:
            name = f"{node.output[0]}/as_float"
            nodes.append(helper.make_node("DequantizeLinear", [node.output[0], *node.input[1:]], [name]))
            twins[node.output[0]] = name, list(node.input[1:])
        elif node.op_type in HANDING_ON and first in twins:
            twin = NodeProto()
            twin.CopyFrom(node)
            twin.input[0], twin.output[0] = twins[first][0], f"{node.output[0]}/as_float"
            del twin.output[1:]
            nodes.append(twin)
            twins[node.output[0]] = twin.output[0], twins[first][1]
        elif (
            node.op_type == "DequantizeLinear" and first in twins and list(node.input[1:]) == twins[first][1]
        ):
            nodes[-1] = helper.make_node("Identity", [twins[first][0]], [node.output[0]])
    named = {o.name for o in graph.output}
    for node in [n for n in nodes if n.op_type == "Identity" and n.output[0] not in named]:
        if node.input[0].endswith("/as_float"):
            rewire(nodes, node.output[0], node.input[0])
            nodes.remove(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _clip(model: ModelProto, constants: Mapping[str, TensorProto]) -> None:
    """Put a Clip in the place of each QuantizeLinear and DequantizeLinear of one stored scale."""
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    makers = {node.output[0]: node for node in model.graph.node if node.op_type == "QuantizeLinear"}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        before = makers.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        bounds = None if before is None else _bounds(before, node, constants)
        if before is None or bounds is None:
            nodes.append(node)
            continue
        name = node.name or node.output[0]
        if opset < CLIP_BY_INPUTS:
            lowest, highest = map(float, bounds)
            made = helper.make_node("Clip", before.input[:1], node.output, min=lowest, max=highest, name=name)
        else:
            ends = [f"{name}/{end}" for end in ("lowest", "highest")]
            for end, bound in zip(ends, bounds, strict=True):
                value = numpy_helper.from_array(bound)
                nodes.append(helper.make_node("Constant", [], [end], value=value))
            made = helper.make_node("Clip", [before.input[0], *ends], node.output, name=name)
        nodes.append(made)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _bounds(
    quantize: NodeProto, dequantize: NodeProto, constants: Mapping[str, TensorProto]
) -> tuple[Array, Array] | None:
    """The smallest and the largest float that both nodes together can give, if they undo each other."""
    given = list(quantize.input[1:])
    if given != list(dequantize.input[1:]) or len(given) < 2 or not all(x in constants for x in given):
        return None
    scale, zero = (array_of(constants[x]) for x in given)
    if scale.size > 1 or zero.dtype.kind not in "iu" or zero.dtype.name not in np.sctypeDict:
        return None
    limits = np.iinfo(zero.dtype)
    lowest, highest = ((end - int(zero.item())) * scale.reshape(()) for end in (limits.min, limits.max))
    return np.asarray(lowest, scale.dtype), np.asarray(highest, scale.dtype)


class _Rewriter:
    """Rewrites the nodes of a model in place."""

    def __init__(self, model: ModelProto) -> None:
        self._model, self._graph = model, model.graph
        self.constants = {t.name: t for t in self._graph.initializer}
        for node in self._graph.node:
            if node.op_type == "Constant":
                tensors = (a.t for a in node.attribute if a.name == "value")
                self.constants.update((node.output[0], t) for t in tensors)
        self._producers = {o: n for n in self._graph.node for o in n.output}
        self._sources = {o: n for o, n in self._producers.items() if n.op_type == "DynamicQuantizeLinear"}
        self._replaced = set[str]()
        self._names = {*self.constants, *(o for n in self._graph.node for o in n.output)}
        self._names.update(i.name for i in self._graph.input)
        self.stored: dict[tuple[str, ...], str] = {}

    def run(self) -> None:
        """Rewrite every node that takes stored integers for floats."""
        integers = set(integer_weights(self._model))
        nodes: list[tuple[bool, NodeProto]] = []
        for node in list(self._graph.node):
            taken = quantized_inputs(node)
            rewrite = getattr(self, f"_{node.op_type}", None)
            made = rewrite(node) if rewrite and integers.intersection(map(self._origin, taken)) else None
            nodes += [(False, node)] if made is None else [(True, one) for one in made]
        kept = [node for new, node in nodes if new or self._replaced.isdisjoint(node.output)]
        del self._graph.node[:]
        self._graph.node.extend(kept)

    # -- one method for each operator: the nodes in its place; None where something is not stored -----------

    def _DequantizeLinear(self, node: NodeProto) -> list[NodeProto] | None:
        if node.output[0] in {o.name for o in self._graph.output}:
            return None
        if not self._are_stored(node.input):
            return self._behind(node)
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        kept = {name: attributes[name] for name in ("axis", "block_size") if name in attributes}
        self._names.discard(node.output[0])
        name = self._float(*node.input[:3], **kept)
        rewire(self._graph.node, node.output[0], name)
        return []

    def _behind(self, node: NodeProto) -> list[NodeProto] | None:
        """A DequantizeLinear with one scale behind what looks up stored integers, or hands them on."""
        before = self._producers.get(node.input[0])
        given = [before.input[0] if before else "", *node.input[1:3]]
        if before is None or before.op_type not in CARRYING or not all(x in self.constants for x in given):
            return None
        if self._array(given[1]).size > 1:
            return None
        made = NodeProto()
        made.CopyFrom(before)
        made.input[0] = self._float(*given)
        made.output[0] = node.output[0]
        return [made]

    def _origin(self, name: str) -> str:
        """What a value is looked up in, or made of, by one node of :data:`CARRYING`."""
        before = self._producers.get(name)
        return before.input[0] if before is not None and before.op_type in CARRYING else name

    def _QLinearMatMul(self, node: NodeProto) -> list[NodeProto] | None:
        factors = self._operands(node, (0, 3), (-2, -1))
        return self._requantized(node, factors, "MatMul", node.input[6:8])

    def _QLinearConv(self, node: NodeProto) -> list[NodeProto] | None:
        operands = self._operands(node, (0, 3), (1, 0))
        bias = node.input[8] if len(node.input) > 8 else ""
        if not self._are_stored([node.input[1], node.input[4], bias or node.input[1]]):
            return None
        nodes, names = operands
        if bias:
            scale = self._array(node.input[1]) * self._array(node.input[4])
            value = self._array(bias).astype(scale.dtype) * scale
            names = [*names, self._store((bias, node.input[1], node.input[4]), value)]
        return self._requantized(node, (nodes, names), "Conv", node.input[6:8])

    def _QGemm(self, node: NodeProto) -> list[NodeProto] | None:
        """Of onnxruntime: Gemm whose addend has the scale alpha a b, and whose result may be a float."""
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        operands = self._operands(node, (0, 3), (1, 0 if attributes.get("transB") else 1))
        addend, *into = [*node.input[6:9], "", "", ""][:3]
        if not self._are_stored([node.input[1], node.input[4], addend or node.input[1]]):
            return None
        nodes, names = operands
        if addend:
            scale = attributes.get("alpha", 1.0) * self._array(node.input[1]) * self._array(node.input[4])
            value = (self._array(addend) * scale).astype(np.float32)
            names = [*names, self._store((addend, node.input[1], node.input[4]), value)]
        if into[0]:
            return self._requantized(node, (nodes, names), "Gemm", into)
        made = helper.make_node("Gemm", names, list(node.output), name=node.name)
        made.attribute.extend(node.attribute)
        return [*nodes, made]

    def _MatMulInteger(self, node: NodeProto) -> list[NodeProto] | None:
        return self._dynamic(node, "MatMul")

    def _ConvInteger(self, node: NodeProto) -> list[NodeProto] | None:
        return self._dynamic(node, "Conv")

    # -- parts ---------------------------------------------------------------------------------------------

    def _operands(
        self, node: NodeProto, places: Sequence[int], axes: Sequence[int]
    ) -> tuple[list[NodeProto], list[str]]:
        """Both factors of a product as floats: stored, or by a DequantizeLinear."""
        nodes, names = [], []
        for place, axis in zip(places, axes, strict=True):
            given = list(node.input[place : place + 3])
            if self._are_stored(given):
                names.append(self._float(*given, axis=axis))
                continue
            names.append(self._fresh(f"{given[0]}_dequantized"))
            nodes.append(helper.make_node("DequantizeLinear", given, names[-1:]))
        return nodes, names

    def _requantized(
        self, node: NodeProto, operands: tuple[list[NodeProto], list[str]], op: str, into: Sequence[str]
    ) -> list[NodeProto]:
        nodes, names = operands
        product = self._fresh(f"{node.output[0]}_float")
        made = helper.make_node(op, names, [product], name=node.name)
        made.attribute.extend(node.attribute)
        last = helper.make_node("QuantizeLinear", [product, *into], list(node.output))
        return [*nodes, made, last]

    def _dynamic(self, node: NodeProto, op: str) -> list[NodeProto] | None:
        """The product of floats that ``Mul(Cast(product of integers), Mul(scale, stored scale))`` stands for.

        The data are no longer rounded: only so do gradients pass, as each batch has a scale of its own.
        """
        source = self._sources.get(node.input[0])
        cast = self._only_user(node.output[0], "Cast")
        last = self._only_user(cast.output[0], "Mul") if cast else None
        if source is None or cast is None or last is None:
            return None
        factor = self._producers.get(next((x for x in last.input if x != cast.output[0]), ""))
        scale = self._stored_factor(factor, source.output[1])
        given = [node.input[1], scale or "", node.input[3] if len(node.input) > 3 else ""]
        if scale is None or not self._are_stored(given):
            return None
        name = self._float(*given, axis=0 if op == "Conv" else -1)
        made = helper.make_node(op, [source.input[0], name], list(last.output), name=node.name)
        made.attribute.extend(node.attribute)
        self._replaced.add(last.output[0])
        return [made]

    def _only_user(self, name: str, op: str) -> NodeProto | None:
        """The one node that takes a value, if it is of that operator."""
        users = [n for n in self._graph.node if name in n.input]
        return users[0] if len(users) == 1 and users[0].op_type == op else None

    def _stored_factor(self, node: NodeProto | None, other: str) -> str | None:
        """What a product of a value with a stored scale has for the scale."""
        if node is None or node.op_type != "Mul" or other not in node.input:
            return None
        return next((x for x in node.input if x in self.constants), None)

    def _float(self, x: str, scale: str, zero: str = "", *, axis: int = 1, block_size: int = 0) -> str:
        """The name of stored integers as floats."""
        values, scales = self._array(x), self._array(scale)
        kind = scales.dtype
        centred = values.astype(np.float32)
        scales = self._spread(scales.astype(np.float32), centred, axis, block_size)
        if zero:
            zeros = self._array(zero).astype(np.float32)
            centred = centred - self._spread(zeros, centred, axis, block_size)
        return self._store((x, scale, zero), (centred * scales).astype(kind))

    @staticmethod
    def _spread(parameter: Array, x: Array, axis: int, block_size: int) -> Array:
        if parameter.ndim == 0 or parameter.size == 1:
            return parameter.reshape(())
        if block_size:
            return np.repeat(parameter, block_size, axis)[tuple(slice(n) for n in x.shape)]
        shape = [1] * x.ndim
        shape[axis] = -1
        return parameter.reshape(shape)

    def _store(self, key: tuple[str, ...], value: Array) -> str:
        if key not in self.stored:
            plain = key[0].removesuffix(SUFFIX)
            name = self._fresh(plain if plain != key[0] else f"{plain}_dequantized")
            self.stored[key] = name
            store(self._model, numpy_helper.from_array(np.ascontiguousarray(value), name))
        return self.stored[key]

    def _array(self, name: str) -> Array:
        return array_of(self.constants[name])

    def _are_stored(self, names: Iterable[str]) -> bool:
        return all(name in self.constants for name in names if name)

    def _fresh(self, name: str) -> str:
        candidates: Iterator[str] = (f"{name}_{i}" if i else name for i in range(len(self._names) + 1))
        found = next(c for c in candidates if c not in self._names)
        self._names.add(found)
        return found
