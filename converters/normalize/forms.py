"""The pass from newer versions of operators to those of opset 9.

Most operators only took more element types since, and are copied. Attributes that opset 9 does not have are
left out where they say nothing; where they do, the node is refused by name.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import onnx.defs
from onnx import ModelProto
from onnx.checker import ValidationError

from neuromatic.converters.lowering import describe, resolve_attributes
from neuromatic.converters.normalize.arithmetic import REDUCTIONS
from neuromatic.converters.normalize.graph import Node, NoFormError, Results, Rewriter, Rule, axes_of, rewrite
from neuromatic.converters.registry import find_schema
from neuromatic.errors import ModelError, UnsupportedOpError
from neuromatic.ir.values import Value

OPSET = 9
ENGINE = "cntk native import"


def opset9_forms(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Say each operator as opset 9 has it: limits, pads, axes, slices and ratios as attributes.

    Raises:
        UnsupportedOpError: nodes have no such form; it names them all.
    """
    result, problems = forms_and_problems(model, keep)
    if problems:
        raise UnsupportedOpError(ENGINE, list(problems.values()))
    return result


def forms_and_problems(model: ModelProto, keep: Collection[str]) -> tuple[ModelProto, dict[str, str]]:
    """What :func:`opset9_forms` gives, and a sentence for each node left as it is, by its first output."""
    problems: dict[str, str] = {}

    def guarded(rule: Rule) -> Rule:
        def call(g: Rewriter, node: Node) -> Results:
            try:
                return rule(g, node)
            except NoFormError as error:
                reason = str(error)
            except (ModelError, ValidationError) as error:
                if problems and any(x is not None and not x.dtype for x in node.inputs):
                    return None  # it only lacks the type of a node that is refused already
                reason = str(error).strip().splitlines()[0]
            name = describe(node.proto, node.op)
            problems[node.proto.output[0]] = f"{name} has no form in opset {OPSET}: {reason}"
            return None

        return call

    rules = {op: guarded(rule) for op, rule in _RULES.items()}
    return rewrite(model, rules, keep, default=guarded(_same), opset=OPSET), problems


def _same(g: Rewriter, node: Node) -> Results:
    """The node as it is, without attributes that opset 9 lacks and that say nothing."""
    schema = find_schema(node.op, OPSET)
    if schema is None:
        raise NoFormError("the operator is newer")
    if len(node.inputs) > schema.max_input:
        raise NoFormError(f"it has {len(node.inputs)} inputs instead of {schema.max_input}")
    for name, value in node.attributes.items():
        if name not in schema.attributes and not _says_nothing(g, node, name, value):
            raise NoFormError(f"it has {name}={value!r}")
    given = node.given()
    older = resolve_attributes(node.proto, schema.attributes, {})
    kept = {name: given.get(name, node.attributes.get(name, older[name])) for name in schema.attributes}
    if kept.get("auto_pad") in ("NOTSET", b"NOTSET"):
        del kept["auto_pad"]
    return _made(g, node, node.inputs, kept)


def _made(g: Rewriter, node: Node, inputs: Sequence[Value | None], attributes: dict[str, Any]) -> Results:
    wanted = [i for i, name in enumerate(node.proto.output) if name]
    if wanted != list(range(len(wanted))):
        raise NoFormError("its first outputs are left out")
    return g.add_many(node.op, *inputs, outputs=len(wanted), **attributes)


def _says_nothing(g: Rewriter, node: Node, name: str, value: Any) -> bool:
    """Whether an attribute has the value at which the operator is what it was without the attribute."""
    if name == "dilations":
        return value is None or all(d == 1 for d in value)
    if name == "seed":
        return True
    if name == "spatial":
        return bool(value == 1)
    schema = find_schema(node.op, g.source_opset)
    default = resolve_attributes(onnx.NodeProto(), schema.attributes, {}) if schema is not None else {}
    return bool(value == default.get(name))


def _constant(g: Rewriter, node: Node, index: int, what: str) -> list[float] | None:
    """The numbers in a constant input; None where it is left out."""
    value = node.input(index)
    if value is None:
        return None
    array = g.array(value)
    if array is None:
        raise NoFormError(f"its {what} is not constant")
    return [float(v) for v in array.ravel()]


