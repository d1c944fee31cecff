"""The table of operators an engine can train, as Markdown: a function of the engines' registries.

``python -m neuromatic.converters.support`` writes ``OPERATORS.md`` of the current folder anew.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import onnx.defs
from onnx import ModelProto, helper
from onnx.defs import OpSchema

from neuromatic.converters.lowering import plan
from neuromatic.converters.registry import TRAINING_DOMAIN, Registry
from neuromatic.errors import UnsupportedOpError
from neuromatic.ir import onnx_ml
from neuromatic.saving import atomic as files

OLDEST_OPSET = 7
"""The oldest opset whose operators are listed."""

ENGINES = {
    "TensorFlow": "neuromatic.converters.tensorflow.lowerings",
    "CNTK": "neuromatic.converters.cntk.lowerings",
}
"""Title of each engine and the module that holds its registry as ``ops``."""


_WANTED: dict[str, dict[str, Any]] = {
    "CategoryMapper": {"cats_int64s": [1], "cats_strings": ["a"]},
    "Imputer": {"imputed_value_floats": [1.0]},
    "LabelEncoder": {"keys_floats": [1.0], "values_floats": [1.0]},
    "LinearClassifier": {"coefficients": [1.0], "intercepts": [1.0], "classlabels_ints": [0, 1]},
    "LinearRegressor": {"coefficients": [1.0]},
    "OneHotEncoder": {"cats_int64s": [1]},
}
"""Attributes of ai.onnx.ml that a node makes no sense without, though ONNX does not require them."""

_SAMPLES: dict[str, Any] = {"INT": 1, "INTS": [1], "FLOAT": 1.0, "FLOATS": [1.0], "STRING": ""}
"""A value of each type that a required attribute can have."""


@dataclass(frozen=True)
class Operator:
    """An operator and the schemas that models of opset 7 or newer can ask for, by version."""

    domain: str
    name: str
    schemas: dict[int, OpSchema]

    @property
    def full_name(self) -> str:
        """With its domain, where that is not ONNX' own."""
        return f"{self.domain}.{self.name}" if self.domain else self.name

    @property
    def versions(self) -> list[int]:
        return sorted(self.schemas)


def operators() -> list[Operator]:
    """Every operator of ONNX itself, of ai.onnx.ml and of ONNX' training domain, by name."""
    found: dict[tuple[str, str], dict[int, OpSchema]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain not in ("", TRAINING_DOMAIN, onnx_ml.DOMAIN) or schema.deprecated:
            continue
        opset = _opset(schema)
        try:
            current = onnx.defs.get_schema(schema.name, opset, schema.domain)
        except onnx.defs.SchemaError:
            continue
        if current.since_version == schema.since_version:
            found.setdefault((schema.domain, schema.name), {})[schema.since_version] = schema
    return [Operator(domain, name, found[domain, name]) for domain, name in sorted(found)]


def lowered_versions(operator: Operator, registry: Registry) -> list[int]:
    """The versions of an operator for which a registry has a lowering."""
    return [v for v in operator.versions if v in registry.versions(operator.name, operator.domain)]


def expanded_versions(operator: Operator, registry: Registry) -> list[int]:
    """The versions without a lowering that ONNX defines by operators which have one."""
    lowered = lowered_versions(operator, registry)
    return [
        version
        for version, schema in sorted(operator.schemas.items())
        if version not in lowered and _expands(schema, registry)
    ]


def markdown(registries: dict[str, Registry]) -> str:
    """The page: one row for each operator that some engine trains, one column for each engine."""
    all_operators = operators()
    rows = [row for operator in all_operators if (row := _row(operator, registries)) is not None]
    listed = {(o.domain, o.name) for o in all_operators if _row(o, registries) is not None}
    missing = [f"`{o.full_name}`" for o in all_operators if (o.domain, o.name) not in listed]
    titles = ["Operator", "Schema versions", *registries]
    lines = [
        "# Operators",
        "",
        "Which ONNX operators an engine can train. Written by `python -m neuromatic.converters.support`; "
        "a test compares this page with the registries.",
        "",
        f"Schema versions are those that models of opset {OLDEST_OPSET} or newer ask for, up to opset "
        f"{onnx.defs.onnx_opset_version()}. *By function* means that the operator is defined by others, by "
        "ONNX itself or, for `ai.onnx.ml`, in `neuromatic/ir/onnx_ml`, and that the engine trains those.",
        "",
        _line(titles),
        _line(["---"] * len(titles)),
        *rows,
        "",
        f"{len(rows)} of {len(all_operators)} operators. Not trained by any engine: {', '.join(missing)}.",
        "",
    ]
    return "\n".join(lines)


def _row(operator: Operator, registries: dict[str, Registry]) -> str | None:
    cells = [_cell(operator, registry) for registry in registries.values()]
    if not any(cells):
        return None
    return _line([f"`{operator.full_name}`", _numbers(operator.versions), *cells])


def _cell(operator: Operator, registry: Registry) -> str:
    lowered, expanded = lowered_versions(operator, registry), expanded_versions(operator, registry)
    parts = ["all" if lowered == operator.versions else _numbers(lowered)] if lowered else []
    if expanded:
        which = "all" if expanded == operator.versions else _numbers(expanded)
        parts.append(f"by function: {which}")
    return "; ".join(parts)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _numbers(versions: Sequence[int]) -> str:
    return ", ".join(map(str, versions))


def _opset(schema: OpSchema) -> int:
    """The oldest opset of interest whose version of the operator this is."""
    return schema.since_version if schema.domain else max(schema.since_version, OLDEST_OPSET)


def _expands(schema: OpSchema, registry: Registry) -> bool:
    attributes = _required_attributes(schema)
    if attributes is None:
        return False
    try:
        plan(_sample(schema, attributes), registry)
    except UnsupportedOpError:
        return False
    return True


def _sample(schema: OpSchema, attributes: dict[str, Any]) -> ModelProto:
    """A model of one node with all its inputs and the attributes that it must have."""
    inputs = [helper.make_tensor_value_info(f"in_{i.name}", _element_type(i), None) for i in schema.inputs]
    outputs = [f"out_{o.name}" for o in schema.outputs if o.option != OpSchema.FormalParameterOption.Optional]
    node = helper.make_node(
        schema.name, [i.name for i in inputs], outputs, domain=schema.domain, **attributes
    )
    graph = helper.make_graph([node], "sample", inputs, [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(schema.domain, _opset(schema))])


def _element_type(parameter: OpSchema.FormalParameter) -> int:
    allowed = sorted(t for t in parameter.types if t.startswith("tensor("))
    name = "tensor(float)" if "tensor(float)" in allowed or not allowed else allowed[0]
    number: int = onnx.TensorProto.DataType.Value(name[len("tensor(") : -1].upper())
    return number


def _required_attributes(schema: OpSchema) -> dict[str, Any] | None:
    """A value for each attribute that a node must have; None where one of them is a graph."""
    required = {name: str(a.type).rpartition(".")[2] for name, a in schema.attributes.items() if a.required}
    if not set(required.values()) <= _SAMPLES.keys():
        return None
    wanted = _WANTED.get(schema.name, {}) if schema.domain == onnx_ml.DOMAIN else {}
    if schema.name == "LabelEncoder" and schema.since_version == 1:
        wanted = {"classes_strings": ["a"]}
    return {name: _SAMPLES[kind] for name, kind in required.items()} | wanted


def main() -> None:
    """Write the page."""
    registries = {title: importlib.import_module(module).ops for title, module in ENGINES.items()}
    files.write("OPERATORS.md", markdown(registries).encode())


if __name__ == "__main__":
    main()
