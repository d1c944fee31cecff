"""What an ONNX operator takes, from its schema or from a function, and errors where something else comes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import FunctionProto, TensorProto, helper, numpy_helper
from onnx.defs import OpSchema

from neuromatic.errors import ShapeError, UnknownNameError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.opsets import DEFAULT_IR_VERSION, OpsetTooLowError
from neuromatic.ir.values import Shape, Value

_VARIADIC = OpSchema.FormalParameterOption.Variadic
_FLOATS = (OpSchema.AttrType.FLOAT, OpSchema.AttrType.FLOATS)
_INTS = (OpSchema.AttrType.INT, OpSchema.AttrType.INTS)


def check_operator(op: object, domain: str, *, known: bool) -> None:
    """Refuse a name that no operator of a domain has; of unknown domains none, if types are ``known``."""
    if not isinstance(op, str):
        raise TypeError(f"Op: op must be the name of an operator or a FunctionProto, got {op!r}")
    names = {s.name for s in onnx.defs.get_all_schemas_with_history() if s.domain == domain}
    if op not in names and (names or not known):
        raise UnknownNameError(f"operator of domain {domain!r}" if domain else "operator", op, names)


@dataclass(frozen=True)
class Signature:
    """An operator's inputs and attributes.

    Attributes:
        op: its name.
        inputs: names of its inputs; empty for an operator that ONNX does not know.
        schema: its schema, None for a function or an unknown operator.
        function: the function, if it is one.
    """

    op: str
    inputs: tuple[str, ...]
    schema: OpSchema | None = None
    function: FunctionProto | None = None

    @classmethod
    def of(cls, g: GraphBuilder, op: str | FunctionProto, domain: str, *, types_given: bool) -> Signature:
        """The signature at the versions that a graph uses."""
        if isinstance(op, FunctionProto):
            return cls(op.name, tuple(op.input), function=op)
        if domain and types_given and not onnx.defs.has(op, domain):
            return cls(op, ())
        schema = g.schema(op, domain)
        return cls(op, tuple(i.name for i in schema.inputs), schema)

    @property
    def variadic(self) -> bool:
        """Whether the last input may come any number of times."""
        if self.schema is None:
            return self.function is None
        return bool(self.schema.inputs) and self.schema.inputs[-1].option == _VARIADIC

    def names(self, count: int) -> list[str]:
        """Names of that many inputs; those of a variadic one are numbered."""
        more = [f"{self.inputs[-1] if self.inputs else 'x'}:{i}" for i in range(count - len(self.inputs))]
        return [*self.inputs, *more][:count]

    def slots(self, scope: str, named: Sequence[str], others: Sequence[Any]) -> list[Any]:
        """The inputs in order: None in the places of ``named`` ones and of those left out.

        Raises:
            ValueError: a name is no input.
            ShapeError: there are too many inputs, or too few.
        """
        for name in named:
            if name not in self.inputs:
                raise ValueError(f"Op: {self.op} has no input {name!r}; it has {', '.join(self.inputs)}")
        places = {self.inputs.index(name) for name in named}
        slots: list[Any] = []
        for item in others:
            while len(slots) in places:
                slots.append(None)
            slots.append(item)
        slots += [None] * (max(places, default=-1) + 1 - len(slots))
        filled = [i for i, item in enumerate(slots) if item is not None or i in places]
        least = self.schema.min_input if self.schema else len(self.inputs)
        most = self.schema.max_input if self.schema else len(self.inputs)
        if (len(slots) > most and not self.variadic) or len(slots) < least or len(filled) < least:
            wanted = (
                f"{least}" if least == most else f"{least} or more" if self.variadic else f"{least} to {most}"
            )
            raise ShapeError(f"{scope}: {self.op} takes {wanted} inputs, got {len(filled)}")
        return slots

    def attributes(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Attributes in the types that the operator has for them.

        Raises:
            ValueError: it has none of that name, or needs one that is not given.
        """
        if self.schema is None:
            return {name: _plain(value) for name, value in given.items()}
        known = self.schema.attributes
        for name in given:
            if name not in known:
                close = difflib.get_close_matches(name, [*known, *self.inputs], n=1)
                hint = (
                    f"did you mean {close[0]!r}?" if close else f"it has {', '.join([*self.inputs, *known])}"
                )
                raise ValueError(f"Op: {self.op} has no input or attribute {name!r}; {hint}")
        if missing := [name for name, a in known.items() if a.required and given.get(name) is None]:
            raise ValueError(f"Op: {self.op} needs its attribute {missing[0]!r}")
        return {name: _typed(value, known[name].type) for name, value in given.items()}

    def _type_name(self, name: str) -> str:
        """The schema's name for the types of an input, ``""`` where there is none."""
        if self.schema is None or name.split(":")[0] not in self.inputs:
            return ""
        return self.schema.inputs[self.inputs.index(name.split(":")[0])].type_str

    def bound(self, name: str) -> bool:
        """Whether an input must have one element type, or that of another input."""
        kind = self._type_name(name)
        alike = [n for n in self.inputs if self._type_name(n) == kind]
        return kind.startswith("tensor(") or (bool(kind) and (len(alike) > 1 or self.variadic))

    def dtype(self, name: str, known: Mapping[str, Any]) -> int:
        """The element type of an input that is a number, in company of the values that are known."""
        kind = self._type_name(name)
        if kind.startswith("tensor("):
            return helper.np_dtype_to_tensor_dtype(np.dtype(_NUMPY.get(kind[7:-1], kind[7:-1])))
        alike = (v.dtype for n, v in known.items() if isinstance(v, Value) and self._type_name(n) == kind)
        return next(alike, TensorProto.FLOAT)

    def types(self, g: GraphBuilder, inputs: Sequence[Value]) -> list[tuple[int, Shape | None]] | None:
        """The types of a function's outputs, which ONNX infers in a model; None for operators.

        Raises:
            OpsetTooLowError: the function needs a newer operator set.
        """
        if self.function is None:
            return None
        for needed in self.function.opset_import:
            if not needed.domain and needed.version > g.opset:
                raise OpsetTooLowError(self.op, g.opset, needed.version)
        names = list(self.function.output)
        node = helper.make_node(self.op, [x.name for x in inputs], names, domain=self.function.domain)
        graph = helper.make_graph(
            [node],
            "call",
            [helper.make_value_info(x.name, x.type_proto()) for x in {x.name: x for x in inputs}.values()],
            [helper.make_empty_tensor_value_info(name) for name in names],
        )
        opsets = [helper.make_opsetid("", g.opset), helper.make_opsetid(self.function.domain, 1)]
        model = helper.make_model(
            graph, opset_imports=opsets, functions=[self.function], ir_version=DEFAULT_IR_VERSION
        )
        found = onnx.shape_inference.infer_shapes(model).graph.output
        return [(v.dtype, v.shape) for v in (Value.of(o.name, o.type) for o in found)]


_NUMPY = {"float": "float32", "double": "float64", "string": "object"}


def _plain(value: Any) -> Any:
    return numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value


def _typed(value: Any, kind: OpSchema.AttrType) -> Any:
    if value is None or isinstance(value, str):
        return value
    numbers: NDArray[Any] = np.asarray(value) if not isinstance(value, TensorProto) else np.empty(0)
    if kind in _FLOATS and numbers.dtype.kind in "fiu":
        return numbers.astype(np.float64).tolist()
    if kind in _INTS and numbers.dtype.kind in "iub":
        return numbers.astype(np.int64).tolist()
    return _plain(value)