def _clip(g: Rewriter, node: Node) -> Results:
    if "min" in node.attributes:
        return _same(g, node)
    low, high = (_constant(g, node, i, what) for i, what in ((1, "minimum"), (2, "maximum")))
    limits = {
        "min": low[0] if low else float(np.finfo(np.float32).min),
        "max": high[0] if high else float(np.finfo(np.float32).max),
    }
    if limits["min"] > limits["max"]:
        raise NoFormError(f"its minimum {limits['min']} is above its maximum {limits['max']}")
    return g.add("Clip", node.x, **limits)


def _pad(g: Rewriter, node: Node) -> Results:
    if node.attributes.get("pads") is not None:
        return _same(g, node)
    mode = node.attributes["mode"]
    if mode not in ("constant", "edge", "reflect"):
        raise NoFormError(f"its mode is {mode}")
    pads = [int(p) for p in _constant(g, node, 1, "padding") or []]
    value = _constant(g, node, 2, "value") or [0.0]
    axes = axes_of(g, node, 3) or list(range(node.x.rank))
    whole = [0] * (2 * node.x.rank)
    for i, axis in enumerate(axes):
        whole[axis % node.x.rank], whole[axis % node.x.rank + node.x.rank] = pads[i], pads[i + len(axes)]
    return g.add("Pad", node.x, mode=mode, pads=whole, value=value[0])


def _slice(g: Rewriter, node: Node) -> Results:
    if node.x.shape is None:
        raise NoFormError("the rank of its input is unknown")
    starts, ends = (_bounds(g, node, name, i) for i, name in ((1, "starts"), (2, "ends")))
    axes = axes_of(g, node, 3) or list(range(len(starts)))
    steps = _constant(g, node, 4, "steps") or [1.0]
    if any(step != 1 for step in steps):
        raise NoFormError("its steps are not 1")
    axes = [a % node.x.rank for a in axes]
    sizes = [node.x.shape[a] for a in axes]
    bounds = [_clamped(*b) for b in zip(starts, ends, sizes, strict=True)]
    return g.add("Slice", node.x, axes=axes, starts=[b[0] for b in bounds], ends=[b[1] for b in bounds])


def _bounds(g: Rewriter, node: Node, name: str, index: int) -> list[int]:
    given = node.attributes.get(name)
    return list(given) if given is not None else [int(v) for v in _constant(g, node, index, name) or []]


def _clamped(start: int, end: int, size: Any) -> tuple[int, int]:
    """Bounds counted from the front and not past the end."""
    if isinstance(size, int):
        first, last, _ = slice(start, end).indices(size)
        if first >= last:
            raise NoFormError("its result is empty")
        return first, last
    if start < 0 or end < 0:
        raise NoFormError("it counts from the end of a dimension of unknown size")
    return start, end


def _reduction(g: Rewriter, node: Node) -> Results:
    if node.attributes.get("noop_with_empty_axes"):
        raise NoFormError("it has noop_with_empty_axes")
    axes = axes_of(g, node)
    attributes = {"axes": axes} if axes else {}
    return g.add(node.op, node.x, keepdims=node.attributes["keepdims"], **attributes)


def _dropout(g: Rewriter, node: Node) -> Results:
    if node.wants(1):
        raise NoFormError("its mask is used")
    if "ratio" in node.attributes:
        return g.add("Dropout", node.x, ratio=node.attributes["ratio"])
    training = g.array(node.input(2))
    if node.input(2) is not None and (training is None or bool(training)):
        raise NoFormError("its training_mode is not false")
    ratio = _constant(g, node, 1, "ratio")
    return g.add("Dropout", node.x, ratio=0.5 if ratio is None else ratio[0])


_RULES: dict[str, Rule] = {
    "Clip": _clip,
    "Dropout": _dropout,
    "Pad": _pad,
    "Slice": _slice,
    **dict.fromkeys(REDUCTIONS, _reduction),
}
