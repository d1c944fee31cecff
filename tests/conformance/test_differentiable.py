"""The table of what carries a gradient, and the walk by it through functions and the graphs inside nodes."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, parser

from neuromatic.recipe.compose import algorithm_builder
from neuromatic.recipe.differentiable import DIFFERENTIABLE
from neuromatic.recipe.gradients import differentiable_values
from tests.conformance.differentiable import TABLE, text


def test_the_table_is_what_is_measured() -> None:
    assert TABLE.read_text() == text(), "run: make generated"


def reaching(body: str, opset: int = 21, functions: str = "") -> set[str]:
    """What of x, a, b, c, d (float) and i (int64) reaches y with a gradient."""
    inputs = ", ".join(f"float[2, 2] {name}" for name in "xabcd")
    model: ModelProto = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}, "own": 1]> net ({inputs}, int64[2, 2] i, bool t) '
        f"=> (float[2, 2] y) {{ {body} }} {functions}"
    )
    found = differentiable_values(model, model.graph.node, ["y"], algorithm_builder(model))
    return found & set("xabcdit")


FUNCTION = """<domain: "own", opset_import: ["": 21]> f (p, q, r) => (s, u) {
    s = Mul (p, q)  n = Cast <to = 7> (r)  m = Cast <to = 1> (n)  u = Add (p, m) }"""
LOOP = """y = Loop (n, t, a) <body = step (int64 k, bool go, float[2, 2] s) => (bool goes, float[2, 2] new) {
    goes = Identity (go)  m = Mul (s, b)  f = Floor (c)  new = Add (m, f) }>"""
SCAN = """y, ys = Scan <num_scan_inputs = 1,
    body = step (float[2, 2] s, float[2] e) => (float[2, 2] new, float[2] z) {
    z = Sign (e)  m = Mul (s, b)  new = Add (m, z) }> (a, x)"""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("f = Floor (a)  m = Mul (x, b)  y = Add (m, f)", "xb"),
        ("k = Cast <to = 7> (a)  f = Cast <to = 1> (k)  h = Cast <to = 10> (b)  g = Cast <to = 1> (h) "
         "y = Add (f, g)", "b"),
        ("p, q = own.f (a, b, c)  y = Relu (p)", "ab"),
        ("p, q = own.f (a, b, c)  y = Relu (q)", "a"),
        ("y = If (t) <then_branch = l () => (float[2, 2] u) { u = Mul (a, x) }, "
         "else_branch = r () => (float[2, 2] v) { f = Ceil (b)  v = Add (f, c) }>", "axc"),
        ("n = Size (x)  " + LOOP, "ab"),
        (SCAN, "ab"),
        ("l = Less (a, b)  y = Where (l, c, d)", "cd"),
        ("q = QuantizeLinear (a, s)  y = DequantizeLinear (q, s)", "a"),
    ],
)  # fmt: skip
def test_gradients_are_followed(body: str, expected: str) -> None:
    body = f"s = Constant <value = float {{0.5}}> ()  {body}" if "(a, s)" in body else body
    assert reaching(body, functions=FUNCTION if "own.f" in body else "") == set(expected)


def test_statistics_that_the_net_computes_carry_a_gradient_and_stored_ones_do_not() -> None:
    text = """<ir_version: 8, opset_import: ["": 21]> net (float[N, 2] x, float[2] w) => (float[N, 2] y)
        <float[2] one = {1.0, 1.0}, float[2] kept = {1.0, 1.0}> {
        v = Exp (w)  k = Identity (kept)  y = BatchNormalization (x, one, one, k, v) }"""
    model: ModelProto = parser.parse_model(text)
    found = differentiable_values(model, model.graph.node, ["y"], algorithm_builder(model))
    assert {"x", "w", "one"} <= found
    assert "kept" not in found


def test_the_table_agrees_with_what_is_known() -> None:
    """Some entries by hand, so that a table of nothing, or of everything, is noticed."""
    assert DIFFERENTIABLE["LSTM"] == {"X", "W", "R", "B", "P", "initial_h", "initial_c"}
    assert DIFFERENTIABLE["GridSample"] == {"X", "grid"}
    assert DIFFERENTIABLE["OneHot"] == {"values"}
    assert np.array([not DIFFERENTIABLE[op] for op in ("Floor", "Round", "Sign", "Less", "ArgMax")]).all()
