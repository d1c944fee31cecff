"""Formulas as model-local functions: a Python function of numbers becomes an ONNX ``FunctionProto``.

The positional parameters of a formula are the inputs of the ONNX function and its keyword-only parameters the
attributes. Its body computes with :class:`Number` objects, whose operators write ONNX nodes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from onnx import FunctionProto, TensorProto, helper

from neuromatic.errors import RecipeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.opsets import DEFAULT_OPSET, NEUROMATIC_DOMAIN
from neuromatic.ir.values import Value

ATTRIBUTE_OPSET = 12
"""Constants that are attributes of a function exist from here on; before, they are more inputs of it."""
CAST_LIKE_OPSET = 15
"""From here on such a constant, which is float32, can be made to fit parameters of other types."""

Body = Callable[..., "Number | tuple[Number, ...]"]


class _Writer:
    """Writes one body: a builder, the value whose type constants take, and the constants so far."""

    def __init__(self, opset: int) -> None:
        self.g = GraphBuilder(opset=opset)
        self.like: Value | None = None
        self._made: dict[Any, Number] = {}

    def input(self, name: str) -> Number:
        """An input: the step ``T`` is an integer, all others are floats; shapes stay open."""
        scalar = name in ("R", "T")
        dtype = TensorProto.INT64 if name == "T" else TensorProto.FLOAT
        value = self.g.declare(Value(name, dtype, () if scalar else None))
        if not scalar and self.like is None:
            self.like = value
        return Number(self, value)

    def number(self, value: Number | float) -> Number:
        """A constant as a number of the parameters' type; a number as it is, the step as a float."""
        if not isinstance(value, Number):
            return self._once(float(value), lambda: self._constant("value", float(value)))
        if value.value.dtype != TensorProto.INT64:
            return value
        return self._once(value.value.name, lambda: Number(self, self._fitted(value.value)))

    def attribute(self, name: str) -> Number:
        """An attribute of the function, which is a float, as a number of the parameters' type."""
        if self.g.opset < ATTRIBUTE_OPSET:
            return Number(self, self.g.declare(Value(name, TensorProto.FLOAT, ())))
        return self._constant(name, 0.0, attribute=name)

    def _once(self, key: Any, make: Callable[[], Number]) -> Number:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _constant(self, name: str, value: float, attribute: str = "") -> Number:
        if self.g.opset < ATTRIBUTE_OPSET:
            return Number(self, self.g.const(value))
        made = self.g.add("Constant", value_float=value, name=name)
        node = self.g.producer(made)
        if attribute and node is not None:
            node.attribute[0].ClearField("f")
            node.attribute[0].ref_attr_name = attribute
        return Number(self, self._fitted(made) if self.g.opset >= CAST_LIKE_OPSET else made)

    def _fitted(self, value: Value) -> Value:
        if self.g.opset >= CAST_LIKE_OPSET:
            return self.g.add("CastLike", value, self.like)
        return op.cast(self.g, value, TensorProto.FLOAT)


PORTABLE: dict[str, Callable[..., Value]] = {
    "Greater": op.greater,
    "Max": op.maximum,
    "Min": op.minimum,
    "Sign": op.sign,
    "Where": op.where,
}
"""Operators whose form differs between opsets."""


class Number:
    """A value inside a formula; arithmetic with others and with Python's floats adds nodes."""

    def __init__(self, writer: _Writer, value: Value) -> None:
        self.writer, self.value = writer, value

    def apply(self, operator: str, *others: Number | float, **attributes: Any) -> Number:
        """The result of an ONNX operator of this number and others."""
        w = self.writer
        operands = [w.number(x).value for x in (self, *others)]
        portable = PORTABLE.get(operator)
        if portable is not None:
            return Number(w, portable(w.g, *operands))
        return Number(w, w.g.add(operator, *operands, **attributes))

    def reduced(self, operator: str, axis: int | None = None) -> Number:
        """A reduction over one axis, which stays as one of size 1, or over all of them to a scalar."""
        axes = None if axis is None else (axis,)
        return Number(
            self.writer, op.reduce(self.writer.g, operator, self.value, axes, keepdims=axis is not None)
        )

    def __add__(self, other: Number | float) -> Number:
        return self.apply("Add", other)

    def __radd__(self, other: float) -> Number:
        return self.writer.number(other).apply("Add", self)

    def __sub__(self, other: Number | float) -> Number:
        return self.apply("Sub", other)

    def __rsub__(self, other: float) -> Number:
        return self.writer.number(other).apply("Sub", self)

    def __mul__(self, other: Number | float) -> Number:
        return self.apply("Mul", other)

    def __rmul__(self, other: float) -> Number:
        return self.writer.number(other).apply("Mul", self)

    def __truediv__(self, other: Number | float) -> Number:
        return self.apply("Div", other)

    def __rtruediv__(self, other: float) -> Number:
        return self.writer.number(other).apply("Div", self)

    def __pow__(self, other: Number | float) -> Number:
        return self.apply("Pow", other)

    def __rpow__(self, other: float) -> Number:
        return self.writer.number(other).apply("Pow", self)

    def __matmul__(self, other: Number) -> Number:
        return self.apply("MatMul", other)

    def __neg__(self) -> Number:
        return self.apply("Neg")

    def __abs__(self) -> Number:
        return self.apply("Abs")

    def __gt__(self, other: Number | float) -> Number:
        return self.apply("Greater", other)


