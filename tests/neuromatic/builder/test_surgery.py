"""Fine-tuning: forms of BatchNormalization, losses of inner values, several inputs and outputs by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic.builder.model import Model
from neuromatic.errors import RecipeError, UnknownNameError
from tests.neuromatic.graphs import parsed

Array = NDArray[Any]
OPTIONS = {"jit": False}
RUNNING = ("batch_normalization/moving_mean", "batch_normalization/moving_variance")


def normalizing() -> Model:
    """A normalization of 3 features whose output is compared with 0."""
    return nm.Sequential((3,)).batch_normalization().build().loss("mse").optimizer("adam")


def x(rows: int = 8) -> Array:
    return (np.random.default_rng(0).normal(size=(rows, 3)) * 3 + 2).astype(np.float32)


def first_loss(model: Model, **options: Any) -> float:
    history = model.train(x(), np.zeros((8, 3)), batch_size=8, engine_options=OPTIONS, verbose=0, **options)
    return history.step_losses[0]


def test_frozen_statistics_serve_in_training_and_stay() -> None:
    model = normalizing()
    before = model.parameters()
    expected = ((x().astype(np.float64) / np.sqrt(1 + 1e-3)) ** 2).mean()
    assert first_loss(model, batch_norm="frozen") == pytest.approx(expected, rel=1e-5)
    for name in RUNNING:
        np.testing.assert_array_equal(model.parameters()[name], before[name])
    assert (model.parameters()["batch_normalization/gamma"] != before["batch_normalization/gamma"]).all()


def test_the_statistics_of_each_batch_are_the_default() -> None:
    for options in ({}, {"batch_norm": "train"}):
        model, data = normalizing(), x().astype(np.float64)
        normalized = (data - data.mean(0)) / np.sqrt(data.var(0) + 1e-3)
        assert first_loss(model, **options) == pytest.approx((normalized**2).mean(), rel=1e-4)
        np.testing.assert_allclose(model.parameters()[RUNNING[0]], 0.01 * data.mean(0), rtol=1e-4)


def test_the_form_is_kept_in_the_file_and_the_optimizer_goes_on(tmp_path: Path) -> None:
    model = normalizing()
    first_loss(model)
    first_loss(model, batch_norm="frozen")
    model.save(tmp_path / "frozen.onnx")
    again = nm.load(tmp_path / "frozen.onnx")
    assert [again.roles()[name] for name in RUNNING] == ["frozen", "frozen"]
    steps = {t.name: t for t in again.proto.training_info[0].algorithm.initializer}["step"]
    assert np.frombuffer(steps.raw_data, np.int64)[0] == 2
    before = again.parameters()[RUNNING[0]]
    first_loss(again)
    np.testing.assert_array_equal(again.parameters()[RUNNING[0]], before)
    first_loss(again, batch_norm="train")
    assert (again.parameters()[RUNNING[0]] != before).all()


def test_an_unknown_form() -> None:
    with pytest.raises(ValueError, match='batch_norm must be "train" or "frozen", got \'off\''):
        first_loss(normalizing(), batch_norm="off")


# -- losses of inner values ------------------------------------------------------------------------


def two_products() -> Model:
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[N, 3] x) => (float[N, 2] y) {
        hidden = MatMul (x, w) active = Tanh (hidden) y = MatMul (active, v) }"""
    rng = np.random.default_rng(5)
    arrays = {"w": rng.normal(size=(3, 4)), "v": rng.normal(size=(4, 2))}
    return Model.from_proto(parsed(text, **{n: a.astype(np.float32) for n, a in arrays.items()}))


def test_a_loss_of_an_inner_value(tmp_path: Path) -> None:
    model = two_products().loss({"hidden": "mse"}).optimizer("sgd", learning_rate=0.5)
    assert model.output_names == ("y",)
    assert model.recipe is not None
    assert model.recipe.trainable == ("w",)
    w = model.parameters()["w"].astype(np.float64)
    target = np.ones((8, 4))
    expected = ((x() @ w - target) ** 2).mean()
    assert model.evaluate(x(), target)["loss"] == pytest.approx(expected, rel=1e-5)
    model.train(x(), target, batch_size=8, engine_options=OPTIONS, verbose=0)
    gradient = x().T.astype(np.float64) @ (2 * (x() @ w - target) / target.size)
    np.testing.assert_allclose(model.parameters()["w"], w - 0.5 * gradient, rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "inner.onnx")
    again = nm.load(tmp_path / "inner.onnx").metrics({"hidden": "mae"})
    assert again.evaluate(x(), target).keys() == {"loss", "mean_absolute_error"}


