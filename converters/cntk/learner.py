"""Recognises optimizers that CNTK has itself, which are faster than a recorded update.

Each is used only for the exact ONNX definition that a test holds it to: ``ai.onnx.preview.training.Adam`` and
Neuromatic's own SGD functions, one node for each parameter, all of one kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onnx import ModelProto, NodeProto, helper

from neuromatic.ir.opsets import NEUROMATIC_DOMAIN, TRAINING_DOMAIN
from neuromatic.optimizers import local_function
from neuromatic.recipe.schema import Recipe, is_gradient

KINDS = {
    (NEUROMATIC_DOMAIN, "SGD"): "sgd",
    (NEUROMATIC_DOMAIN, "SGDMomentum"): "momentum",
    (NEUROMATIC_DOMAIN, "SGDNesterov"): "nesterov",
    (TRAINING_DOMAIN, "Adam"): "adam",
}


@dataclass(frozen=True)
class Learner:
    """An optimizer of CNTK's own.

    Attributes:
        kind: which.
        parameters: names of what it updates.
        states: names of the state of each parameter.
        settings: numbers that it takes.
        nodes: names of the first outputs of the nodes that it stands for.
        step: the step counter, for Adam.
    """

    kind: str
    parameters: tuple[str, ...]
    states: tuple[tuple[str, ...], ...]
    settings: dict[str, float]
    nodes: frozenset[str]
    step: str | None

    @property
    def updated(self) -> frozenset[str]:
        """Names of everything it updates."""
        return frozenset([*self.parameters, *(name for names in self.states for name in names)])

    def header(self) -> dict[str, Any]:
        """What the worker is told."""
        states = [list(names) for names in self.states] if any(self.states) else []
        return {"kind": self.kind, "states": states, "step": self.step, **self.settings}


def recognise(model: ModelProto, recipe: Recipe) -> Learner | None:
    """CNTK's learner for the update of a model's recipe; None where it has none that is equal."""
    if recipe.learning_rate is None:
        return None
    algorithm = model.training_info[0].algorithm
    makers = {name: node for node in algorithm.node for name in node.output}
    gradients = next(n for n in algorithm.node if is_gradient(n))
    received = dict(zip(recipe.trainable, gradients.output, strict=False))
    nodes = [makers.get(recipe.updates.get(name, "")) for name in recipe.trainable]
    first = nodes[0] if nodes else None
    if first is None or (first.domain, first.op_type) not in KINDS or not _is_ours(model, first):
        return None
    settings = _settings(first)
    if settings is None:
        return None
    for name, node in zip(recipe.trainable, nodes, strict=True):
        if node is None or not _fits(node, name, received.get(name, ""), recipe):
            return None
        if (node.domain, node.op_type) != (first.domain, first.op_type) or _settings(node) != settings:
            return None
    found = [node for node in nodes if node is not None]
    made = {name for node in found for name in node.output}
    if any(made.intersection(node.input) for node in algorithm.node):  # averages of new parameters
        return None
    kind = KINDS[first.domain, first.op_type]
    return Learner(
        kind,
        recipe.trainable,
        tuple(tuple(node.input[4:]) for node in found),
        settings,
        frozenset(node.output[0] for node in found),
        recipe.step if kind == "adam" else None,
    )


def _is_ours(model: ModelProto, node: NodeProto) -> bool:
    """Whether a function of our name has our body."""
    if node.domain != NEUROMATIC_DOMAIN:
        return True
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    body = next((f for f in model.functions if (f.domain, f.name) == (node.domain, node.op_type)), None)
    return body is not None and body == local_function(node.op_type, opset)


def _settings(node: NodeProto) -> dict[str, float] | None:
    """The numbers of a node that CNTK's learner takes; None where it cannot do what the node asks for."""
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type != "Adam":
        return {name: float(value) for name, value in given.items()}
    if given.pop("norm_coefficient", 0.0) or given.pop("norm_coefficient_post", 0.0):
        return None
    defaults = {"alpha": 0.9, "beta": 0.999, "epsilon": 0.0}
    return {name: float(given.get(name, value)) for name, value in defaults.items()}


def _fits(node: NodeProto, name: str, gradient: str, recipe: Recipe) -> bool:
    """Whether a node is (learning rate, step, parameter, its gradient, state ...) -> the bound updates."""
    states = node.input[4:]
    return (
        len(node.input) >= 4
        and node.input[0] == recipe.learning_rate
        and (
            node.op_type != "Adam"
            or (recipe.step is not None and node.input[1] == recipe.updates[recipe.step])
        )
        and node.input[2] == name
        and node.input[3] == gradient
        and len(node.output) == 1 + len(states)
        and [recipe.updates.get(s) for s in [name, *states]] == list(node.output)
    )
