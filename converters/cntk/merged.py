"""Values whose batch is one axis together with others, as PyTorch's attention makes of batch and heads.

CNTK keeps the batch apart, so the axes stay apart there: a node that such a value goes through is recorded on
the axes as they are, and the result is one with these axes merged again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromatic.converters.cntk import ops as ck
from neuromatic.converters.cntk.graph import HostValue, Tensor
from neuromatic.converters.lowering import Scope
from neuromatic.converters.registry import Lowering

Array = NDArray[Any]
MOST_PARTS = 64
"""Convolutions and pools of more parts of a row than this are refused: each part is computed by itself."""


@dataclass(frozen=True, eq=False)
class Merged:
    """A tensor some of whose neighbouring axes, the batch among them, are one axis for ONNX.

    Attributes:
        tensor: with the axes apart.
        start: the first of them.
        count: how many there are.
    """

    tensor: Tensor
    start: int
    count: int

    @property
    def rank(self) -> int:
        """Number of axes as ONNX counts them."""
        return self.tensor.rank - self.count + 1

    @property
    def parts(self) -> tuple[int | None, ...]:
        """The sizes of the merged axes."""
        return self.tensor.shape[self.start : self.start + self.count]

    @property
    def from_end(self) -> int:
        """The place of the merged axis, counted from the end."""
        return self.rank - self.start

    @cached_property
    def shape(self) -> HostValue:
        """As ONNX' Shape gives it."""
        before, after = self.tensor.shape[: self.start], self.tensor.shape[self.start + self.count :]
        factor = prod(n for n in self.parts if n is not None)
        return HostValue(lambda moment: np.array([*before, moment.batch * factor, *after], np.int64))

    def axis(self, axis: int, rank: int | None = None) -> int:
        """Where an axis of ONNX is in the tensor.

        Args:
            rank: of the value that it counts in, where that is not this one.

        Raises:
            CannotRecordError: it is the merged one.
        """
        axis %= self.rank if rank is None else rank
        if axis == self.start:
            raise ck.CannotRecordError(f"work along the batch merged with {self.factor} elements of each row")
        return axis if axis < self.start else axis + self.count - 1

    @property
    def factor(self) -> int:
        """How many elements of each row are merged with the batch."""
        return prod(n for n in self.parts if n is not None)

    def like(self, y: Any, start: int | None = None) -> Any:
        """A result that has the same axes, merged again."""
        return Merged(y, self.start if start is None else start, self.count) if isinstance(y, Tensor) else y


def register_of(value: Tensor | Merged) -> int:
    """The register of a value of the worker."""
    return value.tensor.register if isinstance(value, Merged) else value.register


