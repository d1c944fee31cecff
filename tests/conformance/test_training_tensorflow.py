"""What operators mean in a training step, and what ONNX' own cases leave out of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from onnx import ModelProto, NodeProto, TensorProto, helper

from neuromatic.converters import lowering
from neuromatic.converters.registry import TRAINING_DOMAIN
from neuromatic.converters.tensorflow import execution
from neuromatic.converters.tensorflow.context import TensorFlowContext
from neuromatic.converters.tensorflow.lowerings import ops
from neuromatic.errors import UnsupportedFeatureError

rng = np.random.default_rng(1)


def _model(nodes: Sequence[NodeProto], opset: int = 21) -> ModelProto:
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(TRAINING_DOMAIN, 1)]
    return helper.make_model(helper.make_graph(list(nodes), "g", [], []), opset_imports=imports)


def _run(
    nodes: Sequence[NodeProto],
    inputs: dict[str, Any],
    *,
    opset: int = 21,
    known: Sequence[str] = (),
    **how: Any,
) -> dict[str, Any]:
    """All values of a graph by name; ``how`` is what the context says of the step."""
    values: dict[str, Any] = {n: a if n in known else tf.constant(a) for n, a in inputs.items()}
    with tf.GradientTape() as tape:
        tape.watch([v for v in values.values() if isinstance(v, tf.Tensor) and v.dtype.is_floating])
        context = TensorFlowContext(values=values, tape=tape, **how)
        lowering.run(lowering.plan(_model(nodes, opset), ops), values, context, execution.call)
    return {n: execution.array(v) for n, v in values.items()}


def _dropout(opset: int, ratio: float) -> tuple[NodeProto, dict[str, Any], list[str]]:
    x = {"x": np.ones((100, 100), np.float32)}
    if opset < 12:
        return helper.make_node("Dropout", ["x"], ["y", "mask"], ratio=ratio), x, []
    node = helper.make_node("Dropout", ["x", "ratio"], ["y", "mask"])
    return node, {**x, "ratio": np.array(ratio, np.float32)}, ["ratio"]


@pytest.mark.parametrize("opset", [7, 10, 12, 13, 22])
def test_dropout_keeps_the_mean_in_training(opset: int) -> None:
    node, inputs, known = _dropout(opset, 0.25)
    got = _run([node], inputs, opset=opset, known=known, training=True)
    assert set(np.unique(got["y"])) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(got["y"].mean() - 1) < 0.02
    np.testing.assert_array_equal(got["mask"] != 0, got["y"] != 0)
    assert got["mask"].dtype == (np.float32 if opset == 7 else np.bool_)


@pytest.mark.parametrize("opset", [7, 10, 12, 22])
@pytest.mark.parametrize(("ratio", "training"), [(0.25, False), (0.0, True)])
def test_dropout_is_nothing_outside_training_or_without_a_ratio(
    opset: int, ratio: float, training: bool
) -> None:
    node, inputs, known = _dropout(opset, ratio)
    got = _run([node], inputs, opset=opset, known=known, training=training)
    np.testing.assert_array_equal(got["y"], inputs["x"])
    assert got["mask"].all()


def test_dropout_draws_by_seed_step_and_name() -> None:
    node, inputs, known = _dropout(22, 0.5)
    other = helper.make_node("Dropout", ["x", "ratio"], ["z"])

    def masks(**how: Any) -> tuple[Any, Any]:
        got = _run([node, other], inputs, opset=22, known=known, training=True, **how)
        return got["y"] != 0, got["z"] != 0

    first, second = masks(seed=1, step=5)
    again, _ = masks(seed=1, step=5)
    np.testing.assert_array_equal(first, again)
    for different in (second, masks(seed=1, step=6)[0], masks(seed=2, step=5)[0]):
        assert 0.4 < (first != different).mean() < 0.6


def test_dropout_draws_alike_with_and_without_xla() -> None:
    node, inputs, known = _dropout(22, 0.5)

    def draw(x: Any) -> Any:
        values = {"x": x, "ratio": inputs["ratio"]}
        context = TensorFlowContext(training=True, seed=3, values=values)
        lowering.run(lowering.plan(_model([node], 22), ops), values, context, execution.call)
        return values["y"]

    plain = tf.function(draw, autograph=False)
    compiled = tf.function(draw, autograph=False, jit_compile=True)
    np.testing.assert_array_equal(plain(inputs["x"]).numpy(), compiled(inputs["x"]).numpy())
    assert known == ["ratio"]


STATISTICS = ("scale", "B", "mean", "var")
X = rng.normal(2, 3, (4, 3, 5, 2)).astype(np.float32)


def _batch_norm(opset: int, outputs: Sequence[str], **how: Any) -> dict[str, Any]:
    parameters = {n: rng.uniform(0.5, 1.5, 3).astype(np.float32) for n in STATISTICS}
    attributes = how.pop("attributes", {})
    node = helper.make_node("BatchNormalization", ["x", *STATISTICS], outputs, momentum=0.7, **attributes)
    return _run([node], {"x": X, **parameters}, opset=opset, **how)


def _normalized(got: dict[str, Any], mean: Any, var: Any) -> Any:
    def wide(v: Any) -> Any:
        return np.reshape(v, (-1, 1, 1))

    return (X - wide(mean)) / np.sqrt(wide(var) + 1e-5) * wide(got["scale"]) + wide(got["B"])


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("updated", [[], ["mean"], ["scale", "B"]])
def test_batch_normalization_uses_what_the_step_does_not_update(opset: int, updated: list[str]) -> None:
    got = _batch_norm(opset, ["y"], training=True, updated=frozenset(updated))
    np.testing.assert_allclose(got["y"], _normalized(got, got["mean"], got["var"]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
def test_batch_normalization_uses_the_batch_where_the_step_updates(opset: int) -> None:
    got = _batch_norm(opset, ["y"], training=True, updated=frozenset({"mean", "var"}))
    axes = (0, 2, 3)
    np.testing.assert_allclose(got["y"], _normalized(got, X.mean(axes), X.var(axes)), rtol=1e-4, atol=1e-4)


def test_batch_normalization_takes_a_small_epsilon_as_it_is() -> None:
    x = np.array([-1e-3, 1e-3, 0, 2e-3], np.float32).reshape(4, 1, 1, 1)
    ones, zeros = np.ones(1, np.float32), np.zeros(1, np.float32)
    node = helper.make_node("BatchNormalization", ["x", *STATISTICS], ["y", "m", "v"], epsilon=1e-8)
    node.attribute.append(helper.make_attribute("training_mode", 1))
    got = _run([node], {"x": x, "scale": ones, "B": zeros, "mean": zeros, "var": ones}, opset=15)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(got["y"], (wide - wide.mean()) / np.sqrt(wide.var() + 1e-8), rtol=1e-4)


@pytest.mark.parametrize("opset", [9, 14, 15])
def test_running_statistics_follow_the_population_of_the_batch(opset: int) -> None:
    attributes = {"training_mode": 1} if opset >= 14 else {}
    names = ["y", "new_mean", "new_var"]
    got = _batch_norm(opset, names, attributes=attributes)
    axes = (0, 2, 3)
    np.testing.assert_allclose(got["new_mean"], got["mean"] * 0.7 + X.mean(axes) * 0.3, rtol=1e-4)
    np.testing.assert_allclose(got["new_var"], got["var"] * 0.7 + X.var(axes) * 0.3, rtol=1e-4)


def test_the_batch_is_normalized_once_for_two_nodes() -> None:
    """A step runs the inference graph and the node that updates its statistics on the same value."""
    inputs = ["x", *STATISTICS]
    once = helper.make_node("BatchNormalization", inputs, ["y"])
    again = helper.make_node("BatchNormalization", inputs, ["z", "m", "v"], training_mode=1)
    plan = lowering.plan(_model([once, again]), ops)

    def step(x: Any, scale: Any, B: Any, mean: Any, var: Any) -> Any:
        values = {"x": x, "scale": scale, "B": B, "mean": mean, "var": var}
        context = TensorFlowContext(training=True, updated=frozenset({"mean", "var"}), values=values)
        lowering.run(plan, values, context, execution.call)
        return [execution.channels_first(values[n]) for n in ("y", "m", "v")]

    function = tf.function(step, autograph=False)
    vector = tf.TensorSpec([3], tf.float32)
    graph = function.get_concrete_function(tf.TensorSpec(X.shape, tf.float32), *[vector] * 4).graph
    nodes = [n for n in graph.as_graph_def().node if n.op == "FusedBatchNormV3"]
    shared = {tuple(n.input[1:3]) for n in nodes}
    assert len(nodes) == 2
    assert len(shared) == 1  # TensorFlow merges operations that are equal in operator, inputs and attributes
    assert nodes[0].attr["epsilon"].f == nodes[1].attr["epsilon"].f


def _gradient(y: str, xs: Sequence[str], inputs: Sequence[str] | None = None) -> NodeProto:
    outputs = [f"d{x}" for x in xs]
    return helper.make_node(
        "Gradient", list(inputs or xs), outputs, domain=TRAINING_DOMAIN, xs=list(xs), y=y, name="backward"
    )


def test_gradients_of_parameters_inputs_and_values_between() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("ReduceSum", ["r"], ["y"], keepdims=0),
        _gradient("y", ["x", "w", "c", "unused"]),
    ]
    w = rng.normal(size=(2, 3, 2, 2)).astype(np.float32)
    got = _run(nodes, {"x": X, "w": w, "unused": np.ones(2, np.float32)}, training=True)
    np.testing.assert_array_equal(got["dc"], (got["c"] > 0).astype(np.float32))
    np.testing.assert_array_equal(got["dunused"], np.zeros(2))
    assert got["dx"].shape == X.shape
    moved = X.copy()
    moved[1, 2, 3, 0] += 0.01
    slope = (_run(nodes[:3], {"x": moved, "w": w})["y"] - got["y"]) / 0.01
    np.testing.assert_allclose(slope, got["dx"][1, 2, 3, 0], rtol=2e-2, atol=2e-2)


def test_the_gradient_of_rows_that_were_looked_up_is_dense() -> None:
    nodes = [
        helper.make_node("Gather", ["w", "i"], ["e"]),
        helper.make_node("ReduceSum", ["e"], ["y"], keepdims=0),
        _gradient("y", ["w"]),
    ]
    got = _run(nodes, {"w": np.ones((4, 2), np.float32), "i": np.array([1, 3, 1])}, known=["i"])
    np.testing.assert_array_equal(got["dw"], [[0, 0], [2, 2], [0, 0], [1, 1]])


def test_gradient_refuses_inputs_that_are_not_its_xs() -> None:
    nodes = [helper.make_node("Mul", ["x", "x"], ["y"]), _gradient("y", ["x"], ["other"])]
    message = "node 'backward' (ai.onnx.preview.training.Gradient-1): its first inputs have to be its xs"
    with pytest.raises(UnsupportedFeatureError, match=re.escape(message)):
        _run(nodes, {"x": np.ones(2, np.float32), "other": np.ones(2, np.float32)})


def test_gradient_refuses_to_run_outside_training() -> None:
    values: dict[str, Any] = {"x": tf.constant([1.0])}
    plan = lowering.plan(_model([_gradient("x", ["x"])]), ops)
    with pytest.raises(UnsupportedFeatureError, match="there is no gradient outside a training step"):
        lowering.run(plan, values, TensorFlowContext(values=values), execution.call)


def _optimize(op: str, states: int, t: int, **attributes: Any) -> list[Any]:
    """One step from X=(1, 2), G=(0.5, -0.5) and states of 0.1."""
    groups = [("x", [1.0, 2.0]), ("g", [0.5, -0.5]), *((f"s{i}", [0.1, 0.1]) for i in range(states))]
    inputs: dict[str, Any] = {"R": np.array(0.1, np.float32), "T": np.array(t, np.int64)}
    inputs |= {n: np.array(v, np.float32) for n, v in groups}
    outputs = ["new_x", *(f"new_s{i}" for i in range(states))]
    node = helper.make_node(op, list(inputs), outputs, domain=TRAINING_DOMAIN, **attributes)
    got = _run([node], inputs)
    return [got[o] for o in outputs]


@pytest.mark.parametrize("t", [0, 1, 1000])
def test_adam_corrects_its_bias_exactly(t: int) -> None:
    x, v, h = _optimize("Adam", 2, t, alpha=0.9, beta=0.999, epsilon=1e-8)
    g, a, b = np.array([0.5, -0.5]), float(np.float32(0.9)), float(np.float32(0.999))
    v64, h64 = a * 0.1 + (1 - a) * g, b * 0.1 + (1 - b) * g**2
    rate = 0.1 * np.sqrt(1 - b**t) / (1 - a**t) if t else 0.1
    np.testing.assert_allclose(v, v64, rtol=1e-6)
    np.testing.assert_allclose(h, h64, rtol=1e-6)
    np.testing.assert_allclose(x, [1.0, 2.0] - rate * v64 / (np.sqrt(h64) + 1e-8), rtol=1e-6)


@pytest.mark.parametrize(("t", "damping"), [(0, 1.0), (3, 0.4)])
@pytest.mark.parametrize("mode", ["standard", "nesterov"])
def test_momentum(mode: str, t: int, damping: float) -> None:
    x, v = _optimize("Momentum", 1, t, alpha=0.9, beta=0.4, mode=mode, norm_coefficient=0.01)
    g = np.array([0.5, -0.5]) + 0.01 * np.array([1.0, 2.0])
    expected = 0.9 * 0.1 + damping * g
    np.testing.assert_allclose(v, expected, rtol=1e-6)
    step = g + 0.9 * expected if mode == "nesterov" else expected
    np.testing.assert_allclose(x, np.array([1.0, 2.0]) - 0.1 * step, rtol=1e-6)


def test_adagrad() -> None:
    x, h = _optimize("Adagrad", 1, 2, decay_factor=0.1, epsilon=1e-6)
    expected = 0.1 + np.array([0.25, 0.25])
    np.testing.assert_allclose(h, expected, rtol=1e-6)
    step = 0.1 / 1.2 * np.array([0.5, -0.5]) / (np.sqrt(expected) + 1e-6)
    np.testing.assert_allclose(x, np.array([1.0, 2.0]) - step, rtol=1e-6)


def test_optimizers_take_all_tensors_in_groups() -> None:
    names = ["R", "T", "x1", "x2", "g1", "g2", "v1", "v2"]
    node = helper.make_node("Momentum", names, ["n1", "n2", "w1", "w2"], domain=TRAINING_DOMAIN)
    for name, value in {"alpha": 0.0, "beta": 1.0, "mode": "standard", "norm_coefficient": 0.0}.items():
        node.attribute.append(helper.make_attribute(name, value))
    inputs: dict[str, Any] = {"R": np.array(1.0, np.float32), "T": np.array(0, np.int64)}
    inputs |= {n: np.full(i + 1, i, np.float32) for i, n in enumerate(names[2:])}
    inputs |= {"g1": np.ones(1, np.float32), "g2": np.full(2, 2, np.float32)}
    inputs |= {"x1": np.zeros(1, np.float32), "x2": np.zeros(2, np.float32)}
    inputs |= {"v1": np.zeros(1, np.float32), "v2": np.zeros(2, np.float32)}
    got = _run([node], inputs)
    assert [got[n].tolist() for n in ("n1", "n2", "w1", "w2")] == [[-1], [-2, -2], [1], [2, 2]]


@pytest.mark.parametrize("opset", [17, 22])
def test_random_numbers_of_a_shape(opset: int) -> None:
    nodes = [
        helper.make_node("RandomUniform", [], ["u"], shape=[2000], low=-1.0, high=3.0),
        helper.make_node(
            "RandomNormal", [], ["n"], shape=[2000], mean=2.0, scale=0.5, dtype=TensorProto.DOUBLE
        ),
        helper.make_node("Multinomial", ["p"], ["m"], sample_size=4000, dtype=TensorProto.INT64),
    ]
    p = np.array([[0.1, 0.2, 0.7], [1.0, 1e-9, 1e-9]], np.float32)
    got = _run(nodes, {"p": np.log(p)}, opset=opset, training=True)
    u, n, m = got["u"], got["n"], got["m"]
    assert (u.dtype, n.dtype, m.dtype) == (np.float32, np.float64, np.int64)
    assert -1 <= u.min() < -0.9
    assert 2.9 < u.max() <= 3
    np.testing.assert_allclose([u.mean(), n.mean(), n.std()], [1, 2, 0.5], atol=0.1)
    np.testing.assert_allclose(np.bincount(m[0]) / 4000, p[0], atol=0.03)
    assert (m[1] == 0).all()
    with pytest.raises(UnsupportedFeatureError, match="random numbers outside a training step"):
        _run(nodes[:1], {}, opset=opset, training=False)
