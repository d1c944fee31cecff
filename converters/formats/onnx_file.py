"""From .onnx to .onnx: a newer opset, or the recipe taken off.

``onnx.version_converter`` drops ``training_info``, local functions and what it does not know, and keeps an IR
version that may be too old. So only the two graphs go through it, each by itself; all else stays the model's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
from numpy.typing import NDArray
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, helper

from neuromatic import Model, load
from neuromatic.builder.model import problem_of
from neuromatic.converters.formats.verify import Runner, verify
from neuromatic.converters.registry import domain_name, find_schema
from neuromatic.data import Field, input_fields, target_fields, weight_fields
from neuromatic.errors import (
    ConversionError,
    InvalidModelError,
    RecipeError,
    UnsupportedFeatureError,
    VerificationError,
)
from neuromatic.inference import Session
from neuromatic.ir import onnx_ml
from neuromatic.ir.inference_form import inference_form, training_form_note
from neuromatic.ir.onnx_errors import ONNX_ERRORS, reason_of
from neuromatic.ir.onnx_ml.types import CRASHING
from neuromatic.ir.opsets import ir_version_for
from neuromatic.ir.traversal import bodies
from neuromatic.ir.types import value_types
from neuromatic.recipe import schema as recipes
from neuromatic.recipe.schema import Recipe
from neuromatic.recipe.sections import evaluation_part, strip
from neuromatic.recipe.validation import validate
from neuromatic.saving.model_file import check_model

ROUGHLY = 0.1
"""By which share of its largest output a quantized model may differ from its dequantized one."""
Array = NDArray[Any]
REFUSED: tuple[type[Exception], ...] = (RecipeError, *ONNX_ERRORS)


ASIDE = "ai.onnx.ml.aside"
"""The domain that nodes have while the converter does not know them."""


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    opset: int | None = None,
    strip_training: bool = False,
    dequantize: bool = False,
    dynamic_batch: bool = False,
    input_shapes: Mapping[str, Sequence[int | str]] | None = None,
    check: bool = True,
    atol: float = 1e-4,
    seed: int = 0,
    tell: Callable[[str], object] = lambda line: None,
) -> float | None:
    """Write a copy of an .onnx file in inference form; with neither option it is the same but for that.

    Args:
        source: an .onnx file.
        target: the file to write; replaced only on success.
        opset: the version of ONNX' operators to raise the model to.
        strip_training: leave the recipe out.
        dequantize: make floats of weights that are integers; the recipe is left out.
        dynamic_batch: see :meth:`neuromatic.Model.dynamic_batch`.
        input_shapes: see :meth:`neuromatic.Model.with_input_shape`.
        check: whether old and new are compared in onnxruntime.
        atol: how far they may differ.
        seed: determines the inputs they are compared on.
        tell: called with a sentence on what the result has otherwise than the file.

    Returns:
        The largest difference found; None where nothing was compared.

    Raises:
        InvalidModelError: the file cannot be read or is not valid ONNX.
        ConversionError: the opset cannot be reached, or the batch not be made dynamic.
        ShapeError: an input cannot be of a shape.
        ModelError: there is nothing to dequantize.
        VerificationError: old and new differ.
    """
    model = load(source, check=check)
    if not check and (problem := problem_of(model.proto)):
        tell(f"not verified, and it cannot run: {problem}")
    if note := training_form_note(model.proto):
        tell(note)
        model = Model.from_proto(inference_form(model.proto))
    old = model.proto
    if dequantize:
        model, strip_training = model.dequantize(), True
        tell("what went from layer to layer is not rounded any more: outputs are compared roughly")
    if not strip_training:
        _check_recipe(model.proto, raised=opset is not None, tell=tell)
    if strip_training:
        model = Model.from_proto(strip(model.proto))
    if input_shapes:
        model = model.with_input_shape(**input_shapes)
    if dynamic_batch:
        model = model.dynamic_batch()
    if opset is not None and opset != default_opset(model.proto):
        model = Model.from_proto(raise_opset(model.proto, opset))
    difference = None
    if check and model.proto is not old:
        difference = compare(old, model.proto, atol=atol, seed=seed, share=ROUGHLY if dequantize else 0.0)
    model.save(target)
    return difference


def _check_recipe(model: ModelProto, *, raised: bool, tell: Callable[[str], object]) -> None:
    """Tell of a recipe that cannot be used, for instance because another program has changed the graph.

    Raises:
        RecipeError: it would have to be raised to another opset.
    """
    try:
        validate(model)
    except RecipeError as error:
        if raised:
            raise
        tell(f"the recipe cannot be used: {error}")


def compare(old: ModelProto, new: ModelProto, *, atol: float, seed: int, share: float = 0.0) -> float:
    """The largest difference between two models in onnxruntime; loss and metrics count where both have them.

    Raises:
        ConversionError: onnxruntime refuses the new model.
        VerificationError: they differ by more than ``atol``, and by more than that share of the outputs.
    """
    recipe = recipes.read(new)
    fields = [_both(*pair) for pair in zip(_fields(old, recipe), _fields(new, recipe), strict=True)]
    parts = [evaluation_part(m, recipe) if recipe else strip(m) for m in (old, new)]
    before = Session(parts[0])
    try:
        after = Session(parts[1])
    except InvalidModelError as error:
        import onnxruntime

        raise ConversionError(
            f"onnxruntime {onnxruntime.__version__}, which is installed, does not run opset "
            f"{default_opset(new)}: {error}"
        ) from error
    if not share:
        return verify(_runner(before), _runner(after), fields, what="the new model", atol=atol, seed=seed)
    largest = [0.0]

    def observed(inputs: dict[str, Array]) -> Mapping[str, Array]:
        outputs = before.run(inputs)
        sizes = (float(np.abs(o).max()) for o in outputs.values() if isinstance(o, np.ndarray) and o.size)
        largest.extend(sizes)
        return outputs

    difference = verify(observed, _runner(after), fields, what="the new model", atol=np.inf, seed=seed)
    if not difference <= (allowed := max(atol, share * max(largest))):
        raise VerificationError(
            f"the new model differs by {difference:.3g}, allowed are {allowed:.3g}; nothing was written",
            difference=difference,
        )
    return difference


def _fields(model: ModelProto, recipe: Recipe | None) -> list[Field]:
    found = [*input_fields(model)]
    if recipe is not None:
        found += [*target_fields(model, recipe), *weight_fields(model, recipe)]
    return found


def _both(old: Field, new: Field) -> Field:
    """What both models take: a size where either has one."""
    if old.shape is None or new.shape is None:
        return old
    pairs = zip(old.shape, new.shape, strict=True)
    return replace(old, shape=tuple(b if isinstance(b, int) else a for a, b in pairs))


def _runner(session: Session) -> Runner:
    return lambda inputs: session.run(inputs)


def default_opset(model: ModelProto) -> int:
    """The version of ONNX' own operators that a model imports."""
    return next((o.version for o in model.opset_import if domain_name(o.domain) == ""), 1)


