"""Which initializers are constants, as far as the program that exported a file lets one know.

ONNX does not say whether an initializer is a parameter. PyTorch's newer exporter (``dynamo=True``) notes in
``metadata_props`` what each was, but the constants it folded and the numbers of the code have no note, nor
have parameters that it turned or reshaped on the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from onnx import GraphProto, ModelProto, StringStringEntryProto

from neuromatic.ir.opsets import NEUROMATIC_DOMAIN

KIND = "pkg.torch.export.graph_signature.InputSpec.kind"
SIGNATURE = "pkg.torch.export.ExportedProgram.graph_signature"
PARAMETER = "PARAMETER"
MODULE_PATH = re.compile(r"[^\W\d]\w*(\.\w+)*")
"""How PyTorch names a parameter: attributes of modules, separated by dots."""

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "PRelu"})
"""Operators whose second input is a weight, of however few elements."""


def exported_constants(model: ModelProto) -> frozenset[str]:
    """The initializers of a model's graph that its exporter wrote for constants.

    - Where PyTorch noted what values were, those that it noted as something else than parameters. Of those
      without a note: what has one element and is no operator's weight, the dummy scale and offset of an
      InstanceNormalization that stands for GroupNorm, and all of them if no parameter is missing.
    - Elsewhere, single numbers without dimensions, but for models that Neuromatic or nobody in particular
      made, and for what is named as PyTorch names parameters.
    """
    noted = _noted_kinds(model.graph)
    if noted:
        return frozenset(
            t.name for t in model.graph.initializer if noted.get(t.name, PARAMETER) != PARAMETER
        ) | (_unnoted_constants(model.graph, noted))
    if model.producer_name in ("", NEUROMATIC_DOMAIN):
        return frozenset()
    named = model.producer_name == "pytorch"
    return frozenset(
        t.name
        for t in model.graph.initializer
        if not t.dims and not (named and MODULE_PATH.fullmatch(t.name))
    )


def _unnoted_constants(graph: GraphProto, noted: dict[str, str]) -> frozenset[str]:
    unnoted = {t.name: t for t in graph.initializer if t.name not in noted}
    stored = {t.name for t in graph.initializer}
    if not _parameters(graph) - stored:
        return frozenset(unnoted)
    dummies = {x for node in graph.node if node.op_type == "InstanceNormalization" for x in node.input[1:]}
    weights = {x for node in graph.node if node.op_type in WEIGHTED for x in node.input[1:2]}
    numbers = {name for name, t in unnoted.items() if name not in weights and all(d == 1 for d in t.dims)}
    return frozenset(numbers | dummies.intersection(unnoted))


def _noted_kinds(graph: GraphProto) -> dict[str, str]:
    """What PyTorch's exporter noted of values, by name."""
    kinds = {value.name: _property(value.metadata_props, KIND) for value in graph.value_info}
    return {name: kind for name, kind in kinds.items() if kind}


def _parameters(graph: GraphProto) -> set[str]:
    """The names of all parameters of the program that was exported."""
    text = _property(graph.metadata_props, SIGNATURE)
    return set(re.findall(rf"{PARAMETER} target='([^']*)'", text))


def _property(properties: Iterable[StringStringEntryProto], key: str) -> str:
    return next((p.value for p in properties if p.key == key), "")
