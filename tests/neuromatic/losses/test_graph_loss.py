"""Losses that are ONNX themselves: files, models and functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
from numpy.typing import NDArray
from onnx import FunctionProto, ModelProto, numpy_helper

import neuromatic as nm
from neuromatic import losses
from neuromatic.converters.cntk.recorder import Recorder
from neuromatic.errors import InvalidModelError, ModelError, ShapeError
from neuromatic.ir.values import Value
from tests.neuromatic.graphs import set_parameters

Array = NDArray[Any]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(9, 3)).astype(np.float32)
Y = RNG.normal(size=(9, 3)).astype(np.float32)
W = np.array([2.0, 0.5, 1.0], np.float32)
QUIET: dict[str, Any] = {"verbose": 0, "engine_options": {"jit": False}}


def graph(text: str, *, opset: int = 17, functions: str = "", domains: str = "") -> ModelProto:
    header = f'<ir_version: 8, opset_import: ["": {opset}{domains}]>'
    return onnx.parser.parse_model(f"{header} {text} {functions}")


WEIGHTED = """weighted (float[N, C] y_true, float[N, C] y_pred) => (float[N] value)
<float[3] scale = {2, 0.5, 1}>
{ error = Sub(y_true, y_pred)  square = Mul(error, error)  scaled = Mul(square, scale)
  axes = Constant <value_ints = [1]> ()  value = ReduceSum <keepdims = 0> (scaled, axes) }"""
BY_ORDER = WEIGHTED.replace("y_true", "truth").replace("y_pred", "found")
TURNED = WEIGHTED.replace(
    "(float[N, C] y_true, float[N, C] y_pred)", "(float[N, C] y_pred, float[N, C] y_true)"
)
SCALAR = WEIGHTED.replace("float[N] value", "float value").replace(
    "value = ReduceSum <keepdims = 0> (scaled, axes)",
    "sums = ReduceSum <keepdims = 0> (scaled, axes)  value = ReduceMean <keepdims = 0> (sums)",
)


def expected(x: Array, y: Array) -> float:
    return float(((x - y) ** 2 * W).sum(1).mean())


def identity() -> nm.Model:
    model = nm.Sequential((3,)).dense(3).build()
    set_parameters(model, **{"dense/kernel": np.eye(3)})
    return model


def assert_trains(loss: Any, **settings: Any) -> nm.Model:
    """One step by the loss and its gradient, which are known."""
    model = identity().loss(loss).optimizer("sgd", learning_rate=1.0)
    assert model.evaluate(X, Y)["loss"] == pytest.approx(expected(X, Y), rel=1e-5)
    model.train(X, Y, batch_size=9, **QUIET, **settings)
    gradient = (2 * (X - Y) * W).mean(0)
    np.testing.assert_allclose(-model.parameters()["dense/bias"], gradient, rtol=1e-5)
    return model


@pytest.mark.parametrize("text", [WEIGHTED, BY_ORDER, TURNED, SCALAR])
def test_a_model(text: str) -> None:
    model = assert_trains(graph(text))
    spec = (("input", (3,), "float32"), ("target", (3,), "float32"))
    Recorder(model.proto).record("train", spec)


@pytest.mark.parametrize("as_text", [False, True])
def test_a_file(tmp_path: Path, as_text: bool) -> None:
    path = tmp_path / "my loss.onnx"
    onnx.save(graph(WEIGHTED), path)
    model = assert_trains(str(path) if as_text else path)
    model.save(tmp_path / "trained.onnx")
    path.unlink()
    again = nm.load(tmp_path / "trained.onnx")
    assert again.evaluate(X, Y) == model.evaluate(X, Y)
    again.train(X, Y, **QUIET)
    assert isinstance(losses.get(graph(WEIGHTED)), losses.GraphLoss)


@pytest.mark.parametrize("opset", [13, 18, 21])
def test_another_opset_is_converted(opset: int) -> None:
    assert_trains(graph(SCALAR, opset=opset))


def test_an_opset_that_cannot_be_converted() -> None:
    text = """newer (float[N, C] y_true, float[N, C] y_pred) => (float[N, C] z)
    { y = Gelu(y_pred)  z = Mul(y, y_true) }"""
    with pytest.raises(
        ModelError, match="loss newer is of opset 20, the model of 17, and onnx cannot convert it"
    ):
        identity().loss(graph(text, opset=20)).optimizer("sgd")


def test_functions_in_a_model_are_inlined() -> None:
    text = """outer (float[N, C] y_true, float[N, C] y_pred) => (float[N] value)
