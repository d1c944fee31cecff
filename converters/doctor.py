"""Whether a model can be trained, operator by operator: what runs, what has a gradient, what blocks and why.

What a table of operators cannot tell (an attribute that an engine refuses, a gradient that it lacks) is
found by a trial: TensorFlow runs one step on zeros with a learning rate of 0, CNTK's step is recorded, which
needs no CNTK.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from neuromatic import Model, engines
from neuromatic.converters.cntk.batch import with_free_batch
from neuromatic.converters.cntk.recorder import Recorder
from neuromatic.converters.lowering import plan
from neuromatic.converters.registry import Registry, domain_name, find_schema
from neuromatic.data import Field, input_fields, rows_of, target_fields, weight_fields
from neuromatic.errors import (
    EngineNotAvailableError,
    NeuromaticError,
    ParameterWarning,
    RecipeError,
    UnsupportedOpError,
)
from neuromatic.ir.opsets import NEUROMATIC_DOMAIN
from neuromatic.ir.traversal import data_inputs, dependents, upstream
from neuromatic.ir.types import FLOATS, value_types
from neuromatic.ir.values import Value
from neuromatic.recipe import schema as recipes
from neuromatic.recipe.compose import algorithm_builder, state_names
from neuromatic.recipe.gradients import differentiable_values
from neuromatic.reports import inspection
from neuromatic.transfer import imported_models as preparing

Array = NDArray[Any]
Gradient = Literal["yes", "stops", "no", "not needed"]
Found = tuple[str, str | None, Gradient]
"""A node by name, why it does not run, and its gradient."""
WORST_FIRST: Sequence[Gradient] = ("stops", "no", "yes", "not needed")
ROWS = 2
MOST_TRIED = 4000
"""So many nodes has a graph of which a step is tried; engines take a minute for more."""
MOST_BYTES, BYTES_PER_PARAMETER = 1 << 30, 400
"""So much memory may the values of a step that is tried take; or this for each parameter, if that is more."""
MADE_UP = 4
"""The size of an axis of unknown size in a trial."""


@dataclass(frozen=True)
class OperatorCheck:
    """What an engine does with an operator.

    Attributes:
        operator: with its schema version, as in ``Conv-11``.
        count: how many nodes there are.
        runs: whether the engine has it.
        gradient: ``"stops"`` where the loss cannot reach parameters through it, ``"no"`` where something
            behind it stops that, ``"not needed"`` where no parameter lies before it.
        nodes: those that do not run, or that stop the gradient.
        problem: why it does not run.
        blocks: whether training needs it, and it does not run. What only other outputs than those of floats
            need, such as the labels of a classifier by scikit-learn, blocks nothing.
    """

    operator: str
    count: int
    runs: bool
    gradient: Gradient
    nodes: tuple[str, ...] = ()
    problem: str | None = None
    blocks: bool = False


@dataclass(frozen=True)
class EngineCheck:
    """What an engine does with a model.

    Attributes:
        engine: its name.
        missing: what is wrong with its installation.
        operators: see :class:`OperatorCheck`; none where they cannot be looked up without the engine.
        problems: what blocks besides them.
        advice: what to do.
    """

    engine: str
    missing: str | None
    operators: tuple[OperatorCheck, ...]
    problems: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether the engine can train the model here and now."""
        return self.missing is None and not self.problems and not any(o.blocks for o in self.operators)


def examine(model: Model, names: Sequence[str], refused: str | None = None) -> list[EngineCheck]:
    """Check a model on some engines.

    Args:
        model: the model.
        names: of the engines.
        refused: why it cannot run anywhere, if that is known.

    Raises:
        UnknownNameError: there is no engine of a name.
    """
    trained, problem = None, refused
    try:
        if refused is None and _is_tried(model.proto):
            trained = _with_some_recipe(model)
    except (NeuromaticError, ValueError) as error:
        problem = " ".join(str(error).split())
    return [_on_engine(name, model.proto, trained, problem) for name in names]


def _with_some_recipe(model: Model) -> Model:
    """The model with its own recipe, else with a squared error of its outputs and plain descent.

    Raises:
        RecipeError: no output is of floats.
    """
    if model.recipe is not None:
        return model
    floats = _float_outputs(model.proto)
    if not floats:
        raise RecipeError(
            "no output is of floats, so that no loss can be taken of it; take one of an inner value"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ParameterWarning)  # a note of the doctor's own
        return model.loss(dict.fromkeys(floats, "mse")).optimizer("sgd")


def _float_outputs(model: ModelProto) -> list[str]:
    values = [Value.of(o.name, o.type) for o in model.graph.output]
    return [v.name for v in values if v.dtype in FLOATS]


