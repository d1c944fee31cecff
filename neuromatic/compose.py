"""Writing a recipe: loss, gradient, optimizer, metrics and running statistics as ``training_info``.

Each of the three parts may be new (objects of ``losses``, ``metrics``, ``optimizers``) or recorded: taken
from the recipe a file came with, so that one part can be changed and the others stay.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx.defs
from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, helper
from onnx.defs import OpSchema, SchemaError

from neuromatic import recipe as recipes
from neuromatic.errors import ModelError, RecipeError
from neuromatic.graph import DEFAULT_OPSET, NEUROMATIC_DOMAIN, TRAINING_DOMAIN, GraphBuilder, Value
from neuromatic.losses import Loss
from neuromatic.metrics import Metric
from neuromatic.optimizers import Optimizer, UpdateRule
from neuromatic.recipe import FLOATS, METADATA_KEY, MetricSums, Recipe, Target

LOSS = "loss"
LEARNING_RATE = "learning_rate"
STEP = "step"
LOWEST_OPSET = 9
"""Constants of integer types exist from opset 9 on."""


class Objective(ABC):
    """What training makes small: adds the loss and the targets that it needs."""

    @abstractmethod
    def emit(self, g: GraphBuilder, outputs: Mapping[str, Value]) -> tuple[Value, tuple[Target, ...]]:
        """Add nodes for the scalar loss; returns it and the targets."""


@dataclass(frozen=True)
class Losses(Objective):
    """The sum of a loss for each of some outputs, by output name."""

    losses: Mapping[str, Loss]

    def emit(self, g: GraphBuilder, outputs: Mapping[str, Value]) -> tuple[Value, tuple[Target, ...]]:
        targets, totals = [], []
        for name, loss in self.losses.items():
            prediction = outputs[name]
            target = g.fresh(target_name(name, list(self.losses)))
            y_true = g.input(target, *_known(loss.target_type(prediction)))
            with g.layer(LOSS if len(self.losses) == 1 else f"{LOSS}/{name}"):
                totals.append(loss.emit(g, y_true, prediction))
            targets.append(Target(target, name, loss.classes(prediction)))
        total = totals[0] if len(totals) == 1 else g.add("Sum", *totals)
        return g.add("Identity", total, name=f"{LOSS}/total", outputs=[g.fresh(LOSS)]), tuple(targets)


def _known(kind: tuple[int, tuple[int | str | None, ...] | None]) -> tuple[int, tuple[int | str | None, ...]]:
    dtype, shape = kind
    if shape is None:
        raise ModelError("a loss needs an output of known rank")
    return dtype, shape


def target_name(output: str, outputs: Sequence[str]) -> str:
    """The algorithm input that holds the truth for an output."""
    return "target" if len(outputs) == 1 else f"target/{output}"


@dataclass(frozen=True)
class RecordedObjective(Objective):
    """The loss of a recipe that a file came with."""

    model: ModelProto
    recipe: Recipe

    def emit(self, g: GraphBuilder, outputs: Mapping[str, Value]) -> tuple[Value, tuple[Target, ...]]:
        _copy_part(g, self.model, [self.recipe.loss], [t.name for t in self.recipe.targets])
        return g.value(self.recipe.loss), self.recipe.targets


class Measures(ABC):
    """What is reported besides the loss."""

    @abstractmethod
    def emit(
        self, g: GraphBuilder, outputs: Mapping[str, Value], targets: Sequence[Target]
    ) -> tuple[MetricSums, ...]:
        """Add nodes for the sums of each metric."""


@dataclass(frozen=True)
class Metrics(Measures):
    """Metrics for some outputs, by output name."""

    metrics: Mapping[str, Sequence[Metric]]

    def emit(
        self, g: GraphBuilder, outputs: Mapping[str, Value], targets: Sequence[Target]
    ) -> tuple[MetricSums, ...]:
        truths = {t.output: g.value(t.name) for t in targets}
        emitted: list[MetricSums] = []
        for output, metrics in self.metrics.items():
            if output not in truths:
                raise RecipeError(f"output {output!r} has metrics but no loss, so it has no target")
            for metric in metrics:
                name = metric.name if len(truths) == 1 else f"{output}_{metric.name}"
                name = _unused(name, {m.name for m in emitted} | {LOSS})
                with g.layer(f"metric/{name}"):
                    sums = metric.emit(g, truths[output], outputs[output])
                emitted.append(MetricSums(name, sums.name, metric.result))
        return tuple(emitted)


def _unused(name: str, taken: Collection[str]) -> str:
    """``name``, with a number where it is taken."""
    unique, count = name, 0
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    return unique


@dataclass(frozen=True)
class RecordedMeasures(Measures):
    """The metrics of a recipe that a file came with."""

    model: ModelProto
    recipe: Recipe

    def emit(
        self, g: GraphBuilder, outputs: Mapping[str, Value], targets: Sequence[Target]
    ) -> tuple[MetricSums, ...]:
        _copy_part(
            g, self.model, [m.sums for m in self.recipe.metrics], [t.name for t in self.recipe.targets]
        )
        return self.recipe.metrics


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


def compose(
    model: ModelProto,
    objective: Objective,
    optimizer: Optimizer,
    measures: Measures,
    frozen: Collection[str] = (),
) -> ModelProto:
    """A copy of ``model`` with a recipe made of these parts, in place of any it had.

    Args:
        frozen: names of initializers that are not trained; BatchNormalization with frozen running
            statistics keeps its inference meaning while training.

    Raises:
        RecipeError: no parameter is left to train, or the parts do not fit the model.
    """
    result = recipes.strip(model)
    g = algorithm_builder(result)
    outputs = {o.name: g.value(o.name) for o in result.graph.output}
    loss, targets = objective.emit(g, outputs)
    metrics = measures.emit(g, outputs, targets)
    nodes = [*result.graph.node, *g.graph.node]
    trainable = [n for n in trainable_names(result, nodes, loss.name, g) if n not in frozen]
    if not trainable:
        raise RecipeError("no parameter is left to train: no unfrozen float initializer reaches the loss")
    rate = np.array(optimizer.learning_rate, np.float32)
    learning_rate = g.initializer(g.fresh(LEARNING_RATE), rate)
    g.graph.input.append(helper.make_value_info(learning_rate.name, learning_rate.type_proto()))
    step = g.initializer(g.fresh(STEP), np.array(0, np.int64))
    updates = _optimize(g, loss, trainable, optimizer, learning_rate, step)
    updates.update(_running_statistics(g, recipes.upstream(nodes, [loss.name]), result, frozen))
    recipe = Recipe(
        loss.name,
        tuple(trainable),
        {name: value.name for name, value in updates.items()},
        targets,
        metrics,
        learning_rate.name,
        step.name,
    )
    _write(result, g, recipe)
    return result


def frozen_names(model: ModelProto, recipe: Recipe) -> frozenset[str]:
    """What a model's recipe leaves as it is, though a recipe with its loss could update it."""
    g = algorithm_builder(model)
    nodes = [*model.graph.node, *(n for info in model.training_info for n in info.algorithm.node)]
    could = set(trainable_names(model, nodes, recipe.loss, g))
    stored = {t.name for t in model.graph.initializer}
    for node in recipes.upstream(nodes, [recipe.loss]):
        if is_batch_normalization(node):
            could |= stored.intersection(node.input[3:5])
    return frozenset(could - recipe.updates.keys())


