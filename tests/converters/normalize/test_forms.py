"""The forms of opset 9."""

from __future__ import annotations

import re

import numpy as np
import pytest
from onnx import ModelProto

from neuromatic.converters.normalize.constants import fold_constants
from neuromatic.converters.normalize.forms import opset9_forms
from neuromatic.errors import UnsupportedOpError
from tests.converters.normalize.models import Array, attribute, model, normalized, numbers, ops


def ints(name: str, *values: int) -> str:
    return f"{name} = Constant<value = int64[{len(values)}] {{{', '.join(map(str, values))}}}>() "


def floats(name: str, value: float) -> str:
    return f"{name} = Constant<value = float {{{value}}}>() "


def in_opset9(body: str, output: str, opset: int, **given: Array) -> ModelProto:
    """The model ``body`` of (N, 5, 4) in opset 9, with initializers where a ``Constant`` stands."""
    proto = fold_constants(model(body, "float[N, 5, 4] x", f"float[{output}] y", opset=opset, **given))
    return normalized(opset9_forms, proto)


@pytest.mark.parametrize(
    ("body", "opset", "low", "high"),
    [
        ("y = Clip<min = -0.5, max = 0.25>(x)", 6, -0.5, 0.25),
        (floats("a", -0.5) + floats("b", 0.25) + "y = Clip(x, a, b)", 11, -0.5, 0.25),
        (floats("a", -0.5) + "y = Clip(x, a)", 12, -0.5, None),
        (floats("b", 0.25) + "y = Clip(x, , b)", 13, None, 0.25),
    ],
)
def test_clip(body: str, opset: int, low: float | None, high: float | None) -> None:
    result = in_opset9(body, "N, 5, 4", max(opset, 7))
    largest = float(np.finfo(np.float32).max)
    assert attribute(result, "Clip", "min") == (-largest if low is None else low)
    assert attribute(result, "Clip", "max") == (largest if high is None else high)


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        ('y = Pad<mode = "reflect", pads = [0, 1, 0, 0, 2, 1]>(x)', 9),
        (ints("p", 0, 1, 0, 0, 2, 1) + floats("v", 0.5) + "y = Pad(x, p, v)", 11),
        (ints("p", 0, 1, 0, 0, 2, 1) + 'y = Pad<mode = "edge">(x, p)', 13),
        (ints("p", 1, 0, 2, 1) + ints("a", 1, -1) + "y = Pad(x, p, , a)", 18),
        (ints("p", 1, 0, 2, 1) + ints("a", 1, -1) + 'y = Pad<mode = "reflect">(x, p, , a)', 21),
    ],
)
def test_pad(body: str, opset: int) -> None:
    result = in_opset9(body, "N, 8, 5", opset)
    assert attribute(result, "Pad", "pads") == [0, 1, 0, 0, 2, 1]


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        ("y = Slice<axes = [1, 2], starts = [1, -3], ends = [1000, -1]>(x)", 9),
        (ints("s", 1, -3) + ints("e", 1000, -1) + ints("a", 1, 2) + "y = Slice(x, s, e, a)", 10),
        (
            ints("s", 1, -3)
            + ints("e", 1000, -1)
            + ints("a", -2, -1)
            + ints("t", 1, 1)
            + "y = Slice(x, s, e, a, t)",
            13,
        ),
    ],
)
def test_slice(body: str, opset: int) -> None:
    result = in_opset9(body, "N, 4, 2", opset)
    assert attribute(result, "Slice", "starts") == [1, 1]
    assert attribute(result, "Slice", "ends") == [5, 3]
    assert attribute(result, "Slice", "axes") == [1, 2]


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        ("y = ReduceMean<axes = [1], keepdims = 0>(x)", 11),
        (ints("a", 1) + "y = ReduceSum<keepdims = 0>(x, a)", 13),
        (ints("a", 1) + "y = ReduceMax<keepdims = 0>(x, a)", 18),
    ],
)
def test_reductions(body: str, opset: int) -> None:
    result = in_opset9(body, "N, 4", opset)
    assert attribute(result, ops(result)[0], "axes") == [1]


@pytest.mark.parametrize(
    ("body", "opset", "ratio"),
    [
        ("y = Dropout<ratio = 0.25>(x)", 7, 0.25),
        ("y = Dropout<ratio = 0.25>(x)", 10, 0.25),
        (floats("r", 0.25) + "y = Dropout<seed = 3>(x, r)", 12, 0.25),
        ("y = Dropout(x)", 13, 0.5),
        (floats("r", 0.25) + "y = Dropout(x, r, off)", 22, 0.25),
    ],
)
def test_dropout_stays(body: str, opset: int, ratio: float) -> None:
    given = {"off": np.array(False)} if "off" in body else {}
    assert attribute(in_opset9(body, "N, 5, 4", opset, **given), "Dropout", "ratio") == ratio


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
def test_batch_normalization(opset: int) -> None:
    given = {name: np.abs(numbers(5, seed=i)) for i, name in enumerate("sbmv")}
    body = "y = BatchNormalization<epsilon = 0.01, momentum = 0.8>(x, s, b, m, v)"
    result = in_opset9(body, "N, 5, 4", opset, **given)
    assert attribute(result, "BatchNormalization", "momentum") == pytest.approx(0.8)
    assert attribute(result, "BatchNormalization", "training_mode") is None


@pytest.mark.parametrize("opset", [11, 13])
def test_defaults_that_changed_are_written(opset: int) -> None:
    result = in_opset9("a = Flatten(x) y = Softmax(a)", "N, 20", opset)
    assert attribute(result, "Softmax", "axis") == (1 if opset < 13 else -1)


@pytest.mark.parametrize(
    ("body", "opset", "reason"),
    [
        (
            ints("s", 0) + ints("e", 4) + ints("a", 1) + ints("t", 2) + "y = Slice(x, s, e, a, t)",
            13,
            "its steps are not 1",
        ),
        (ints("p", 0, 1, 0, 0, 2, 1) + 'y = Pad<mode = "wrap">(x, p)', 19, "its mode is wrap"),
        ("y = Dropout(x, r, on)", 13, "its training_mode is not false"),
        ("y = Clip(x, r, l)", 13, "its minimum 0.5 is above its maximum -1.0"),
        ("y, i = MaxPool<kernel_shape = [2], dilations = [2]>(x)", 12, "it has dilations=(2,)"),
        ("y = Round(x)", 11, "the operator is newer"),
        ("k = ReduceMax(x) y = Clip(x, k)", 13, "its minimum is not constant"),
        ("y = ReduceSumSquare<noop_with_empty_axes = 1>(x)", 18, "it has noop_with_empty_axes"),
    ],
)
def test_what_has_no_form_is_refused_by_name(body: str, opset: int, reason: str) -> None:
    values = {"r": np.array(0.5, np.float32), "on": np.array(True), "l": np.array(-1, np.float32)}
    given = {name: v for name, v in values.items() if f" {name}" in body.split("(")[-1].replace(")", "")}
    with pytest.raises(UnsupportedOpError, match=re.escape(reason)) as caught:
        in_opset9(body, "N, A, B", opset, **given)
    assert "the node of output 'y'" in str(caught.value)
    assert caught.value.engine == "cntk native import"


def test_all_are_named_at_once() -> None:
    with pytest.raises(UnsupportedOpError) as caught:
        in_opset9("a = Round(x) b = Det(a) c = Round(x) y = Add(c, b)", "N, A, B", 11)
    assert len(caught.value.problems) == 3
