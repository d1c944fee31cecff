"""Model-local functions with a second meaning in training: in the file, in onnxruntime, on TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest

import neuromatic as nm
from neuromatic.errors import ModelError
from neuromatic.ir import functions
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from neuromatic.layers.base import Layer

X = np.array([[1.0, 2.0], [3.0, 5.0]], np.float32)


@dataclass(frozen=True, eq=False)
class Doubled(Layer):
    """Its input in inference, twice that in training; counts steps in a state."""

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        count = g.param("count", lambda rng, shape: np.zeros(shape), (1,))

        def training(b: GraphBuilder, x: Value, count: Value) -> Any:
            new = b.add("Add", count, b.const([1.0]))
            return b.add("Add", x, x), {"count": new}

        return functions.call(g, "Doubled", x, count, inference=lambda b, x, count: x, training=training)


def model() -> nm.Model:
    x = nm.Input((2,))
    y = Doubled(name="second")(Doubled(name="first")(x))
    y = nm.layers.Dense(1, use_bias=False, kernel_initializer="ones", name="dense")(y)
    return nm.Model(x, y).loss("mse").optimizer("sgd", learning_rate=0.0)


def test_equal_bodies_are_one_function_and_others_get_a_number() -> None:
    g = GraphBuilder()
    x = g.input("x", onnx.TensorProto.FLOAT, ("batch", 2))

    def times(factor: float) -> Value:
        return functions.call(g, "Times", x, inference=lambda b, x: b.add("Mul", x, b.const(factor)))

    for factor in (2.0, 2.0, 3.0):
        times(factor)
    assert sorted(g.functions) == ["Times", "Times_1"]
    assert [n.op_type for n in g.graph.node] == ["Times", "Times", "Times_1"]


def test_a_body_that_makes_parameters_is_refused() -> None:
    g = GraphBuilder()
    x = g.input("x", onnx.TensorProto.FLOAT, ("batch", 2))
    with pytest.raises(ModelError, match="the body of function 'Bad' makes parameters"):
        functions.call(
            g, "Bad", x, inference=lambda b, x: b.param("w", lambda rng, shape: np.zeros(shape), (2,))
        )


def test_inference_runs_the_first_meaning_and_training_the_second() -> None:
    net = model()
    np.testing.assert_array_equal(net.predict(X), X.sum(axis=1, keepdims=True))
    history = net.train(X, np.zeros((2, 1), np.float32), epochs=3, batch_size=2, verbose=0)
    expected = float((16 * X.sum(axis=1) ** 2).mean())
    np.testing.assert_allclose(history.step_losses, [expected] * 3, rtol=1e-6)
    assert {n: v.tolist() for n, v in net.parameters().items() if "count" in n} == {
        "first/count": [3.0],
        "second/count": [3.0],
    }


def test_a_state_is_not_trained_and_a_frozen_one_stays() -> None:
    net = model()
    assert net.recipe is not None
    assert net.recipe.trainable == ("dense/kernel",)
    frozen = net.freeze("first/*")
    frozen.train(X, np.zeros((2, 1), np.float32), epochs=1, batch_size=2, verbose=0)
    assert float(frozen.parameters()["first/count"][0]) == 0.0
    assert float(frozen.parameters()["second/count"][0]) == 1.0


def test_the_file_keeps_both_and_an_export_has_neither(tmp_path: Any) -> None:
    net = model()
    net.save(tmp_path / "net.onnx")
    kept = nm.load(tmp_path / "net.onnx")
    assert {f.name for f in kept.proto.functions} >= {"Doubled", "Doubled_training"}
    assert kept.loss("mae").recipe is not None
    net.export(tmp_path / "released.onnx")
    released = onnx.load(tmp_path / "released.onnx")
    assert not released.functions
    assert {o.domain for o in released.opset_import} == {""}
    np.testing.assert_array_equal(nm.load(tmp_path / "released.onnx").predict(X), net.predict(X))
