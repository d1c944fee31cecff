"""Any ONNX operator as a layer, and any function that adds nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from onnx import FunctionProto, helper

from neuromatic.errors import ModelError
from neuromatic.initializers import InitializerLike
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.opsets import BATCH, NEUROMATIC_DOMAIN
from neuromatic.ir.values import Dim, Shape, Value
from neuromatic.layers._arguments import check_positive
from neuromatic.layers._parameters import parameter
from neuromatic.layers.base import Layer
from neuromatic.layers.core._signature import Signature, check_operator

__all__ = ["Lambda", "Op"]

Parameters = Mapping[str, tuple[Sequence[int], InitializerLike]]
Types = Sequence[tuple[DTypeLike, Sequence[Dim]]]


@dataclass(frozen=True, eq=False, init=False)
class Op(Layer):
    """One ONNX operator of that name: ``Op("Clip", min=0.0, max=1.0)``, ``Op("Pow", 2.0)``.

    It stands where Keras has ``Lambda`` and ``keras.ops`` on symbolic tensors, and writes the ONNX operator
    that it names. What is not named takes the operator's free inputs in order: first what the layer is called
    on, then ``constants``.

    Input: what the operator takes.  Output: what it gives; several if ``outputs`` says so.
    Parameters: ``<name>/<input>`` for each of ``parameters``.

    Args:
        op: name of an operator, or a ``FunctionProto`` of domain ``neuromatic``, which the model then has.
        constants: more inputs, which are never trained.
        domain: the operator's domain, empty for ONNX' own.
        version: the version of the domain's operator set; for ONNX' own that of the model.
        outputs: how many outputs the layer has.
        parameters: inputs that are trained, by the operator's names for them: shape and initializer.
        types: element type and shape (without the batch) of each output, where ONNX cannot infer them.
        arguments: inputs and attributes, by the operator's names for them; inputs become constants.

    Raises:
        UnknownNameError: there is no operator of that name.
        ValueError: it has no input or attribute of a name that is given, or needs one that is not.
        ShapeError: it cannot take its inputs.
        ModelError: an output is no tensor, or its type cannot be inferred.

    >>> import neuromatic as nm
    >>> nm.layers.Op("Clip", min=0.0, max=1.0)(nm.Input((3,))).shape
    ('batch', 3)
    """

    op: str | FunctionProto
    constants: tuple[Any, ...]
    domain: str
    version: int
    outputs: int
    parameters: Parameters
    types: Types | None
    arguments: Mapping[str, Any]

    def __init__(
        self,
        op: str | FunctionProto,
        *constants: Any,
        domain: str = "",
        version: int = 1,
        outputs: int = 1,
        parameters: Parameters | None = None,
        types: Types | None = None,
        name: str | None = None,
        **arguments: Any,
    ) -> None:
        if isinstance(op, FunctionProto):
            domain = op.domain
            if domain != NEUROMATIC_DOMAIN:
                raise ValueError(f"Op: a function must be of domain {NEUROMATIC_DOMAIN!r}, got {domain!r}")
        else:
            check_operator(op, domain, known=types is not None)
        check_positive("Op", "version", version)
        check_positive("Op", "outputs", outputs)
        if types is not None and len(types) != outputs:
            raise ValueError(f"Op: types must be one for each of {outputs} outputs, got {types!r}")
        fields = {
            "op": op,
            "constants": constants,
            "domain": domain,
            "version": version,
            "outputs": outputs,
            "parameters": dict(parameters or {}),
            "types": types,
            "arguments": arguments,
            "name": name,
        }
        for key, value in fields.items():
            object.__setattr__(self, key, value)

    def emit(self, g: GraphBuilder, *xs: Value) -> Value | tuple[Value, ...]:
        if self.domain not in ("", NEUROMATIC_DOMAIN):
            g.use(self.domain, self.version)
        signature = Signature.of(g, self.op, self.domain, types_given=self.types is not None)
        constants = {n: a for n, a in self.arguments.items() if n in signature.inputs}
        attributes = {n: a for n, a in self.arguments.items() if n not in signature.inputs}
        given = signature.attributes(attributes)
        slots = signature.slots(g.scope, [*self.parameters, *constants], [*xs, *self.constants])
        known = {name: x for name, x in zip(signature.names(len(slots)), slots, strict=True)}
        values: list[Value | None] = []
        for name, item in known.items():
            dtype = signature.dtype(name, known)
            if name in self.parameters:
                shape, initializer = self.parameters[name]
                values.append(parameter(g, name, shape, initializer=initializer, dtype=dtype))
            elif name in constants:
                values.append(_constant(g, constants[name], dtype, signature.bound(name)))
            elif item is None or isinstance(item, Value):
                values.append(item)
            else:
                values.append(_constant(g, item, dtype, signature.bound(name)))
        if isinstance(self.op, FunctionProto):
            g.add_function(self.op)
        made = g.add_many(
            signature.op,
            *values,
            outputs=self.outputs,
            domain=self.domain,
            types=self._types() or signature.types(g, [v for v in values if v is not None]),
            **given,
        )
        if untyped := [v.name for v in made if not v.dtype]:
            raise ModelError(
                f"{g.scope}: {signature.op} gives {untyped[0]!r}, which is no tensor, or of a type that ONNX "
                f"cannot infer; give types="
            )
        return made[0] if self.outputs == 1 else made

    def _types(self) -> list[tuple[int, Shape | None]] | None:
        if self.types is None:
            return None
        return [(helper.np_dtype_to_tensor_dtype(np.dtype(d)), (BATCH, *shape)) for d, shape in self.types]


def _constant(g: GraphBuilder, item: Any, dtype: int, bound: bool) -> Value:
    """A constant; of the type that the operator asks for, else of its own, numbers of Python in 32 bits."""
    array = np.asarray(item)
    if bound or not isinstance(item, (np.ndarray, np.generic)):
        wanted = dtype if bound or array.dtype.kind == "f" else 0
        return g.const(array, wanted or helper.np_dtype_to_tensor_dtype(array.dtype))
    return g.const(array, helper.np_dtype_to_tensor_dtype(array.dtype))


@dataclass(frozen=True, eq=False)
class Lambda(Layer):
    """A function that adds ONNX nodes, ``function(builder, *values)``, as a layer.

    Deliberately not Keras ``Lambda``, whose Python function computes: this one is run once, when the graph is
    written, and adds ONNX nodes to it, so that the file says all that the model does.

    Input: what the function takes.  Output: what it returns, one value or a tuple of them.

    Args:
        function: from a ``GraphBuilder`` and a ``Value`` for each input to what the layer gives.
        arguments: more arguments of the function, by name.

    Raises:
        TypeError: the function is none, or returns no value of the graph.

    >>> import neuromatic as nm
    >>> nm.layers.Lambda(lambda g, x: g.add("Mul", x, x))(nm.Input((3,))).shape
    ('batch', 3)
    """

    function: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"Lambda: function must be a function of (builder, value), got {self.function!r}")

    def emit(self, g: GraphBuilder, *xs: Value) -> Value | tuple[Value, ...]:
        result = self.function(g, *xs, **self.arguments)
        values = result if isinstance(result, tuple) else (result,)
        if not values or not all(isinstance(value, Value) for value in values):
            raise TypeError(
                f"{g.scope}: Lambda: function must return what the builder's add returns, got {result!r}"
            )
        return values[0] if len(values) == 1 else values
