"""Any ONNX operator, function or domain as a layer."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import onnx.parser
import pytest
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic import layers
from neuromatic.errors import ModelError, ShapeError, UnknownNameError
from neuromatic.ir.graph import GraphBuilder
from neuromatic.ir.values import Value
from tests.catalogue.layers import numbers

Array = NDArray[Any]
X = numbers("x", (2, 3))


def computed(layer: layers.Layer, *inputs: Array) -> Array:
    """What a model of the layer predicts, and that a checked file says it."""
    symbols = [nm.Input(x.shape[1:], x.dtype) for x in inputs]
    model = nm.Model(symbols, layer(*symbols))
    onnx.checker.check_model(model.proto, full_check=True)
    found = model.predict(
        inputs[0] if len(inputs) == 1 else dict(zip(model.input_names, inputs, strict=True))
    )
    return np.asarray(found)


@pytest.mark.parametrize(
    ("layer", "wanted"),
    [
        (layers.Op("Clip", min=0.0, max=1.0), np.clip(X, 0, 1)),
        (layers.Op("Clip", 0, 1), np.clip(X, 0, 1)),
        (layers.Op("Clip", max=0), np.minimum(X, 0)),
        (layers.Op("Pow", 2.0), X**2),
        (layers.Op("Pow", 3), X**3),
        (layers.Op("Sub", A=1.0), 1 - X),
        (layers.Op("Add", np.arange(3.0)), X + np.arange(3)),
        (layers.Op("Unsqueeze", [1]), X[:, None]),
        (layers.Op("ReduceSum", axes=[1], keepdims=False), X.sum(1)),
        (layers.Op("LeakyRelu", alpha=1), X),
        (layers.Op("Max", 0.5, [1.0, 0.0, 0.0]), np.maximum(np.maximum(X, 0.5), [1, 0, 0])),
        (layers.Op("Cast", to=onnx.TensorProto.INT32), X.astype(np.int32)),
    ],
    ids=str,
)
def test_inputs_and_attributes_by_name_and_in_order(layer: layers.Layer, wanted: Array) -> None:
    np.testing.assert_allclose(computed(layer, X), wanted, rtol=1e-6, atol=1e-6)


def test_several_inputs_and_outputs() -> None:
    y = numbers("y", (2, 3))
    np.testing.assert_allclose(computed(layers.Op("Concat", axis=1), X, y), np.concatenate([X, y], 1))
    np.testing.assert_allclose(
        computed(layers.Op("Where", condition=[True, False, True]), X, y)[:, 1], y[:, 1]
    )
    values, places = layers.Op("TopK", [2], outputs=2, largest=0).results(nm.Input((3,)))
    assert (values.shape, places.dtype) == (("batch", 2), onnx.TensorProto.INT64)


def test_parameters_are_trained() -> None:
    layer = layers.Op("Gemm", parameters={"B": ((3, 2), "glorot_uniform"), "C": ((2,), "zeros")}, alpha=2)
    model = nm.Model(x := nm.Input((3,)), layer(x)).loss("mse").optimizer("sgd", learning_rate=0.1)
    before = model.parameters()
    assert {name: a.shape for name, a in before.items()} == {"op/B": (3, 2), "op/C": (2,)}
    np.testing.assert_allclose(model.predict(X), 2 * X @ before["op/B"], rtol=1e-5)
    history = model.train(X, np.zeros((2, 2), np.float32), epochs=3, batch_size=2, verbose=0)
    assert history.step_losses[-1] < history.step_losses[0]


def test_parameters_take_the_places_that_they_name() -> None:
    layer = layers.Op("MatMul", parameters={"A": ((4, 3), "glorot_uniform")})
    model = nm.Model(x := nm.Input((3, 2)), layer(x))
    data = numbers("stack", (2, 3, 2))
    np.testing.assert_allclose(model.predict(data), model.parameters()["op/A"] @ data, rtol=1e-5, atol=1e-6)


def test_in_a_chain() -> None:
    model = nm.Sequential((3,)).op("Clip", min=0.0).op("Mul", 2.0).build()
    np.testing.assert_allclose(model.predict(X), 2 * np.maximum(X, 0))


def test_a_newer_operator_raises_the_opset() -> None:
    model = nm.Sequential((3,)).op("Gelu", approximate="tanh").build()
    assert model.proto.opset_import[0].version == 20


def test_a_function_comes_with_the_model() -> None:
    function = onnx.parser.parse_function(
        '<domain: "neuromatic", opset_import: ["" : 17]> Squared (x) => (y) { y = Mul (x, x) }'
    )
    model = nm.Sequential((3,)).op(function).dense(1).build()
    assert [f.name for f in model.proto.functions] == ["Squared"]
    np.testing.assert_allclose(computed(layers.Op(function), X), X * X)
    trained = model.loss("mse").optimizer("sgd")
    assert trained.train(X, np.zeros((2, 1), np.float32), epochs=1, verbose=0).step_losses
    other = onnx.parser.parse_function(
        '<domain: "mine", opset_import: ["" : 17]> F (x) => (y) { y = Neg (x) }'
    )
    with pytest.raises(ValueError, match=r"^Op: a function must be of domain 'neuromatic', got 'mine'$"):
        layers.Op(other)


def test_other_domains() -> None:
    binarizer = layers.Op("Binarizer", domain="ai.onnx.ml", threshold=0.5)
    np.testing.assert_allclose(computed(binarizer, X), X > 0.5)
    with pytest.raises(
        ModelError, match=r"^op: SplitToSequence gives 'op/SplitToSequence', which is no tensor"
    ):
        layers.Op("SplitToSequence")(nm.Input((3,)))
    imputer = layers.Op(
        "Imputer",
        domain="ai.onnx.ml",
        types=[("float32", (3,))],
        imputed_value_floats=[7.0],
        replaced_value_float=float(X[0, 0]),
    )
    assert computed(imputer, X)[0, 0] == 7.0


def test_domains_that_onnx_does_not_know() -> None:
    gelu = layers.Op("FastGelu", domain="com.microsoft", types=[("float32", (3,))])
    model = nm.Sequential((3,)).append(gelu).build()
    assert {o.domain for o in model.proto.opset_import} == {"", "com.microsoft"}
    inner = np.sqrt(2 / np.pi) * (X + 0.044715 * X**3)
    np.testing.assert_allclose(model.predict(X), X / 2 * (1 + np.tanh(inner)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: layers.Op("Cilp"),
            UnknownNameError,
            "there is no operator named 'Cilp'; did you mean 'Clip'?",
        ),
        (
            lambda: layers.Op("Clip", domain="ai.onnx.ml"),
            UnknownNameError,
            "there is no operator of domain 'ai.onnx.ml' named 'Clip'",
        ),
        (
            lambda: layers.Op(cast(Any, 3)),
            TypeError,
            "Op: op must be the name of an operator or a FunctionProto, got 3",
        ),
        (lambda: layers.Op("TopK", outputs=0), ValueError, "Op: outputs must be a positive integer, got 0"),
        (
            lambda: layers.Op("TopK", outputs=2, types=[("float32", ())]),
            ValueError,
            "Op: types must be one for each of 2 outputs, got [('float32', ())]",
        ),
        (
            lambda: layers.Lambda(cast(Any, 2)),
            TypeError,
            "Lambda: function must be a function of (builder, value), got 2",
        ),
    ],
)
def test_wrong_definitions_are_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (
            layers.Op("LeakyRelu", alfa=1),
            ValueError,
            "Op: LeakyRelu has no input or attribute 'alfa'; did you mean 'alpha'?",
        ),
        (layers.Op("Concat"), ValueError, "Op: Concat needs its attribute 'axis'"),
        (
            layers.Op("Gemm", parameters={"D": ((2,), "zeros")}),
            ValueError,
            "Op: Gemm has no input 'D'; it has A, B, C",
        ),
        (layers.Op("Gemm"), ShapeError, "op: Gemm takes 2 to 3 inputs, got 1"),
        (layers.Op("Add", 1, 2), ShapeError, "op: Add takes 2 inputs, got 3"),
        (
            layers.Op("MatMul", np.zeros((2, 2), np.float32)),
            ShapeError,
            "op: MatMul cannot take input (batch, 3), op/Constant (2, 2): ",
        ),
    ],
    ids=str,
)
def test_wrong_calls_are_refused(layer: layers.Layer, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        layer(nm.Input((3,)))
    assert str(raised.value).startswith(message)


def test_a_lambda_adds_nodes() -> None:
    def mixed(g: GraphBuilder, x: Value, y: Value, factor: float = 1.0) -> Value:
        return g.add("Mul", g.add("Add", x, y), g.const(factor))

    y = numbers("y", (2, 3))
    np.testing.assert_allclose(computed(layers.Lambda(mixed, {"factor": 3.0}), X, y), 3 * (X + y), rtol=1e-6)
    split = layers.Lambda(lambda g, x: (x, g.add("Neg", x)))
    assert [t.shape for t in split.results(nm.Input((3,)))] == [("batch", 3)] * 2
    with pytest.raises(
        TypeError, match="Lambda: function must return what the builder's add returns, got None"
    ):
        layers.Lambda(lambda g, x: None)(nm.Input((3,)))