def raise_opset(model: ModelProto, opset: int) -> ModelProto:
    """A copy of a model, recipe included, in a newer version of ONNX' operators.

    Raises:
        ConversionError: the opset is older than the model's, or one that onnx does not know or reach.
        UnsupportedFeatureError: a local function uses operators whose meaning changes.
    """
    old, newest = default_opset(model), onnx.defs.onnx_opset_version()
    if opset < old:
        raise ConversionError(f"the model has opset {old}, which cannot be lowered to {opset}; only raised")
    if opset > newest:
        raise ConversionError(
            f"the installed onnx {onnx.__version__} does not know opset {opset}; its newest is {newest}"
        )
    recipe = recipes.read(model)
    result = ModelProto()
    result.CopyFrom(model)
    result.graph.CopyFrom(_converted(model, model.graph, opset))
    if recipe is not None:
        _convert_algorithm(result, model, recipe, opset)
    for function in result.functions:
        _check_function(function, old, opset)
    for imports in [result.opset_import, *(f.opset_import for f in result.functions)]:
        for item in imports:
            if domain_name(item.domain) == "":
                item.version = opset
    result.ir_version = max(model.ir_version, ir_version_for(opset))
    _check(result)
    return result


def _converted(model: ModelProto, graph: GraphProto, opset: int) -> GraphProto:
    """A graph as ``onnx.version_converter`` gives it, with the initializers and notes it had."""
    alone = ModelProto(ir_version=max(model.ir_version, 4), graph=graph)
    alone.opset_import.extend([*model.opset_import, helper.make_opsetid(ASIDE, 1)])
    for node in _unsafe(alone, onnx_ml.DOMAIN):
        node.domain = ASIDE
    try:
        raised = onnx.version_converter.convert_version(alone, opset)
    except ONNX_ERRORS as error:
        raise ConversionError(f"onnx cannot raise the model to opset {opset}: {reason_of(error)}") from error
    for node in _unsafe(raised, ASIDE):
        node.domain = onnx_ml.DOMAIN
    converted = raised.graph
    kept = {tensor.name: tensor for tensor in graph.initializer}
    added = [tensor for tensor in converted.initializer if tensor.name not in kept]
    del converted.initializer[:], converted.input[:], converted.output[:]
    converted.initializer.extend([*graph.initializer, *added])
    converted.input.extend(graph.input)
    converted.output.extend(graph.output)
    converted.name, converted.doc_string = graph.name, graph.doc_string
    for field in ("metadata_props", "quantization_annotation", "sparse_initializer"):
        converted.ClearField(field)
        getattr(converted, field).extend(getattr(graph, field))
    return converted


