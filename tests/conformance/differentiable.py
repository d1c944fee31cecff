"""Which inputs of which operators carry a gradient, measured: ``python -m tests.conformance.differentiable``.

ONNX' own ``differentiation_category`` is often wrong, so that nothing is taken from it. Each operator is
evaluated by ONNX' reference, in float64 where it can be, or by onnxruntime, at inputs of ONNX' own tests, of
the gradient tests and of :mod:`tests.conformance.samples`. An input carries a gradient if at one of them a
central difference is not zero and stays the same when its step is halved: at a jump it would double.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx.defs
import onnxruntime
from onnx import AttributeProto, ModelProto, TypeProto, helper
from onnx.defs import OpSchema
from onnx.reference import ReferenceEvaluator

from neuromatic.recipe import gradients
from neuromatic.saving import atomic
from tests.conformance.gradient_cases import ALL
from tests.conformance.gradients import Array, Node, Random
from tests.conformance.onnx_cases import all_cases
from tests.conformance.samples import SAMPLES

TABLE = Path(gradients.__file__).with_name("differentiable.py")
FLOATS = frozenset(f"tensor({kind})" for kind in ("float", "double", "float16", "bfloat16"))
WALKED = "holds a graph, which is walked instead"
DRAWS = "draws at random, whatever the numbers of its input are"
UNMEASURED: dict[str, str] = {
    **dict.fromkeys(["If", "Loop", "Scan", "SequenceMap"], WALKED),
    **dict.fromkeys(["Bernoulli", "Multinomial", "RandomNormalLike", "RandomUniformLike"], DRAWS),
    "ai.onnx.preview.training.Gradient": "is the end of a training step",
    "ai.onnx.preview.training.Adam": "is the end of a training step",
    "ai.onnx.preview.training.Adagrad": "is the end of a training step",
    "ai.onnx.preview.training.Momentum": "is the end of a training step",
    "ai.onnx.ml.CastMap": "takes a map",
    "ai.onnx.ml.DictVectorizer": "takes a map",
    "ai.onnx.ml.ZipMap": "gives maps",
}
"""Operators that have no entry, or an empty one, for another reason than a measured one."""
OLDEST = 6
STEP, COARSE = 1e-3, 1e-2
"""Of differences in float64, and in float32."""

_TEXT = '''"""Which inputs of each operator carry a gradient.

