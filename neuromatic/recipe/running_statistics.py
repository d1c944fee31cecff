"""What a training step updates besides what it trains: running statistics."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from onnx import FunctionProto, ModelProto, NodeProto, helper

from neuromatic.ir import portable_ops as op
from neuromatic.ir.functions import NEW
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.inference_form import is_batch_normalization
from neuromatic.ir.opsets import NEUROMATIC_DOMAIN, TRAINING_SUFFIX
from neuromatic.ir.values import Value
from neuromatic.recipe.masters import add_masters, rounded


def running_statistics(
    g: GraphBuilder, nodes: Sequence[NodeProto], model: ModelProto, frozen: Collection[str]
) -> dict[str, Value]:
    """The update of each BatchNormalization's mean and variance, as the training form of the node.

    Those of half precision are kept in float32 too, as parameters are.
    """
    stored = {t.name for t in model.graph.initializer}
    updates: dict[str, Value] = {}
    masters: dict[str, Value] = {}
    for node in nodes:
        if not is_batch_normalization(node):
            continue
        statistics = list(node.input[3:5])
        if not stored.issuperset(statistics) or not set(statistics).isdisjoint(frozen):
            continue
        masters |= add_masters(g, model, [name for name in statistics if name not in masters])
        before = [updates.get(name, masters.get(name, g.value(name))) for name in statistics]
        kept = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        modern = g.opset >= 14
        mean_kind, variance_kind = ((value.dtype, value.shape) for value in before)
        wide = before[0].dtype if statistics[0] in masters else None
        x, scale, offset = (_in_type(g, g.value(name), wide) for name in node.input[:3])
        types = [(x.dtype, x.shape), mean_kind, variance_kind]  # before opset 14, ONNX infers the first alone
        _, mean, variance, *_ = g.add_many(
            "BatchNormalization",
            x,
            scale,
            offset,
            *before,
            name=f"update/{statistics[0]}",
            outputs=3 if modern else 5,  # before opset 14, ONNX wants one output or all five
            types=types if modern else [*types, mean_kind, variance_kind],
            epsilon=kept.get("epsilon"),
            momentum=kept.get("momentum"),
            training_mode=1 if modern else None,
            spatial=kept.get("spatial"),
        )
        updates |= dict(zip(statistics, (mean, variance), strict=True))
    return rounded(g, model, updates, masters)


def _in_type(g: GraphBuilder, value: Value, dtype: int | None) -> Value:
    return value if dtype is None else op.cast(g, value, dtype)


def training_function(model: ModelProto, node: NodeProto) -> FunctionProto | None:
    """The model-local function that a training step runs for this node, if there is one."""
    if node.domain != NEUROMATIC_DOMAIN:
        return None
    wanted = node.op_type + TRAINING_SUFFIX
    return next((f for f in model.functions if (f.domain, f.name) == (NEUROMATIC_DOMAIN, wanted)), None)


def state_inputs(model: ModelProto, node: NodeProto) -> dict[str, str]:
    """The inputs of a node that its training function replaces: names of outputs to names of inputs."""
    function = training_function(model, node)
    if function is None:
        return {}
    given = dict(zip(function.input, node.input, strict=False))
    return {o: given[o.removeprefix(NEW)] for o in function.output if o.removeprefix(NEW) in given}


def layer_states(
    g: GraphBuilder, nodes: Sequence[NodeProto], model: ModelProto, frozen: Collection[str]
) -> dict[str, Value]:
    """The update of the state of each layer whose training function has one."""
    stored = {t.name for t in model.graph.initializer}
    updates: dict[str, Value] = {}
    for node in nodes:
        replaced = state_inputs(model, node)
        function = training_function(model, node)
        states = set(replaced.values())
        if function is None or not states or not states <= stored or states.intersection(frozen):
            continue
        inputs = [updates.get(name, g.value(name)) for name in node.input]
        outputs = [g.fresh(f"training/{node.output[0]}"), *(g.fresh(f"new/{n}") for n in replaced.values())]
        types = [g.value(name) for name in (node.output[0], *replaced.values())]
        _, *new = g.add_many(
            function.name,
            *inputs,
            domain=NEUROMATIC_DOMAIN,
            name=f"update/{node.name}",
            outputs=outputs,
            types=[(t.dtype, t.shape) for t in types],
        )
        updates |= dict(zip(replaced.values(), new, strict=True))
    return updates
