"""Gradients of quantisation: a straight line within the range of the integers, nothing outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from neuromatic.converters import lowering
from neuromatic.converters.tensorflow import execution
from neuromatic.converters.tensorflow.context import TensorFlowContext
from neuromatic.converters.tensorflow.evaluate import Array, run_model
from neuromatic.converters.tensorflow.lowerings import ops

few = settings(max_examples=20, derandomize=True, deadline=None, database=None)


def _pair(
    scale: Array, zero: Array, opset: int = 21, between: str = "Identity", **attributes: Any
) -> ModelProto:
    """y = DequantizeLinear(between(QuantizeLinear(x)))."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], **attributes),
        helper.make_node(between, ["q"], ["r"]),
        helper.make_node(
            "DequantizeLinear", ["q" if between == "Identity" else "r", "scale", "zero"], ["y"], **attributes
        ),
    ]
    x, y, q = (helper.make_tensor_value_info(n, k, None) for n, k in (("x", 1), ("y", 1), ("q", 2)))
    q.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(zero.dtype)
    constants = [numpy_helper.from_array(a, n) for n, a in (("scale", scale), ("zero", zero))]
    graph = helper.make_graph(nodes, "g", [x], [y, q], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _gradients(model: ModelProto, x: Array) -> tuple[Array, Array]:
    """The gradients of the sum of y by x and by the scale, traced."""
    plan = lowering.plan(model, ops)

    def differentiate(fed: dict[str, Any]) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(fed)
            values = {**lowering.initial_values(model), **fed}
            lowering.run(plan, values, TensorFlowContext(tape=tape, values=values), execution.call)
            total = tf.reduce_sum(values["y"])
        return tape.gradient(
            total, [fed["x"], fed["scale"]], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )

    scale = lowering.initial_values(model)["scale"]
    by_x, by_scale = tf.function(differentiate, autograph=False)(
        {"x": tf.constant(x), "scale": tf.constant(scale)}
    )
    return by_x.numpy(), by_scale.numpy()


@few
@given(
    st.lists(st.floats(-40, 40, width=32), min_size=1, max_size=6),
    st.sampled_from([0.1, 0.25, 0.5]),
    st.sampled_from([np.uint8, np.int8]),
    st.integers(0, 100),
)
def test_a_pair_is_a_straight_line_within_its_range(
    values: list[float], scale: float, kind: Any, zero: int
) -> None:
    x, s = np.array(values, np.float32), np.float32(scale)
    model = _pair(np.array(s), np.array(zero, kind))
    limits = np.iinfo(kind)
    steps = np.round(x / s) + zero
    inside = (steps >= limits.min) & (steps <= limits.max)
    clipped = np.clip(steps, limits.min, limits.max) - zero
    got = run_model(model, {"x": x})
    np.testing.assert_array_equal(got["q"], (clipped + zero).astype(kind))
    np.testing.assert_allclose(got["y"], clipped * s, rtol=1e-6)
    by_x, by_scale = _gradients(model, x)
    np.testing.assert_array_equal(by_x, inside.astype(np.float32))
    # y = steps * scale: by the scale, steps - x / scale inside, the clipped steps outside.
    np.testing.assert_allclose(
        by_scale, np.where(inside, clipped - x / s, clipped).sum(), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("opset", [10, 13, 19, 21, 23, 25])
def test_every_version_has_the_gradient(opset: int) -> None:
    x = np.array([[0.3, -1.2], [5.0, 0.1]], np.float32)
    model = _pair(np.array(0.02, np.float32), np.array(0, np.int8), opset)
    by_x, _ = _gradients(model, x)
    np.testing.assert_array_equal(by_x, [[1, 1], [0, 1]])


@pytest.mark.parametrize(
    ("scale", "attributes"),
    [([0.1, 0.2, 0.3], {"axis": 1}), ([[0.1, 0.2], [0.3, 0.4]], {"axis": 1, "block_size": 2})],
)
def test_scales_by_axis_and_by_block(scale: Any, attributes: dict[str, Any]) -> None:
    x = np.array([[0.5, -1.0, 2.0], [1.1, 0.7, -0.4]], np.float32)
    s = np.array(scale, np.float32)
    model = _pair(s, np.zeros(s.shape, np.int8), **attributes)
    by_x, by_scale = _gradients(model, x)
    np.testing.assert_array_equal(by_x, np.ones_like(x))
    assert by_scale.shape == s.shape


def test_integers_between_the_pair_are_integers() -> None:
    """An operator between the two gets the integers themselves, which carry no gradient."""
    model = _pair(np.array(0.5, np.float32), np.array(0, np.int8), between="Neg")
    x = np.array([1.0, -2.6], np.float32)
    got = run_model(model, {"x": x})
    np.testing.assert_array_equal(got["q"], np.array([2, -5], np.int8))
    np.testing.assert_array_equal(got["y"], [-1.0, 2.5])
    np.testing.assert_array_equal(_gradients(model, x)[0], [0, 0])


@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.UINT4])
def test_four_bits(kind: int) -> None:
    limits = (-8, 7) if kind == TensorProto.INT4 else (0, 15)
    zero = np.array(0, helper.tensor_dtype_to_np_dtype(kind))
    x = np.array([-30.0, -1.0, 2.0, 30.0], np.float32)
    got = run_model(_pair(np.array(1.0, np.float32), zero), {"x": x})
    np.testing.assert_array_equal(got["y"], np.clip(x, *limits))
