"""Calling layers on symbolic tensors, and assembling what they compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, numpy_helper

from neuromatic import Model, layers
from neuromatic.builder.functional import Input, assemble, input_names
from neuromatic.errors import ModelError, ShapeError
from neuromatic.layers import Activation, Add, Concatenate, Dense, base
from neuromatic.layers.base import Call, Layer, SymbolicTensor, layer_names


def run(model: ModelProto, **inputs: Any) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [v.name for v in model.graph.output]
    return dict(zip(names, session.run(None, inputs), strict=True))


def weights(model: ModelProto) -> dict[str, Any]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def data(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_branches_meet_again() -> None:
    x = Input((3,))
    left, right = Dense(4, "relu")(x), Dense(4)(x)
    model = assemble([x], [Add()([left, right])]).proto
    w, a = weights(model), data(5, 3)
    expected = np.maximum(a @ w["dense/kernel"], 0) + a @ w["dense_1/kernel"]
    np.testing.assert_allclose(run(model, input=a)["add"], expected, atol=1e-6)


def test_several_inputs_and_outputs() -> None:
    a, b = Input((2,), name="a"), Input((3,), name="b")
    both = Concatenate()([a, b])
    first, second = Dense(1, name="first")(both), Dense(2, name="second")(b)
    model = assemble([a, b], [first, second]).proto
    assert [v.name for v in model.graph.input] == ["a", "b"]
    results = run(model, a=data(4, 2), b=data(4, 3))
    assert {name: r.shape for name, r in results.items()} == {"first": (4, 1), "second": (4, 2)}


def test_an_input_that_no_output_needs_stays_an_input() -> None:
    a, b = Input((2,)), Input((3,))
    assert [v.name for v in assemble([a, b], [Dense(1)(a)]).proto.graph.input] == ["input", "input_1"]


def test_a_shared_layer_has_its_parameters_once() -> None:
    a, b = Input((3,)), Input((3,))
    shared = Dense(2)
    model = assemble([a, b], [Add()([shared(a), shared(b)])]).proto
    w = weights(model)
    assert list(w) == ["dense/kernel", "dense/bias"]
    xs = {"input": data(4, 3), "input_1": data(4, 3) + 1}
    expected = sum(x @ w["dense/kernel"] for x in xs.values())
    np.testing.assert_allclose(run(model, **xs)["add"], expected, atol=1e-6)


def test_a_shared_layer_is_refused_on_another_shape() -> None:
    shared = Dense(2)
    output = Add()([shared(Input((3,), name="a")), shared(Input((4,), name="b"))])
    inputs = [t.inputs[0] for t in output.inputs]
    with pytest.raises(ShapeError, match=r"^dense: Gemm cannot take b \(batch, 4\), dense/kernel \(3, 2\)"):
        assemble(inputs, [output])


def test_the_same_tensor_can_be_output_twice_and_an_input_be_output() -> None:
    x = Input((3,))
    y = Dense(2)(x)
    model = assemble([x], [y, y, x]).proto
    results = run(model, input=data(1, 3))
    assert list(results) == ["dense", "dense_1", "output_2"]
    np.testing.assert_array_equal(results["dense"], results["dense_1"])
    np.testing.assert_array_equal(results["output_2"], data(1, 3))


def test_a_value_renamed_for_one_output_is_found_for_another() -> None:
    x = Input((3,))
    y = Dense(2)(x)
    results = run(assemble([x], [y, Activation("linear")(y), Dense(1)(y)]).proto, input=data(1, 3))
    assert list(results) == ["dense", "activation", "dense_1"]
    np.testing.assert_array_equal(results["dense"], results["activation"])


def test_layers_are_numbered_in_the_order_of_computation() -> None:
    x = Input((3,))
    y = Dense(2)(Activation("relu")(Dense(4, name="hidden")(Dense(5)(x))))
    names = [t.name for t in assemble([x], [y]).proto.graph.initializer]
    assert [n for n in names if n.endswith("kernel")] == ["dense/kernel", "hidden/kernel", "dense_1/kernel"]


def test_adding_a_layer_leaves_the_other_parameters_as_they_are() -> None:
    x = Input((3,))
    hidden = Dense(3)(x)
    short, long = assemble([x], [hidden], seed=7).proto, assemble([x], [Dense(2)(hidden)], seed=7).proto
    np.testing.assert_array_equal(weights(short)["dense/kernel"], weights(long)["dense/kernel"])
    other = assemble([x], [hidden], seed=8).proto
    assert not np.array_equal(weights(short)["dense/kernel"], weights(other)["dense/kernel"])


def test_a_deep_chain_is_no_recursion() -> None:
    x = y = Input((1,))
    for _ in range(1500):
        layer = Activation("linear")
        y = SymbolicTensor(y.dtype, y.shape, Call(layer, (y,)))
    assert len(assemble([x], [y]).proto.graph.node) == 1


def test_a_missing_input_is_refused() -> None:
    a, b = Input((2,), name="a"), Input((2,), name="b")
    with pytest.raises(ModelError, match=r"the outputs depend on inputs that are not listed: .*input 'b'"):
        assemble([a], [Add()([a, b])])


def test_names_given_twice_are_refused() -> None:
    x = Input((2,))
    with pytest.raises(ShapeError, match="two layers are named 'same'; layer names in a model are unique"):
        Model(x, Dense(1, name="same")(Dense(1, name="same")(x)))
    with pytest.raises(ModelError, match="two inputs have the same name"):
        input_names([Input((1,), name="a"), Input((1,), name="a")])
    assert input_names([Input((1,)), Input((1,), name="input"), Input((1,))]) == [
        "input_1",
        "input",
        "input_2",
    ]


def test_a_layer_takes_symbolic_tensors_alone() -> None:
    with pytest.raises(
        TypeError, match=r"Dense takes what Input\(\) or other layers return, got ndarray; for numbers"
    ):
        Dense(1)(data(2, 2))
    with pytest.raises(ShapeError, match="dense: Dense cannot be called on 2 inputs"):
        Dense(1)(Input((1,)), Input((1,)))


def test_inputs_are_described() -> None:
    x = Input((None, "time", 3), "float64", name="series")
    assert repr(x) == "<SymbolicTensor (batch, ?, time, 3) of input 'series'>"
    assert repr(Dense(2)(x)) == "<SymbolicTensor (batch, ?, time, 2) of Dense>"
    with pytest.raises(ValueError, match="a dimension is a positive integer, a name or None, got 0"):
        Input((0,))


@pytest.mark.parametrize("shape", [(7, 3), (8, 7, 3), (5, 8, 7, 3)])
def test_channels_last_inputs_are_turned_once(shape: tuple[int, ...]) -> None:
    x = Input(shape, "uint8", name="image", data_format="channels_last")
    assert x.shape == ("batch", 3, *shape[:-1])
    model = assemble([x], [Activation("linear", name="a")(x), Activation("linear", name="b")(x)]).proto
    assert [v.name for v in model.graph.input] == ["image"]
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:]] == list(shape)
    assert [node.op_type for node in model.graph.node].count("Transpose") == 1
    a = np.arange(2 * np.prod(shape)).reshape(2, *shape).astype(np.uint8)
    np.testing.assert_array_equal(run(model, image=a)["b"], np.moveaxis(a, -1, 1))


def test_channels_last_inputs_mix_with_others() -> None:
    a, b = Input((4, 3), data_format="channels_last"), Input((3, 4))
    c = Input((5, 5, 1), data_format="channels_last")
    model = assemble([a, b, c], [Add()([a, b])]).proto
    assert [v.name for v in model.graph.input] == ["input", "input_1", "input_2"]
    with pytest.raises(ModelError, match="the outputs depend on inputs that are not listed"):
        assemble([b], [Add()([a, b])])


def test_a_wrong_data_format_is_refused() -> None:
    with pytest.raises(
        ValueError, match='Input: data_format must be "channels_first" or "channels_last", got \'NHWC\''
    ):
        Input((4, 4, 1), data_format="NHWC")
    with pytest.raises(
        ValueError,
        match=r'"channels_last" is for shapes of 2 to 4 dimensions, channels among them, got \(9,\)',
    ):
        Input((9,), data_format="channels_last")


def test_calling_layers_in_a_row_names_none_of_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[int] = []

    def counted(given: Sequence[Layer]) -> dict[Layer, str]:
        named.append(len(given))
        return layer_names(given)

    monkeypatch.setattr(base, "layer_names", counted)
    x = first = Input((4,))
    for _ in range(50):
        x = Dense(4)(x)
    assert named == []  # the names that a message needs are looked up once there is one
    with pytest.raises(ShapeError, match=r"^conv2d: .*'dense_49'"):
        layers.Conv2D(2, 3)(x)
    assert named == [51]
    assert [n.name for n in Model(first, x).proto.graph.node][-1] == "dense_49/Gemm"
