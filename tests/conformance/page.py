"""CONFORMANCE.md: which of ONNX' own tests TensorFlow and CNTK pass, by class of test.

``python -m tests.conformance.page``, run from the root, writes the page anew. It counts what the tests in
test_operators_tensorflow.py assert: a case passes, gives other values, or is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import onnx
from onnx import TensorProto, TypeProto

from neuromatic.converters.registry import TRAINING_DOMAIN
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.saving import atomic as files
from tests.conformance import cntk_cases
from tests.conformance.exclusions import OTHER_VALUES, TENSORFLOW
from tests.conformance.onnx_cases import Case, all_cases, loaded_cases, lowered_cases

CLASSES = {
    "float": "plain, float",
    "integer": "plain, integer and bool",
    "narrow": "bfloat16, float8, float4, int4, int2",
    "sequence": "sequences and optionals",
    "control": "control flow (If, Loop, Scan)",
    "string": "strings",
    "training": "training mode (BatchNormalization, Dropout)",
    "optimizer": "optimizers (ai.onnx.preview.training)",
    "preview": "preview operators (ai.onnx.preview)",
    "random": "random numbers",
    "image": "ImageDecoder",
    "ml": "ai.onnx.ml",
}
"""The classes and their titles."""

KINDS = {
    "simple": "simple models",
    "pytorch-converted": "models converted from PyTorch",
    "pytorch-operator": "operators of PyTorch",
    "real": "well-known models (AlexNet, DenseNet, Inception, ResNet, ShuffleNet, SqueezeNet, VGG, ZFNet)",
}
"""The other kinds of tests that onnx ships and their titles; all of these have to pass."""

_NARROW = ("FLOAT8", "FLOAT4", "BFLOAT16", "INT4", "UINT4", "INT2", "UINT2")
_FLOAT = ("FLOAT", "DOUBLE")


def _types(kind: TypeProto) -> Iterator[str]:
    which = kind.WhichOneof("value")
    if which == "tensor_type":
        yield TensorProto.DataType.Name(kind.tensor_type.elem_type)
    elif which in ("sequence_type", "optional_type"):
        yield which
        yield from _types(getattr(kind, which).elem_type)


def class_of(case: Case) -> str:
    """The class of a node test."""
    graph = case.model.graph
    types = {t for value in (*graph.input, *graph.output) for t in _types(value.type)}
    names = {(node.domain, node.op_type) for node in graph.node}
    domains = {domain for domain, _ in names}
    operators = {op for _, op in names}
    found = {
        "training": case.name.startswith("test_training_dropout") or "training_mode" in case.name,
        "optimizer": TRAINING_DOMAIN in domains,
        "preview": "ai.onnx.preview" in domains,
        "ml": "ai.onnx.ml" in domains,
        "image": "ImageDecoder" in operators,
        "random": "bernoulli" in case.name,
        "control": not operators.isdisjoint({"If", "Loop", "Scan"}),
        "sequence": not types.isdisjoint({"sequence_type", "optional_type"})
        or any("Sequence" in op or op.startswith("Optional") for op in operators - {"ReverseSequence"}),
        "string": "STRING" in types,
        "narrow": any(t.startswith(_NARROW) for t in types),
        "float": any(t.startswith(_FLOAT) for t in types),
    }
    return next((name for name, holds in found.items() if holds), "integer")


def outcomes() -> dict[str, Counter[str]]:
    """How many node tests of each class pass, give other values, or are not supported.

    The test of an operator's function body counts to the class of the operator's own.
    """
    lowered = {case.name for case in lowered_cases(ops)}
    classes = {case.name: class_of(case) for case in all_cases()}
    counted: dict[str, Counter[str]] = {name: Counter() for name in CLASSES}
    for name in classes:
        reason = TENSORFLOW.get(name)
        outcome = "passed" if reason is None else "failed" if reason in OTHER_VALUES else "unsupported"
        group = classes.get(name.removesuffix("_expanded"), classes[name])
        counted[group]["unsupported" if name not in lowered else outcome] += 1
    return counted


def cntk_outcomes() -> dict[str, Counter[str]]:
    """How many node tests of each class CNTK computes, the host computes, or nobody."""
    classes = {case.name: class_of(case) for case in all_cases()}
    counted: dict[str, Counter[str]] = {name: Counter() for name in CLASSES}
    for case in all_cases():
        group = classes.get(case.name.removesuffix("_expanded"), classes[case.name])
        counted[group][cntk_cases.outcome(case)] += 1
    return counted


def markdown() -> str:
    """The page."""
    counted, on_cntk = outcomes(), cntk_outcomes()
    total = sum(counted.values(), Counter[str]())
    opset = onnx.defs.onnx_opset_version()
    lines = [
        "# Conformance",
        "",
        f"ONNX' own tests of onnx {onnx.__version__} (opset {opset}) on TensorFlow. Written by `python -m "
        "tests.conformance.page`; a test compares this page with what the tests assert.",
        "",
        "*Failed* cases run and give other values; *not supported* ones are refused with a sentence that "
        "says why. The reasons are in `tests/conformance/exclusions.py`, and a test fails when an excluded "
        "case starts to pass. `_expanded` tests, which run the function that defines an operator, count too.",
        "",
        f"Two things are wider than a training run: {_in_half_precision():,} of the tests that pass give "
        "float16 or bfloat16, which may be four units in the last place away even where onnx' own tolerance "
        "is less; and `_expanded` tests and those of Attention run operator by operator, not traced. The "
        "numbers are those with oneDNN on, as the engine switches it; CI asserts them without it, too.",
        "",
        "| Node tests | passed | failed | not supported |",
        "| --- | ---: | ---: | ---: |",
        *(_row(title, counted[name]) for name, title in CLASSES.items()),
        _row("all", total),
        "",
        "On CNTK, tests/conformance/test_operators_cntk.py asserts the same of tests whose inputs are all "
        "data, of which nothing is trained. What CNTK has no way to compute, onnxruntime computes in its "
        "place, as it does before training; that, and what is constant, is counted apart.",
        "",
        "| Node tests | by CNTK | constant, or by onnxruntime | not supported |",
        "| --- | ---: | ---: | ---: |",
        *(_cntk_row(title, on_cntk[name]) for name, title in CLASSES.items()),
        _cntk_row("all", sum(on_cntk.values(), Counter[str]())),
        "",
        "| Models | passed | of |",
        "| --- | ---: | ---: |",
        *(
            f"| {title} | {len(loaded_cases(kind))} | {len(loaded_cases(kind))} |"
            for kind, title in KINDS.items()
        ),
        "",
    ]
    return "\n".join(lines)


def _in_half_precision() -> int:
    """How many node tests that pass compare values of half precision."""
    halves = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    passed = (case for case in lowered_cases(ops) if case.name not in TENSORFLOW)
    return sum(any(o.type.tensor_type.elem_type in halves for o in c.model.graph.output) for c in passed)


def _cntk_row(title: str, counts: Counter[str]) -> str:
    return f"| {title} | {counts['cntk']:,} | {counts['host']:,} | {counts['unsupported']} |"


def _row(title: str, counts: Counter[str]) -> str:
    return f"| {title} | {counts['passed']:,} | {counts['failed']} | {counts['unsupported']} |"


if __name__ == "__main__":
    files.write("CONFORMANCE.md", markdown().encode())