def algorithm_builder(model: ModelProto) -> GraphBuilder:
    """A builder for the algorithm graph, which knows every value of the inference graph."""
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), None)
    if opset is None:
        raise RecipeError("the model imports no version of ONNX' own operators, which a recipe needs")
    if opset < LOWEST_OPSET:
        raise RecipeError(
            f"a recipe needs opset {LOWEST_OPSET}, the model has {opset}; "
            f"raise it with: neuromatic convert MODEL.onnx -o NEW.onnx --opset {DEFAULT_OPSET}"
        )
    g = GraphBuilder(opset=opset)
    g.graph.name = "training"
    producers = {name: node for node in model.graph.node for name in node.output if name}
    for value in recipes.value_types(model).values():
        g.declare(value, producers.get(value.name))
    g.reserve(node.name for node in model.graph.node)
    return g


def _copy_part(g: GraphBuilder, model: ModelProto, outputs: Sequence[str], targets: Collection[str]) -> None:
    """Copy what ``outputs`` need from a model's algorithm graph, except what is there already."""
    algorithm, types = model.training_info[0].algorithm, recipes.value_types(model)
    nodes = [n for n in recipes.upstream(algorithm.node, outputs) if not g.knows(n.output[0])]
    used = {name for node in nodes for name in node.input}
    for tensor in algorithm.initializer:
        if tensor.name in used and not g.knows(tensor.name):
            g.initializer(tensor.name, onnx.numpy_helper.to_array(tensor))
    for item in algorithm.input:
        if item.name in targets and not g.knows(item.name):
            value = types[item.name]
            g.input(value.name, value.dtype, value.shape or ())
    for node in nodes:
        g.include(node, [types.get(o, Value(o, 0, None)) for o in node.output if o])


