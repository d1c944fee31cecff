"""Another head for a model: cut behind a value, and continue with layers of Neuromatic."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from onnx import GraphProto, ModelProto, NodeProto

from neuromatic import layers
from neuromatic.errors import ModelError, ShapeError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.opsets import DEFAULT_OPSET, OpsetTooLowError, TypeNotTakenError
from neuromatic.ir.terms import Terms
from neuromatic.ir.traversal import dependents, fed, upstream
from neuromatic.ir.types import value_types
from neuromatic.ir.values import Value
from neuromatic.layers.base import Layer, layer_names
from neuromatic.recipe.compose import algorithm_builder
from neuromatic.recipe.sections import strip
from neuromatic.transfer._edit import include, prune, value_named

if TYPE_CHECKING:
    from neuromatic.layers.activations.activation import ActivationLike


class Changed(NamedTuple):
    """A changed model.

    Attributes:
        proto: the model, without a recipe.
        terms: what new layers ask of training.
    """

    proto: ModelProto
    terms: Terms


def replace_head(
    model: ModelProto,
    after: str | None,
    units: int | None,
    own: Sequence[Layer] | None,
    *,
    activation: ActivationLike,
    seed: int,
) -> Changed:
    """A copy of a model that continues behind a value with new layers.

    Args:
        after: name of the value, node or layer; None for :func:`default_cut`.
        units: size of a Dense layer,
        own: or layers in place of it.
        activation: of that Dense layer.
        seed: determines the new parameters.

    Raises:
        UnknownNameError: the graph has nothing of that name.
        ValueError: both or none of ``units`` and ``layers`` are given, or a layer's name is taken.
        ModelError: no place to cut is found, no output depends on the value, or the opset is too low.
        ShapeError: a layer cannot take the value.
    """
    if (units is None) == (own is None):
        raise ValueError("replace_head: give units, the size of a Dense layer, or layers, a list of layers")
    if own is not None and activation is not None:
        raise ValueError("replace_head: activation goes with units; give the activation to the last layer")
    place = default_cut(model.graph) if after is None else value_named(model.graph, after)
    result, position, value = _cut(strip(model), place)
    g = algorithm_builder(result)
    g.seed = seed
    chosen = list(own) if own is not None else _classifier(value, units or 0, activation)
    if not chosen:
        raise ValueError("replace_head: layers must hold at least one layer, got none")
    x, name = value, ""
    for layer, name in _free_names(chosen, _taken(result.graph), fixed=own is not None):
        x = _emit(g, name, layer, x)
    g.output(x, name)
    result.graph.output.insert(position, g.graph.output[0])
    include(result, g, len(result.graph.node))
    return Changed(result, g.terms())


def _emit(g: GraphBuilder, name: str, layer: Layer, x: Value) -> Value:
    """The one value that a layer gives."""
    kind = type(layer).__name__
    try:
        with g.layer(name):
            emitted = layer.emit(g, x)
    except (OpsetTooLowError, TypeNotTakenError) as error:
        needed = error.needed if isinstance(error, OpsetTooLowError) else DEFAULT_OPSET
        raise ModelError(
            f"{name}: {kind} needs opset {needed}, the model has {g.opset}; "
            f"raise it with: neuromatic convert MODEL.onnx -o NEW.onnx --opset {needed}"
        ) from error
    if isinstance(emitted, tuple):
        raise ShapeError(f"{name}: {kind} returns {len(emitted)} values, a head needs one")
    return emitted


def default_cut(graph: GraphProto) -> str:
    """The value that the last Gemm or MatMul with weights takes, or Conv of one pixel, whichever is later.

    Raises:
        ModelError: there is none.
    """
    data = fed(graph)
    for node in reversed(upstream(graph.node, [o.name for o in graph.output])):
        taken: list[str] = [name for name in node.input[:2] if name in data]
        if _is_product(node) and len(taken) == 1:
            return taken[0]
    raise ModelError(
        "no Gemm or MatMul with weights shows where the head begins; name the value to cut behind (after=...)"
    )


def _is_product(node: NodeProto) -> bool:
    """Whether a node multiplies features by weights: the operators of classifiers."""
    if node.domain not in ("", "ai.onnx"):
        return False
    kernels = [set(a.ints) for a in node.attribute if a.name == "kernel_shape"]
    return node.op_type in ("Gemm", "MatMul") or (node.op_type == "Conv" and kernels == [{1}])


def _cut(bare: ModelProto, place: str) -> tuple[ModelProto, int, Value]:
    """The model without what follows a value, the position of its first lost output, and the value."""
    graph = bare.graph
    later = dependents(graph.node, [place])
    lost = [i for i, output in enumerate(graph.output) if output.name in later]
    if not lost:
        raise ModelError(f"replace_head: no output of the model depends on {place!r}")
    value = value_types(bare).get(place, Value(place, 0, None))
    if not value.dtype:
        raise ShapeError(f"replace_head: the type of {place!r} is unknown; cut behind another value")
    if value.shape is None:
        raise ShapeError(f"replace_head: the rank of {place!r} is unknown; cut behind another value")
    kept = [output for output in graph.output if output.name not in later]
    del graph.output[:]
    graph.output.extend(kept)
    prune(graph, [*(o.name for o in kept), place])
    return bare, lost[0], value


def _classifier(value: Value, units: int, activation: ActivationLike) -> list[Layer]:
    """A Dense layer, behind global average pooling where there are images."""
    before: list[Layer] = []
    if value.rank in (4, 5):
        two = value.rank == 4
        before.append(layers.GlobalAveragePooling2D() if two else layers.GlobalAveragePooling3D())
    return [*before, layers.Dense(units, activation=activation, name="head")]


def _taken(graph: GraphProto) -> set[str]:
    """Every name in a graph, and what stands before a slash in it."""
    names = {*(i.name for i in graph.input), *(t.name for t in graph.initializer)}
    for node in graph.node:
        names.update([node.name, *node.output])
    parts = [name.split("/") for name in names]
    return {"/".join(part[: i + 1]) for part in parts for i in range(len(part))}


def _free_names(layers: Sequence[Layer], taken: Collection[str], *, fixed: bool) -> list[tuple[Layer, str]]:
    """Each layer with its name, numbered where the graph has it already.

    Raises:
        ValueError: a name that was given to a layer is taken, and names are ``fixed``.
    """
    names: dict[Layer, str] = {}
    for layer, name in layer_names(layers).items():
        unique, count = name, 0
        while unique in taken or unique in names.values():
            if layer.name and fixed:
                raise ValueError(
                    f"replace_head: the model has a {name!r} already; give the layer another name"
                )
            count += 1
            unique = f"{name}_{count}"
        names[layer] = unique
    return [(layer, names[layer]) for layer in layers]
