"""The operator cases that ONNX ships with its own expected results, as far as an engine lowers them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase
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
    data_sets: tuple[tuple[dict[str, Any], list[Any]], ...]
    rtol: float
    atol: float

    @property
    def plain(self) -> bool:
        """Whether all its inputs are tensors, no sequences or optionals."""
        return all(isinstance(v, np.ndarray) for inputs, _ in self.data_sets for v in inputs.values())

    def compare(self, got: Mapping[str, Any], expected: Sequence[Any]) -> None:
        """Check types, shapes and values; float16 and bfloat16 within four units in the last place."""
        for name, want in zip((o.name for o in self.model.graph.output), expected, strict=True):
            self._compare(name, got[name], want)

    def _compare(self, name: str, value: Any, want: Any) -> None:
        if want is None:
            assert value is None, name
            return
        if isinstance(want, list):
            assert len(value) == len(want), name
            for i, pair in enumerate(zip(value, want, strict=True)):
                self._compare(f"{name}[{i}]", *pair)
            return
        value = np.asarray(value)
        if want.dtype.kind in "OU":
            assert value.shape == want.shape, name
            assert [_text(v) for v in value.ravel()] == [_text(v) for v in want.ravel()], name
            return
        assert value.dtype == want.dtype, name
        rtol = max(self.rtol, 4 * _STEPS.get(want.dtype.name, 0.0))
        if want.dtype.kind not in "bifu" or want.dtype.name not in np.sctypeDict:
            value, want = value.astype(np.float64), want.astype(np.float64)
        np.testing.assert_allclose(value, want, rtol=rtol, atol=self.atol, err_msg=name)


@functools.cache
def all_cases() -> tuple[Case, ...]:
    """Every node case of the installed onnx."""
    return loaded_cases("node")


@functools.cache
def loaded_cases(kind: str) -> tuple[Case, ...]:
    """The cases of one kind that onnx ships: node, simple, pytorch-converted, pytorch-operator, real."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases divide by zero on purpose while they are made
        return tuple(_case(case) for case in load_model_tests(kind=kind))


def _case(case: TestCase) -> Case:
    model, sets = case.model, case.data_sets
    if case.url is not None and case.url.startswith("onnx/"):
        model, sets = _light(Path(onnx.__file__).parent.parent / case.url)
    elif model is None:
        folder = Path(str(case.model_dir))
        model = onnx.load(folder / "model.onnx")
        sets = [_stored(folder, model) for folder in sorted(folder.glob("test_data_set_*"))]
    data = tuple(
        ({n: _array(v) for n, v in _named(model, inputs)}, [_array(v) for v in outputs])
        for inputs, outputs in sets or ()
    )
    return Case(case.name, model, data, case.rtol, case.atol)


def _named(model: onnx.ModelProto, inputs: Sequence[Any]) -> Iterable[tuple[str, Any]]:
    """The inputs with their names; a model may list its initializers as inputs that are not given."""
    names, stored = [i.name for i in model.graph.input], {t.name for t in model.graph.initializer}
    given = [name for name in names if name not in stored]
    return zip(given if len(inputs) == len(given) else names, inputs, strict=False)


def _light(path: Path) -> tuple[onnx.ModelProto, list[tuple[list[Any], list[Any]]]]:
    """A model whose weights are ConstantOfShape nodes, with the one data set that onnx has for it."""
    model = onnx.load(path)
    known = {t.name for t in model.graph.initializer}
    inputs = [i.type.tensor_type.shape for i in model.graph.input if i.name not in known]
    shapes = [[d.dim_value or 1 for d in shape.dim] for shape in inputs]
    fed = [(np.arange(np.prod(s)).reshape(s) / np.prod(s)).astype(np.float32) for s in shapes]
    stored = [path.with_name(f"{path.stem}_output_{i}.pb") for i in range(len(model.graph.output))]
    return model, [(fed, [_read(p, o.type) for p, o in zip(stored, model.graph.output, strict=True)])]


def _stored(folder: Path, model: onnx.ModelProto) -> tuple[list[Any], list[Any]]:
    """The inputs and outputs of one data set of a case in files."""

    def read(prefix: str, values: Sequence[onnx.ValueInfoProto]) -> list[Any]:
        paths = [folder / f"{prefix}_{i}.pb" for i in range(len(list(folder.glob(f"{prefix}_*.pb"))))]
        return [_read(path, value.type) for path, value in zip(paths, values, strict=False)]

    return read("input", model.graph.input), read("output", model.graph.output)


def _read(path: Path, kind: onnx.TypeProto) -> Any:
    if kind.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(path.read_bytes()))
    return onnx.TensorProto.FromString(path.read_bytes())


def lowered_cases(registry: Registry) -> list[Case]:
    """The cases whose nodes a registry lowers, all of them, directly or through an ONNX function."""
    return [case for case in all_cases() if case.data_sets and _is_lowered(case.model, registry)]


def _is_lowered(model: onnx.ModelProto, registry: Registry) -> bool:
    try:
        lowering.plan(model, registry)
    except UnsupportedOpError:
        return False
    return True


def _array(value: Any) -> Any:
    """A value as arrays: a list for a sequence, None for an optional without an element."""
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [_array(v) for v in value]
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, onnx.SequenceProto):
        return numpy_helper.to_list(value)
    if isinstance(value, onnx.OptionalProto):
        return _array(numpy_helper.to_optional(value))
    return np.asarray(value)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