<float[3] scale = {2, 0.5, 1}>
    { square = my.Squared(y_true, y_pred)  scaled = Mul(square, scale)
      axes = Constant <value_ints = [1]> ()  value = ReduceSum <keepdims = 0> (scaled, axes) }"""
    function = (
        """<domain: "my", opset_import: ["": 17]> Squared (a, b) => (c) { d = Sub(a, b)  c = Mul(d, d) }"""
    )
    assert_trains(graph(text, functions=function, domains=', "my": 1'))


def squared(opset: int) -> FunctionProto:
    return onnx.parser.parse_function(
        f"""<domain: "my", opset_import: ["": {opset}]> Scaled <factor: float = 3.0> (truth, found) => (value)
        {{ error = Sub(truth, found)  factor = Constant <value_float: float = @factor> ()
          square = Mul(error, error)  axes = Constant <value_ints = [1]> ()
          last = ReduceSum <keepdims = 1> (square, axes)  value = Mul(last, factor) }}"""
    )


@pytest.mark.parametrize(("opset", "arguments"), [(17, {}), (17, {"factor": 0.5}), (13, {}), (21, {})])
def test_a_function(opset: int, arguments: dict[str, Any]) -> None:
    model = identity().loss(squared(opset), **arguments).optimizer("sgd", learning_rate=1.0)
    factor = arguments.get("factor", 3.0)
    assert model.evaluate(X, Y)["loss"] == pytest.approx(3 * factor * np.mean((X - Y) ** 2), rel=1e-5)
    model.train(X, Y, batch_size=9, **QUIET)
    gradient = 2 * factor * (X - Y).mean(0)
    np.testing.assert_allclose(-model.parameters()["dense/bias"], gradient, rtol=1e-5)


def test_a_reduction_and_sample_weights() -> None:
    weights = np.arange(9.0)
    model = identity().loss(graph(WEIGHTED), reduction="sum").optimizer("sgd")
    values = ((X - Y) ** 2 * W).sum(1)
    np.testing.assert_allclose(
        model.evaluate(X, Y, sample_weight=weights)["loss"], values @ weights, rtol=1e-5
    )


def test_targets_of_another_type() -> None:
    text = """picked (int64[N] y_true, float[N, C] y_pred) => (float[N] value)
    { log = LogSoftmax(y_pred)  axes = Constant <value_ints = [1]> ()  index = Unsqueeze(y_true, axes)
      found = GatherElements <axis = 1> (log, index)  value = Neg(flat)  flat = Squeeze(found, axes) }"""
    text = text.replace(
        "value = Neg(flat)  flat = Squeeze(found, axes)", "flat = Squeeze(found, axes)  value = Neg(flat)"
    )
    labels = np.arange(9) % 3
    own = identity().loss(graph(text)).optimizer("sgd")
    ready = identity().loss("sparse_categorical_crossentropy", from_logits=True).optimizer("sgd")
    assert own.evaluate(X, labels)["loss"] == pytest.approx(ready.evaluate(X, labels)["loss"], rel=1e-5)


def test_one_graph_for_two_outputs() -> None:
    x = nm.Input((3,))
    model = nm.Model(x, [nm.layers.Dense(3, name="a")(x), nm.layers.Dense(3, name="b")(x)])
    model = model.loss(graph(WEIGHTED)).optimizer("sgd")
    a, b = model.predict(X).values()
    assert model.evaluate(X, [Y, Y])["loss"] == pytest.approx(expected(a, Y) + expected(b, Y), rel=1e-5)


def test_float64() -> None:
    text = SCALAR.replace("float", "double")
    value = losses.get(graph(text)).target_type(Value("p", 11, ("batch", 3)))
    assert value == (11, ("batch", 3))
    with pytest.raises(ModelError, match="'y_pred' is float64, the prediction 'dense' is float32"):
        identity().loss(graph(text)).optimizer("sgd")


# -- mistakes ------------------------------------------------------------------------------------------


def test_a_prediction_of_another_shape() -> None:
    text = WEIGHTED.replace("float[N, C] y_pred", "float[N, 4] y_pred")
    with pytest.raises(ShapeError, match=r"takes 'y_pred' \(N, 4\), got \(batch, 3\) from 'dense'"):
        identity().loss(graph(text)).optimizer("sgd")
    inner = WEIGHTED.replace("float[3] scale = {2, 0.5, 1}", "float[4] scale = {2, 0.5, 1, 1}")
    with pytest.raises(
        ShapeError, match=r"loss weighted cannot take y_true \(batch, 3\), y_pred \(batch, 3\): "
    ):
        identity().loss(graph(inner)).optimizer("sgd")


def test_a_graph_that_is_no_loss() -> None:
    with pytest.raises(ModelError, match=r"one output; one has \['x'\] and \['y'\]"):
        losses.get(graph("one (float[N] x) => (float[N] y) { y = Neg(x) }"))
    with pytest.raises(InvalidModelError, match=r"cannot read nowhere\.onnx"):
        losses.get("nowhere.onnx")
    broken = graph(WEIGHTED)
    broken.graph.node[0].op_type = "Nonsense"
    with pytest.raises(
        InvalidModelError, match="loss weighted is not valid ONNX: No Op registered for Nonsense"
    ):
        losses.get(broken)
    with pytest.raises(TypeError, match=r"a loss from a graph has no arguments \['delta'\]"):
        losses.get(graph(WEIGHTED), delta=1.0)


def test_arguments_of_a_function() -> None:
    wanted = r"loss Scaled has the arguments \['factor'\], of which \[\] have to be given; got \['delta'\]"
    with pytest.raises(TypeError, match=wanted):
        losses.get(squared(17), delta=1.0)
    bare = squared(17)
    bare.attribute.append(bare.attribute_proto.pop().name)
    with pytest.raises(TypeError, match=r"\['factor'\] have to be given; got \[\]"):
        losses.get(bare)


def test_weights_in_initializers_are_not_trained() -> None:
    model = assert_trains(graph(WEIGHTED))
    assert model.recipe is not None
    assert set(model.recipe.trainable) == {"dense/kernel", "dense/bias"}
    stored = {t.name: numpy_helper.to_array(t) for t in model.proto.training_info[0].algorithm.initializer}
    np.testing.assert_array_equal(stored["loss/weighted/scale"], W)
