"""What a model consists of: layers, shapes and parameters, as data and as text."""

from __future__ import annotations

from dataclasses import dataclass
from io import StringIO
from math import prod

from onnx import ModelProto
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neuromatic.recipe import Recipe, strip, value_types
from neuromatic.values import Shape, shape_text


@dataclass(frozen=True)
class Row:
    """A layer: nodes whose names share the part before the last slash, or one node.

    Attributes:
        name: that shared part, or the node's name.
        operators: the ONNX operators in it.
        shape: shape of the last output.
        parameters: names of the initializers that it is the first to use.
        count: how many numbers these hold.
    """

    name: str
    operators: tuple[str, ...]
    shape: Shape | None
    parameters: tuple[str, ...]
    count: int


def rows(model: ModelProto) -> list[Row]:
    """The layers of a model in order. ``Constant`` nodes are left out."""
    types = value_types(strip(model))
    sizes = {t.name: prod(t.dims) for t in model.graph.initializer}
    found: list[Row] = []
    seen: set[str] = set()
    for node in model.graph.node:
        if node.op_type == "Constant":
            continue
        name = node.name.rsplit("/", 1)[0] or node.output[0]
        names = tuple(x for x in node.input if x in sizes and x not in seen)
        seen.update(names)
        output = types.get(node.output[0])
        shape = output.shape if output else None
        count = sum(sizes[x] for x in names)
        if found and found[-1].name == name:
            last = found.pop()
            found.append(
                Row(name, (*last.operators, node.op_type), shape, last.parameters + names, last.count + count)
            )
        else:
            found.append(Row(name, (node.op_type,), shape, names, count))
    return found


def summary_text(model: ModelProto, recipe: Recipe | None) -> str:
    """The layer table of a model with totals, as text of at most 100 columns."""
    table = Table(box=box.SIMPLE_HEAD)
    for column, justify in (
        ("layer", "left"),
        ("operators", "left"),
        ("output", "left"),
        ("parameters", "right"),
    ):
        table.add_column(column, justify="right" if justify == "right" else "left")
    for row in rows(model):
        cells = (row.name, " ".join(row.operators), shape_text(row.shape), f"{row.count:,}")
        table.add_row(*(Text(cell) for cell in cells))  # names may look like markup
    out = StringIO()
    Console(file=out, width=100, color_system=None, force_terminal=False).print(table)
    sizes = {t.name: prod(t.dims) for t in model.graph.initializer}
    total = sum(sizes.values())
    lines = [f"parameters: {total:,}"]
    if recipe is not None:
        trainable = sum(sizes.get(name, 0) for name in recipe.trainable)
        lines = [f"parameters: {total:,}, of which {trainable:,} are trained"]
    return out.getvalue().rstrip() + "\n\n" + "\n".join(lines)
