"""Where numbers stop being finite: the step and the first node, found by looking at the step again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import neuromatic as nm
from neuromatic.errors import DivergedError
from neuromatic.training.divergence import first_not_finite
from tests.converters.cntk.cntk_environment import environment_or_skip

RNG = np.random.default_rng(1)
X = np.abs(RNG.normal(size=(64, 3))).astype(np.float32) + 0.1


def net(*more: Any, outputs: tuple[str, ...] = ("y",), **constants: Any) -> ModelProto:
    """x (n, 3) to a (n, 1), and the given nodes, each as (operator, inputs, output)."""
    info = helper.make_tensor_value_info
    weights = {"w": np.full((3, 1), 0.5, np.float32), "b": np.zeros(1, np.float32), **constants}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["a"], name="product"),
            *(helper.make_node(op, inputs, [out], name=f"the {out}") for op, inputs, out in more),
        ],
        "net",
        [info("x", TensorProto.FLOAT, ["n", 3])],
        [info(name, TensorProto.FLOAT, ["n", 1]) for name in outputs],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def model(proto: ModelProto, rate: float) -> nm.Model:
    return nm.Model.from_proto(proto).loss({"y": "mse"}).optimizer("sgd", learning_rate=rate)


@pytest.mark.parametrize("jit", [False, True])
def test_a_divergence_names_the_step_and_the_node(jit: bool) -> None:
    """The weights go down until the logarithm is that of a negative number, in a step of its own."""
    chosen = model(net(("Log", ["a"], "y")), 0.05)
    settings: dict[str, Any] = {"epochs": 40, "verbose": 0, "engine_options": {"jit": jit}}
    with pytest.raises(DivergedError) as caught:
        chosen.train(X, np.full((64, 1), -9.0, np.float32), batch_size=16, **settings)
    assert caught.value.node == "node 'the y' (Log)"
    assert caught.value.step > 1
    assert caught.value.last_finite is not None
    assert str(caught.value) == (
        f"the loss became {caught.value.value} at step {caught.value.step} (the last finite loss was "
        f"{caught.value.last_finite:.6g}); the first value that is not finite is that of node 'the y' (Log); "
        f"try a lower learning rate or check the data"
    )


@pytest.mark.parametrize("engine", ["tensorflow", "cntk"])
def test_what_overflows_is_named_by_the_node_that_overflows(engine: str) -> None:
    if engine == "cntk":
        environment_or_skip()
    chosen = model(net(("Identity", ["a"], "y")), 1e10)
    with pytest.raises(DivergedError) as caught:
        chosen.train(X, X[:, :1] * 3, epochs=9, batch_size=16, verbose=0, engine=engine)
    assert caught.value.node == "node 'loss/Mul' (Mul)"


def test_an_output_that_becomes_nan_is_a_divergence() -> None:
    late = net(
        ("Identity", ["a"], "y"),
        ("Sub", ["limit", "a"], "d"),
        ("Log", ["d"], "l"),
        outputs=("y", "l"),
        limit=np.float32(20),
    )
    chosen = model(late, 0.1)
    before = chosen.proto.SerializeToString()
    with pytest.raises(DivergedError) as caught:
        chosen.train(X, X[:, :1] * 90, epochs=30, verbose=0)
    assert str(caught.value) == (
        "output 'l' became nan by step 60; the first value that is not finite is that of node 'the l' (Log); "
        "try a lower learning rate or check the data"
    )
    assert chosen.proto.SerializeToString() == before


def test_an_output_that_was_nan_before_training_says_nothing_about_it() -> None:
    x = X - 1
    always = net(("Identity", ["a"], "y"), ("Log", ["x"], "l"), outputs=("y",))
    always.graph.output.append(helper.make_tensor_value_info("l", TensorProto.FLOAT, ["n", 3]))
    history = model(always, 0.01).train(x, x[:, :1], epochs=2, verbose=0)
    assert history.verification is not None
    assert history.verification.compared == ("y", "l")


def test_infinite_weights_are_a_divergence() -> None:
    chosen = model(net(("Identity", ["a"], "y")), 1e38)
    with pytest.raises(DivergedError, match=r"^'[wb]' became -?(inf|nan) by step 1; try a lower") as caught:
        chosen.train(X, X[:, :1] * 100, epochs=1, batch_size=64, verbose=0)
    assert caught.value.step == 1


def test_infinite_constants_are_meant() -> None:
    """A mask of minus infinity is no fault; the division by zero behind it is."""
    masked = net(
        ("Where", ["mask", "a", "low"], "m"),
        ("Exp", ["m"], "e"),
        ("Div", ["zero", "e"], "y"),
        mask=np.array([False]),
        low=np.array([-np.inf], np.float32),
        zero=np.array([0.0], np.float32),
    )
    assert first_not_finite(masked, {"x": X}) == "node 'the y' (Div)"
    assert first_not_finite(net(("Log", ["a"], "y")), {"x": X}) is None
    weights = net(("Log", ["a"], "y"), w=np.full((3, 1), np.nan, np.float32))
    assert first_not_finite(weights, {"x": X}) == "node 'product' (Gemm), whose 'w' is not finite"