def _on_engine(name: str, model: ModelProto, trained: Model | None, problem: str | None) -> EngineCheck:
    missing, problems = None, [problem] if problem else []
    try:
        engines.find(name)
    except EngineNotAvailableError as error:
        missing = " ".join(str(error).split())
    registry = _registry(name)
    if registry is None:
        return EngineCheck(name, missing, (), tuple(problems))
    checks = _operators(preparing.for_training(model), registry)
    advice = _advice(name, model, checks)
    if not _is_tried(model):
        advice.append(f"no trial step: there are more than {MOST_TRIED:,} nodes; training itself tries it")
    elif trained is not None and not any(c.blocks for c in checks):
        untried = _too_large(trained.proto)
        advice += [untried] if untried else []
        problems += [] if untried else _trial(name, trained.proto, missing)
    return EngineCheck(name, missing, checks, tuple(problems), tuple(advice))


def _registry(name: str) -> Registry | None:
    """An engine's lowerings; None where they cannot be imported without it."""
    try:
        ops: Registry = importlib.import_module(f"neuromatic.converters.{name}.lowerings").ops
    except ImportError:
        return None
    return ops


# -- operators -------------------------------------------------------------------------------------


def _operators(model: ModelProto, registry: Registry) -> tuple[OperatorCheck, ...]:
    """The operators of the inference graph in order, then those that only its recipe has."""
    types = value_types(model)
    gradients, needed = gradients_of(model), _needed(model)
    groups: dict[str, list[Found]] = {}
    known: dict[bytes, str | None] = {}
    elsewhere = registry.elsewhere(model)
    algorithms = [node for info in model.training_info for node in info.algorithm.node]
    for node, gradient in zip([*model.graph.node, *algorithms], gradients, strict=True):
        key = _key(node, types)
        if key not in known:
            known[key] = _problem(node, model, types, registry)
        problem = None if elsewhere.issuperset(filter(None, node.output)) else known[key]
        groups.setdefault(_operator(node, model), []).append((_name(node), problem, gradient))
    return tuple(_check(operator, found, needed) for operator, found in groups.items())


def _needed(model: ModelProto) -> set[str]:
    """The nodes before what a recipe computes, or where there is none, before the outputs of floats."""
    nodes = [*model.graph.node, *(n for info in model.training_info for n in info.algorithm.node)]
    return {_name(node) for node in upstream(nodes, _goals(model))}


def _goals(model: ModelProto) -> list[str]:
    try:
        found = recipes.read(model)
    except RecipeError:
        found = None
    if found is None:
        return _float_outputs(model) or [o.name for o in model.graph.output]
    return [found.loss, *found.updates.values(), *(m.sums for m in found.metrics)]


def _check(operator: str, found: Sequence[Found], needed: Collection[str]) -> OperatorCheck:
    gradients: list[Gradient] = sorted((g for _, _, g in found), key=WORST_FIRST.index)
    problem = next((p for _, p, _ in found if p), None)
    nodes = [name for name, p, g in found if p or (problem is None and g == "stops")]
    blocks = any(p and name in needed for name, p, _ in found)
    return OperatorCheck(operator, len(found), problem is None, gradients[0], tuple(nodes), problem, blocks)


def _key(node: NodeProto, types: Mapping[str, Value]) -> bytes:
    """What decides whether a node runs: everything but its names and shapes."""
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.name = ""
    copy.input[:] = [str(types[name].dtype if name in types else bool(name)) for name in node.input]
    copy.output[:] = [str(bool(name)) for name in node.output]
    if node.op_type == "Constant":
        del copy.attribute[:]
    return bytes(copy.SerializeToString(deterministic=True))


def _problem(
    node: NodeProto, model: ModelProto, types: Mapping[str, Value], registry: Registry
) -> str | None:
    """Why an engine cannot run a node; None if it can."""
    alone = ModelProto(ir_version=model.ir_version)
    alone.opset_import.extend(model.opset_import)
    alone.functions.extend(model.functions)
    alone.graph.node.append(node)
    given = dict.fromkeys(name for name in node.input if name in types)
    alone.graph.input.extend(helper.make_value_info(name, types[name].type_proto()) for name in given)
    try:
        plan(alone, registry, training=True)
    except UnsupportedOpError as error:
        return error.problems[0]
    return None


def _operator(node: NodeProto, model: ModelProto) -> str:
    domain = domain_name(node.domain)
    opset = next((o.version for o in model.opset_import if domain_name(o.domain) == domain), 1)
    schema = find_schema(node.op_type, opset, domain)
    prefix = f"{domain}." if domain and domain != NEUROMATIC_DOMAIN else ""
    return f"{prefix}{node.op_type}" + ("" if schema is None else f"-{schema.since_version}")


def _name(node: NodeProto) -> str:
    return node.name or next(filter(None, node.output), node.op_type)


def gradients_of(model: ModelProto) -> list[Gradient]:
    """For each node, those of the recipe last, whether the loss, or an output, reaches parameters by it."""
    nodes = [*model.graph.node, *(n for info in model.training_info for n in info.algorithm.node)]
    try:
        g, found = algorithm_builder(model), recipes.read(model)
    except RecipeError:
        return ["not needed"] * len(nodes)
    goals = _goals(model) if found is None else [found.loss]
    reaching = differentiable_values(model, nodes, goals, g)
    needed = {_name(node) for node in upstream(nodes, goals)}
    states = state_names(model, nodes, goals)
    floats = {t.name for t in model.graph.initializer if t.data_type in FLOATS and t.dims} - states
    behind = dependents(nodes, floats)
    return [_gradient(node, behind, reaching, _name(node) in needed) for node in nodes]


