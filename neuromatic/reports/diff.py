"""What two models differ in: graph, initializers, metadata, versions and recipe."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from neuromatic.ir.tensors import array_of
from neuromatic.ir.values import Value, dtype_name, shape_text
from neuromatic.recipe.schema import METADATA_KEY

Array = NDArray[Any]


@dataclass(frozen=True)
class Weight:
    """An initializer that both models have or one of them.

    Attributes:
        name: its name.
        first: type and shape in the first model, None where it lacks it.
        second: the same in the second.
        difference: the largest absolute difference of the values; None where types or shapes differ.
        equal: whether all values are within the tolerance.
    """

    name: str
    first: str | None
    second: str | None
    difference: float | None
    equal: bool


@dataclass(frozen=True)
class Difference:
    """What two models differ in.

    Attributes:
        versions: of operator sets and the IR.
        values: of inputs and outputs.
        nodes: lines that the first graph has alone (``-``) or the second (``+``).
        functions: names of model-local functions that are not the same.
        metadata: of ``metadata_props``, producer and documentation.
        recipe: of the training part, its own initializers aside.
        weights: every initializer, those of the recipe among them.
    """

    versions: tuple[str, ...]
    values: tuple[str, ...]
    nodes: tuple[str, ...]
    functions: tuple[str, ...]
    metadata: tuple[str, ...]
    recipe: tuple[str, ...]
    weights: tuple[Weight, ...]

    @property
    def equal(self) -> bool:
        """Whether there is none, but for weights within the tolerance."""
        parts = (self.versions, self.values, self.nodes, self.functions, self.metadata, self.recipe)
        return not any(parts) and all(w.equal for w in self.weights)


def compare(first: ModelProto, second: ModelProto, *, atol: float = 0.0, rtol: float = 0.0) -> Difference:
    """Compare two models.

    Args:
        first: a model.
        second: another.
        atol: how far values of initializers may be apart, absolutely,
        rtol: and relative to the first.
    """
    return Difference(
        _lines(_versions(first), _versions(second)),
        _lines(_values(first.graph), _values(second.graph)),
        _lines(_nodes(first.graph), _nodes(second.graph)),
        _functions(first, second),
        _lines(_metadata(first), _metadata(second)),
        _lines(_recipe(first), _recipe(second)),
        _weights(first, second, atol, rtol),
    )


def _lines(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """Lines of one alone, with ``- `` or ``+ `` before them."""
    compared = difflib.unified_diff(first, second, n=0, lineterm="")
    return tuple(f"{line[0]} {line[1:]}" for line in list(compared)[2:] if not line.startswith("@@"))


def _versions(model: ModelProto) -> list[str]:
    opsets = sorted(f"opset {o.domain or 'ai.onnx'} {o.version}" for o in model.opset_import)
    return [f"IR version {model.ir_version}", *opsets]


def _values(graph: GraphProto) -> list[str]:
    return [
        f"{kind} {_kind(item)}"
        for kind, items in (("input", graph.input), ("output", graph.output))
        for item in items
    ]


def _kind(item: ValueInfoProto) -> str:
    value = Value.of(item.name, item.type)
    return f"{value.name} {dtype_name(value.dtype)}{shape_text(value.shape)}"


def _nodes(graph: GraphProto) -> list[str]:
    return [_node(node) for node in graph.node]


def _node(node: NodeProto) -> str:
    """A node as one line: ``y = Op(a, b) {attribute: value} [name]``."""
    domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
    given = ", ".join(f"{a.name}: {_attribute(a)}" for a in node.attribute)
    attributes, name = f" {{{given}}}" if given else "", f" [{node.name}]" if node.name else ""
    return f"{', '.join(node.output)} = {domain}{node.op_type}({', '.join(node.input)}){attributes}{name}"


def _attribute(attribute: AttributeProto) -> str:
    """An attribute's value as text, or the name of the function's attribute that it stands for."""
    reference = attribute.ref_attr_name
    return f"@{reference}" if reference else _short(helper.get_attribute_value(attribute))


def _short(value: Any) -> str:
    """An attribute's value as text; graphs and large tensors by what tells them apart."""
    if isinstance(value, bytes):
        return repr(value.decode(errors="replace"))
    if isinstance(value, TensorProto):
        array = array_of(value)
        some = np.array2string(array.ravel()[:8], separator=",", max_line_width=1000)
        rest = f" ... sum {np.sum(array, dtype=np.float64)!r}" if array.size > 8 else ""
        return f"{array.dtype}{shape_text(array.shape)} {some}{rest}"
    if isinstance(value, GraphProto):
        return "{" + "; ".join(_nodes(value)) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_short(item) for item in value)}]"
    return f"{value:.9g}" if isinstance(value, float) else str(value).strip()


