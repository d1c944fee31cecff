"""Control flow on CNTK: what is known while it is recorded runs, the rest is refused."""

from __future__ import annotations

import onnxruntime
import pytest
from numpy.testing import assert_allclose
from onnx import ModelProto, parser

from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.evaluate import run_model
from neuromatic.errors import UnsupportedFeatureError
from tests.converters.cntk.single import TOLERANCE, normal

IF = """s = ReduceSum<keepdims=0>({what}, axes)  c = Greater(s, zero)
    y = If (c) <then_branch = a () => (float[N,3,2] p) {{ p = Exp(x) }},
                else_branch = b () => (float[N,3,2] q) {{ q = Neg(x) }}>"""
LOOP = """true = Constant<value = bool {{1}}>()  half = Constant<value_float = 0.5>()
    y, all = Loop ({what}, true, x) <body = l (int64 i, bool c, float[N,3,2] v) => (bool d, float[N,3,2] w,
    float[N,3,2] r) {{ d = Identity(c)  t = Mul(v, half)  w = Add(t, x)  r = Tanh(w) }}>"""
SCAN = """zeros = Constant<value_float = 0.0>()  start = Mul(first, zeros)
    last, y = Scan <num_scan_inputs = 1, scan_input_axes = [{what}], scan_output_axes = [{what}],
    body = l (float[N,2] v, float[N,2] e) => (float[N,2] w, float[N,2] r)
    {{ t = Mul(v, e)  w = Add(t, e)  r = Sin(w) }}> (start, x)"""


def model(body: str, what: str) -> ModelProto:
    made = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]> net (float[N,3,2] x) => (float[] y) '
        "<float[2] stored = {1, 2}, float zero = {0}, int64 three = {3}, int64[1] axes = {0}, "
        "int64[1] one = {1}, int64 place = {0}> "
        "{ first = Gather<axis=1>(x, place)  " + body.format(what=what) + "  u = Identity(first) }"
    )
    made.graph.output[0].type.tensor_type.ClearField("shape")
    return made


@pytest.mark.parametrize(("body", "what"), [(IF, "stored"), (LOOP, "three"), (SCAN, "1")])
def test_what_is_known(body: str, what: str, worker: Worker) -> None:
    x = normal(4, 3, 2)
    made = model(body, what)
    (expected,) = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": x})
    assert_allclose(run_model(made, {"x": x}, worker, batched=["x"])["y"], expected, TOLERANCE, TOLERANCE)


def test_a_condition_that_data_say(worker: Worker) -> None:
    made = model("z = ReduceSum<keepdims=0>(x)  w = Unsqueeze(z, axes)  " + IF, "w")
    with pytest.raises(UnsupportedFeatureError, match=r"\(If-16\): its condition must be constant"):
        run_model(made, {"x": normal(4, 3, 2)}, worker, batched=["x"])


def test_a_step_for_each_row(worker: Worker) -> None:
    with pytest.raises(UnsupportedFeatureError, match=r"\(Scan-16\): a step for each row of the batch"):
        run_model(model(SCAN, "0"), {"x": normal(4, 3, 2)}, worker, batched=["x"])


def test_a_loop_that_is_too_long(worker: Worker) -> None:
    made = model("long = Constant<value_int=100000>()  " + LOOP, "long")
    with pytest.raises(UnsupportedFeatureError, match=r"\(Loop-16\): .* unrolls to more than 10,000 nodes"):
        run_model(made, {"x": normal(4, 3, 2)}, worker, batched=["x"])
