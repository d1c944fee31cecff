"""``neuromatic info``: what is in a model; needs neither an engine nor a runtime."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from math import prod
from typing import Any

import click
import numpy as np
from onnx import ModelProto, ValueInfoProto, helper, numpy_helper

from neuromatic import Model
from neuromatic.cli._models import look_at
from neuromatic.cli._shared import all_option, echo, json_option, model_argument, print_json, verbose_option
from neuromatic.errors import RecipeError
from neuromatic.ir.parameters import stored_tensors
from neuromatic.ir.traversal import upstream
from neuromatic.ir.values import Value, dtype_name, shape_text
from neuromatic.recipe.schema import Recipe
from neuromatic.recipe.sections import default_learning_rate
from neuromatic.reports.inspection import traces
from neuromatic.reports.summary import MOST_ROWS, Row, rows, summary_text
from neuromatic.transfer.trainable_layers import Role


@click.command()
@model_argument
@json_option("One JSON object on standard output.")
@click.option(
    "--weights",
    is_flag=True,
    help="List each initializer: range, and whether it is trained, frozen, state or constant.",
)
@all_option("layers")
@verbose_option
def info(source: str, as_json: bool, weights: bool, everything: bool) -> None:
    """Show inputs, outputs, versions, parameters, layers and recipe of MODEL."""
    model = look_at(source)
    layers = rows(model.proto)
    facts = {"file": source, **describe(model, layers)}
    if weights:
        facts["weights"] = describe_weights(model)
    if as_json:
        print_json(facts)
        return
    for line in lines(facts):
        echo(line)
    most = None if everything else MOST_ROWS
    echo(*summary_text(model.proto, usable_recipe(model)[0], layers=layers, most=most).split("\n"))
    for weight in facts.get("weights", []):
        span = f"  {weight['min']:.4g} to {weight['max']:.4g}" if "min" in weight else ""
        role = f"  {weight['role']}" if weight["role"] else ""
        echo(f"{weight['name']} {weight['dtype']}{shape_text(weight['shape'])}{span}{role}")


def describe(model: Model, layers: Sequence[Row]) -> dict[str, Any]:
    """What a model is, as data."""
    proto, (recipe, problem) = model.proto, usable_recipe(model)
    sizes = {t.name: prod(t.dims) for t in proto.graph.initializer}
    fed = set(model.input_names)
    return {
        "inputs": _values(i for i in proto.graph.input if i.name in fed),
        "outputs": _values(proto.graph.output),
        "opset": {o.domain or "ai.onnx": o.version for o in proto.opset_import},
        "ir_version": proto.ir_version,
        "producer": " ".join(filter(None, [proto.producer_name, proto.producer_version])) or None,
        "parameters": sum(sizes.values()),
        "trained_parameters": sum(sizes[name] for name in recipe.trainable) if recipe else None,
        "recipe": describe_recipe(proto, recipe) if recipe else None,
        "recipe_problem": problem,
        "notes": traces(proto),
        "layers": [
            {
                "name": row.name,
                "operators": row.operators,
                "output": row.shape,
                "parameters": row.count,
                "flops": row.flops,
                "initializers": row.parameters,
            }
            for row in layers
        ],
    }


def usable_recipe(model: Model) -> tuple[Recipe | None, str | None]:
    """A model's recipe, and what is wrong with it if it cannot be used."""
    try:
        return model.recipe, None
    except RecipeError as error:
        return None, str(error)


def _values(infos: Iterable[ValueInfoProto]) -> list[dict[str, Any]]:
    values = [Value.of(info.name, info.type) for info in infos]
    return [{"name": v.name, "dtype": dtype_name(v.dtype), "shape": v.shape} for v in values]