def test_losses_of_an_output_and_an_inner_value_are_added() -> None:
    model = two_products().loss({"y": "mse", "active": "mae"}, weights={"active": 0.5}).optimizer("sgd")
    arrays = {n: a.astype(np.float64) for n, a in model.parameters().items()}
    active = np.tanh(x() @ arrays["w"])
    expected = ((active @ arrays["v"]) ** 2).mean() + 0.5 * np.abs(active - 1).mean()
    found = model.evaluate(x(), {"y": np.zeros((8, 2)), "active": np.ones((8, 4))})
    assert found["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_layer_stands_for_what_it_gives() -> None:
    model = nm.Sequential((3,)).dense(4, activation="relu", name="body").dense(2).build()
    found = model.loss({"body": "mse"}).optimizer("sgd").recipe
    assert found is not None
    assert [t.output for t in found.targets] == ["body/Relu"]


def test_values_that_are_not_there_or_of_unknown_type() -> None:
    with pytest.raises(UnknownNameError, match="there is no output named 'hiden'"):
        two_products().loss({"hiden": "mse"})
    proto = two_products().proto
    proto.opset_import.add(domain="com.example", version=1)
    proto.graph.node.add(op_type="Odd", domain="com.example", input=["hidden"], output=["odd"])
    with pytest.raises(RecipeError, match="there can be no loss of 'odd', a value whose type is unknown"):
        Model.from_proto(proto).loss({"odd": "mse"}).optimizer("sgd")


# -- inputs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", ["bool", "float"])
def test_tokens_and_masks_are_fed_by_name(mask: str) -> None:
    """The mean of the embeddings of the tokens that count, against numpy."""
    cast = "m = Cast <to = 1> (mask)" if mask == "bool" else "m = Identity (mask)"
    text = f"""<ir_version: 8, opset_import: ["": 17]>
        net (int64[N, 4] tokens, {mask}[N, 4] mask) => (float[N, 2] mean, float[N, 1] score) {{
            h = Gather (table, tokens) {cast}
            two = Constant <value = int64[1] {{2}}> () one = Constant <value = int64[1] {{1}}> ()
            wide = Unsqueeze (m, two) kept = Mul (h, wide)
            total = ReduceSum <keepdims = 0> (kept, one) count = ReduceSum <keepdims = 0> (wide, one)
            mean = Div (total, count) score = MatMul (mean, w)
        }}"""
    rng = np.random.default_rng(2)
    arrays = {"table": rng.normal(size=(7, 2)), "w": rng.normal(size=(2, 1))}
    proto = parsed(text, **{n: a.astype(np.float32) for n, a in arrays.items()})
    model = Model.from_proto(proto).loss({"mean": "mse", "score": "mae"}).optimizer("adam")
    tokens = rng.integers(0, 7, (6, 4))
    keep = rng.random((6, 4)) < 0.6
    keep[:, 0] = True
    inputs = {"tokens": tokens, "mask": keep if mask == "bool" else keep.astype(np.float32)}
    targets = {"mean": np.zeros((6, 2)), "score": np.ones((6, 1))}
    mean = (arrays["table"][tokens] * keep[..., None]).sum(1) / keep.sum(1, keepdims=True)
    expected = (mean**2).mean() + np.abs(mean @ arrays["w"] - 1).mean()
    assert model.evaluate(inputs, targets)["loss"] == pytest.approx(expected, rel=1e-5)
    history = model.train(inputs, targets, batch_size=6, epochs=3, engine_options=OPTIONS, verbose=0)
    assert history.step_losses[0] == pytest.approx(expected, rel=1e-5)
    assert history.step_losses[-1] < history.step_losses[0]
