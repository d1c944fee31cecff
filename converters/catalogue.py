"""The catalogue of layers, losses, optimizers and metrics as Markdown: made from the classes themselves.

``python -m neuromatic.converters.catalogue`` writes ``docs/catalogue.md`` anew. What an entry consists
of is seen by building a sample of it: that of a layer is the example in its docstring, others are made
without arguments or, where they need some, as their docstrings show.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import FunctionProto, ModelProto, NodeProto

import neuromatic as nm
from neuromatic.converters.cntk.recorder import Recorder
from neuromatic.converters.lowering import plan
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.data import input_fields, target_fields
from neuromatic.errors import NeuromaticError
from neuromatic.ir.types import combined
from neuromatic.layers.base import SymbolicTensor, tensor_order
from neuromatic.recipe import schema as recipes
from neuromatic.saving import atomic as files


@dataclass(frozen=True)
class Entry:
    """One line of the catalogue.

    Attributes:
        name: the class.
        text: the first sentence of its docstring.
        operators: the ONNX operators of its sample, model-local functions by their names in italics.
        tensorflow: whether TensorFlow trains the sample; else why not.
        cntk: whether CNTK does; else why not.
    """

    name: str
    text: str
    operators: tuple[str, ...]
    tensorflow: str
    cntk: str


YES = "yes"
OF_A_GRAPH = frozenset({"FunctionLoss", "GraphLoss", "FunctionOptimizer", "MultiOptimizer"})
"""Classes that consist of what a user gives them, and so have no operators of their own."""


def layers() -> list[Entry]:
    """Every layer, with the model of the example in its docstring."""
    found = []
    for cls in _classes(nm.layers, nm.layers.Layer):
        made = _example(cls)
        results = [made] if isinstance(made, SymbolicTensor) else list(made)
        model = nm.Model(_inputs(results), results)
        found.append(_entry(cls, _operators(model.proto, model.proto.graph.node), _trained(model, results)))
    return found


def losses() -> list[Entry]:
    """Every loss."""
    return [_recipe_entry(cls, _with_loss, "loss/") for cls in _classes(nm.losses, nm.losses.Loss)]


def optimizers() -> list[Entry]:
    """Every optimizer, by what it does to the kernel of a Dense layer."""
    classes = _classes(nm.optimizers, nm.optimizers.Optimizer)
    return [_recipe_entry(cls, _optimized, "update/dense/kernel") for cls in classes]


def metrics() -> list[Entry]:
    """Every metric, with class-index or one-hot targets."""
    return [_recipe_entry(cls, _measured, "metric/") for cls in _classes(nm.metrics, nm.metrics.Metric)]


def _with_loss(head: nm.Model, cls: type[Any]) -> nm.Model:
    return head.loss(_made(cls)).optimizer("sgd")


def _optimized(head: nm.Model, cls: type[Any]) -> nm.Model:
    return head.loss("mse").optimizer(_made(cls))


def _measured(head: nm.Model, cls: type[Any]) -> nm.Model:
    sparse = cls.__name__.startswith("Sparse")
    loss = "sparse_categorical_crossentropy" if sparse else "mse"
    return head.loss(loss).optimizer("sgd").metrics(_made(cls))


def _recipe_entry(cls: type[Any], make: Callable[[nm.Model, type[Any]], nm.Model], prefix: str) -> Entry:
    """An entry by the nodes of its recipe whose names begin so, on the first of :func:`_heads` it takes."""
    refused: list[NeuromaticError] = []
    for head in _heads():
        try:
            model = make(head, cls)
        except NeuromaticError as error:
            refused.append(error)
            continue
        nodes = [n for n in model.proto.training_info[0].algorithm.node if n.name.startswith(prefix)]
        return _entry(cls, _operators(model.proto, nodes), model)
    raise refused[-1]


def _heads() -> list[nm.Model]:
    """Models whose predictions are probabilities of three classes, of one, and of a sequence."""
    return [
        nm.Sequential((4,)).dense(3, activation="softmax").build(),
        nm.Sequential((4,)).dense(1, activation="sigmoid").build(),
        nm.Sequential((5, 4)).dense(3, activation="softmax").build(),
    ]


SECTIONS: dict[str, Callable[[], list[Entry]]] = {
    "Layers": layers,
    "Losses": losses,
    "Optimizers": optimizers,
    "Metrics": metrics,
}


def _classes(module: Any, base: type[Any]) -> list[type[Any]]:
    """What a package exports of a kind, by name; other names of a class are left out."""
    exported = (getattr(module, name) for name in sorted(module.__all__))
    return list(dict.fromkeys(thing for thing in exported if _is_entry(thing, base)))


def _is_entry(thing: Any, base: type[Any]) -> bool:
    is_kind = inspect.isclass(thing) and issubclass(thing, base) and thing is not base
    return is_kind and not inspect.isabstract(thing) and thing.__name__ not in OF_A_GRAPH


def _example(cls: type[Any]) -> Any:
    """What the last expression in a class's docstring shows the shape of, or is itself.

    Raises:
        ValueError: there is no example.
    """
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(cls) or "")
    if not examples:
        raise ValueError(f"{cls.__name__} has no example in its docstring")
    scope: dict[str, Any] = {"nm": nm, "np": np}
    for example in examples[:-1]:
        exec(example.source, scope)
    last = re.sub(r"^\[(\w+)\.shape for \1 in (.*)\]$", r"\2", examples[-1].source.strip())
    last = re.sub(r"\.(shape|masked)$", "", last)
    return eval(last, scope)


def _made(cls: type[Any]) -> Any:
    """A sample of a class: without arguments, else as its docstring shows."""
    try:
        return cls()
    except TypeError:
        return _example(cls)


def _inputs(results: Sequence[SymbolicTensor]) -> list[SymbolicTensor]:
    order = tensor_order(results)
    return [tensor for tensor in order if tensor.layer is None]


def _operators(model: ModelProto, nodes: Sequence[NodeProto]) -> tuple[str, ...]:
    """The operators of nodes, each once, functions with those of their bodies."""
    functions = {(f.domain, f.name): f for f in model.functions}
    found: dict[str, None] = {}
    for node in nodes:
        body = functions.get((node.domain, node.op_type))
        if body is not None:
            found[f"*{node.op_type}*"] = None
            training = functions.get((node.domain, f"{node.op_type}_training"), FunctionProto())
            found |= dict.fromkeys(_operators(model, [*body.node, *training.node]))
        elif node.op_type not in ("Constant", "Identity"):
            found[node.op_type] = None
    return tuple(found)


def _trained(model: nm.Model, results: Sequence[SymbolicTensor]) -> nm.Model | None:
    """The model with a Dense layer behind it and a recipe; None where the results are no floats."""
    floats = [t for t in results if t.dtype == 1 and t.shape]
    if not floats:
        return None
    layer = nm.layers.Dense(1)
    try:
        head = layer(floats[0]) if len(floats[0].shape or ()) > 1 else floats[0]
        return nm.Model(_inputs([head]), head).loss("mse").optimizer("sgd")
    except NeuromaticError:
        return None


def _entry(cls: type[Any], operators: tuple[str, ...], model: nm.Model | None) -> Entry:
    text = (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")
    entry = Entry(cls.__name__, text, operators, "inference only", "inference only")
    if model is None:
        return entry
    return replace(entry, tensorflow=_on_tensorflow(model.proto), cntk=_on_cntk(model.proto))


def _on_tensorflow(model: ModelProto) -> str:
    try:
        plan(combined(model), ops, training=True)
    except NeuromaticError as error:
        return _reason(error)
    return YES


def _on_cntk(model: ModelProto) -> str:
    found = recipes.read(model)
    assert found is not None
    fields = [*input_fields(model), *target_fields(model, found)]
    spec = tuple(
        (f.name, tuple(_size(d) for d in (f.shape or ())[1:]), np.dtype(f.dtype).name) for f in fields
    )
    try:
        Recorder(model).record("train", spec)
    except NeuromaticError as error:
        return _reason(error)
    return YES


def _size(dim: Any) -> int:
    return dim if isinstance(dim, int) else 4


def _reason(error: NeuromaticError) -> str:
    """The first thing that an engine lacks, without the place in the sample."""
    first = str(error).splitlines()[0].split("; ")[0]
    return "no: " + re.sub(r" \(node [^)]*\)$|node '[^']*' ", "", re.sub(r"^cntk |^tensorflow ", "", first))


def page() -> str:
    """The page."""
    lines = ["# Catalogue", "", INTRODUCTION]
    for title, entries in SECTIONS.items():
        rows, twins = entries(), importlib.import_module(f"keras.{title.lower()}")
        lines += ["", f"## {title}", "", f"{len(rows)} in all.", ""]
        lines += ["| class | what it is | Keras | ONNX operators | TensorFlow | CNTK |"]
        lines += ["|---|---|---|---|---|---|"]
        lines += [_row(entry, twins) for entry in rows]
    return "\n".join(lines) + "\n"


INTRODUCTION = (
    "Everything the builder knows, with the ONNX operators that a sample of it consists of and the engines "
    "that train it. Names, arguments and defaults are those of Keras; [keras.md](keras.md) says of each of "
    "Keras' classes whether ours is equal. Names in italics are the model's functions, with their operators. "
    "Written by `python -m neuromatic.converters.catalogue`; a test compares."
)


def _row(entry: Entry, twins: Any) -> str:
    twin = f"`{entry.name}`" if hasattr(twins, entry.name) else ""
    cells = [f"`{entry.name}`", entry.text, twin, " ".join(entry.operators), entry.tensorflow, entry.cntk]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    files.write(Path("docs", "catalogue.md"), page().encode())