def split_batch(x: Tensor, target: Sequence[int | None], factor: Mapping[int, int]) -> Tensor | Merged:
    """``x`` reshaped to a target whose batch axis may hold other elements of each row.

    Args:
        target: None in the place of the batch.
        factor: by how much the batch is multiplied there, by place.
    """
    if x.batch is None or None not in target:
        return ck.reshape(x, target)
    place = list(target).index(None)
    inside = factor.get(place, 1)
    ahead = prod(n for n in x.shape[: x.batch] if n is not None)
    given = prod(n for n in target[:place] if n is not None)
    if given == 0 or ahead % given or inside % (ahead // given):
        return ck.reshape(x, target)  # which says what does not fit
    before = ahead // given
    parts = [n for n in (before, None, inside // before) if n != 1]
    y = ck.reshape(x, [*target[:place], *parts, *target[place + 1 :]])
    return y if len(parts) == 1 else Merged(y, place, len(parts))


def call_merged(
    lowering: Lowering, scope: Scope, inputs: Sequence[Any], attributes: Mapping[str, Any]
) -> Any:
    """Record a node that has merged values among its inputs.

    Raises:
        CannotRecordError: its operator cannot go on with them.
    """
    rule = _RULES.get(lowering.key.op) if not lowering.key.domain else None
    if rule is None:
        merged = next(x for x in inputs if isinstance(x, Merged))
        raise ck.CannotRecordError(f"a batch merged with {merged.factor} other elements of each row")

    def record(*values: Any, **changed: Any) -> Any:
        return lowering.function(scope, *values, **{**attributes, **changed})

    return rule(record, inputs, attributes)


Record = Callable[..., Any]


def _apart(record: Record, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """Reshape: the order of elements is that of the tensor itself."""
    return record(inputs[0].tensor, *inputs[1:])


def _shape(record: Record, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    whole: HostValue = inputs[0].shape
    start, end = attributes.get("start") or 0, attributes.get("end")
    return HostValue(lambda moment: whole.at(moment)[start:end])


def _aligned(inputs: Sequence[Any], matrices: bool = False) -> tuple[Merged, list[Any]]:
    """The operands of an operator that broadcasts, all with the merged axes apart."""
    first = next(x for x in inputs if isinstance(x, Merged))
    found = []
    for x in inputs:
        if isinstance(x, Merged):
            if (x.from_end, x.parts) != (first.from_end, first.parts):
                raise ck.CannotRecordError("batches that are merged with others in different ways")
            x = x.tensor
        elif x is not None and not (matrices and _rank(x) == 2):
            x = _spread(x, first)
        found.append(x)
    return first, found


def _rank(x: Any) -> int:
    return x.ndim if isinstance(x, np.ndarray) else x.rank


def _spread(x: Any, like: Merged) -> Any:
    """An operand without the merged axis, or of size 1 there, with as many axes as the others."""
    place = _rank(x) - like.from_end
    if place < 0:
        return x
    if x.shape[place] != 1:
        raise ck.CannotRecordError("a batch merged with others meets one that is not")
    shape = [*x.shape[:place], *[1] * like.count, *x.shape[place + 1 :]]
    return x.reshape(shape) if isinstance(x, np.ndarray) else ck.reshape(x, shape)


def _elementwise(record: Record, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    first, operands = _aligned(inputs)
    rank = max(_rank(x) if not isinstance(x, Merged) else x.rank for x in inputs if x is not None)
    return _each(record(*operands), lambda y: first.like(y, rank - first.from_end))


def _each(results: Any, function: Callable[[Any], Any]) -> Any:
    return tuple(map(function, results)) if isinstance(results, tuple) else function(results)


def _matmul(record: Record, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    a, b = inputs
    if isinstance(b, Merged) and (_rank(a) < 3 or b.from_end < 3):
        raise ck.CannotRecordError("a matrix whose size is the batch merged with others")
    if isinstance(a, Merged) and a.from_end < (2 if _rank(b) == 2 else 3):
        raise ck.CannotRecordError("a matrix whose size is the batch merged with others")
    first, operands = _aligned(inputs, matrices=True)
    return first.like(record(*operands), max(_rank(a), _rank(b)) - first.from_end)


def _gemm(record: Record, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    a, b, *c = inputs
    if not isinstance(a, Merged) or a.start or attributes["transA"] or isinstance(b, Merged):
        raise ck.CannotRecordError("a matrix whose size is the batch merged with others")
    return a.like(record(a.tensor, b, *(x if x is None else _spread(x, a) for x in c)))


def _along(record: Record, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """Work along one axis, which is another."""
    x, *others = inputs
    merged = x if isinstance(x, Merged) else None
    if merged is None:
        raise ck.CannotRecordError("a batch merged with others in place of a parameter")
    axis = merged.axis(attributes["axis"])
    return _each(record(merged.tensor, *others, axis=axis), merged.like)


def _concat(record: Record, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    first, operands = _aligned(inputs)
    return first.like(record(*operands, axis=first.axis(attributes["axis"])))


def _gather(record: Record, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    x, indices = inputs
    if not isinstance(x, Merged):  # a table, with places merged
        y = record(x, indices.tensor)
        return indices.like(y, indices.start + attributes["axis"] % _rank(x))
    axis = x.axis(attributes["axis"])
    start = x.start if axis > x.start else x.start + _rank(indices) - 1
    return x.like(record(x.tensor, indices, axis=axis), start)


def _transpose(record: Record, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    (x,) = inputs
    perm = [p % x.rank for p in attributes["perm"] or range(x.rank)[::-1]]
    order: list[int] = []
    for p in perm:
        order += range(x.start, x.start + x.count) if p == x.start else [x.axis(p)]
    return Merged(ck.transpose(x.tensor, order), perm.index(x.start), x.count)


def _axes(inputs: Sequence[Any], attributes: Mapping[str, Any], place: int = 1) -> list[int] | None:
    if "axes" in attributes:
        return None if attributes["axes"] is None else list(attributes["axes"])
    if len(inputs) <= place or inputs[place] is None:
        return None
    return [int(i) for i in ck.array(inputs[place], "axes").ravel()]


def _reduced(record: Record, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    x: Merged = inputs[0]
    given = _axes(inputs, attributes)
    if given is None and attributes.get("noop_with_empty_axes"):
        return x
    axes = {axis % x.rank for axis in (range(x.rank) if given is None else given)}
    inner: list[int] = []
    for axis in sorted(axes):
        inner += range(x.start, x.start + x.count) if axis == x.start else [x.axis(axis)]
    as_input = [] if "axes" in attributes else [np.array(inner, np.int64)]
    y = record(x.tensor, *as_input, **({} if as_input else {"axes": inner}))
    if x.start not in axes:
        return x.like(y, x.start if attributes["keepdims"] else x.start - sum(a < x.start for a in axes))
    if attributes["keepdims"]:
        return ck.squeeze(y, range(x.start, x.start + x.count - 1))
    return y


def _squeezed(record: Record, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    x: Merged = inputs[0]
    axes = _axes(inputs, attributes)
    if axes is None:
        axes = [i for i, n in enumerate(_sizes(x)) if n == 1]
    axes = [axis % x.rank for axis in axes]
    y = ck.squeeze(x.tensor, [x.axis(axis) for axis in axes])
    return Merged(y, x.start - sum(axis < x.start for axis in axes), x.count)


def _unsqueezed(record: Record, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    x: Merged = inputs[0]
    axes = _axes(inputs, attributes) or []
    rank = x.rank + len(axes)
    new = {axis % rank for axis in axes}
    start = [i for i in range(rank) if i not in new][x.start]
    y = ck.expand_dims(x.tensor, [axis if axis < start else axis + x.count - 1 for axis in sorted(new)])
    return Merged(y, start, x.count)


def _sizes(x: Merged) -> list[int | None]:
    shape = x.tensor.shape
    return [*shape[: x.start], None, *shape[x.start + x.count :]]


def _sliced(record: Record, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    x: Merged = inputs[0]
    if "starts" in attributes:
        raise ck.CannotRecordError("a slice of a batch merged with others")
    starts = ck.array(inputs[1], "starts")
    axes = _axes(inputs, {}, 3)
    places = np.array([x.axis(axis) for axis in (range(len(starts)) if axes is None else axes)], np.int64)
    return x.like(record(x.tensor, *inputs[1:3], places, *inputs[4:]))


def _by_part(record: Record, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """Convolutions and pools: each part of a row by itself."""
    x, *others = inputs
    if not isinstance(x, Merged) or x.start or any(isinstance(o, Merged) for o in others):
        raise ck.CannotRecordError("a batch merged with others in place of a parameter")
    if x.factor > MOST_PARTS:
        raise ck.CannotRecordError(f"{x.factor} parts of each row, one by one; at most {MOST_PARTS}")
    tail = x.tensor.shape[x.count :]
    batch = x.parts.index(None)
    rows = ck.transpose(x.tensor, [batch, *(i for i in range(x.tensor.rank) if i != batch)])
    flat = ck.reshape(rows, [None, x.factor, *tail])
    results = [record(ck.squeeze(ck.slice_axis(flat, 1, i, i + 1), [1]), *others) for i in range(x.factor)]
    if not all(isinstance(y, Tensor) for y in results):
        raise ck.CannotRecordError("several results of a batch merged with others")
    y = ck.concat([ck.expand_dims(y, [1]) for y in results], 1)
    rest = [n for n in x.parts if n is not None]
    y = ck.reshape(y, [None, *rest, *y.shape[2:]])
    order = [*range(1, batch + 1), 0, *range(batch + 1, y.rank)]
    return Merged(ck.transpose(y, order), 0, x.count)


def _normalized(record: Record, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """BatchNormalization: what is merged with the batch counts as more places of each channel."""
    x, *others = inputs
    if not isinstance(x, Merged) or x.start or any(isinstance(o, Merged) for o in others):
        raise ck.CannotRecordError("a batch merged with others in place of a parameter")
    batch, channel = x.parts.index(None), x.count
    order = [batch, channel, *(i for i in range(x.tensor.rank) if i not in (batch, channel))]
    # The node of the model and that of the recipe have to share what is computed from one tensor.
    memo, key = x.tensor.graph.memo, ("by channel", x.tensor.register, x.tensor.shape)
    rows = memo.setdefault(key, ck.transpose(x.tensor, order))
    results = record(rows, *others)
    y, *more = results if isinstance(results, tuple) else (results,)
    y = x.like(ck.transpose(y, [order.index(i) for i in range(y.rank)]))
    return (y, *more) if isinstance(results, tuple) else y


def _table(rule: Callable[..., Any], names: str) -> dict[str, Callable[..., Any]]:
    return dict.fromkeys(names.split(), rule)


_RULES: dict[str, Callable[..., Any]] = {
    "Reshape": _apart,
    "Shape": _shape,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Concat": _concat,
    "Gather": _gather,
    "Transpose": _transpose,
    "Squeeze": _squeezed,
    "Unsqueeze": _unsqueezed,
    "BatchNormalization": _normalized,
    "Slice": _sliced,
    **_table(_along, "Softmax LogSoftmax LayerNormalization RMSNormalization Split CumSum"),
    **_table(
        _reduced,
        "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceSumSquare ReduceL1 ReduceL2 ReduceLogSum "
        "ReduceLogSumExp",
    ),
    **_table(
        _by_part,
        "Conv ConvTranspose MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool Resize "
        "Upsample InstanceNormalization GroupNormalization LRN DepthToSpace SpaceToDepth",
    ),
    **_table(
        _elementwise,
        "Add Sub Mul Div Pow Mod Min Max Sum Mean And Or Xor Not Equal Greater GreaterOrEqual Less "
        "LessOrEqual Where Abs Neg Sign Floor Ceil Round Reciprocal Sqrt Exp Log Sin Cos Tan Asin Acos Atan "
        "Sinh Cosh Asinh Acosh Atanh Erf Relu LeakyRelu Elu Selu Celu Sigmoid HardSigmoid HardSwish Tanh "
        "Softplus Softsign Gelu Swish Mish ThresholdedRelu Clip Cast CastLike Identity Dropout IsNaN IsInf",
    ),
}  # fmt: skip