Measured, see ``tests/conformance/differentiable.py``, and written by ``python -m
tests.conformance.differentiable``; do not edit. Inputs are named as in the schema of any version.
"""

from __future__ import annotations

from collections.abc import Mapping

DIFFERENTIABLE: Mapping[str, frozenset[str]] = {{
    name: frozenset(inputs.split())
    for name, inputs in {{
{entries}    }}.items()
}}
"""By operator, with its domain in front unless that is ONNX' own. What has no input of floats is left out."""
'''

Evaluate = Callable[[dict[str, Any]], list[Array]]


def label(domain: str, op: str) -> str:
    """An operator's name in the table."""
    return f"{domain}.{op}" if domain else op


def measured() -> dict[str, set[str]]:
    """By operator with inputs of floats, the names of those that carry a gradient.

    Raises:
        AssertionError: an operator, or an input of one, is at hand in no sample that can be evaluated.
    """
    found: dict[str, set[str]] = {name: set() for name in _inputs()}
    tried: dict[str, set[str]] = {name: set() for name in found}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # some samples are at the rim of where an operator is defined
        for model, inputs in _samples():
            _measure(model, inputs, found, tried)
    missing = {
        f"{name}.{x}" for name, xs in _inputs().items() if name not in UNMEASURED for x in xs - tried[name]
    }
    assert not missing, sorted(missing)
    return {name: found[name] for name in found if UNMEASURED.get(name) != WALKED}


def text() -> str:
    """What the table has to be."""
    entries = (f'        "{name}": "{" ".join(sorted(xs))}",\n' for name, xs in sorted(measured().items()))
    return _TEXT.format(entries="".join(entries))


@functools.cache
def _inputs() -> dict[str, set[str]]:
    """The inputs of floats, or of what may hold floats, of each operator at any version from opset 6 on."""
    found: dict[str, set[str]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.deprecated or not _is_current(schema):
            continue
        named = {i.name for i in schema.inputs if _may_hold_floats(i)}
        if named:
            found.setdefault(label(schema.domain, schema.name), set()).update(named)
    return found


def _is_current(schema: OpSchema) -> bool:
    """Whether a model of opset :data:`OLDEST` or newer can ask for this version of an operator."""
    opset = schema.since_version if schema.domain else max(schema.since_version, OLDEST)
    try:
        found = onnx.defs.get_schema(schema.name, opset, schema.domain)
    except onnx.defs.SchemaError:
        return False
    return found.since_version == schema.since_version


def _may_hold_floats(formal: OpSchema.FormalParameter) -> bool:
    kinds = {kind.removeprefix("seq(").removeprefix("optional(").rstrip(")") + ")" for kind in formal.types}
    return bool(FLOATS & {kind.removeprefix("seq(") for kind in kinds})


def _samples() -> Iterator[tuple[ModelProto, dict[str, Any]]]:
    for case in all_cases():
        if len(case.model.graph.node) == 1 and case.data_sets:
            yield case.model, case.data_sets[0][0]
    for node in (*ALL, *SAMPLES):
        yield _model(node)


def _model(node: Node) -> tuple[ModelProto, dict[str, Any]]:
    rng = np.random.default_rng(0)
    names = ["" if i is None else f"x{n}" for n, i in enumerate(node.inputs)]
    given = {
        name: rng.uniform(i.low, i.high, i.shape) if isinstance(i, Random) else i
        for name, i in zip(names, node.inputs, strict=True)
        if i is not None
    }
    made = helper.make_node(
        node.op, names, [f"y{n}" for n in range(node.outputs)], domain=node.domain, **node.attributes
    )
    inputs, outputs = ([helper.make_value_info(n, TypeProto()) for n in ns] for ns in (given, made.output))
    opsets = [helper.make_opsetid(node.domain, node.opset)]
    graph = helper.make_graph([made], "sample", inputs, outputs)
    return helper.make_model(graph, opset_imports=opsets), given


def _measure(
    model: ModelProto, inputs: dict[str, Any], found: dict[str, set[str]], tried: dict[str, set[str]]
) -> None:
    """Add what one sample tells."""
    (node,) = model.graph.node
    name = label(node.domain, node.op_type)
    version = next(o.version for o in model.opset_import if o.domain == node.domain)
    formals = onnx.defs.get_schema(node.op_type, version, node.domain).inputs
    wanted = {
        x: formals[min(i, len(formals) - 1)].name
        for i, x in enumerate(node.input)
        if x in inputs and _has_floats(inputs[x])
    }
    wanted = {x: formal for x, formal in wanted.items() if formal in _inputs().get(name, ())}
    if not set(wanted.values()) - found.get(name, set()) or any(
        a.type == AttributeProto.GRAPH for a in node.attribute
    ):
        return
    evaluated = _evaluator(model, inputs)
    if evaluated is None:
        return
    evaluate, base, step = evaluated
    for x, formal in wanted.items():
        tried[name].add(formal)
        if formal not in found[name] and _is_smooth(evaluate, base, x, step):
            found[name].add(formal)


def _has_floats(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_has_floats, value))
    return isinstance(value, np.ndarray) and (value.dtype.kind == "f" or value.dtype.name == "bfloat16")


def _evaluator(model: ModelProto, inputs: dict[str, Any]) -> tuple[Evaluate, dict[str, Any], float] | None:
    """The first that can evaluate a model, the inputs in its precision, and the step for that."""
    for kind, step, make in (
        (np.float64, STEP, _reference),
        (np.float32, COARSE, _reference),
        (np.float32, COARSE, _onnxruntime),
    ):
        base = {name: _map(value, lambda a, kind=kind: a.astype(kind)) for name, value in inputs.items()}
        try:
            evaluate = make(model, base)
            first, second = evaluate(base), evaluate(base)
        except Exception:  # whatever a reference raises that lacks an operator, or a type of it
            continue
        same = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True))
        return (evaluate, base, step) if same else None  # what draws has no derivative
    return None


def _reference(model: ModelProto, inputs: dict[str, Any]) -> Evaluate:
    session = ReferenceEvaluator(model)
    return lambda given: _floats(session.run(None, given))


def _onnxruntime(model: ModelProto, inputs: dict[str, Any]) -> Evaluate:
    typed = ModelProto()
    typed.CopyFrom(model)
    typed.ir_version = 10
    for info in typed.graph.input:
        if not info.type.WhichOneof("value"):
            a = inputs[info.name]
            info.CopyFrom(
                helper.make_tensor_value_info(info.name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        typed.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda given: _floats(session.run(None, given))


def _map(value: Any, function: Callable[[Array], Array]) -> Any:
    """A value with its arrays of floats replaced, also in a list."""
    if isinstance(value, list):
        return [_map(one, function) for one in value]
    return function(value) if _has_floats(value) else value


def _floats(values: Any) -> list[Array]:
    """The arrays of floats among some values, in float64."""
    if isinstance(values, (list, tuple)):
        return [array for value in values for array in _floats(value)]
    return [values.astype(np.float64)] if _has_floats(values) else []


def _is_smooth(evaluate: Evaluate, base: dict[str, Any], name: str, step: float) -> bool:
    """Whether a central difference by one input is not zero and stays the same when its step is halved."""
    first, second = (_slope(evaluate, base, name, h) for h in (step, step / 2))
    return abs(second) > step / 10 and abs(first - second) < 0.05 * abs(second)


def _slope(evaluate: Evaluate, base: dict[str, Any], name: str, step: float) -> float:
    """Of a weighted sum of all outputs, where every element of the input moves; 0 if undefined."""

    def moved(by: float) -> dict[str, Any]:
        rng = np.random.default_rng(3)

        def move(a: Array) -> Array:
            direction = rng.uniform(0.5, 1.5, a.shape) * rng.choice([-1, 1], a.shape)
            return (a + by * direction).astype(a.dtype)

        return {**base, name: _map(base[name], move)}

    try:
        pairs = list(zip(evaluate(moved(step)), evaluate(moved(-step)), strict=True))
    except Exception:  # an input that may not be moved, such as a size
        return 0.0
    if any(above.shape != below.shape for above, below in pairs):
        return 0.0
    rng = np.random.default_rng(5)
    slopes = [(a - b) / (2 * step) * rng.uniform(0.5, 1.5, a.shape) for a, b in pairs]
    return float(sum(np.sum(s[np.isfinite(s)]) for s in slopes))


if __name__ == "__main__":
    atomic.write(str(TABLE), text().encode())
