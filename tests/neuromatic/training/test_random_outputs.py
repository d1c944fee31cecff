"""Nets that draw at random also in inference: trained, and confirmed by what follows from their draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

import neuromatic as nm
from neuromatic.converters.tensorflow import noise
from neuromatic.errors import VerificationError
from tests.converters.cntk.cntk_environment import environment_or_skip

FLOAT = TensorProto.FLOAT
RNG = np.random.default_rng(5)
X = RNG.normal(size=(120, 6)).astype(np.float32)


def weight(name: str, *shape: int) -> TensorProto:
    return numpy_helper.from_array((RNG.normal(size=shape) * 0.3).astype(np.float32), name)


def value(name: str, *shape: int | str) -> Any:
    return helper.make_tensor_value_info(name, FLOAT, shape)


def net(
    nodes: Sequence[NodeProto], outputs: Sequence[str] = ("y",), functions: Sequence[FunctionProto] = ()
) -> ModelProto:
    """x (n, 6) to a (n, 4), the given nodes to z (n, 4), and from z to y (n, 6)."""
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["a"], name="encoder"),
            *nodes,
            helper.make_node("Gemm", ["z", "v", "c"], ["y"], name="decoder"),
        ],
        "net",
        [value("x", "n", 6)],
        [value(name, "n", 6 if name == "y" else 4) for name in outputs],
        [weight("w", 6, 4), weight("b", 4), weight("v", 4, 6), weight("c", 6)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=8)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> NodeProto:
    return helper.make_node(op, list(inputs), list(outputs), **attributes)


def constant(name: str, number: Any) -> NodeProto:
    return node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(number)))


def branch(*nodes: NodeProto) -> GraphProto:
    return helper.make_graph(list(nodes), "branch", [], [value(nodes[-1].output[0], "n", 4)])


NOISY = helper.make_function(
    "own",
    "Noisy",
    ["x"],
    ["y"],
    [node("RandomNormalLike", ["x"], ["e"]), node("Add", ["x", "e"], ["y"])],
    [helper.make_opsetid("", 17)],
)
NORMAL = [node("RandomNormalLike", ["a"], ["e"], name="draw"), node("Add", ["a", "e"], ["z"])]
NETS = {
    "normal": net(NORMAL),
    "outputs": net(NORMAL, ("y", "a", "e", "z")),
    "uniform": net([node("RandomUniform", [], ["r"], shape=[1, 4], low=0.5), node("Mul", ["a", "r"], ["z"])]),
    "bernoulli": net(
        [
            node("Sigmoid", ["a"], ["p"]),
            node("Bernoulli", ["p"], ["r"], dtype=FLOAT),
            node("Mul", ["a", "r"], ["z"]),
        ]
    ),
    "multinomial": net(
        [
            node("Multinomial", ["a"], ["r"], sample_size=4, dtype=TensorProto.INT32),
            node("Cast", ["r"], ["k"], to=FLOAT),
            node("Add", ["a", "k"], ["z"]),
        ]
    ),
    "function": net([node("Noisy", ["a"], ["z"], domain="own")], functions=[NOISY]),
    "branch": net(
        [
            constant("yes", True),
            node(
                "If",
                ["yes"],
                ["z"],
                then_branch=branch(node("RandomUniformLike", ["a"], ["e"]), node("Add", ["a", "e"], ["t"])),
                else_branch=branch(node("Identity", ["a"], ["f"])),
            ),
        ]
    ),
    "twice": net(
        [
            node("RandomNormalLike", ["a"], ["e"]),
            node("Add", ["a", "e"], ["q"]),
            node("Sigmoid", ["q"], ["p"]),
            node("Bernoulli", ["p"], ["r"], dtype=FLOAT),
            node("Mul", ["q", "r"], ["z"]),
        ]
    ),
}
DRAWN = {
    "normal": ("e",),
    "outputs": ("e",),
    "uniform": (),
    "bernoulli": ("r",),
    "multinomial": ("r",),
    "function": ("z",),
    "branch": ("z",),
    "twice": ("e", "r"),
}


def train(case: str, engine: str = "tensorflow", **settings: Any) -> tuple[nm.Model, nm.History]:
    model = nm.Model.from_proto(NETS[case]).loss({"y": "mse"}).optimizer("adam", learning_rate=0.01)
    settings = {"epochs": 3, "validation_split": 0.2, "verbose": 0, **settings}
    return model, model.train(X, X, engine=engine, **settings)


@pytest.mark.parametrize("case", NETS)
def test_a_net_that_draws_trains_and_is_confirmed(case: str) -> None:
    model, history = train(case)
    found = history.verification
    assert found is not None
    assert found.drawn == DRAWN[case]
    assert {"y"} <= {*found.compared}
    assert found.difference < 1e-5
    assert len(history.history["val_loss"]) == 3
    again, _ = train(case)
    for name, array in again.parameters().items():
        np.testing.assert_array_equal(array, model.parameters()[name], err_msg=name)
    if case == "uniform":
        assert found.not_compared == {"r": "4 random numbers are too few to compare their means"}


@pytest.mark.parametrize("case", ["normal", "outputs", "bernoulli", "function", "twice"])
def test_also_on_cntk(case: str) -> None:
    environment_or_skip()
    _, history = train(case, "cntk")
    assert history.verification is not None
    assert history.verification.drawn == DRAWN[case]
    assert history.verification.difference < 1e-5


def test_dropout_in_training_form_that_stays_so() -> None:
    nodes = [constant("rate", np.float32(0.3)), constant("on", True)]
    model = net([*nodes, node("Dropout", ["a", "rate", "on"], ["z"])])
    model.producer_name = "neuromatic"  # of files by others, a loss makes the inference form
    chosen = nm.Model.from_proto(model).loss("mse").optimizer("sgd")
    history = chosen.train(X, X, verbose=0)
    assert history.verification is not None
    assert history.verification.drawn == ("z",)


def test_an_engine_that_draws_something_else_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = noise._of_shape
    monkeypatch.setattr(noise, "_of_shape", lambda *given: right(*given) * 1.5)
    with pytest.raises(
        VerificationError, match=r"what is drawn as 'e' has mean square .* on the engine and "
    ):
        train("normal")


def test_an_engine_that_computes_something_else_from_its_draws_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from neuromatic.converters.tensorflow import program

    right = program.TensorFlowProgram.predict

    def wrong(self: Any, *given: Any) -> Any:
        found = right(self, *given)
        return found | {"y": found["y"] * 1.01}

    monkeypatch.setattr(program.TensorFlowProgram, "predict", wrong)
    with pytest.raises(VerificationError, match="output 'y' of the trained model differs by "):
        train("normal")