def trainable_names(model: ModelProto, nodes: Sequence[NodeProto], loss: str, g: GraphBuilder) -> list[str]:
    """The float initializers that reach the loss through inputs that ONNX calls differentiable.

    In the order in which the file stores them. Running statistics, ratios, bounds, shapes and the values of
    ``Constant`` nodes are not among them.
    """
    needed = {loss}
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(
                name
                for i, name in enumerate(node.input)
                if name and _is_differentiable(node, i, g.opset) and _may_be_float(g, name)
            )
    stored = [t.name for t in model.graph.initializer if t.data_type in FLOATS]
    return [name for name in stored if name in needed]


def _may_be_float(g: GraphBuilder, name: str) -> bool:
    """Whether a value is of a float type, or of one that shape inference does not find."""
    return not g.knows(name) or g.value(name).dtype in (*FLOATS, TensorProto.UNDEFINED)


def _is_differentiable(node: NodeProto, index: int, opset: int) -> bool:
    if node.op_type == "BatchNormalization" and index >= 3:
        return False
    try:
        schema = onnx.defs.get_schema(node.op_type, opset if not node.domain else 1, node.domain)
    except SchemaError:  # a model-local function: its body decides
        return True
    formal = schema.inputs[min(index, len(schema.inputs) - 1)]
    return bool(formal.differentiation_category != OpSchema.DifferentiationCategory.NonDifferentiable)


def _optimize(
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


def is_batch_normalization(node: NodeProto) -> bool:
    """Whether a node is ONNX' BatchNormalization."""
    return node.op_type == "BatchNormalization" and node.domain in ("", "ai.onnx")


def _running_statistics(
    g: GraphBuilder, nodes: Sequence[NodeProto], model: ModelProto, frozen: Collection[str]
) -> dict[str, Value]:
    """The update of each BatchNormalization's mean and variance, as the training form of the node."""
    stored = {t.name for t in model.graph.initializer}
    updates: dict[str, Value] = {}
    for node in nodes:
        if not is_batch_normalization(node):
            continue
        statistics = list(node.input[3:5])
        if not stored.issuperset(statistics) or not set(statistics).isdisjoint(frozen):
            continue
        before = [updates.get(name, g.value(name)) for name in statistics]
        kept = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        modern = g.opset >= 14
        _, mean, variance, *_ = g.add_many(
            "BatchNormalization",
            *(g.value(name) for name in node.input[:3]),
            *before,
            name=f"update/{statistics[0]}",
            outputs=3 if modern else 5,
            epsilon=kept.get("epsilon"),
            momentum=kept.get("momentum"),
            training_mode=1 if modern else None,
        )
        updates |= dict(zip(statistics, (mean, variance), strict=True))
    return updates


def _write(model: ModelProto, g: GraphBuilder, recipe: Recipe) -> None:
    names = dict.fromkeys([recipe.loss, *(m.sums for m in recipe.metrics), *recipe.updates.values()])
    for name in names:
        g.graph.output.append(helper.make_value_info(name, g.value(name).type_proto()))
    info = model.training_info.add()
    info.algorithm.CopyFrom(g.graph)
    for name, new in recipe.updates.items():
        info.update_binding.add(key=name, value=new)
    present = {(f.domain, f.name) for f in model.functions}
    model.functions.extend(f for f in g.functions.values() if (f.domain, f.name) not in present)
    domains = {node.domain for node in g.graph.node} & {TRAINING_DOMAIN, NEUROMATIC_DOMAIN}
    known = {o.domain for o in model.opset_import}
    model.opset_import.extend(helper.make_opsetid(d, 1) for d in sorted(domains - known))
    model.metadata_props.add(key=METADATA_KEY, value=recipe.metadata())
