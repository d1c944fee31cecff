"""From the loss to new parameters, as nodes: gradient and optimizer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, helper

from neuromatic import recipe as recipes
from neuromatic.errors import RecipeError
from neuromatic.graph import TRAINING_DOMAIN, GraphBuilder
from neuromatic.optimizers import Optimizer, UpdateRule
from neuromatic.recipe import Recipe
from neuromatic.values import Value


@dataclass(frozen=True)
class RecordedOptimizer(Optimizer):
    """The optimizer of a recipe that a file came with; its state begins anew."""

    learning_rate: float
    recorded: UpdateRule
    body: FunctionProto | None = None

    @classmethod
    def of(cls, model: ModelProto, recipe: Recipe) -> RecordedOptimizer:
        """The optimizer of a model's recipe.

        Raises:
            RecipeError: the update of a parameter is not one node of Neuromatic's form.
        """
        parameter = recipe.trainable[0]
        new = recipe.updates.get(parameter)
        nodes = [n for n in model.training_info[0].algorithm.node if new in n.output]
        rate = recipes.default_learning_rate(model, recipe)
        stored = {t.name for t in model.training_info[0].algorithm.initializer}
        if rate is None or not nodes or not _updates_one(nodes[0], parameter, stored):
            raise RecipeError("this recipe's optimizer cannot be kept; choose one with .optimizer(...)")
        node = nodes[0]
        suffix = f"/{parameter}"
        states = tuple(name.removesuffix(suffix) for name in node.input[4:])
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        body = next((f for f in model.functions if (f.domain, f.name) == (node.domain, node.op_type)), None)
        return cls(rate, UpdateRule(node.op_type, node.domain, attributes, states), body)

    def rule(self) -> UpdateRule:
        return self.recorded

    def function(self, opset: int) -> FunctionProto | None:
        return self.body


def _updates_one(node: NodeProto, parameter: str, stored: Collection[str]) -> bool:
    """Whether a node is (rate, step, parameter, gradient, state ...) -> (parameter, state ...)."""
    states = node.input[4:]
    return (
        len(node.input) >= 4
        and node.input[2] == parameter
        and len(node.output) == 1 + len(states)
        and all(name in stored for name in states)
    )


def optimize(
    g: GraphBuilder,
    loss: Value,
    trainable: Sequence[str],
    optimizer: Optimizer,
    learning_rate: Value,
    step: Value,
) -> dict[str, Value]:
    parameters = [g.value(name) for name in trainable]
    gradients = g.add_many(
        "Gradient",
        *parameters,
        domain=TRAINING_DOMAIN,
        name="gradient",
        outputs=[g.fresh(f"gradient/{p.name}") for p in parameters],
        types=[(p.dtype, p.shape) for p in parameters],
        xs=list(trainable),
        y=loss.name,
    )
    one = g.const(1, TensorProto.INT64)
    following = g.add("Add", step, one, name=f"update/{step.name}", outputs=[g.fresh(f"new/{step.name}")])
    updates = {step.name: following}
    for parameter, gradient in zip(parameters, gradients, strict=True):
        updates.update(optimizer.emit(g, parameter, gradient, learning_rate, following))
    return updates
