"""The pass that computes what does not depend on data: constants, and shapes up to the size of the batch."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from neuromatic.converters.normalize.graph import Array, Node, Results, Rewriter, constant_array, rewrite
from neuromatic.ir.values import Shape, Value

SIZES = (10_007, 10_009)
"""Two sizes of the batch, primes that no model has as a dimension: what is equal for both is a constant."""

MAX_FOLDED_ELEMENTS = 2**22
"""Results with more elements are left to be computed."""

SHAPE_ARITHMETIC = {
    "Add", "Cast", "Concat", "Div", "Gather", "Identity", "Mul", "ReduceProd", "Reshape",
    "Slice", "Split", "Squeeze", "Sub", "Unsqueeze",
}  # fmt: skip
"""The operators that are followed on values which depend on the size of the batch. No Min or Max: they could
give one number for both sizes and another for a small batch."""

RANDOM = {
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
}

Known = tuple[Array, Array]
"""What a value is for each of the two batch sizes."""


def fold_constants(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Compute all that depends on constants alone, and what a ``Reshape`` makes of a batch of unknown size.

    Constants become initializers. Nothing is computed from parameters (``keep``), random numbers or
    large results. Shape, Gather, Concat ... that end in a ``Reshape`` are computed for two batch sizes; the
    target then is a constant: 0 where the size stays in place, -1 where it is part of another dimension.
    """
    return rewrite(model, {}, keep, default=_Folder())


class _Folder:
    """The rule for all nodes; it remembers the values that depend on the batch size."""

    def __init__(self) -> None:
        self.sized: dict[str, Known] = {}

    def __call__(self, g: Rewriter, node: Node) -> Results:
        constant = constant_array(node.proto)
        if constant is not None:
            return _constant(g, constant)
        if node.op in RANDOM or any(a.HasField("g") or a.graphs for a in node.proto.attribute):
            return None
        values = self.results(g, node)
        if values is None:
            return self.reshape(g, node) if node.op == "Reshape" else None
        if all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in values):
            return [_constant(g, a) for a, _ in values]
        self.sized |= {name: v for name, v in zip(node.proto.output, values, strict=True) if name}
        return None

    def known(self, g: Rewriter, value: Value | None) -> Known | None:
        if value is None:
            return None
        array = g.array(value)
        return self.sized.get(value.name) if array is None else (array, array)

    def results(self, g: Rewriter, node: Node) -> list[Known] | None:
        if node.op in ("Shape", "Size"):
            return _shape(g, node)
        given = [x for x in node.inputs if x is not None]
        known = [self.known(g, x) for x in given]
        values = [k for k in known if k is not None]
        if not values or len(values) < len(known) or not _is_small(g, node):
            return None
        sized = any(x.name in self.sized for x in given)
        if sized and node.op not in SHAPE_ARITHMETIC:
            return None
        first = _run(g, node, given, [value[0] for value in values])
        second = _run(g, node, given, [value[1] for value in values]) if sized else first
        return None if first is None or second is None else list(zip(first, second, strict=True))

    def reshape(self, g: Rewriter, node: Node) -> Results:
        """The same with a constant target; None if there is none."""
        target = self.sized.get(node.proto.input[1])
        if target is None or node.attributes.get("allowzero"):
            return None
        pairs = enumerate(zip(*target, strict=True))
        dims = [int(a) if a == b else _free(g, node.x, i, a, b) for i, (a, b) in pairs]
        if dims.count(-1) > 1:
            return None
        return g.add("Reshape", node.x, g.ints(*dims))


def _free(g: Rewriter, x: Value, axis: int, a: int, b: int) -> int:
    """The entry of a target that depends on the batch size."""
    stays = (a, b) == SIZES and x.shape is not None and axis < x.rank and x.shape[axis] == g.batch
    return 0 if stays else -1


def _constant(g: Rewriter, array: Array) -> Value:
    return g.const(array, helper.np_dtype_to_tensor_dtype(array.dtype))


def _shape(g: Rewriter, node: Node) -> list[Known] | None:
    """What ``Shape`` and ``Size`` give, if all dimensions but the batch are known."""
    found = [_sized(node.x.shape, g.batch, size) for size in SIZES]
    dims = [d for d in found if d is not None]
    if len(dims) < len(found):
        return None
    start, end = node.attributes.get("start") or 0, node.attributes.get("end")
    made = [np.array(math.prod(d) if node.op == "Size" else d[start:end], np.int64) for d in dims]
    return [(made[0], made[1])]


def _sized(shape: Shape | None, batch: str | None, size: int) -> list[int] | None:
    if shape is None:
        return None
    dims = [size if dim is not None and dim == batch else dim for dim in shape]
    return None if not all(isinstance(d, int) for d in dims) else [d for d in dims if isinstance(d, int)]


def _is_small(g: Rewriter, node: Node) -> bool:
    """Whether the results are small enough to be stored; where unknown, they are if the inputs are."""
    shapes = [value.shape for value in g.outputs(node.proto, node.inputs)]
    if node.op in ("ConstantOfShape", "Expand", "Range", "Tile") and None in shapes:
        return False
    sizes = [math.prod(d if isinstance(d, int) else 1 for d in shape or ()) for shape in shapes]
    return max(sizes, default=0) <= MAX_FOLDED_ELEMENTS


def _run(g: Rewriter, node: Node, given: Sequence[Value], arrays: Sequence[Array]) -> list[Array] | None:
    """A node's outputs by ONNX' reference implementation; None if it cannot compute them."""
    proto = NodeProto()
    proto.CopyFrom(node.proto)
    inputs = [helper.make_tensor_value_info(n, v.dtype, None) for n, v in {v.name: v for v in given}.items()]
    wanted = [name for name in proto.output if name]
    outputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in wanted]
    model = helper.make_model(
        helper.make_graph([proto], "node", inputs, outputs),
        opset_imports=[helper.make_opsetid("", g.opset)],
    )
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(model).run(
                None, {v.name: a for v, a in zip(given, arrays, strict=True)}
            )
    except Exception:  # whatever it raises, the node is left to be computed
        return None
    if len(wanted) < len(proto.output) or not all(isinstance(r, (np.ndarray, np.generic)) for r in results):
        return None
    return [np.asarray(result) for result in results]
