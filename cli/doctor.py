"""``neuromatic doctor``: whether a model can be trained, and what to do if not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO
from math import prod
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neuromatic import Model
from neuromatic.builder.model import problem_of
from neuromatic.cli._errors import FAILED
from neuromatic.cli._models import load_model
from neuromatic.cli._shared import all_option, echo, json_option, model_argument, print_json, verbose_option
from neuromatic.cli.info import usable_recipe
from neuromatic.converters.doctor import EngineCheck, examine
from neuromatic.engines import ENGINES
from neuromatic.errors import EngineNotAvailableError, RecipeError, UnknownNameError
from neuromatic.ir.opsets import opset_of
from neuromatic.ir.tensors import array_of
from neuromatic.ir.types import value_types
from neuromatic.ir.values import shape_text
from neuromatic.reports import inspection
from neuromatic.reports.summary import MOST_ROWS, shortened
from neuromatic.transfer import imported_models as preparing
from neuromatic.transfer import trainable_layers as selection

ALL = "all"
WIDTH = 100


@click.command()
@model_argument
@click.option(
    "--engine",
    default="tensorflow",
    show_default=True,
    help=f"{', '.join(ENGINES)}, or {ALL}, for which one that is ready is enough.",
)
@json_option("One JSON object on standard output.")
@all_option("parameters")
@verbose_option
def doctor(source: str, engine: str, as_json: bool, everything: bool) -> None:
    """Tell whether MODEL can be trained, operator by operator, before training.

    Exit codes: 0 ready, 1 something blocks, 3 the engine is not installed.
    """
    if engine not in (*ENGINES, ALL):
        raise UnknownNameError("engine", engine, [*ENGINES, ALL])
    model = load_model(source, check=False)
    problem = problem_of(model.proto)
    checks = examine(model, list(ENGINES) if engine == ALL else [engine], problem)
    facts = {"file": source, **describe(model), "engines": [_engine(check) for check in checks]}
    if as_json:
        print_json(facts)
    else:
        echo(*text(facts, None if everything else MOST_ROWS).split("\n"))
    sys.exit(exit_code(checks))


def exit_code(checks: Sequence[EngineCheck]) -> int:
    """0 if an engine is ready, 3 if none is installed, else 1."""
    if any(check.ready for check in checks):
        return 0
    return EngineNotAvailableError.exit_code if all(c.missing for c in checks) else FAILED


def describe(model: Model) -> dict[str, Any]:
    """What is known of a model without an engine."""
    recipe, problem = usable_recipe(model)
    proto = preparing.for_training(model.proto)
    roles, memory, statistics = {}, None, frozenset[str]()
    try:
        roles = selection.roles(proto, recipe)
        trainable = recipe.trainable if recipe else [n for n, role in roles.items() if role == "trainable"]
        memory = inspection.memory(proto, recipe, value_types(proto), trainable).as_data()
        statistics = frozenset(name for name, role in roles.items() if role == "frozen")
    except RecipeError as error:
        problem = problem or str(error)
    return {
        "opset": opset_of(proto),
        "ir_version": proto.ir_version,
        "runtimes": inspection.runtime_notes(proto),
        "inputs": inspection.axes(proto),
        "recipe_problem": problem,
        "parameters": [
            {
                "name": t.name,
                "shape": tuple(t.dims),
                "size": prod(t.dims),
                "bytes": int(array_of(t).nbytes),
                "role": roles.get(t.name),
            }
            for t in proto.graph.initializer
        ],
        **inspection.normalizations(proto, statistics),
        "notes": inspection.traces(model.proto),
        "memory": memory,
    }


def _engine(check: EngineCheck) -> dict[str, Any]:
    return {**asdict(check), "ready": check.ready}


def text(facts: dict[str, Any], most: int | None = MOST_ROWS) -> str:
    """The same as tables and lines of at most 100 columns, with ``most`` parameters; None for all."""
    out = StringIO()
    console = Console(file=out, width=WIDTH, color_system=None, force_terminal=False, highlight=False)
    console.print(Text(f"{facts['file']}: opset {facts['opset']}, IR version {facts['ir_version']}"))
    for item in facts["inputs"]:
        varies = ", ".join(map(str, item["dynamic"])) or "none"
        line = f"input {item['name']} {item['dtype']}{shape_text(item['shape'])}, axes that vary: {varies}"
        console.print(Text(line))
    console.print(_parameters(facts["parameters"], most))
    for line in (*_state(facts), *facts["runtimes"], *facts["notes"]):
        console.print(Text(line))
    for engine in facts["engines"]:
        console.print(_operators(engine))
        for line in _verdict(engine):
            console.print(Text(line))
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


def _state(facts: dict[str, Any]) -> list[str]:
    count, frozen = facts["batch_normalizations"], facts["frozen"]
    found = [
        f"BatchNormalization: {count}, of which {frozen} keep their statistics; Dropout: {facts['dropouts']}"
    ]
    if facts["memory"] is not None:
        parts = ("parameters", "optimizer", "gradients", "activations", "total")
        sizes = ", ".join(f"{part} {facts['memory'][part] / 2**20:.1f}" for part in parts)
        found.append(f"memory in MiB, estimated for {facts['memory']['batch']} rows: {sizes}")
    return found


def _table(title: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right" if column in ("size", "nodes") else "left")
    return table


def _parameters(parameters: Sequence[dict[str, Any]], most: int | None) -> Table:
    table = _table("parameters", "initializer", "shape", "size", "role")
    first, left_out, last = shortened(parameters, most)
    rows = [(p["name"], shape_text(p["shape"]), f"{p['size']:,}", p["role"] or "unknown") for p in first]
    rows += [("...", f"{left_out:,} more, which --all shows", "", "")] if left_out else []
    rows += [(p["name"], shape_text(p["shape"]), f"{p['size']:,}", p["role"] or "unknown") for p in last]
    for cells in rows:
        table.add_row(*map(Text, cells))
    return table


def _operators(engine: dict[str, Any]) -> Table:
    table = _table(engine["engine"], "operator", "nodes", "runs", "gradient", "where and why")
    for o in engine["operators"]:
        some = ", ".join(o["nodes"][:3]) + (" ..." if len(o["nodes"]) > 3 else "")
        why = o["problem"] or (some if o["gradient"] == "stops" else "")
        if not o["runs"] and not o["blocks"]:
            why = f"not needed to train; {why}"
        cells = (o["operator"], str(o["count"]), "yes" if o["runs"] else "no", o["gradient"], why)
        table.add_row(*map(Text, cells))
    return table


def _verdict(engine: dict[str, Any]) -> list[str]:
    name = engine["engine"]
    blocked = sum(o["blocks"] for o in engine["operators"])
    reasons = [f"{name}: {reason}" for reason in (engine["missing"], *engine["problems"]) if reason]
    if blocked:
        reasons.append(f"{name}: {blocked} operators do not run")
    return [*(reasons or [f"{name}: ready"]), *(f"{name}: {advice}" for advice in engine["advice"])]
