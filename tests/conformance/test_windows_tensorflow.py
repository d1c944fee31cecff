"""Convolutions and pools of every form against PyTorch in float64, plain and under XLA.

TensorFlow's own kernels differ between processors: without oneDNN it has no grouped convolutions with
gradients, pads some volumes wrongly, and lets each of several equal elements of a volume be the largest of a
window. ``make tests`` runs this file with oneDNN on and off.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper
from torch.nn import functional

from neuromatic.converters import lowering
from neuromatic.converters.tensorflow import conv, execution
from neuromatic.converters.tensorflow.context import TensorFlowContext
from neuromatic.converters.tensorflow.lowerings import ops
from tests.conformance.gradients import Node, R
from tests.conformance.gradients import check as check_gradients

Array = NDArray[Any]

SOME = settings(derandomize=True, deadline=None, max_examples=12, database=None)
OPERATORS = ["Conv", "ConvTranspose", "MaxPool", "AveragePool"]


@dataclass(frozen=True)
class Form:
    """A node, its inputs, and all the padding that it asks for.

    Attributes:
        inputs: x (2, channels, ...), and the kernel and the bias of a convolution; small integers, so that
            elements are often equal.
        pads: before and after each axis; of a transposed convolution, what is cut off.
    """

    op: str
    attributes: dict[str, Any]
    inputs: tuple[Array, ...]
    pads: tuple[tuple[int, int], ...]


@st.composite
def forms(draw: st.DrawFn, op: str, rank: int) -> Form:
    """Any kernel, stride, dilation, grouping and padding that fit."""

    def each(low: int, high: int) -> list[int]:
        return [draw(st.integers(low, high)) for _ in range(rank)]

    kernel, strides = each(1, 3), each(1, 4)
    if draw(st.booleans()):
        strides = strides[:1] * rank
    dilations = each(1, 2) if op != "AveragePool" and draw(st.booleans()) else [1] * rank
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    sizes = [e + more for e, more in zip(extent, each(0, 4), strict=True)]
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": strides, "dilations": dilations}
    pads, attributes["auto_pad"] = _padding(draw, op, sizes, extent, strides)
    if attributes["auto_pad"] == "NOTSET":
        attributes["pads"] = [before for before, _ in pads] + [after for _, after in pads]
    if op == "AveragePool":
        attributes["count_include_pad"] = draw(st.integers(0, 1))
    if not op.startswith("Conv"):
        return Form(op, attributes, (_numbers((2, 3, *sizes)),), pads)
    group, taken, made = draw(st.integers(1, 4)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    attributes["group"] = group
    channels, outputs = group * taken, group * made
    shape = (outputs, taken) if op == "Conv" else (channels, made)
    inputs = [_numbers((2, channels, *sizes)), _numbers((*shape, *kernel)), _numbers((outputs,))]
    return Form(op, attributes, tuple(inputs[: draw(st.integers(2, 3))]), pads)


def _padding(
    draw: st.DrawFn, op: str, sizes: Sequence[int], extent: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[tuple[int, int], ...], str]:
    """Pads of each axis, and the ``auto_pad`` that asks for them."""
    choices = ["NOTSET"] if op == "ConvTranspose" else ["NOTSET", "SAME_UPPER", "SAME_LOWER"]
    asked = draw(st.sampled_from(choices))
    if asked == "NOTSET":
        most = [2 if op == "Conv" else (e - 1) // 2 for e in extent]  # no window of a pool is all padding
        return tuple((draw(st.integers(0, m)), draw(st.integers(0, m))) for m in most), asked
    totals = [max((-(-n // s) - 1) * s + e - n, 0) for n, e, s in zip(sizes, extent, strides, strict=True)]
    halves = [(t // 2, t - t // 2) for t in totals]
    return tuple((a, b) if asked == "SAME_UPPER" else (b, a) for a, b in halves), asked


def _numbers(shape: Sequence[int]) -> Array:
    return np.random.default_rng(sum(shape)).integers(-3, 4, shape).astype(np.float64)


def _wide(x: torch.Tensor, pads: Sequence[tuple[int, int]], value: float = 0.0) -> torch.Tensor:
    return functional.pad(x, [n for pair in reversed(pads) for n in pair], value=value)


def expected(form: Form) -> tuple[Array, Array, list[Array]]:
    """PyTorch's result, what it is weighted with, and the gradients of the weighted sum."""
    x, *rest = inputs = [torch.tensor(array, requires_grad=True) for array in form.inputs]
    a, rank = form.attributes, x.dim() - 2

    def of(name: str) -> Any:
        return getattr(functional, f"{name}{rank}d")

    if form.op == "Conv":
        y = of("conv")(
            _wide(x, form.pads), *rest, stride=a["strides"], dilation=a["dilations"], groups=a["group"]
        )
    elif form.op == "ConvTranspose":
        y = of("conv_transpose")(x, *rest, stride=a["strides"], dilation=a["dilations"], groups=a["group"])
        y = _wide(y, [(-before, -after) for before, after in form.pads])
    elif form.op == "MaxPool":
        wide = _wide(x, form.pads, -np.inf)
        y = of("max_pool")(wide, a["kernel_shape"], a["strides"], dilation=a["dilations"])
    else:
        counted = _wide(torch.ones_like(x), form.pads, float(a["count_include_pad"]))
        mean, share = (
            of("avg_pool")(v, a["kernel_shape"], a["strides"]) for v in (_wide(x, form.pads), counted)
        )
        y = mean / share
    weights = np.random.default_rng(y.numel()).uniform(0.5, 1.5, tuple(y.shape))
    (y * torch.from_numpy(weights)).sum().backward()
    return y.detach().numpy(), weights, [i.grad.numpy() for i in inputs if i.grad is not None]