def _functions(first: ModelProto, second: ModelProto) -> tuple[str, ...]:
    left, right = ({(f.domain, f.name, f.overload): f for f in m.functions} for m in (first, second))
    return tuple(
        f"{'+' if key not in left else '-' if key not in right else '~'} {key[1]}"
        for key in sorted({*left, *right})
        if left.get(key) != right.get(key)
    )


def _metadata(model: ModelProto) -> list[str]:
    named = {
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "domain": model.domain,
        "model version": str(model.model_version),
        "documentation": model.doc_string,
        "graph": model.graph.name,
    }
    lines = [f"{key}: {text}" for key, text in named.items()]
    props = sorted((p.key, p.value) for p in model.metadata_props if p.key != METADATA_KEY)
    return [*lines, *(f"{key}: {text}" for key, text in props)]


def _recipe(model: ModelProto) -> list[str]:
    notes = [f"{p.key}: {p.value}" for p in model.metadata_props if p.key == METADATA_KEY]
    lines = []
    for info in model.training_info:
        lines += [*_values(info.algorithm), *_nodes(info.algorithm)]
        lines += [f"{b.key} becomes {b.value}" for b in (*info.update_binding, *info.initialization_binding)]
    return [*notes, *lines]


# -- initializers ----------------------------------------------------------------------------------


def _weights(first: ModelProto, second: ModelProto, atol: float, rtol: float) -> tuple[Weight, ...]:
    left, right = (_tensors(model) for model in (first, second))
    return tuple(_weight(n, left.get(n), right.get(n), atol, rtol) for n in dict.fromkeys([*left, *right]))


def _tensors(model: ModelProto) -> dict[str, TensorProto]:
    graphs: Iterable[GraphProto] = (model.graph, *(info.algorithm for info in model.training_info))
    return {t.name: t for graph in graphs for t in graph.initializer}


def _weight(
    name: str, first: TensorProto | None, second: TensorProto | None, atol: float, rtol: float
) -> Weight:
    texts = [
        None if t is None else f"{dtype_name(t.data_type)}{shape_text(tuple(t.dims))}"
        for t in (first, second)
    ]
    if first is None or second is None or texts[0] != texts[1]:
        return Weight(name, texts[0], texts[1], None, False)
    a, b = array_of(first), array_of(second)
    if a.dtype.kind in "OSU":
        return Weight(name, texts[0], texts[1], None, bool(np.array_equal(a, b)))
    return Weight(name, texts[0], texts[1], *_apart(a, b, atol, rtol))


def _apart(a: Array, b: Array, atol: float, rtol: float) -> tuple[float, bool]:
    """The largest absolute difference, and whether all are within the tolerance; equal NaNs are equal."""
    kind = np.complex128 if a.dtype.kind == "c" else np.float64
    x, y = a.astype(kind), b.astype(kind)
    same = (a == b) | (np.isnan(x) & np.isnan(y))
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(finite, x, 0.0), np.where(finite, y, 0.0)
    apart = np.where(finite, np.abs(x - y), np.where(same, 0.0, np.inf))
    return float(apart.max(initial=0.0)), bool((apart <= atol + rtol * np.abs(x)).all())
