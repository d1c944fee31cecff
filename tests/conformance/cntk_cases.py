"""Which of ONNX' own cases CNTK computes, which onnxruntime in its place, and in what form CNTK gets them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np

from neuromatic.converters.cntk.evaluate import Array, record_model
from neuromatic.converters.cntk.lowerings import ops
from neuromatic.errors import UnsupportedFeatureError
from tests.conformance.exclusions import cntk_reason, host_reason
from tests.conformance.onnx_cases import Case, all_cases, lowered_cases

CASES = [case for case in lowered_cases(ops) if case.plain]
PASSED = [case for case in CASES if not cntk_reason(case.name)]
REST = [case for case in all_cases() if case.data_sets and case.name not in {c.name for c in PASSED}]
Choice = Callable[[dict[str, Array]], list[str]]


def never_fed(inputs: dict[str, Array]) -> list[str]:
    """What no worker can be fed: strings, and arrays without elements."""
    arrays = {n: a for n, a in inputs.items() if isinstance(a, np.ndarray)}
    return [n for n, a in arrays.items() if a.size == 0 or a.dtype.kind in "OUS"]


def _scalars(inputs: dict[str, Array]) -> list[str]:
    return [n for n, a in inputs.items() if a.ndim == 0 or n in never_fed(inputs)]


def _vectors_after_the_first(inputs: dict[str, Array]) -> list[str]:
    return [n for i, (n, a) in enumerate(inputs.items()) if (i and a.ndim <= 1) or n in never_fed(inputs)]


def _vectors(inputs: dict[str, Array]) -> list[str]:
    return [n for n, a in inputs.items() if a.ndim <= 1 or n in never_fed(inputs)]


CONSTANTS: tuple[Choice, ...] = (never_fed, _scalars, _vectors_after_the_first, _vectors)
"""Which inputs are constants, as shapes, axes and flags have to be: the first choice that is supported."""


def uses_cntk(case: Case) -> bool:
    """Whether CNTK computes an output of a case, in the first form that can be recorded."""
    inputs = case.data_sets[0][0]
    for constants in CONSTANTS:
        with contextlib.suppress(UnsupportedFeatureError):
            made = record_model(case.model, inputs, known=constants(inputs))
            return not set(made.outputs) <= set(made.hosted)
    return False


def outcome(case: Case) -> str:
    """ "cntk", "host" (constant before anything runs, or computed by onnxruntime) or "unsupported"."""
    if case.name in _PASSED and uses_cntk(case):
        return "cntk"
    return "host" if case.name in _PASSED or not host_reason(case.name) else "unsupported"


_PASSED = {case.name for case in PASSED}