def describe_recipe(model: ModelProto, recipe: Recipe) -> dict[str, Any]:
    """A recipe as data: the loss by its operators, the optimizer by its node."""
    algorithm = model.training_info[0].algorithm
    steps = stored_tensors(model).get(recipe.step or "")
    updates = [n for n in algorithm.node if n.name == f"update/{recipe.trainable[0]}"]
    updates += [n for n in algorithm.node if recipe.updates.get(recipe.trainable[0]) in n.output]
    optimizer = updates[0] if updates else None
    return {
        "loss": [n.op_type for n in upstream(algorithm.node, [recipe.loss])],
        "optimizer": optimizer.op_type if optimizer else None,
        "optimizer_attributes": {
            a.name: _plain(helper.get_attribute_value(a)) for a in (optimizer.attribute if optimizer else ())
        },
        "optimizer_options": dict(recipe.optimizer or {}),
        "learning_rate": default_learning_rate(model, recipe),
        "schedule": dict(recipe.schedule or {}),
        "steps": int(numpy_helper.to_array(steps)) if steps is not None else None,
        "metrics": [m.name for m in recipe.metrics],
        "targets": [t.name for t in recipe.targets],
        "trained": recipe.trainable,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.7g}")  # as float32 was written
    return value.decode() if isinstance(value, bytes) else value


def describe_weights(model: Model) -> list[dict[str, Any]]:
    """Each initializer: type, shape, range, and what becomes of it in training, see ``Model.roles``."""
    roles: dict[str, Role] = {}
    with suppress(RecipeError):
        roles = model.roles()
    found = []
    for name, array in model.parameters().items():
        weight: dict[str, Any] = {"name": name, "dtype": str(array.dtype), "shape": array.shape}
        weight["role"] = roles.get(name)
        weight["trained"] = weight["role"] == "trained"
        if array.size and array.dtype.kind in "biuf":
            weight["min"], weight["max"] = float(np.min(array)), float(np.max(array))
        found.append(weight)
    return found


def lines(facts: dict[str, Any]) -> list[str]:
    """The same as text, layers and weights aside."""
    shown = [("", facts["file"])]
    for kind in ("input", "output"):
        for value in facts[f"{kind}s"]:
            shown.append((kind, f"{value['name']} {value['dtype']}{shape_text(value['shape'])}"))
    opsets = ", ".join(f"{domain} {version}" for domain, version in facts["opset"].items())
    shown += [("opset", opsets), ("IR version", facts["ir_version"])]
    shown.append(("producer", facts["producer"] or "unknown"))
    if facts["recipe"] is not None:
        shown.extend(_recipe_lines(facts["recipe"]))
    else:
        problem = facts["recipe_problem"]
        shown.append(("recipe", f"cannot be used: {problem}" if problem else "none"))
    shown += [("note", note) for note in facts["notes"]]
    return [f"  {label:<14}{text}" if label else text for label, text in shown]


def _recipe_lines(recipe: dict[str, Any]) -> list[tuple[str, str]]:
    attributes = _arguments(recipe["optimizer_attributes"])
    options, schedule = recipe["optimizer_options"], recipe["schedule"]
    shown = [
        ("loss", " ".join(recipe["loss"])),
        ("optimizer", f"{recipe['optimizer'] or 'unknown'}{attributes}"),
    ]
    if options:
        shown.append(("of", f"{options['name']}{_arguments(options['arguments'])}"))
    shown.append(
        ("learning rate", "none" if recipe["learning_rate"] is None else f"{recipe['learning_rate']:g}")
    )
    if schedule:
        shown.append(("schedule", f"{schedule['name']}{_arguments(schedule['arguments'])}"))
    return [
        *shown,
        ("steps done", "unknown" if recipe["steps"] is None else f"{recipe['steps']:,}"),
        ("metrics", " ".join(recipe["metrics"]) or "none"),
        ("targets", " ".join(recipe["targets"]) or "none"),
    ]


def _arguments(arguments: dict[str, Any]) -> str:
    return "".join(f" {name}={value}" for name, value in arguments.items())
