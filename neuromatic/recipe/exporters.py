"""Which initializers are constants, as far as a file lets one know.

ONNX does not say whether an initializer is a parameter. PyTorch's newer exporter (``dynamo=True``) notes in
``metadata_props`` what each was, and of what it folded a value; other files tell by names, by the operators
that use a value, and by the values themselves. What stays open is said, see :func:`doubts`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from onnx import GraphProto, ModelProto, StringStringEntryProto, TensorProto

from neuromatic.ir.opsets import NEUROMATIC_DOMAIN
from neuromatic.ir.types import FLOATS
from neuromatic.recipe import evidence

KIND = "pkg.torch.export.graph_signature.InputSpec.kind"
SIGNATURE = "pkg.torch.export.ExportedProgram.graph_signature"
FOLDED = "pkg.onnxscript.optimizer.folded_from"
TRACED = "pkg.torch.onnx.fx_node"
PARAMETER = "PARAMETER"
MODULE_PATH = re.compile(r"[^\W\d]\w*(\.\w+)*")
"""How PyTorch names a parameter: attributes of modules, separated by dots."""


@dataclass(frozen=True)
class Doubt:
    """An initializer of which the file does not say whether it is a parameter.

    Attributes:
        name: of the initializer.
        trained: what is assumed.
        reason: what speaks against that, or leaves it open.
    """

    name: str
    trained: bool
    reason: str


@dataclass(frozen=True)
class Verdict:
    """Whether an initializer is a parameter, and why that is in doubt, if it is."""

    parameter: bool
    doubt: str | None = None


YES, NO = Verdict(True), Verdict(False)


def exported_constants(model: ModelProto) -> frozenset[str]:
    """The initializers of floats of a model's graph that are not trained unless asked for."""
    return frozenset(name for name, verdict in verdicts(model).items() if not verdict.parameter)


def doubts(model: ModelProto) -> list[Doubt]:
    """Where the file leaves open whether an initializer is a parameter, in the order of the file."""
    return [Doubt(n, v.parameter, v.doubt) for n, v in verdicts(model).items() if v.doubt is not None]


def verdicts(model: ModelProto) -> dict[str, Verdict]:
    """What each initializer of floats of a model's graph is taken for.

    - Neuromatic writes constants as nodes, so that all its initializers are parameters.
    - Where PyTorch noted what values were, its notes decide; for values that it folded from others, what
      they were folded from.
    - Else single numbers are constants, but for weights and biases of operators and for what has the name
      of a parameter of a PyTorch module.
    - What no operator has for its weight, and looks like a mask or a table of positions, is a constant in
      files of other exporters.
    """
    stored = [t for t in model.graph.initializer if t.data_type in FLOATS]
    if model.producer_name == NEUROMATIC_DOMAIN:
        return {t.name: YES for t in stored}
    judge = _Noted(model) if _noted_kinds(model.graph) else _Named(model)
    return {t.name: judge.verdict(t) for t in stored}


class _Named:
    """Judges by names, uses and values."""

    def __init__(self, model: ModelProto) -> None:
        self._weights = evidence.weights(model.graph)
        self._settings = evidence.settings(model.graph)
        self._normalizing = evidence.normalizing(model.graph)
        self._producer = model.producer_name

    def verdict(self, tensor: TensorProto) -> Verdict:
        name = tensor.name
        named = self._producer == "pytorch" and MODULE_PATH.fullmatch(name) is not None
        if named and evidence.is_single(tensor):
            return YES
        if name in self._weights:
            return self._weight(tensor)
        if evidence.is_single(tensor) or name in self._settings:
            return NO
        looks = evidence.looks_computed(tensor)
        if looks:
            return Verdict(not self._producer, f"it holds {looks}")
        if self._producer and name in self._normalizing:
            return Verdict(False, "it only shifts or scales an input")
        if named or not self._producer:
            return YES
        return Verdict(
            True, f"{self._producer} names parameters otherwise, and no operator has it for a weight"
        )

    def _weight(self, tensor: TensorProto) -> Verdict:
        """A weight, unless it is a table of frequencies or positions that is multiplied or looked up."""
        looks = evidence.looks_computed(tensor) if self._producer else None
        return Verdict(False, f"it holds {looks}") if looks in ("frequencies", "waves") else YES


class _Noted:
    """Judges by what PyTorch noted, and by uses and values where it noted nothing."""

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        self._kinds, self._parameters = _noted_kinds(graph), _parameters(graph)
        self._folded = _folded_from(graph)
        names = [t.name for t in graph.initializer]
        self._missing = self._parameters - set(names)
        self._weights, self._settings = evidence.weights(graph), evidence.settings(graph)
        unnoted = frozenset(n for n in names if n not in self._kinds and n not in self._parameters)
        self._copies = evidence.copies(graph, unnoted - self._folded.keys())
        self._dummies = {x for n in graph.node if n.op_type == "InstanceNormalization" for x in n.input[1:]}
        self._traced = _traced(graph)

    def verdict(self, tensor: TensorProto) -> Verdict:
        name = tensor.name
        if name in self._kinds:
            return YES if self._kinds[name] == PARAMETER else NO
        if name in self._parameters:
            return YES
        if name in self._folded:
            return Verdict(not self._parameters.isdisjoint(self._folded[name]))
        if name in self._copies:
            return Verdict(True, f"it equals {self._copies[name]!r}, from which it is trained apart")
        if not self._missing or name in self._dummies or name in self._settings:
            return NO
        return self._unnoted(tensor)

    def _unnoted(self, tensor: TensorProto) -> Verdict:
        """Of what may be a parameter that lost its name on the way."""
        name = tensor.name
        placeholders = {f"p_{p.replace('.', '_')}" for p in self._missing}
        if placeholders & self._traced.get(name, set()) and not evidence.is_single(tensor):
            return YES
        if evidence.is_single(tensor) and name not in self._weights:
            return NO
        looks = evidence.looks_computed(tensor)
        if looks:
            return Verdict(False, f"it holds {looks}")
        return Verdict(
            True, f"PyTorch did not note what it is, and {len(self._missing)} parameters have no name here"
        )


def _noted_kinds(graph: GraphProto) -> dict[str, str]:
    """What PyTorch's exporter noted of values, by name."""
    return _notes(graph, KIND)


def _notes(graph: GraphProto, key: str) -> dict[str, str]:
    found = {value.name: _property(value.metadata_props, key) for value in graph.value_info}
    return {name: note for name, note in found.items() if note}


def _folded_from(graph: GraphProto) -> Mapping[str, frozenset[str]]:
    """Of which values PyTorch's exporter computed others once and for all."""
    found = {}
    for name, note in _notes(graph, FOLDED).items():
        try:
            sources = ast.literal_eval(note)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(sources, list) and all(isinstance(s, str) for s in sources):
            found[name] = frozenset(sources)
    return found


def _traced(graph: GraphProto) -> dict[str, set[str]]:
    """For each value, the names that the calls it is used in had in the program."""
    found: dict[str, set[str]] = {}
    for node in graph.node:
        names = set(re.findall(r"%(\w+)", _property(node.metadata_props, TRACED)))
        for x in node.input:
            found.setdefault(x, set()).update(names)
    return found


def _parameters(graph: GraphProto) -> set[str]:
    """The names of all parameters of the program that was exported."""
    text = _property(graph.metadata_props, SIGNATURE)
    return set(re.findall(rf"{PARAMETER} target='([^']*)'", text))


def _property(properties: Iterable[StringStringEntryProto], key: str) -> str:
    return next((p.value for p in properties if p.key == key), "")
