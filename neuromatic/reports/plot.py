"""Pictures of a model's graph, laid out and drawn by Graphviz."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from onnx import GraphProto, ModelProto, ValueInfoProto

from neuromatic._quiet import quiet
from neuromatic.errors import EngineNotAvailableError
from neuromatic.ir.traversal import data_inputs
from neuromatic.ir.values import Value, dtype_name, shape_text
from neuromatic.printable import printable
from neuromatic.recipe.sections import strip
from neuromatic.reports.summary import Row, counted, rows
from neuromatic.saving.atomic import replacing

Detail = Literal["layers", "nodes"]
Direction = Literal["down", "right"]
FORMATS = ("png", "svg", "pdf", "dot")
COLOURS = {
    "#dbe9f6": {"Conv", "ConvTranspose"},
    "#dff0d8": {"Gemm", "MatMul", "Einsum", "Gather"},
    "#fdebd0": {"LSTM", "GRU", "RNN"},
    "#f6dde6": {"BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization"},
    "#e8e0f3": {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"},
}
"""The fill of a box by the operators in it; others stay white."""


def draw(
    model: ModelProto,
    path: str | os.PathLike[str],
    *,
    detail: Detail = "layers",
    direction: Direction = "down",
) -> None:
    """Draw the inference graph of a model into a file; the arguments are those of ``Model.plot``.

    Raises:
        ValueError: the file's ending is not one of :data:`FORMATS`, or an argument is not possible.
        EngineNotAvailableError: pygraphviz, which brings Graphviz along, is not installed.
    """
    kind = Path(path).suffix[1:].lower()
    if kind not in FORMATS:
        raise ValueError(f"a picture ends in {', '.join(f'.{f}' for f in FORMATS)}; got {os.fspath(path)!r}")
    if detail not in ("layers", "nodes") or direction not in ("down", "right"):
        raise ValueError(
            f'detail is "layers" or "nodes" and direction "down" or "right"; got {detail!r} and {direction!r}'
        )
    graph = picture(strip(model), by_node=detail == "nodes", rankdir="TB" if direction == "down" else "LR")
    with replacing(path) as temporary:
        if kind == "dot":
            temporary.write_text(graph.to_string(), encoding="utf-8")
        else:
            with quiet(2):  # Graphviz' own fontconfig complains of newer settings of the system's
                graph.draw(os.fspath(temporary), format=kind, prog="dot")


def picture(model: ModelProto, *, by_node: bool, rankdir: str) -> Any:
    """The picture as a ``pygraphviz.AGraph``: a box for each layer, an ellipse for each input and output."""
    try:
        import pygraphviz
    except ImportError as error:
        raise EngineNotAvailableError("pygraphviz", str(error), "pip install 'neuromatic[plot]'") from error
    drawn = pygraphviz.AGraph(directed=True, strict=False, rankdir=rankdir, nodesep=0.3, ranksep=0.35)
    drawn.node_attr.update(fontname="Helvetica", fontsize=11, style="filled", fillcolor="white")
    drawn.edge_attr.update(arrowsize=0.6, color="#555555")
    makers = _inputs(drawn, model.graph)
    for i, row in enumerate(rows(model, by_node=by_node)):
        box = f"box{i}"
        drawn.add_node(box, shape="box", label=_label(row), fillcolor=_fill(row), style="filled,rounded")
        for value in dict.fromkeys(row.inputs):
            if value in makers and value not in row.outputs:
                drawn.add_edge(makers[value], box)
        makers |= dict.fromkeys(row.outputs, box)
    for i, output in enumerate(model.graph.output):
        drawn.add_node(f"out{i}", shape="ellipse", label=_title(output), fillcolor="#eeeeee")
        if output.name in makers:
            drawn.add_edge(makers[output.name], f"out{i}")
    return drawn


def _inputs(drawn: Any, graph: GraphProto) -> dict[str, str]:
    fed = set(data_inputs(graph))
    makers = {}
    for i, value in enumerate(graph.input):
        if value.name in fed:
            makers[value.name] = f"in{i}"
            drawn.add_node(f"in{i}", shape="ellipse", label=_title(value), fillcolor="#eeeeee")
    return makers


def _title(info: ValueInfoProto) -> str:
    value = Value.of(info.name, info.type)
    kind = f"{dtype_name(value.dtype)} {shape_text(value.shape)}"
    return f"<<b>{_escape(value.name)}</b><br/>{_escape(kind)}>"


def _label(row: Row) -> str:
    lines = [f"<b>{_escape(row.name)}</b>", *_wrapped(counted(row.operators)), _escape(shape_text(row.shape))]
    if row.count:
        lines.append(f"{row.count:,} parameters")
    return f"<{'<br/>'.join(lines)}>"


def _wrapped(operators: Iterable[str], width: int = 36, most: int = 3) -> list[str]:
    """The operators in at most ``most`` lines of about ``width`` characters, escaped."""
    lines = [""]
    for name in operators:
        if lines[-1] and len(lines[-1]) + len(name) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {name}".strip()
    if len(lines) > most:
        lines[most - 1 :] = [f"{lines[most - 1]} …"]
    return [_escape(line) for line in lines]


def _escape(text: str) -> str:
    """A text as it may stand in a label: no markup, and nothing that cannot be seen."""
    return html.escape(printable(text, keep=""))


def _fill(row: Row) -> str:
    return next((c for c, operators in COLOURS.items() if operators.intersection(row.operators)), "white")