def _unsafe(model: ModelProto, domain: str) -> list[NodeProto]:
    """The nodes whose inference in onnx can end the process, as nodes of a domain."""
    nodes = [node for body in bodies(model) for node in body.node]
    return [n for n in nodes if n.domain == domain and n.op_type in CRASHING]


def _convert_algorithm(result: ModelProto, model: ModelProto, recipe: Recipe, opset: int) -> None:
    """Convert the training algorithm, with the values it takes from the inference graph as inputs."""
    types = value_types(model)
    algorithm = model.training_info[0].algorithm
    own = _names(algorithm)
    used = (_used(algorithm.node) | {*recipe.trainable, recipe.loss}) & types.keys() - own
    alone = GraphProto()
    alone.CopyFrom(algorithm)
    alone.input.extend(helper.make_value_info(name, types[name].type_proto()) for name in sorted(used))
    converted = _converted(model, alone, opset)
    del converted.input[:]
    converted.input.extend(algorithm.input)
    _rename(converted, (_names(converted) - own) & _names(result.graph), _names(result.graph) | own)
    result.training_info[0].algorithm.CopyFrom(converted)


def _used(nodes: Iterable[NodeProto]) -> set[str]:
    """The names of all values that nodes, and the graphs inside them, take."""
    used: set[str] = set()
    for node in nodes:
        used.update(node.input)
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                used |= _used(graph.node)
    return used


def _names(graph: GraphProto) -> set[str]:
    """The names of all values that a graph brings with it."""
    stored: Iterable[str] = (t.name for t in [*graph.initializer, *graph.input])
    sparse = (t.values.name for t in graph.sparse_initializer)
    return {*stored, *sparse, *(name for node in graph.node for name in node.output if name)}


def _rename(graph: GraphProto, clashing: set[str], taken: set[str]) -> None:
    """Give values that the converter made up names that the other graph does not have."""
    new: dict[str, str] = {}
    for name in sorted(clashing):
        count = next(i for i in range(len(taken) + 1) if f"training/{name}/{i}" not in taken)
        new[name] = f"training/{name}/{count}"
    for tensor in graph.initializer:
        tensor.name = new.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]


def _check_function(function: FunctionProto, old: int, opset: int) -> None:
    """Refuse a function whose operators have another definition in the newer opset."""
    for node in function.node:
        if domain_name(node.domain) != "":
            continue
        before, after = find_schema(node.op_type, old), find_schema(node.op_type, opset)
        if before is None or after is None or not _compatible(before, after):
            raise UnsupportedFeatureError(
                f"the local function {function.name!r} uses {node.op_type}, whose definition changes between "
                f"opset {old} and {opset}; functions are not rewritten"
            )


def _compatible(before: onnx.defs.OpSchema, after: onnx.defs.OpSchema) -> bool:
    """Whether a newer version takes all that the older one took: same inputs, and no attribute gone.

    Versions that differ so little allow more types; Softmax-13 alone changed its meaning besides.
    """
    if before.since_version == after.since_version:
        return True
    same_inputs = [i.name for i in before.inputs] == [i.name for i in after.inputs][: len(before.inputs)]
    return (
        same_inputs
        and set(before.attributes) <= set(after.attributes)
        and before.name not in ("Softmax", "LogSoftmax", "Hardmax")
    )


def _check(model: ModelProto) -> None:
    check: list[Callable[[], object]] = [
        lambda: check_model(model),
        lambda: validate(model),
    ]
    for one in check:
        try:
            one()
        except REFUSED as error:
            raise ConversionError(f"the converted model is not valid ONNX: {reason_of(error)}") from error
