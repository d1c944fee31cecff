"""What a model consists of: layers, shapes and parameters, as data and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from itertools import groupby
from math import prod
from typing import TypeVar

from onnx import ModelProto
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neuromatic.ir.traversal import layer_of
from neuromatic.ir.types import value_types
from neuromatic.ir.values import Shape, shape_text
from neuromatic.recipe.schema import Recipe
from neuromatic.recipe.sections import strip
from neuromatic.reports import flops

Item = TypeVar("Item")
MOST_ROWS = 200
"""Of longer tables, the first and the last rows are shown."""


@dataclass(frozen=True)
class Row:
    """A layer: nodes whose names share the part before the last slash, or one node.

    Attributes:
        name: that shared part, or the node's name.
        operators: the ONNX operators in it.
        shape: shape of the last output.
        parameters: names of the initializers that it is the first to use.
        count: how many numbers these hold.
        flops: estimated floating-point operations for one row of data.
        inputs: names of the values that its nodes take.
        outputs: names of the values that its nodes compute.
    """

    name: str
    operators: tuple[str, ...]
    shape: Shape | None
    parameters: tuple[str, ...]
    count: int
    flops: int = field(default=0, compare=False)
    inputs: tuple[str, ...] = field(default=(), compare=False, repr=False)
    outputs: tuple[str, ...] = field(default=(), compare=False, repr=False)


def rows(model: ModelProto, *, by_node: bool = False) -> list[Row]:
    """The layers of a model in order, or its nodes. ``Constant`` nodes are left out."""
    types = value_types(strip(model))
    shapes = flops.sizes(types)
    sizes = {t.name: prod(t.dims) for t in model.graph.initializer}
    found: list[Row] = []
    seen: set[str] = set()
    for node in model.graph.node:
        if node.op_type == "Constant":
            continue
        name = (node.name or node.output[0]) if by_node else layer_of(node)
        names = tuple(x for x in node.input if x in sizes and x not in seen)
        seen.update(names)
        output = types.get(node.output[0])
        row = Row(
            name,
            (node.op_type,),
            output.shape if output else None,
            names,
            sum(sizes[x] for x in names),
            flops.estimate(model, node, shapes),
            tuple(filter(None, node.input)),
            tuple(filter(None, node.output)),
        )
        if found and found[-1].name == name and not by_node:
            row = _joined(found.pop(), row)
        found.append(row)
    return found


def _joined(first: Row, second: Row) -> Row:
    return Row(
        first.name,
        first.operators + second.operators,
        second.shape,
        first.parameters + second.parameters,
        first.count + second.count,
        first.flops + second.flops,
        first.inputs + second.inputs,
        first.outputs + second.outputs,
    )


def counted(operators: Sequence[str]) -> list[str]:
    """Operators in order, what repeats as ``Mul x3``.

    >>> counted(["Mul", "Mul", "Add", "Mul"])
    ['Mul x2', 'Add', 'Mul']
    """
    runs = [(name, len(list(group))) for name, group in groupby(operators)]
    return [name if count == 1 else f"{name} x{count}" for name, count in runs]


def _cells(row: Row) -> list[Text]:
    operators = " ".join(counted(row.operators))
    cells = (row.name, operators, shape_text(row.shape), f"{row.count:,}", f"{row.flops:,}")
    return [Text(cell) for cell in cells]  # names may look like markup


def shortened(items: Sequence[Item], most: int | None) -> tuple[Sequence[Item], int, Sequence[Item]]:
    """The first and the last of many items, and how many there are between them.

    >>> shortened("abcdefgh", 4)
    ('ab', 4, 'gh')
    >>> shortened("abc", 4)
    ('abc', 0, '')
    """
    if most is None or len(items) <= most:
        return items, 0, items[len(items) :]
    half = most // 2
    return items[:half], len(items) - 2 * half, items[-half:]


def summary_text(
    model: ModelProto,
    recipe: Recipe | None,
    *,
    layers: Sequence[Row] | None = None,
    most: int | None = MOST_ROWS,
) -> str:
    """The layer table of a model with totals, as text of at most 100 columns.

    Args:
        model: the model.
        recipe: its recipe.
        layers: what :func:`rows` gives, if it is known.
        most: of how many layers the table is, the first and the last; None for all.
    """
    table = Table(box=box.SIMPLE_HEAD)
    for column, justify in (
        ("layer", "left"),
        ("operators", "left"),
        ("output", "left"),
        ("parameters", "right"),
        ("FLOPs", "right"),
    ):
        table.add_column(column, justify="right" if justify == "right" else "left")
    layers = rows(model) if layers is None else layers
    first, left_out, last = shortened(layers, most)
    for row in first:
        table.add_row(*_cells(row))
    if left_out:
        table.add_row("...", f"{left_out:,} more layers, which --all shows")
    for row in last:
        table.add_row(*_cells(row))
    out = StringIO()
    Console(file=out, width=100, color_system=None, force_terminal=False).print(table)
    sizes = {t.name: prod(t.dims) for t in model.graph.initializer}
    total = sum(sizes.values())
    lines = [f"FLOPs for one row of data: about {sum(row.flops for row in layers):,}"]
    trained = ""
    if recipe is not None:
        trainable = sum(sizes.get(name, 0) for name in recipe.trainable)
        trained = f", of which {trainable:,} are trained"
    lines.append(f"parameters: {total:,}{trained}")
    return out.getvalue().rstrip() + "\n\n" + "\n".join(lines)
