"""The cases that ONNX ships: each is refused by name, or computes in opset 9 what ONNX expects.

The first input stays an input, with its first dimension as the batch; all others become initializers.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

from neuromatic.converters.normalize import NATIVE_OPERATORS, to_opset9
from neuromatic.errors import UnsupportedFeatureError, UnsupportedOpError
from tests.conformance.onnx_cases import Case, all_cases
from tests.converters.normalize.models import ops
from tests.neuromatic.graphs import in_onnxruntime

REWRITTEN = {
    "CastLike", "Celu", "Equal", "Flatten", "Gather", "Gelu", "Gemm", "GreaterOrEqual",
    "GroupNormalization", "HardSwish", "InstanceNormalization", "LayerNormalization", "LessOrEqual",
    "Mean", "MeanVarianceNormalization", "Mish", "Pow", "RMSNormalization", "ReduceLogSum", "Shape",
    "Size", "Split", "Squeeze", "Sum", "SwiGLU", "Swish", "Unsqueeze", "Where",
}  # fmt: skip


def is_touched(case: Case) -> bool:
    nodes = case.model.graph.node
    known = any(node.op_type in NATIVE_OPERATORS | REWRITTEN for node in nodes)
    return bool(case.data_sets and case.data_sets[0][0]) and known and len(nodes) <= 20


CASES = [case for case in all_cases() if is_touched(case)]

DIFFERENT = {
    "test_averagepool_2d_ceil_last_window_starts_on_pad": "ONNX expects numbers of four digits",
}


WITHOUT_CASE = {"And", "Or", "Xor", "ReduceLogSumExp"}
"""Operators whose cases take booleans from outside, or doubles."""

UNNAMED = {
    "test_celu_bfloat16": "the name is that of a node in the function of Celu",
    **dict.fromkeys(
        ("test_not_2d", "test_not_3d", "test_not_4d"), "the opset is too old for the whole model"
    ),
}


def as_network(case: Case) -> ModelProto:
    """The case's model with one input, its first."""
    model = ModelProto()
    model.CopyFrom(case.model)
    first, *others = case.data_sets[0][0].items()
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in others)
    inputs = [item for item in model.graph.input if item.name == first[0]]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return model


def parameters(case: Case) -> list[str]:
    """The inputs that would be trained: what becomes an initializer, is float and no scalar."""
    _, *others = case.data_sets[0][0].items()
    return [name for name, array in others if array.dtype == np.float32 and array.size > 1]


@functools.cache
def normalized(name: str) -> ModelProto | str:
    """The model in opset 9, or why not."""
    case = next(case for case in CASES if case.name == name)
    try:
        return to_opset9(as_network(case), keep=parameters(case))
    except (UnsupportedOpError, UnsupportedFeatureError) as error:
        return str(error)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_refused_or_equal(case: Case) -> None:
    result = normalized(case.name)
    if isinstance(result, str):
        named = any(f"'{value}{end}" in result for value in names(case.model) for end in "'/")
        assert named or case.name in UNNAMED, result
        return
    inputs, expected = case.data_sets[0]
    first = next(iter(inputs))
    got = in_onnxruntime(result, {first: inputs[first]})
    atol = 1e-4 if case.name in DIFFERENT else max(case.atol, 1e-6)
    for want, value in zip(expected, got, strict=True):
        assert value.dtype == want.dtype
        np.testing.assert_allclose(value, want, rtol=max(case.rtol, 1e-5), atol=atol)
    kept = {t.name: numpy_helper.to_array(t).tobytes() for t in result.graph.initializer}
    assert all(kept[name] == inputs[name].tobytes() for name in parameters(case))


def names(model: ModelProto) -> set[str]:
    """What an error may name: values and nodes of the case, and of the nodes made from them."""
    values = {name for node in model.graph.node for name in (*node.output, node.name)}
    return values | {i.name for i in model.graph.input}


def test_many_are_accepted_and_every_operator_among_them() -> None:
    accepted = [r for case in CASES if isinstance(r := normalized(case.name), ModelProto)]
    assert len(accepted) > 350
    assert NATIVE_OPERATORS - {op for model in accepted for op in ops(model)} <= WITHOUT_CASE
