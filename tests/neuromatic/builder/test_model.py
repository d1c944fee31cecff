"""Model: what it tells, predicts, evaluates and refuses; numbers against numpy in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import neuromatic as nm
from neuromatic.builder.model import Model
from neuromatic.errors import DataError, ModelError, RecipeError
from tests.neuromatic.graphs import linear

Array = NDArray[Any]


def classifier() -> Model:
    model = nm.Sequential((4,)).dense(5, "tanh").dense(3, "softmax")
    return model.loss("sparse_categorical_crossentropy").optimizer("adam").metrics("accuracy")


def rows(count: int = 23) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 4)).astype(np.float32), rng.integers(3, size=count)


def by_hand(model: Model, x: Array) -> Array:
    """The classifier's probabilities in float64."""
    kernel, bias, kernel_1, bias_1 = (p.astype(np.float64) for p in model.parameters().values())
    scores = np.exp(np.tanh(x @ kernel + bias) @ kernel_1 + bias_1)
    return np.asarray(scores / scores.sum(1, keepdims=True))


# -- what it is ----------------------------------------------------------------------------------------


def test_names_and_parameters() -> None:
    x, y = nm.Input((2,), name="left"), nm.Input((3,))
    both = nm.layers.Concatenate()([x, y])
    model = nm.Model([x, y], [nm.layers.Dense(1, name="one")(both), nm.layers.Dense(2, name="two")(both)])
    assert model.input_names == ("left", "input")
    assert model.output_names == ("one", "two")
    assert {name: p.shape for name, p in model.parameters().items()} == {
        "one/kernel": (5, 1),
        "one/bias": (1,),
        "two/kernel": (5, 2),
        "two/bias": (2,),
    }
    assert model.recipe is None


def test_the_seed_gives_the_parameters() -> None:
    def made(seed: int) -> Any:
        x = nm.Input((2,))
        return nm.Model(x, nm.layers.Dense(2)(x), seed=seed).parameters()["dense/kernel"]

    np.testing.assert_array_equal(made(3), made(3))
    assert (made(3) != made(4)).any()


def test_an_output_needs_its_input() -> None:
    x, y = nm.Input((2,)), nm.Input((2,), name="other")
    with pytest.raises(ModelError, match="the outputs depend on inputs that are not listed"):
        nm.Model(x, nm.layers.Add()([x, y]))


# -- predict -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_predict(batch_size: int) -> None:
    model, (x, _) = classifier(), rows()
    found = model.predict(x, batch_size=batch_size)
    np.testing.assert_allclose(found, by_hand(model, x), rtol=1e-5)
    np.testing.assert_array_equal(model.predict({"input": x}), model.predict(x.tolist()))


def test_several_inputs_and_outputs() -> None:
    a, b = nm.Input((2,), name="a"), nm.Input((2,), name="b")
    layers = nm.layers
    model = nm.Model([a, b], [layers.Add(name="sum")([a, b]), layers.Subtract(name="difference")([a, b])])
    left, right = rows()[0][:, :2], rows()[0][:, 2:]
    for data in ([left, right], {"b": right, "a": left}):
        found = model.predict(data)
        np.testing.assert_allclose(found["sum"], left + right)
        np.testing.assert_allclose(found["difference"], left - right)
    with pytest.raises(DataError, match=r"x must be a mapping or a list of 2 arrays, for \['a', 'b'\]"):
        model.predict([left])


def test_predict_follows_training() -> None:
    model, (x, y) = classifier(), rows()
    before = model.predict(x)
    model.train(x, y, epochs=2, verbose=0, engine_options={"jit": False})
    assert (model.predict(x) != before).any()
    np.testing.assert_allclose(model.predict(x), by_hand(model, x), rtol=1e-5)


