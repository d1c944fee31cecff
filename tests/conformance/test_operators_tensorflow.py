"""Every TensorFlow lowering against the results that ONNX expects.

The cases are chosen by the registry: whoever adds a lowering adds its cases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from neuromatic.converters.registry import OpKey
from neuromatic.converters.tensorflow.evaluate import run_model
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.errors import UnsupportedFeatureError
from tests.conformance.exclusions import NOT_LOWERED, OTHER_VALUES, TENSORFLOW
from tests.conformance.onnx_cases import Case, all_cases, loaded_cases, lowered_cases
from tests.conformance.page import markdown

CASES = lowered_cases(ops)


def _known(inputs: dict[str, Any]) -> list[str]:
    """Inputs that may be shapes, axes, scales or flags, and so have to be constants for some operators."""
    return [n for n, a in inputs.items() if isinstance(a, np.ndarray) and a.ndim <= 1]


def _check(case: Case, eager: bool = False) -> None:
    # Bodies of functions are many nodes, each of them traced by other cases: run them untraced, to save time.
    eager = eager or case.name.startswith("test_attention") or case.name.endswith("_expanded")
    for inputs, expected in case.data_sets:
        try:
            got = run_model(case.model, inputs, eager=eager)
        except UnsupportedFeatureError as error:
            if "make it an initializer" not in str(error):
                raise
            got = run_model(case.model, inputs, eager=eager, known=_known(inputs))
        case.compare(got, expected)


@pytest.mark.parametrize("case", [c for c in CASES if c.name not in TENSORFLOW], ids=lambda c: c.name)
def test_matches_the_onnx_reference(case: Case) -> None:
    _check(case)


@pytest.mark.parametrize("case", [c for c in CASES if c.name in TENSORFLOW], ids=lambda c: c.name)
def test_an_excluded_case_still_fails(case: Case) -> None:
    other_values = TENSORFLOW[case.name] in OTHER_VALUES
    with pytest.raises(AssertionError if other_values else UnsupportedFeatureError):
        _check(case)


@pytest.mark.parametrize("kind", ["simple", "pytorch-converted", "pytorch-operator"])
def test_small_models_match(kind: str) -> None:
    for case in loaded_cases(kind):
        _check(case, eager=True)


@pytest.mark.parametrize("case", loaded_cases("real"), ids=lambda c: c.name)
def test_well_known_models_match(case: Case) -> None:
    model = onnx.ModelProto.FromString(case.model.SerializeToString())
    last = model.graph.node[-1]
    if last.op_type != "Softmax":
        _check(case, eager=True)
        return
    model.graph.output.add().CopyFrom(onnx.helper.make_tensor_value_info(last.input[0], 1, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for inputs, expected in case.data_sets:
        got = run_model(model, inputs, eager=True)
        logits = got.pop(last.input[0])
        np.testing.assert_allclose(logits, session.run(last.input, inputs)[0], rtol=case.rtol)
        # SqueezeNet's are equal and so large that the rounding of one of them decides the softmax.
        if np.spacing(np.abs(logits).max()) < case.rtol:
            case.compare(got, expected)


def test_the_page_says_what_is_tested() -> None:
    page = Path(__file__).parents[2] / "CONFORMANCE.md"
    assert page.read_text() == markdown(), "run: python -m tests.conformance.page"


def test_exclusions_name_cases_that_are_lowered() -> None:
    assert TENSORFLOW.keys() <= {case.name for case in CASES}
    assert all(TENSORFLOW.values())


def test_most_cases_are_lowered() -> None:
    """A guard against a registry that lost its operators: few cases would then run, and all of them pass."""
    assert len(CASES) > 0.75 * len(all_cases())


def _reachable(op: str, domain: str) -> set[int]:
    """The schema versions that a model of opset 7 or newer can ask for."""
    newest = onnx.defs.onnx_opset_version() if domain == "" else 1
    versions = set()
    for opset in range(7 if domain == "" else 1, newest + 1):
        try:
            schema = onnx.defs.get_schema(op, opset, domain)
        except onnx.defs.SchemaError:
            continue
        if not schema.deprecated:
            versions.add(schema.since_version)
    return versions


def test_every_reachable_version_of_an_operator_is_lowered() -> None:
    operators = {(lowering.key.domain, lowering.key.op) for lowering in ops}
    missing = {
        str(OpKey(domain, op, version))
        for domain, op in operators
        for version in _reachable(op, domain) - set(ops.versions(op, domain))
    }
    assert missing == NOT_LOWERED.keys()


def test_a_case_fails_on_a_wrong_value() -> None:
    case = next(c for c in CASES if c.name == "test_add")
    inputs, expected = case.data_sets[0]
    got = run_model(case.model, inputs)
    with pytest.raises(AssertionError):
        case.compare({name: value + np.float32(0.1) for name, value in got.items()}, expected)
