"""Values that travel channels last, and batches of any size, change no result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from onnx import NodeProto, TensorProto, helper

from neuromatic.converters import lowering
from neuromatic.converters.tensorflow import execution
from neuromatic.converters.tensorflow.context import TensorFlowContext
from neuromatic.converters.tensorflow.evaluate import Array, run_model
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.errors import UnsupportedFeatureError
from tests.conformance.gradient_cases import ALL
from tests.conformance.gradients import Graph, Node, Random

rng = np.random.default_rng(0)
X = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)


def _after_pool(nodes: Sequence[NodeProto], x: Array, **constants: Array) -> Array:
    """The output ``y`` of nodes that get ``a``, the input through a pool of one element: channels last."""
    rank = x.ndim
    pool = helper.make_node("MaxPool", ["x"], ["a"], kernel_shape=[1] * (rank - 2))
    graph = helper.make_graph(
        [pool, *nodes],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor(n, TensorProto.FLOAT, c.shape, c.ravel()) for n, c in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    return run_model(model, {"x": x})["y"]


@pytest.mark.parametrize("shape", [(), (5,), (4, 1), (3, 1, 1), (2, 1, 4, 5), (2, 3, 4, 5)])
def test_broadcasting_with_a_value_of_each_rank(shape: tuple[int, ...]) -> None:
    c = rng.normal(size=shape).astype(np.float32)
    got = _after_pool([helper.make_node("Add", ["c", "a"], ["y"])], X, c=c)
    np.testing.assert_allclose(got, X + c, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 1, 1), (1,), (3, 4, 5)])
def test_the_slope_of_prelu_keeps_its_channels(shape: tuple[int, ...]) -> None:
    c = rng.normal(size=shape).astype(np.float32)
    got = _after_pool([helper.make_node("PRelu", ["a", "c"], ["y"])], X, c=c)
    np.testing.assert_allclose(got, np.where(X < 0, X * c, X), rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -2, -3, -4])
def test_axes_are_those_of_onnx(axis: int) -> None:
    joined = _after_pool([helper.make_node("Concat", ["a", "c"], ["y"], axis=axis)], X, c=2 * X)
    np.testing.assert_array_equal(joined, np.concatenate([X, 2 * X], axis))
    soft = _after_pool([helper.make_node("Softmax", ["a"], ["y"], axis=axis)], X)
    np.testing.assert_allclose(soft.sum(axis), np.ones_like(X).sum(axis) / X.shape[axis], rtol=1e-5)
    total = _after_pool([helper.make_node("ReduceSum", ["a"], ["y"])], X)
    np.testing.assert_allclose(total, X.sum(keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("x", [X, X[:, :, :, 0], X[..., None]], ids=["2d", "1d", "3d"])
def test_values_turn_back_where_order_matters(x: Array) -> None:
    nodes = [helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Flatten", ["b"], ["y"])]
    np.testing.assert_array_equal(_after_pool(nodes, x), np.maximum(x, 0).reshape(2, -1))


def _results(graph: Graph, inputs: dict[str, Any]) -> list[Any]:
    constants = {n: a.astype(np.float32) if a.dtype.kind == "f" else a for n, a in graph.constants.items()}
    values = {**constants, **inputs}
    statistics = frozenset(graph.names[3:5])
    context = TensorFlowContext(training=graph.node.training, updated=statistics, values=values)
    lowering.run(graph.plan, values, context, execution.call)
    return [execution.channels_first(values[name]) for name in graph.outputs]


def _changes_batch(node: Node) -> bool:
    """Whether the node looks at the size of the batch: it repeats its ends, or halves it."""
    return "mode" in node.attributes or "num_outputs" in node.attributes


def _takes_batches(node: Node) -> bool:
    """Whether the node has a layout, which only lowerings have, and an input with a batch."""
    first = node.inputs[0]
    return node.lowering is not None and isinstance(first, Random) and len(first.shape) > 1


@pytest.mark.parametrize("node", [n for n in ALL if _takes_batches(n)], ids=str)
def test_a_batch_may_have_any_size(node: Node) -> None:
    graph = Graph(node)
    inputs = {name: tf.constant(a, tf.float32) for name, a in graph.inputs.items()}
    first, *rest = graph.inputs
    specs = {n: tf.TensorSpec(inputs[n].shape, tf.float32) for n in rest}
    specs[first] = tf.TensorSpec([None, *inputs[first].shape[1:]], tf.float32)
    traced = tf.function(lambda fed: _results(graph, fed), input_signature=[specs], autograph=False)
    if node.op in ("Pad", "Split") and _changes_batch(node):
        with pytest.raises(UnsupportedFeatureError, match="is not fixed; give it a size"):
            traced(inputs)
        return
    results = traced(inputs)
    for got, expected in zip(results, _results(graph, inputs), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_a_reshape_knows_all_but_the_batch() -> None:
    graph = Graph(Node("Reshape", (Random((2, 6)), np.array([0, -1, 2], np.int64))))
    spec = tf.TensorSpec([None, 6], tf.float32)
    traced = tf.function(lambda x: _results(graph, {"x0": x})[0], autograph=False)
    assert traced.get_concrete_function(spec).structured_outputs.shape.as_list() == [None, 3, 2]


def test_every_operator_with_a_layout_has_a_test() -> None:
    elsewhere = {"NHWC", "NCHW"}  # compared with ONNX and with differences
    assert {found.layout for found in ops} - elsewhere == {"any", "axis"}
