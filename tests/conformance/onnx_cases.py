"""The operator cases that ONNX ships with its own expected results, as far as an engine lowers them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from neuromatic.converters import lowering
from neuromatic.converters.registry import Registry
from neuromatic.errors import UnsupportedOpError

Array = np.ndarray[Any, Any]

_STEPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
"""Relative distance of neighbours, by narrow float type."""


@dataclass(frozen=True)
class Case:
    """A model of one node, and for each data set its inputs and the outputs ONNX expects."""

    name: str
    model: onnx.ModelProto
    data_sets: tuple[tuple[dict[str, Array], list[Array]], ...]
    rtol: float
    atol: float

    def compare(self, got: Mapping[str, Array], expected: list[Array]) -> None:
        """Check types, shapes and values; float16 and bfloat16 within four units in the last place."""
        for name, want in zip((o.name for o in self.model.graph.output), expected, strict=True):
            value = np.asarray(got[name])
            if want.dtype.kind in "OU":
                assert [_text(v) for v in value.ravel()] == [_text(v) for v in want.ravel()], name
                continue
            assert value.dtype == want.dtype, name
            rtol = max(self.rtol, 4 * _STEPS.get(want.dtype.name, 0.0))
            if want.dtype.kind not in "bifu" or want.dtype.name not in np.sctypeDict:
                value, want = value.astype(np.float64), want.astype(np.float64)
            np.testing.assert_allclose(value, want, rtol=rtol, atol=self.atol, err_msg=name)


@functools.cache
def all_cases() -> tuple[Case, ...]:
    """Every node case of the installed onnx that uses tensors alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases divide by zero on purpose while they are made
        loaded = load_model_tests(kind="node")
    cases = []
    for case in loaded:
        model = case.model or onnx.load(Path(str(case.model_dir)) / "model.onnx")
        names = [i.name for i in model.graph.input]
        try:
            sets = tuple(
                (
                    {n: _array(v) for n, v in zip(names, inputs, strict=False)},
                    [_array(v) for v in outputs],
                )
                for inputs, outputs in case.data_sets or ()
            )
        except TypeError:  # a sequence, a map or an optional
            sets = ()
        cases.append(Case(case.name, model, sets, case.rtol, case.atol))
    return tuple(cases)


def lowered_cases(registry: Registry) -> list[Case]:
    """The cases whose nodes a registry lowers, all of them, directly or through an ONNX function."""
    return [case for case in all_cases() if case.data_sets and _is_lowered(case.model, registry)]


def _is_lowered(model: onnx.ModelProto, registry: Registry) -> bool:
    try:
        lowering.plan(model, registry)
    except UnsupportedOpError:
        return False
    return True


def _array(value: Any) -> Array:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if not isinstance(value, (np.ndarray, np.generic)):
        raise TypeError(f"not a tensor: {type(value)}")
    return np.asarray(value)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