def found(form: Form, weights: Array, kind: Any, *, jit: bool = False) -> tuple[Array, list[Array]]:
    """The same in TensorFlow, in a type."""
    names = ["x", "w", "b"][: len(form.inputs)]
    node = helper.make_node(form.op, names, ["y"], **form.attributes)
    graph = helper.make_graph([node], "g", [], [])
    plan = lowering.plan(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), ops)

    def differentiated(inputs: list[tf.Tensor]) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            values: dict[str, Any] = dict(zip(names, inputs, strict=True))
            lowering.run(plan, values, TensorFlowContext(tape=tape, values=values), execution.call)
            y = execution.channels_first(values["y"])
            total = tf.reduce_sum(y * tf.constant(weights, kind))
        return y, tape.gradient(total, inputs, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    traced = tf.function(differentiated, autograph=False, jit_compile=jit)
    y, gradients = traced([tf.constant(array, kind) for array in form.inputs])
    return y.numpy(), [g.numpy() for g in gradients]


def check(form: Form, kind: Any = tf.float32, *, jit: bool = False, tolerance: float = 1e-5) -> None:
    """Compare result and gradients with PyTorch's, relative to the largest element."""
    y, weights, gradients = expected(form)
    ours, slopes = found(form, weights, kind, jit=jit)
    assert len(slopes) == len(gradients)
    for what, got, want in zip("yxwb", [ours, *slopes], [y, *gradients], strict=False):
        scale = max(1.0, float(np.abs(want).max()))
        np.testing.assert_allclose(
            got.astype(np.float64), want, rtol=tolerance, atol=tolerance * scale, err_msg=f"{form}: {what}"
        )


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("rank", [1, 2, 3])
@SOME
@given(data=st.data())
def test_forms(op: str, rank: int, data: st.DataObject) -> None:
    check(data.draw(forms(op, rank)))


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("rank", [1, 2, 3])
@settings(SOME, max_examples=2)
@given(data=st.data())
def test_forms_under_xla(op: str, rank: int, data: st.DataObject) -> None:
    check(data.draw(forms(op, rank)), jit=True)


def convolution(shape: Sequence[int], kernel: Sequence[int], group: int = 1, **attributes: Any) -> Form:
    """A convolution with a bias, unpadded."""
    rank = len(shape) - 2
    made = {"strides": [1] * rank, "dilations": [1] * rank} | attributes | {"group": group}
    inputs = (_numbers(shape), _numbers(kernel), _numbers(kernel[:1]))
    return Form("Conv", made, inputs, ((0, 0),) * rank)


def transposed(shape: Sequence[int], kernel: Sequence[int], **attributes: Any) -> Form:
    """A transposed convolution, not cropped."""
    form = convolution(shape, kernel, **attributes)
    return replace(form, op="ConvTranspose", inputs=form.inputs[:2])


GROUPED = {
    "1-D": convolution((2, 6, 8), (4, 3, 3), 2),
    "1-D depthwise": convolution((2, 4, 8), (8, 1, 3), 4, dilations=[2]),
    "1-D depthwise, strided": convolution((2, 4, 9), (4, 1, 2), 4, strides=[3]),
    "2-D": convolution((2, 4, 6, 5), (6, 2, 3, 3), 2, strides=[2, 1]),
    "2-D dilated": convolution((2, 4, 7, 7), (4, 2, 3, 2), 2, dilations=[2, 3]),
    "2-D depthwise": convolution((2, 3, 6, 6), (6, 1, 3, 3), 3),
    "2-D depthwise, unequal strides": convolution((2, 3, 6, 6), (3, 1, 3, 3), 3, strides=[2, 1]),
    "3-D": convolution((1, 4, 4, 4, 4), (2, 2, 2, 2, 2), 2),
}


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("native", [False, True])
def test_groups(name: str, jit: bool, native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if native and not conv._has_grouped_kernels():
        pytest.skip("oneDNN is off")
    monkeypatch.setattr(conv, "_has_grouped_kernels", lambda: native)
    check(GROUPED[name], jit=jit)


FAULTS = {
    "one channel, rows of one window": convolution((3, 1, 4, 4), (3, 1, 2, 4), strides=[1, 3]),
    "one channel, rows of one window, 3-D": convolution((2, 1, 3, 4, 2), (4, 1, 1, 2, 2), strides=[2, 1, 3]),
    "one channel, transposed": transposed((3, 3, 3, 1), (3, 1, 2, 4), strides=[1, 3]),
    "a kernel of one": convolution((2, 3, 4, 4), (3, 3, 1, 1), strides=[2, 1]),
    "a kernel of one, equal strides": convolution((1, 1, 4, 6), (1, 1, 1, 1), strides=[2, 2]),
    "a kernel of one along one axis": convolution((2, 2, 5, 7), (3, 2, 1, 3), strides=[3, 2]),
    "a kernel of one, transposed": transposed((2, 3, 3, 4), (3, 2, 1, 1), strides=[2, 1]),
    "a kernel of one along one axis, transposed": transposed((2, 3, 3, 4), (3, 1, 1, 2), strides=[2, 3]),
}
"""What oneDNN gets wrong on some processors; with strides that differ it even breaks memory."""


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_onednn(name: str) -> None:
    check(FAULTS[name])


@pytest.mark.parametrize("op", OPERATORS[:2])
def test_gradients_where_the_result_is_not_wanted(op: str) -> None:
    """TensorFlow then rewrites the graph otherwise; a kernel that tf.pad made ended the process."""
    check_gradients(Node(op, (R(2, 1, 6, 6), R(1, 1, 1, 2)), {"strides": [1, 2]}))


def test_faults_of_onednn_on_avx2() -> None:
    variables = {"ONEDNN_MAX_CPU_ISA": "AVX2", "TF_ENABLE_ONEDNN_OPTS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    command += [__file__, "-k", "test_faults_of_onednn and not avx2"]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert f"{len(FAULTS)} passed" in done.stdout, done.stdout


@pytest.mark.parametrize("kind", [tf.float16, tf.bfloat16, tf.float64], ids=lambda k: k.name)
@pytest.mark.parametrize("op", OPERATORS[1:])
def test_volumes_of_other_types(op: str, kind: Any) -> None:
    attributes = {"kernel_shape": [2, 2, 1], "strides": [2, 1, 2], "dilations": [1, 1, 1], "group": 1}
    if not op.startswith("Conv"):
        attributes = {k: v for k, v in attributes.items() if k != "group"} | {"count_include_pad": 0}
    if op == "MaxPool":
        del attributes["count_include_pad"]
    kernel = [_numbers((2, 1, 2, 2, 1))] if op == "ConvTranspose" else []
    form = Form(op, attributes, (_numbers((1, 2, 4, 3, 3)), *kernel), ((0, 0),) * 3)
    check(form, kind, tolerance={"float16": 4e-3, "bfloat16": 3e-2, "float64": 1e-12}[kind.name])


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("op", ["Conv", "MaxPool"])
def test_sizes_that_are_known_when_it_runs(op: str, auto_pad: str) -> None:
    attributes: dict[str, Any] = {"kernel_shape": [2, 3, 1], "strides": [3, 2, 2], "auto_pad": auto_pad}
    inputs = [_numbers((2, 3, 7, 6, 5)), _numbers((2, 3, 2, 3, 1))][: 2 if op == "Conv" else 1]
    pads = ((0, 1), (0, 1), (0, 0)) if auto_pad == "SAME_UPPER" else ((1, 0), (1, 0), (0, 0))
    extra = {"dilations": [1, 1, 1]} | ({"group": 1} if op == "Conv" else {})
    want, *_ = expected(Form(op, attributes | extra, tuple(inputs), pads))
    node = helper.make_node(op, ["x", "w"][: len(inputs)], ["y"], **attributes)
    graph = helper.make_graph([node], "g", [], [])
    plan = lowering.plan(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), ops)

    @tf.function(input_signature=[tf.TensorSpec([None, 3, None, None, None])])
    def traced(x: Any) -> Any:
        values: dict[str, Any] = {"x": x, "w": inputs[-1].astype(np.float32)}
        lowering.run(plan, values, TensorFlowContext(values=values), execution.call)
        return execution.channels_first(values["y"])

    np.testing.assert_allclose(traced(inputs[0].astype(np.float32)).numpy(), want, atol=1e-5)


@pytest.mark.parametrize("asked", [None, "0", "1"])
def test_the_engine_switches_onednn_on_unless_told_otherwise(asked: str | None) -> None:
    code = (
        "from neuromatic.converters.tensorflow import engine; engine.load();"
        "from neuromatic.converters.tensorflow import conv; print(conv._has_grouped_kernels())"
    )
    assert _printed(code, asked) == str(asked != "0")


@pytest.mark.parametrize("changed", ["0", "1"])
def test_what_tensorflow_was_imported_with_counts(changed: str) -> None:
    code = (
        f"import os, tensorflow; os.environ['TF_ENABLE_ONEDNN_OPTS'] = {changed!r};"
        "from neuromatic.converters.tensorflow import conv; print(conv._has_grouped_kernels())"
    )
    assert _printed(code, "0" if changed == "1" else "1") == str(changed == "0")


def _printed(code: str, asked: str | None) -> str:
    variables = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    variables |= {} if asked is None else {"TF_ENABLE_ONEDNN_OPTS": asked}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout.strip()
