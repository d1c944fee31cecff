"""From the loss to new parameters, as nodes: gradient and optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from neuromatic import optimizers, schedules
from neuromatic.errors import RecipeError
from neuromatic.ir import portable_ops as op
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.opsets import TRAINING_DOMAIN
from neuromatic.ir.values import Value
from neuromatic.optimizers import Optimizer, Setting, State, UpdateRule
from neuromatic.recipe import schema as recipes
from neuromatic.recipe.masters import as_updated, masters_of
from neuromatic.recipe.penalties import CONSTRAINT
from neuromatic.recipe.schema import Recipe
from neuromatic.recipe.sections import default_learning_rate
from neuromatic.schedules import Schedule

NOT_KEPT = "this recipe's optimizer cannot be kept; choose one with .optimizer(...)"


@dataclass(frozen=True, repr=False)
class RecordedOptimizer(Optimizer):
    """The optimizer of a recipe that a file came with; its state begins anew."""

    recorded: UpdateRule
    body: FunctionProto | None = None

    @classmethod
    def of(cls, model: ModelProto, recipe: Recipe) -> Optimizer:
        """The optimizer of a model's recipe: by its name where the file says it, else as its nodes have it.

        Raises:
            RecipeError: the update of a parameter is not one node of Neuromatic's form.
        """
        default, schedule = default_learning_rate(model, recipe), recipe.schedule
        rate = default if schedule is None else schedules.from_config(schedule)
        if rate is None:
            raise RecipeError(NOT_KEPT)
        if recipe.optimizer is not None:
            return _named(model, recipe, recipe.optimizer, rate)
        algorithm, masters = model.training_info[0].algorithm, masters_of(model, recipe)
        nodes = [_update_node(algorithm, recipe, name, masters.get(name, name)) for name in recipe.trainable]
        rules = [_rule(model, node, name) for node, name in zip(nodes, recipe.trainable, strict=True)]
        if any(rule != rules[0] for rule in rules) or _keeps_more(model, recipe, nodes, masters):
            raise RecipeError(NOT_KEPT)
        function = (rules[0].domain, rules[0].op)
        body = next((f for f in model.functions if (f.domain, f.name) == function), None)
        return cls(rate, rules[0], body)

    def rule(self, parameter: Value) -> UpdateRule:
        return self.recorded

    def function(self, rule: UpdateRule, opset: int) -> FunctionProto | None:
        return self.body


def _named(model: ModelProto, recipe: Recipe, config: Mapping[str, Any], rate: float | Schedule) -> Optimizer:
    """The optimizer that a file names, if its nodes are what that optimizer adds.

    Raises:
        RecipeError: they are not, or there is no such optimizer.
    """
    try:
        found = optimizers.from_config(config, rate, model.functions)
        stored = {t.name: t for t in model.graph.initializer if t.name in recipe.trainable}
        values = {name: Value(name, t.data_type, tuple(t.dims)) for name, t in stored.items()}
        rules = {name: found.rule(value) for name, value in values.items()}
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise RecipeError(f"{NOT_KEPT} ({error!r})") from error
    named = {node.name: node for node in model.training_info[0].algorithm.node}
    for name, rule in rules.items():
        node = named.get(f"update/{name}")
        if node is None or (node.domain, node.op_type) != (rule.domain, rule.op):
            raise RecipeError(NOT_KEPT)
    return found


def _update_node(algorithm: GraphProto, recipe: Recipe, parameter: str, held: str) -> NodeProto:
    """The one node that updates a parameter, before its constraint.

    Args:
        held: the parameter, or its master.

    Raises:
        RecipeError: it is none of (rate, step, parameter, gradient, state ...) -> (parameter, state ...).
    """
    makers: dict[str, NodeProto] = {output: n for n in algorithm.node for output in n.output}
    node = makers.get(recipe.updates.get(held, ""))
    if node is not None and node.name == f"{CONSTRAINT}/{parameter}":
        node = makers.get(next(iter(node.input), ""))
    if node is None or not node.output or len(node.input) < 3 + len(node.output):
        raise RecipeError(NOT_KEPT)
    settings = [makers.get(name) for name in node.input[3 + len(node.output) :]]
    if any(maker is None or maker.op_type != "Constant" for maker in settings):
        raise RecipeError(NOT_KEPT)
    rate, gradient = makers.get(node.input[0]), makers.get(node.input[3])
    own_rate = node.input[0] == recipe.learning_rate
    if rate is not None and rate.op_type == "Cast":
        own_rate = next(iter(rate.input), "") == recipe.learning_rate
    if gradient is not None and gradient.op_type == "Cast" and held != parameter:
        gradient = makers.get(next(iter(gradient.input), ""))
    stored = {t.name for t in algorithm.initializer}
    own_gradient = gradient is not None and recipes.is_gradient(gradient)
    fits = own_rate and own_gradient and node.input[2] == held and stored.issuperset(_states(node))
    if not fits:
        raise RecipeError(NOT_KEPT)
    return node


def _states(node: NodeProto) -> list[str]:
    """What an update node keeps besides the parameter."""
    return list(node.input[4 : 3 + len(node.output)])


def _rule(model: ModelProto, node: NodeProto, parameter: str) -> UpdateRule:
    """What a node says; before opset 12, numbers that are attributes later are its last inputs."""
    states = tuple(State(name.removesuffix(f"/{parameter}")) for name in _states(node))
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    settings = node.input[3 + len(node.output) :]
    if settings:
        body = next((f for f in model.functions if (f.domain, f.name) == (node.domain, node.op_type)), None)
        if body is None or len(body.input) != len(node.input):
            raise RecipeError(NOT_KEPT)
        nodes = model.training_info[0].algorithm.node
        made = [n for n in nodes if n.op_type == "Constant" and n.output]
        constants = {n.output[0]: a.t for n in made for a in n.attribute if a.name == "value"}
        names = body.input[3 + len(node.output) :]
        found = {name: constants.get(value) for name, value in zip(names, settings, strict=True)}
        for name, tensor in found.items():
            if tensor is None or tensor.dims:
                raise RecipeError(NOT_KEPT)
            attributes[name] = float(numpy_helper.to_array(tensor))
    return UpdateRule(node.op_type, node.domain, attributes, states)


def _keeps_more(
    model: ModelProto, recipe: Recipe, nodes: Sequence[NodeProto], masters: Mapping[str, str]
) -> bool:
    """Whether a recipe has states besides those of the optimizer's nodes."""
    stored = {t.name for t in model.training_info[0].algorithm.initializer}
    known = {name for node in nodes for name in _states(node)} | {recipe.step, *masters.values()}
    return bool(stored & recipe.updates.keys() - known)