def sqrt(x: Number) -> Number:
    return x.apply("Sqrt")


def square(x: Number) -> Number:
    return x * x


def maximum(x: Number, y: Number | float) -> Number:
    return x.apply("Max", y)


def minimum(x: Number, y: Number | float) -> Number:
    return x.apply("Min", y)


def sign(x: Number) -> Number:
    return x.apply("Sign")


def where(condition: Number, x: Number, y: Number | float) -> Number:
    return condition.apply("Where", x, y)


def root_mean_square(x: Number) -> Number:
    return sqrt(square(x).reduced("ReduceMean"))


def norm(x: Number) -> Number:
    """The Euclidean norm of all elements."""
    return sqrt(square(x).reduced("ReduceSum"))


@dataclass(frozen=True)
class Formula:
    """A formula: its name, body, inputs and attributes."""

    name: str
    body: Body
    inputs: tuple[str, ...]
    attributes: tuple[str, ...]

    @classmethod
    def of(cls, name: str, body: Body) -> Formula:
        """The formula that a Python function is."""
        parameters = inspect.signature(body).parameters.values()
        inputs = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        attributes = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        return cls(name, body, inputs, attributes)

    def function(self, opset: int) -> FunctionProto:
        """The formula for a model of that opset; attributes are more inputs, behind the others, before 12."""
        writer = _Writer(opset)
        inputs = [writer.input(name) for name in self.inputs]
        results = self.body(*inputs, **{name: writer.attribute(name) for name in self.attributes})
        results = results if isinstance(results, tuple) else (results,)
        updates = self.inputs[:4] == OPTIMIZER_INPUTS
        outputs = [f"{n}_new" for n in ("X", *self.inputs[4:])] if updates else ["Y"]
        for result, name in zip(results, outputs, strict=True):
            writer.g.output(result.value, name)
        opsets = [helper.make_opsetid("", opset)]
        inputs_only = opset < ATTRIBUTE_OPSET
        return helper.make_function(
            NEUROMATIC_DOMAIN,
            self.name,
            [*self.inputs, *(self.attributes if inputs_only else ())],
            outputs,
            writer.g.graph.node,
            opsets,
            [] if inputs_only else list(self.attributes),
        )


OPTIMIZER_INPUTS = ("R", "T", "X", "G")
"""What the function of an optimizer takes before its states: rate, step from 1 on, parameter, gradient."""
FORMULAS: dict[str, Formula] = {}


def formula(name: str) -> Callable[[Body], Body]:
    """Register the decorated body as the formula of that name."""

    def register(body: Body) -> Body:
        FORMULAS[name] = Formula.of(name, body)
        return body

    return register


def local_function(name: str, opset: int) -> FunctionProto:
    """One of :data:`FORMULAS` for a model of that opset."""
    function = FunctionProto()
    function.CopyFrom(_written(name, opset))
    return function


@lru_cache(maxsize=64)
def _written(name: str, opset: int) -> FunctionProto:
    """The same, written once for all parameters."""
    return FORMULAS[name].function(opset)


def opset_too_low(name: str, needed: int, opset: int) -> RecipeError:
    return RecipeError(
        f"optimizer {name} needs opset {needed}, the model has {opset}; "
        f"raise it with: neuromatic convert MODEL.onnx -o NEW.onnx --opset {DEFAULT_OPSET}"
    )
