"""Which initializers are trained: chosen by pattern or by layer, and told as roles."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from onnx import ModelProto

from neuromatic.errors import UnknownNameError
from neuromatic.ir.inference_form import is_batch_normalization
from neuromatic.ir.traversal import fed, layer_of
from neuromatic.ir.types import FLOATS
from neuromatic.recipe import exporters, integers
from neuromatic.recipe.compose import algorithm_builder, frozen_names, state_names
from neuromatic.recipe.gradients import differentiable_values
from neuromatic.recipe.schema import Recipe
from neuromatic.recipe.sections import strip
from neuromatic.recipe.trainable import trainable_names

Role = Literal["trained", "trainable", "frozen", "state", "constant"]
"""What becomes of an initializer in training.

``"trained"``: a gradient is taken for it. ``"state"``: a step replaces it by other means, as running
statistics. ``"frozen"``: it could be either, and the recipe leaves it. ``"constant"``: no loss can change it.
Without a recipe, what could be trained is ``"trainable"``.
"""


def matching(names: Sequence[str], patterns: Iterable[str], kind: str = "initializer") -> frozenset[str]:
    """The names that match one of some patterns (``"features.*"``), or are one of them.

    Raises:
        UnknownNameError: a pattern matches nothing.
    """
    found = set[str]()
    for pattern in patterns:
        matched = [pattern] if pattern in names else fnmatch.filter(names, pattern)
        if not matched:
            raise UnknownNameError(kind, pattern, names)
        found.update(matched)
    return frozenset(found)


def stored_names(model: ModelProto) -> list[str]:
    """The names of the initializers of the inference graph."""
    return [t.name for t in model.graph.initializer]


def roles(model: ModelProto, recipe: Recipe | None) -> dict[str, Role]:
    """The role of each initializer of the inference graph, in the order of the file.

    Raises:
        RecipeError: the model's opset is too old for a recipe.
    """
    by_name: dict[str, Role] = dict.fromkeys(stored_names(model), "constant")
    if recipe is None:
        trainable, states = updatable(model)
        return {name: _unchosen(name, trainable, states) for name in by_name}
    by_name |= dict.fromkeys(frozen_names(model, recipe), "frozen")
    for name in by_name.keys() & recipe.updates.keys():
        by_name[name] = "trained" if name in recipe.trainable else "state"
    return by_name


def _unchosen(name: str, trainable: Collection[str], states: Collection[str]) -> Role:
    if name in trainable:
        return "trainable"
    return "state" if name in states else "constant"


def updatable(model: ModelProto) -> tuple[frozenset[str], frozenset[str]]:
    """What a loss of the outputs could train, and the state that it could update."""
    bare = strip(model)
    g, outputs = algorithm_builder(bare), [o.name for o in bare.graph.output]
    trainable = (trainable_names(bare, bare.graph.node, output, g) for output in outputs)
    states = state_names(bare, bare.graph.node, outputs)
    return frozenset[str]().union(*trainable) - states, states


def parametrised_layers(model: ModelProto) -> list[tuple[str, frozenset[str]]]:
    """The layers that have something to train, in the order of the graph, each with its initializers.

    Weights count where they meet data, also by way of other nodes, such as a Transpose. So a weight that
    two layers share belongs to both.
    """
    trainable, states = updatable(model)
    data, behind = fed(model.graph), {name: frozenset([name]) for name in trainable | states}
    layers: dict[str, frozenset[str]] = {}
    for node in model.graph.node:
        used = frozenset[str]().union(*(behind.get(name, ()) for name in node.input))
        if data.isdisjoint(node.output):
            behind |= dict.fromkeys(node.output, used)
        elif used:
            layers[layer_of(node)] = layers.get(layer_of(node), frozenset()) | used
    return [(name, used) for name, used in layers.items() if used & trainable]


def single_numbers(model: ModelProto) -> frozenset[str]:
    """The initializers of one float."""
    stored = (t for t in model.graph.initializer if t.data_type in FLOATS)
    return frozenset(t.name for t in stored if all(d == 1 for d in t.dims))


def doubts(model: ModelProto, settled: Collection[str] = ()) -> list[str]:
    """Of which initializers a file leaves open whether they are parameters, or which are integers.

    Args:
        settled: names that are not told of.
    """
    said = [sentence for sentence in [integers.note(model)] if sentence]
    found = [doubt for doubt in exporters.doubts(model) if doubt.name not in settled]
    if not found:
        return said
    bare = strip(model)
    outputs = [o.name for o in bare.graph.output]
    g = algorithm_builder(bare)
    reached = differentiable_values(bare, bare.graph.node, outputs, g)
    groups: dict[tuple[bool, str], list[str]] = {}
    for doubt in found:
        if doubt.name in reached:
            groups.setdefault((doubt.trained, doubt.reason), []).append(repr(doubt.name))
    return said + [
        f"open whether a parameter, as {reason}, and {'' if trained else 'not '}trained: "
        f"{'freeze' if trained else 'unfreeze'}({', '.join(names)}) changes that"
        for (trained, reason), names in groups.items()
    ]


def all_but(model: ModelProto, kept: Collection[str]) -> frozenset[str]:
    """Every initializer except some."""
    return frozenset(stored_names(model)) - frozenset(kept)


def last_layers(model: ModelProto, count: int) -> frozenset[str]:
    """The initializers of the last layers that have something to train.

    Raises:
        ValueError: there are not so many.
    """
    layers = parametrised_layers(model)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= len(layers):
        raise ValueError(
            f"train_last: n must be a number from 1 to {len(layers)}, how many layers have parameters, "
            f"got {count!r}"
        )
    return frozenset[str]().union(*(used for _, used in layers[-count:]))


def running_statistics(model: ModelProto) -> frozenset[str]:
    """The running means and variances of BatchNormalization, as initializers."""
    found = {n for node in model.graph.node if is_batch_normalization(node) for n in node.input[3:5]}
    return frozenset(found).intersection(stored_names(model))
