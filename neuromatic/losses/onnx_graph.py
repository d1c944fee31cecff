"""A loss that somebody wrote in ONNX: a graph of (target, prediction), or a function."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx
import onnx.compose
import onnx.inliner
import onnx.version_converter
from onnx import FunctionProto, ModelProto, TensorProto, helper

from neuromatic.errors import InvalidModelError, ModelError, ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.onnx_errors import ONNX_ERRORS, reason_of
from neuromatic.ir.onnx_ml.types import stand_in_types
from neuromatic.ir.shape_inference import infer
from neuromatic.ir.tensors import array_of
from neuromatic.ir.traversal import data_inputs
from neuromatic.ir.values import Dim, Shape, Value, dtype_name, shape_text
from neuromatic.losses.base import Loss
from neuromatic.saving.model_file import load_proto

NAMES = ("y_true", "y_pred")
Source = str | os.PathLike[str] | ModelProto | FunctionProto


@dataclass(frozen=True, eq=False)
class GraphLoss(Loss):
    """A loss from ONNX: its nodes become part of the recipe.

    Inputs are target and prediction, found by the names ``y_true`` and ``y_pred``, else in this order. The
    output is a value for each sample, (batch, ...), or one number. :func:`get` makes one.

    Args:
        model: a graph of two inputs and one output, without functions.
        name: how messages call it.
        typed: whether the inputs' types are declared; else targets have the prediction's type and shape.
    """

    model: ModelProto = field(repr=False)
    name: str
    typed: bool = True

    def computes_in(self, dtype: int) -> int:
        takes_it = self.typed and self._declared()[1].dtype == dtype
        return dtype if takes_it else super().computes_in(dtype)

    def target_type(self, prediction: Value) -> tuple[int, Shape | None]:
        if not self.typed:
            return prediction.dtype, prediction.shape
        true, pred = self._declared()
        if pred.dtype != prediction.dtype:
            raise ModelError(
                f"loss {self.name}: {pred.name!r} is {dtype_name(pred.dtype)}, the prediction "
                f"{prediction.name!r} is {dtype_name(prediction.dtype)}"
            )
        if pred.shape is None or true.shape is None:
            return true.dtype, prediction.shape if true.shape is None else true.shape
        if prediction.rank != len(pred.shape) or not all(
            _fits(want, found) for want, found in zip(pred.shape, prediction.shape or (), strict=True)
        ):
            raise ShapeError(
                f"loss {self.name} takes {pred.name!r} {shape_text(pred.shape)}, got "
                f"{shape_text(prediction.shape)} from {prediction.name!r}"
            )
        known = {want: have for want, have in zip(pred.shape, prediction.shape or (), strict=True)}
        rest = [known.get(d, d) if isinstance(d, str) else d for d in true.shape[1:]]
        return true.dtype, (prediction.dim(0), *rest)

    def values(self, g: GraphBuilder, y_true: Value, y_pred: Value) -> Value:
        model = _at_opset(self.model, g.opset, self.name)
        prefix = f"{g.scope}/{self.name}/" if g.scope else f"{self.name}/"
        graph = onnx.compose.add_prefix_graph(model.graph, prefix)
        given = dict(zip(self._input_names(), (y_true, y_pred), strict=True))
        for name, value in given.items():
            g.add("Identity", value, name=f"{prefix}{name}/Identity", outputs=[prefix + name])
        for tensor in graph.initializer:
            g.initializer(tensor.name, array_of(tensor))
        types = self._types(model, given)
        for node in graph.node:
            g.include(node, [_named(types, o, prefix) for o in node.output if o])
        return g.value(graph.output[0].name)

    def _types(self, model: ModelProto, given: Mapping[str, Value]) -> dict[str, Value]:
        """Every value of the loss, by name, for these inputs."""
        typed = ModelProto()
        typed.CopyFrom(model)
        for item in typed.graph.input:
            if item.name in given:
                item.type.CopyFrom(given[item.name].type_proto())
        del typed.graph.value_info[:]
        for output in typed.graph.output:
            output.type.Clear()
        stand_in_types(typed)
        try:
            graph = infer(typed, strict=True)
        except ONNX_ERRORS as error:
            shapes = ", ".join(f"{name} {shape_text(value.shape)}" for name, value in given.items())
            raise ShapeError(f"loss {self.name} cannot take {shapes}: {reason_of(error)}") from error
        return {v.name: Value.of(v.name, v.type) for v in [*graph.value_info, *graph.output]}

    def _input_names(self) -> tuple[str, str]:
        names = data_inputs(self.model.graph)
        if set(names) == set(NAMES):
            return NAMES
        return names[0], names[1]

    def _declared(self) -> tuple[Value, Value]:
        declared = {i.name: Value.of(i.name, i.type) for i in self.model.graph.input}
        true, pred = (declared[name] for name in self._input_names())
        return true, pred


def _fits(want: Dim, found: Dim) -> bool:
    return want == found or not (isinstance(want, int) and isinstance(found, int))


def _named(types: Mapping[str, Value], name: str, prefix: str) -> Value:
    found = types.get(name.removeprefix(prefix))
    return Value(name, 0, None) if found is None else Value(name, found.dtype, found.shape)


def read(source: Source, reduction: Any = "sum_over_batch_size", **attributes: Any) -> GraphLoss:
    """A loss from an .onnx file, a model or a function.

    Args:
        source: a graph or function of two inputs, target and prediction, and one output.
        reduction: as for every loss.
        attributes: of a function.

    Raises:
        InvalidModelError: the file cannot be read, or is not valid ONNX.
        ModelError: it does not have two inputs and one output.
        TypeError: attributes that a function does not have, or lacks, or for something else.
    """
    if isinstance(source, FunctionProto):
        name, model = source.name, _calling(source, attributes)
    else:
        if attributes:
            raise TypeError(f"a loss from a graph has no arguments {sorted(attributes)}")
        name = source.graph.name if isinstance(source, ModelProto) else os.path.basename(os.fspath(source))
        model = source if isinstance(source, ModelProto) else load_proto(source)[0]
    try:
        onnx.checker.check_model(model)
        flat = onnx.inliner.inline_local_functions(_with_defaults(model)) if model.functions else model
    except ONNX_ERRORS as error:
        raise InvalidModelError(f"loss {name} is not valid ONNX: {reason_of(error)}") from error
    inputs, outputs = data_inputs(flat.graph), [o.name for o in flat.graph.output]
    if len(inputs) != 2 or len(outputs) != 1:
        raise ModelError(
            f"a loss has two inputs, target and prediction, and one output; {name} has {inputs} and {outputs}"
        )
    return GraphLoss(flat, name or "graph", not isinstance(source, FunctionProto), reduction=reduction)


def _calling(function: FunctionProto, attributes: Mapping[str, Any]) -> ModelProto:
    """A model that is one call of a function; the types it declares say nothing."""
    defaults = {a.name for a in function.attribute_proto}
    needed, known = set(function.attribute), {*function.attribute, *defaults}
    if not needed <= attributes.keys() <= known:
        raise TypeError(
            f"loss {function.name} has the arguments {sorted(known)}, of which {sorted(needed)} have to be "
            f"given; got {sorted(attributes)}"
        )
    node = helper.make_node(
        function.name, list(function.input), list(function.output), domain=function.domain, **attributes
    )
    inputs, outputs = (
        [onnx.ValueInfoProto(name=name) for name in names] for names in (function.input, function.output)
    )
    for item in (*inputs, *outputs):
        item.type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, ()))
    graph = helper.make_graph([node], function.name, inputs, outputs)
    opsets = [*function.opset_import, helper.make_opsetid(function.domain, 1)]
    opset = next((o.version for o in opsets if o.domain in ("", "ai.onnx")), 1)
    return helper.make_model(
        graph,
        functions=[function],
        opset_imports=opsets,
        ir_version=max(8, helper.find_min_ir_version_for([helper.make_opsetid("", opset)])),
    )


def _with_defaults(model: ModelProto) -> ModelProto:
    """A copy whose calls of functions name every attribute; the inliner knows no defaults."""
    result = ModelProto()
    result.CopyFrom(model)
    functions = {(f.domain, f.name): f for f in result.functions}
    for node in [*result.graph.node, *(n for f in result.functions for n in f.node)]:
        called = functions.get((node.domain, node.op_type))
        if called is not None:
            given = {a.name for a in node.attribute}
            node.attribute.extend(a for a in called.attribute_proto if a.name not in given)
    return result


def _at_opset(model: ModelProto, opset: int, name: str) -> ModelProto:
    """The model in the opset of the graph that it is to be part of.

    Raises:
        ModelError: onnx cannot convert it.
    """
    own = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), opset)
    if own == opset:
        return model
    try:
        return onnx.version_converter.convert_version(model, opset)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"loss {name} is of opset {own}, the model of {opset}, and onnx cannot convert it: {reason}"
        ) from error
