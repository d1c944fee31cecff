"""Every CNTK lowering against the results that ONNX expects, with fixed shapes and with CNTK's batch axis.

The cases are chosen by the registry: whoever adds a lowering adds its cases.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.evaluate import Array, computed, record_model, run_model
from neuromatic.errors import UnsupportedFeatureError
from tests.conformance.cntk_cases import CASES, CONSTANTS, PASSED, REST, Choice, never_fed, uses_cntk
from tests.conformance.exclusions import CNTK, HOST, cntk_reason, host_reason
from tests.conformance.onnx_cases import Case, all_cases
from tests.converters.cntk.cntk_environment import environment_or_skip


@pytest.fixture(scope="session")
def worker() -> Iterator[Worker]:
    """One running worker for all cases."""
    started = Worker(environment_or_skip(), threads=1, timeout=60.0)
    yield started
    started.close()


def _first(inputs: dict[str, Array]) -> list[str]:
    return [n for n, a in inputs.items() if a.ndim][:1]


def _as_many_rows(inputs: dict[str, Array]) -> list[str]:
    return [n for n, a in inputs.items() if a.ndim and len(a) == len(inputs[_first(inputs)[0]])]


def _check(case: Case, worker: Worker, batches: tuple[Choice, ...] = ()) -> None:
    """Run a case in the first form that is supported, if any, and compare types, shapes and values."""
    refusal: Exception | None = None
    for constants in CONSTANTS:
        for batched in batches or (lambda inputs: [],):
            try:
                return _compare(case, worker, constants, batched, bool(batches))
            except UnsupportedFeatureError as error:
                refusal = error
    assert refusal is not None
    raise refusal


def _compare(case: Case, worker: Worker, constants: Choice, batched: Choice, needs_batch: bool) -> None:
    for inputs, expected in case.data_sets:
        known = constants(inputs)
        fed = {name: array for name, array in inputs.items() if name not in known}
        rows = batched(fed)
        if needs_batch and not rows:
            raise UnsupportedFeatureError("nothing to have the batch")
        got = run_model(case.model, inputs, worker, known=known, batched=rows)
        case.compare(got, expected)
        for output, want in zip(case.model.graph.output, expected, strict=True):
            assert got[output.name].shape == want.shape, output.name


@pytest.mark.parametrize("case", PASSED, ids=lambda c: c.name)
def test_matches_the_onnx_reference(case: Case, worker: Worker) -> None:
    _check(case, worker)


@pytest.mark.parametrize("case", [c for c in CASES if cntk_reason(c.name)], ids=lambda c: c.name)
def test_an_excluded_case_is_refused(case: Case, worker: Worker) -> None:
    with pytest.raises(UnsupportedFeatureError):
        _check(case, worker)


def _by_the_host(case: Case, worker: Worker) -> list[str]:
    """Compare values where onnxruntime computes what CNTK refuses; returns the names of what it does."""
    hosted = []
    for inputs, expected in case.data_sets:
        made = record_model(case.model, inputs, known=never_fed(inputs), host=True)
        hosted += made.hosted
        case.compare(computed(made, worker), expected)
    return hosted


@pytest.mark.parametrize("case", [c for c in REST if not host_reason(c.name)], ids=lambda c: c.name)
def test_the_host_computes_what_cntk_refuses(case: Case, worker: Worker) -> None:
    assert _by_the_host(case, worker)


@pytest.mark.parametrize("case", [c for c in REST if host_reason(c.name)], ids=lambda c: c.name)
def test_what_neither_computes_is_refused_or_other(case: Case, worker: Worker) -> None:
    with pytest.raises((UnsupportedFeatureError, AssertionError)):
        _by_the_host(case, worker)


def test_so_many_cases_are_computed_by_cntk_itself() -> None:
    """The others that pass are constant before anything runs, or computed by onnxruntime."""
    assert len(PASSED) >= 1420
    assert sum(uses_cntk(case) for case in PASSED) >= 1350


def test_with_the_batch_axis_a_case_is_right_or_refused(worker: Worker) -> None:
    passed, wrong = 0, []
    for case in PASSED:
        try:
            _check(case, worker, (_first, _as_many_rows))
            passed += 1
        except UnsupportedFeatureError:
            continue
        except AssertionError as error:
            wrong.append(f"{case.name}: {error}")
    assert not wrong, "\n".join(wrong)
    assert passed > 0.7 * len(PASSED)


def test_exclusions_match_cases_that_are_lowered() -> None:
    unused = [p for p in CNTK if not any(re.fullmatch(p, case.name) for case in CASES)]
    unused += [p for p in HOST if not any(re.fullmatch(p, case.name) for case in REST)]
    assert not unused


def test_most_cases_are_lowered() -> None:
    """A guard against a registry that lost its operators: few cases would then run, and all of them pass."""
    assert len(CASES) > 0.65 * len(all_cases())


def test_a_case_fails_on_a_wrong_value(worker: Worker) -> None:
    case = next(c for c in CASES if c.name == "test_add")
    inputs, expected = case.data_sets[0]
    got = run_model(case.model, inputs, worker)
    with pytest.raises(AssertionError):
        case.compare({name: value + np.float32(0.1) for name, value in got.items()}, expected)