def optimize(
    g: GraphBuilder,
    model: ModelProto,
    target: Value,
    trainable: Sequence[str],
    optimizer: Optimizer,
    learning_rate: Value,
    step: Value,
    masters: Mapping[str, Value],
) -> dict[str, Value]:
    """Add gradient and update; returns the new value of each initializer, or of its master, by its name.

    Args:
        target: what gradients are taken of, from :func:`scaled`.
        masters: of the parameters of half precision, whose gradients become float32 too.
    """
    parameters = [g.value(name) for name in trainable]
    gradients = g.add_many(
        "Gradient",
        *parameters,
        domain=TRAINING_DOMAIN,
        name="gradient",
        outputs=[g.fresh(f"gradient/{p.name}") for p in parameters],
        types=[(p.dtype, p.shape) for p in parameters],
        xs=list(trainable),
        y=target.name,
    )
    one = g.const(1, TensorProto.INT64)
    following = g.add("Add", step, one, name=f"update/{step.name}", outputs=[g.fresh(f"new/{step.name}")])
    updated = [as_updated(p, masters) for p in parameters]
    gradients = tuple(op.cast(g, x, p.dtype) for p, x in zip(updated, gradients, strict=True))
    scale = optimizer.loss_scale_factor
    if scale is not None:
        gradients = tuple(g.add("Div", x, g.const(scale, x.dtype)) for x in gradients)
    initial = {t.name: t for t in model.graph.initializer}
    setting = Setting(g, learning_rate, following, initial, masters)
    return {step.name: following, **optimizer.update(setting, updated, gradients)}


def scaled(g: GraphBuilder, loss: Value, optimizer: Optimizer) -> Value:
    """What gradients are taken of: the loss, times the optimizer's factor if it has one."""
    scale = optimizer.loss_scale_factor
    return loss if scale is None else g.add("Mul", loss, g.const(scale, loss.dtype), name="loss/scaled")


def optimizer_note(optimizer: Optimizer, parameters: Sequence[Value]) -> Mapping[str, Any] | None:
    """What the file says of an optimizer besides its nodes; None where these say all."""
    rules = [optimizer.rule(p) for p in parameters]
    plain = all(rule == rules[0] for rule in rules) and all(s == State(s.name) for s in rules[0].states)
    return None if plain and not optimizer.has_options() else optimizers.to_config(optimizer)


def schedule_note(optimizer: Optimizer) -> Mapping[str, Any] | None:
    """What the file says of a schedule; None for a number.

    Raises:
        RecipeError: a schedule of one's own, which the file has no name for.
    """
    if not isinstance(optimizer.learning_rate, Schedule):
        return None
    found = schedules.to_config(optimizer.learning_rate)
    if found is None:
        raise RecipeError(
            f"the file has no name for the schedule {type(optimizer.learning_rate).__name__}; give it to "
            f"train(learning_rate=...) and a number to the optimizer"
        )
    return found
