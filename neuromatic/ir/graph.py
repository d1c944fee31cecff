"""GraphBuilder: nodes with inferred types, named parameters, and a checked ONNX model at the end.

Every layer, loss, metric and optimizer of Neuromatic is a few calls of :meth:`GraphBuilder.add`. ONNX' own
shape inference gives each result its type at once, so a mistake is reported by the call that made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import (
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    TensorProto,
    helper,
    numpy_helper,
)
from onnx.defs import OpSchema, SchemaError

from neuromatic.errors import ModelError, ShapeError
from neuromatic.ir.onnx_errors import ONNX_ERRORS, reason_of
from neuromatic.ir.opsets import (
    DEFAULT_IR_VERSION,
    DEFAULT_OPSET,
    NEUROMATIC_DOMAIN,
    OpsetTooLowError,
    TypeNotTakenError,
    ir_version_for,
)
from neuromatic.ir.terms import Penalty, Term, Terms
from neuromatic.ir.values import Shape, Value, shape_text

Array = NDArray[Any]


class GraphBuilder:
    """Builds one graph.

    Args:
        opset: version of ONNX' default operator set.
        seed: with a parameter's name, determines its initial values.
        dry: keep types only and draw no initial values; for checking a layer against a shape.
    """

    def __init__(self, *, opset: int = DEFAULT_OPSET, seed: int = 0, dry: bool = False) -> None:
        self.opset = opset
        self.seed = seed
        self.graph = GraphProto(name="main")
        self.functions: dict[str, FunctionProto] = {}
        self._domains: dict[str, int] = {}
        self.scope = ""
        self._dry = dry
        self._values: dict[str, Value] = {}
        self._producers: dict[str, NodeProto] = {}
        self._node_names: set[str] = set()
        self._constants: dict[Any, Value] = {}
        self._renamed: dict[str, Value] = {}
        self._penalties: dict[str, Penalty] = {}
        self._constraints: dict[str, Term] = {}
        self._masks: dict[str, Value] = {}

    @contextmanager
    def layer(self, name: str, *, inside: bool = False) -> Iterator[None]:
        """Names made inside begin with ``name/``; with ``inside``, with the outer layer's before that."""
        outer, self.scope = self.scope, self._scoped(name) if inside else name
        try:
            yield
        finally:
            self.scope = outer

    # -- values ------------------------------------------------------------------------------------

    def input(self, name: str, dtype: int, shape: Shape) -> Value:
        """Declare a graph input."""
        value = self.declare(Value(name, dtype, shape))
        self.graph.input.append(helper.make_value_info(name, value.type_proto()))
        return value

    def declare(self, value: Value, producer: NodeProto | None = None) -> Value:
        """Make a value known that another graph computes, so that nodes here can use it."""
        if value.name in self._values:
            raise ModelError(f"two values are named {value.name!r}; names in a graph are unique")
        self._values[value.name] = value
        if producer is not None:
            self._producers[value.name] = producer
        return value

    def value(self, name: str) -> Value:
        """A value of this graph by name."""
        return self._values[name]

    def knows(self, name: str) -> bool:
        """Whether a value of that name exists."""
        return name in self._values

    def fresh(self, name: str) -> str:
        """``name``, with a number where a value of that name exists already."""
        unique, count = name, 0
        while unique in self._values:
            count += 1
            unique = f"{name}_{count}"
        return unique

    def reserve(self, node_names: Iterable[str]) -> None:
        """Keep new nodes from taking these names."""
        self._node_names.update(node_names)

    def include(self, node: NodeProto, outputs: Sequence[Value]) -> None:
        """Add a copy of a node of another graph, whose outputs have these types."""
        self._node_names.add(node.name)
        self.graph.node.append(node)
        for value in outputs:
            self.declare(value, self.graph.node[-1])

    def initializer(self, name: str, array: Array) -> Value:
        """Add a named initializer."""
        value = self.declare(Value(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape))
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        return value

    def param(
        self,
        name: str,
        initialize: Callable[[np.random.Generator, tuple[int, ...]], Array],
        shape: Sequence[int],
        dtype: int = TensorProto.FLOAT,
    ) -> Value:
        """A parameter ``<layer>/<name>``; the same one if the layer has made it before.

        Its first values depend on the builder's seed and its full name alone, so adding a layer changes no
        other layer's.
        """
        full, dims = self._scoped(name), tuple(int(d) for d in shape)
        if full in self._values:
            return self._values[full]
        if self._dry:
            return self.declare(Value(full, dtype, dims))
        rng = np.random.default_rng([self.seed, *full.encode()])
        array = np.asarray(initialize(rng, dims)).astype(helper.tensor_dtype_to_np_dtype(dtype))
        if array.shape != dims:
            raise ShapeError(f"{full}: the initializer gave shape {array.shape}, expected {dims}")
        return self.initializer(full, array)

    def const(self, value: ArrayLike, dtype: int = TensorProto.FLOAT) -> Value:
        """A constant, as a ``Constant`` node, so that it is never taken for a parameter."""
        array = np.asarray(value, helper.tensor_dtype_to_np_dtype(dtype))
        key = (dtype, array.shape, array.tobytes(), self.scope)
        if key not in self._constants:
            self._constants[key] = self._constant(array, dtype)
        return self._constants[key]

    def _constant(self, array: Array, dtype: int) -> Value:
        """A ``Constant`` node; before opset 9 it has only floats, so that a ``Cast`` follows."""
        if self.opset >= 9 or array.dtype.kind == "f" or dtype in (TensorProto.FLOAT16, TensorProto.BFLOAT16):
            return self.add("Constant", value=numpy_helper.from_array(array))
        wide = self.add("Constant", value=numpy_helper.from_array(array.astype(np.float64)))
        return self.add("Cast", wide, to=dtype)

    def ints(self, *values: int) -> Value:
        """A constant int64 vector: axes, a shape, pads ..."""
        return self.const(np.array(values, np.int64), TensorProto.INT64)

    def output(self, value: Value, name: str) -> Value:
        """Declare a graph output: the value under ``name``, renamed at its producer where possible."""
        value = self._renamed.get(value.name, value)
        producer = self._producers.get(value.name)
        outputs = {v.name for v in self.graph.output}
        if name != value.name and producer in self.graph.node and value.name not in outputs:
            value = self._rename(value, producer, name)
        elif name != value.name or value.name in outputs or producer is None:
            value = self.add("Identity", value, name=f"{name}/Identity", outputs=[name])
        self.graph.output.append(helper.make_value_info(value.name, value.type_proto()))
        return value

    def _rename(self, value: Value, producer: NodeProto | None, name: str) -> Value:
        assert producer is not None
        for node in self.graph.node:
            for i, used in enumerate(node.input):
                if used == value.name:
                    node.input[i] = name
        producer.output[list(producer.output).index(value.name)] = name
        renamed = self.declare(Value(name, value.dtype, value.shape), producer)
        del self._values[value.name], self._producers[value.name]
        self._renamed[value.name] = renamed
        return renamed

    # -- what training needs to know ---------------------------------------------------------------

    def penalize(self, value: Value, term: Term, *, per_sample: bool = False) -> None:
        """Add a penalty for a value to the loss; see :class:`Penalty`."""
        self._penalties[value.name] = Penalty(value.name, term, per_sample)

    def constrain(self, parameter: Value, term: Term) -> None:
        """Apply a constraint to a parameter after each update."""
        self._constraints[parameter.name] = term

    def set_mask(self, value: Value, mask: Value) -> None:
        """Say which steps of a sequence (batch, steps, ...) count: ``mask`` (batch, steps) of booleans."""
        self._masks[value.name] = mask

    def mask(self, value: Value) -> Value | None:
        """The mask of a value, None if all of it counts."""
        return self._masks.get(value.name)

    def terms(self) -> Terms:
        """What layers asked of training so far."""

        def current(name: str) -> str:
            return self._renamed[name].name if name in self._renamed else name

        penalties = tuple(replace(p, value=current(p.value)) for p in self._penalties.values())
        outputs = {o.name for o in self.graph.output}
        masks = {current(name): current(mask.name) for name, mask in self._masks.items()}
        return Terms(penalties, dict(self._constraints), {n: m for n, m in masks.items() if n in outputs})

    # -- nodes -------------------------------------------------------------------------------------

    def add(self, op: str, *inputs: Value | None, **options: Any) -> Value:
        """Add a node with one output; see :meth:`add_many` for the options."""
        return self.add_many(op, *inputs, **options)[0]

    def add_many(
        self,
        op: str,
        *inputs: Value | None,
        outputs: int | Sequence[str] = 1,
        name: str | None = None,
        domain: str = "",
        types: Sequence[tuple[int, Shape | None]] | None = None,
        **attributes: Any,
    ) -> tuple[Value, ...]:
        """Add a node.

        Args:
            inputs: values, or None for one that is left out.
            outputs: how many outputs, or their names, ``""`` for one that is left out.
            name: the node's name; by default ``<layer>/<op>``. Made unique by a number.
            domain: the operator's domain.
            types: the outputs' types, for operators that ONNX cannot infer.
            attributes: ONNX attributes under their own names; None leaves one out.

        Raises:
            ShapeError: ONNX refuses these input types for the operator.
            OpsetTooLowError: the operator is newer than the builder's opset.
        """
        node_name = self._unique(name or self._scoped(op))
        if isinstance(outputs, int):
            outputs = [node_name if i == 0 else f"{node_name}:{i}" for i in range(outputs)]
        given = {key: value for key, value in attributes.items() if value is not None}
        names = [x.name if x is not None else "" for x in inputs]
        node = helper.make_node(op, names, list(outputs), name=node_name, domain=domain, **given)
        if types is None:
            types = self._infer(node, self.schema(op, domain), [x for x in inputs if x is not None])
        self.graph.node.append(node)
        node = self.graph.node[-1]
        results = [Value(o, *kind) for o, kind in zip(outputs, types, strict=True)]
        return tuple(self.declare(value, node) if value.name else value for value in results)

    def add_function(self, function: FunctionProto) -> None:
        """Make a model-local function available to :meth:`add`."""
        self.functions[function.name] = function

    def producer(self, value: Value) -> NodeProto | None:
        """The node that computes a value; None for inputs and parameters."""
        return self._producers.get(value.name)

    def use(self, domain: str, version: int) -> None:
        """Let nodes use the operators of another domain, at a version of its operator set."""
        known = self._domains.setdefault(domain, version)
        if known != version:
            raise ModelError(f"the graph uses version {known} of domain {domain!r}, not {version}")

    def schema(self, op: str, domain: str = "") -> OpSchema:
        """The schema that an operator has at the builder's opset, or at its domain's version.

        Raises:
            OpsetTooLowError: the operator is newer than the builder's opset.
            ModelError: there is no such operator.
        """
        try:
            return onnx.defs.get_schema(op, self._domains.get(domain, 1) if domain else self.opset, domain)
        except SchemaError:
            newer = [s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == op]
            if not domain and newer:
                raise OpsetTooLowError(op, self.opset, min(newer)) from None
            raise ModelError(f"ONNX has no operator {op!r} in domain {domain!r}") from None

    def _infer(
        self, node: NodeProto, schema: OpSchema, inputs: Sequence[Value]
    ) -> list[tuple[int, Shape | None]]:
        data = {x.name: self._constant_tensor(x) for x in inputs}
        try:
            found = onnx.shape_inference.infer_node_outputs(
                schema,
                node,
                {x.name: x.type_proto() for x in inputs},
                {name: tensor for name, tensor in data.items() if tensor is not None},
                opset_imports=self._opsets(),
                ir_version=DEFAULT_IR_VERSION,
            )
        except ONNX_ERRORS as error:
            shapes = ", ".join(f"{x.name} {shape_text(x.shape)}" for x in inputs)
            where = f"{self.scope}: " if self.scope else ""
            kind = TypeNotTakenError if isinstance(error, onnx.checker.ValidationError) else ShapeError
            reason = reason_of(error).replace("[ShapeInferenceError] ", "")
            raise kind(f"{where}{node.op_type} cannot take {shapes}: {reason}") from error
        values = [Value.of(o, found[o]) if o in found else Value(o, 0, None) for o in node.output]
        return [(value.dtype, value.shape) for value in values]

    def _constant_tensor(self, value: Value) -> TensorProto | None:
        producer = self.producer(value)
        if producer is not None and producer.op_type == "Cast" and self.opset < 9:
            found = self._constant_tensor(self._values[producer.input[0]])
            dtype = helper.tensor_dtype_to_np_dtype(value.dtype)
            return (
                None if found is None else numpy_helper.from_array(numpy_helper.to_array(found).astype(dtype))
            )
        if producer is None or producer.op_type != "Constant":
            return None
        tensor: TensorProto = producer.attribute[0].t
        return tensor

    def _scoped(self, name: str) -> str:
        return f"{self.scope}/{name}" if self.scope else name

    def _unique(self, name: str) -> str:
        unique, count = name, 0
        while unique in self._node_names or unique in self._values:
            count += 1
            unique = f"{name}_{count}"
        self._node_names.add(unique)
        return unique

    def _opsets(self) -> list[OperatorSetIdProto]:
        versions = {"": self.opset, **self._domains}
        return [helper.make_opsetid(domain, version) for domain, version in versions.items()]

    # -- the model ---------------------------------------------------------------------------------

    def finish(self) -> ModelProto:
        """The checked model.

        Raises:
            ModelError: the graph is not valid ONNX.
        """
        opsets = self._opsets()
        if self.functions:
            opsets.append(helper.make_opsetid(NEUROMATIC_DOMAIN, 1))
        model = helper.make_model(
            self.graph,
            opset_imports=opsets,
            functions=list(self.functions.values()),
            producer_name="neuromatic",
            ir_version=ir_version_for(self.opset),
        )
        try:
            onnx.checker.check_model(model, full_check=True)
        except ONNX_ERRORS as error:
            raise ModelError(f"the graph is not valid ONNX: {error}") from error
        return model