# -- evaluate ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 23, 256])
def test_evaluate(batch_size: int) -> None:
    model, (x, y) = classifier(), rows()
    p = by_hand(model, x)
    found = model.evaluate(x, y, batch_size=batch_size)
    assert list(found) == ["loss", "accuracy"]
    assert found["loss"] == pytest.approx(-np.log(p[np.arange(23), y]).mean(), rel=1e-6)
    assert found["accuracy"] == pytest.approx((p.argmax(1) == y).mean(), rel=1e-9)


def test_evaluate_by_names_in_one_mapping() -> None:
    model, (x, y) = classifier(), rows()
    assert model.evaluate({"input": x, "target": y}) == model.evaluate(x, y)
    assert model.evaluate({"input": x}, {"target": y}) == model.evaluate(x, y)


def test_evaluate_needs_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuromatic.engines.ENGINES", {})
    model, (x, y) = classifier(), rows()
    assert model.evaluate(x, y)["loss"] > 0


# -- data that do not fit --------------------------------------------------------------------------------


def test_x_and_y_that_do_not_fit() -> None:
    model, (x, y) = classifier(), rows()
    with pytest.raises(DataError, match=r"x and y have different lengths: {'input': 23, 'target': 22}"):
        model.evaluate(x, y[1:])
    with pytest.raises(DataError, match=r"the targets \['target'\] are missing: give y"):
        model.evaluate(x)
    with pytest.raises(DataError, match=r"y lacks \['target'\]; it has \['input'\]"):
        model.evaluate({"input": x})
    with pytest.raises(DataError, match=r"y \(for 'target'\) has label 3 in row 0, expected 0 to 2 for 3"):
        model.train(x, y + 3 - y[0])
    with pytest.raises(DataError, match=r"x \(for 'input'\) has shape \(23, 3\), expected \(batch, 4\)"):
        model.predict(x[:, 1:])


def test_validation_data_are_checked_too() -> None:
    model, (x, y) = classifier(), rows()
    with pytest.raises(DataError, match=r"x \(for 'input'\) is empty; expected at least one row"):
        model.train(x, y, validation_data=(x[:0], y[:0]))
    with pytest.raises(DataError, match=r"validation_split 0.6 of 2 rows leaves one part empty"):
        model.train(x[:2], y[:2], validation_split=0.6)
    for split in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=r"validation_split must be in \[0, 1\), got "):
            model.train(x, y, validation_split=split)


def test_evaluate_needs_a_loss() -> None:
    x, y = rows()
    with pytest.raises(
        RecipeError, match=r"the model has no loss; choose one with .loss\(...\), for instance"
    ):
        nm.Sequential((4,)).dense(1).evaluate(x, y)


# -- files ---------------------------------------------------------------------------------------------


def test_a_chain_saves_what_its_model_saves(tmp_path: Path) -> None:
    chain = nm.Sequential((4,)).dense(2)
    chain.save(tmp_path / "a.onnx")
    chain.build().save(str(tmp_path / "b.onnx"))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert nm.load(str(tmp_path / "a.onnx")).proto == chain.onnx()


def test_a_loaded_model_goes_on(tmp_path: Path) -> None:
    model, (x, y) = classifier(), rows()
    model.save(tmp_path / "a.onnx")
    loaded = nm.load(tmp_path / "a.onnx")
    assert loaded.recipe == model.recipe
    for one in (model, loaded):
        one.train(x, y, verbose=0, engine_options={"jit": False})
    assert loaded.proto == model.proto
    loaded.save(tmp_path / "a.onnx")
    assert nm.load(tmp_path / "a.onnx").evaluate(x, y) == model.evaluate(x, y)


def test_a_model_of_others_is_trained_as_it_is() -> None:
    model = Model.from_proto(linear()).loss("rmse").optimizer("sgd", learning_rate=0.1)
    x, y = rows()[0][:, :3], rows()[0][:, :2]
    before = model.evaluate(x, y)["loss"]
    model.train(x, y, epochs=5, verbose=0, engine_options={"jit": False})
    assert model.evaluate(x, y)["loss"] < before
    assert [node.op_type for node in model.proto.graph.node] == ["Gemm"]