def _gradient(node: NodeProto, behind: Collection[str], reaching: Collection[str], needed: bool) -> Gradient:
    given = [name for name in node.input if name in behind]
    if not given or not needed:
        return "not needed"
    if any(name in reaching for name in given):
        return "yes"
    return "stops" if any(name in reaching for name in node.output) else "no"


# -- trials ----------------------------------------------------------------------------------------


def _is_tried(model: ModelProto) -> bool:
    """Whether a model is small enough for a step to be tried."""
    return len(model.graph.node) <= MOST_TRIED


def _too_large(model: ModelProto) -> str | None:
    """Why a step is not tried: its values would take too much memory."""
    needed = inspection.values_bytes(value_types(model), ROWS)
    stored = sum(prod(t.dims) for t in model.graph.initializer)
    if needed <= max(MOST_BYTES, BYTES_PER_PARAMETER * stored):
        return None
    return f"no trial step: its values would take about {needed / 2**30:.1f} GiB"


def _trial(name: str, model: ModelProto, missing: str | None) -> list[str]:
    """What an engine refuses when it is given the whole training step."""
    found = recipes.read(model)
    assert found is not None
    fields = [*input_fields(model), *target_fields(model, found), *weight_fields(model, found)]
    try:
        if name == "cntk":
            _record(model, fields)
        elif missing is None:
            _one_step(name, model, fields)
    except Exception as error:  # whatever the engine's own library raises
        sizes = [d for f in fields for d in (f.shape or ())[1:] if not isinstance(d, int)]
        guess = f" (with {MADE_UP} for the sizes that vary)" if sizes else ""
        return [f"a trial step on {name} fails{guess}: {_reason(error)}"]
    return []


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [repr(error)]
    return lines[-1 if hasattr(error, "ag_error_metadata") else 0].strip()[:300]


def _row(field: Field) -> tuple[int, ...]:
    return tuple(d if isinstance(d, int) else MADE_UP for d in (field.shape or ())[1:])


def _whole(field: Field) -> tuple[int, ...]:
    return tuple(d if isinstance(d, int) else MADE_UP for d in field.shape or ())


def _record(model: ModelProto, fields: Sequence[Field]) -> None:
    Recorder(with_free_batch(model)).record(
        "train", tuple((f.name, _row(f), np.dtype(f.dtype).name) for f in fields)
    )


def _one_step(name: str, model: ModelProto, fields: Sequence[Field]) -> None:
    rows = rows_of(model, recipes.read(model))
    size = rows.size or ROWS
    program = engines.find(name).compile(model, seed=0, options={"jit": False})
    try:
        data = {
            f.name: np.zeros((size, *_row(f)) if f.name in rows.shared else _whole(f), f.dtype)
            for f in fields
        }
        count = np.arange(rows.count(data))
        program.train(program.load(data, rows.given_whole(data)), count[None], np.zeros(1, np.float32))
    finally:
        program.close()


# -- advice ----------------------------------------------------------------------------------------


def _advice(name: str, model: ModelProto, checks: Sequence[OperatorCheck]) -> list[str]:
    """What to do about operators that do not run or stop the gradient."""
    blocked = {n for c in checks if c.blocks for n in c.nodes}
    stopping = [n for c in checks if c.gradient == "stops" for n in c.nodes if n not in blocked]
    found = [
        f"no gradient passes {', '.join(stopping[:5])}: what lies before is trained by other ways or not"
    ]
    found = found if stopping else []
    nodes = [n for n in model.graph.node if _name(n) in blocked]
    if not nodes:
        return found
    for other in (e for e in engines.ENGINES if e != name):
        registry, types = _registry(other), value_types(model)
        if registry and not any(_problem(n, model, types, registry) for n in nodes):
            found.append(f"{other} runs these operators: --engine {other}")
    newer = _newer_opset(name, model, nodes)
    if newer:
        found.append(f"raise the opset: neuromatic convert MODEL.onnx -o NEW.onnx --opset {newer}")
    data = dependents(model.graph.node, data_inputs(model.graph))
    place = next((x for x in nodes[0].input if x in data), None)
    if place is not None:
        found.append(f"put a new head before them: --new-head N --cut-at {place}")
    return found


def _newer_opset(name: str, model: ModelProto, nodes: Sequence[NodeProto]) -> int | None:
    """The opset at which the engine has all of some nodes, if there is one."""
    registry = _registry(name)
    opset = next((o.version for o in model.opset_import if domain_name(o.domain) == ""), 0)
    found = opset
    for node in nodes:
        versions = registry.versions(node.op_type) if registry and not domain_name(node.domain) else []
        later = [v for v in versions if v > opset]
        if not later:
            return None
        found = max(found, min(later))
    return found
