"""Composing recipes: in any order, onto files of any origin, part by part, and with frozen parameters."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx.checker
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

import neuromatic as nm
from neuromatic.builder.model import Model
from neuromatic.errors import RecipeError, UnknownNameError, UnsupportedOpError
from neuromatic.recipe import schema as recipe
from neuromatic.recipe.sections import default_learning_rate, strip
from neuromatic.recipe.validation import validate
from tests.neuromatic.graphs import INT64, linear, parsed

Array = NDArray[Any]
OPTIONS = {"jit": False}


def images() -> nm.Sequential:
    return (
        nm.Sequential((1, 4, 4)).conv2d(2, 3).batch_normalization().flatten().dense(3, activation="softmax")
    )


def rows(count: int = 8) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 3)).astype(np.float32), rng.normal(size=(count, 2)).astype(np.float32)


def checked(model: Model) -> recipe.Recipe:
    """The recipe of a model that is valid in every respect."""
    onnx.checker.check_model(model.proto, full_check=True)
    found = validate(model.proto)
    assert found is not None
    return found


def saved(model: Model, folder: Path) -> Model:
    """The model after a trip through a file."""
    model.save(folder / "model.onnx")
    return nm.load(folder / "model.onnx")


STEPS: dict[str, Callable[[Model], Model]] = {
    "loss": lambda m: m.loss("sparse_categorical_crossentropy"),
    "optimizer": lambda m: m.optimizer("sgd", learning_rate=0.1, momentum=0.9),
    "metrics": lambda m: m.metrics("accuracy"),
    "freeze": lambda m: m.freeze("conv2d/*"),
}


def composed(order: tuple[str, ...], model: Model | None = None) -> Model:
    model = model or images().build()
    for step in order:
        model = STEPS[step](model)
    return model


# -- order and parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(STEPS)), ids="-".join)
def test_the_order_of_calls_does_not_matter(order: tuple[str, ...], tmp_path: Path) -> None:
    expected = composed(tuple(STEPS))
    model = composed(order, saved(images().build(), tmp_path))
    assert model.proto == expected.proto
    checked(model)


@pytest.mark.parametrize("again", STEPS)
def test_a_part_given_again_changes_nothing(again: str, tmp_path: Path) -> None:
    model = composed(tuple(STEPS))
    loaded = saved(model, tmp_path)
    expected = (
        composed(("loss", "optimizer", "freeze")) if again == "loss" else model
    )  # metrics follow the loss
    assert STEPS[again](loaded).proto == expected.proto
    assert STEPS[again](model).proto == model.proto


def test_each_part_can_be_replaced_in_a_file(tmp_path: Path) -> None:
    loaded = saved(composed(tuple(STEPS)), tmp_path)
    other = checked(loaded.optimizer("adam", learning_rate=0.5))
    assert default_learning_rate(loaded.optimizer("adam", learning_rate=0.5).proto, other) == 0.5
    assert [m.name for m in other.metrics] == ["accuracy"]
    assert not any(name.startswith("conv2d") for name in other.trainable)
    assert [
        m.name for m in checked(loaded.metrics("mae" if False else "sparse_categorical_accuracy")).metrics
    ] == ["sparse_categorical_accuracy"]
    changed = checked(loaded.loss("categorical_crossentropy"))
    assert changed.metrics == ()  # they compared with the old targets
    assert changed.targets == (recipe.Target("target", "dense", None),)
    assert [f.name for f in loaded.loss("mse").proto.functions] == ["SGDMomentum"]


def test_a_call_leaves_the_model_as_it_was() -> None:
    model = composed(("loss", "optimizer"))
    before = model.proto.SerializeToString()
    for other in (
        model.freeze("dense/*"),
        model.metrics("accuracy"),
        model.optimizer("adam"),
        model.loss("mse"),
    ):
        assert other is not model
    assert model.proto.SerializeToString() == before


def test_strip_gives_back_the_inference_graph() -> None:
    assert strip(composed(tuple(STEPS)).proto) == images().build().proto


def test_state_begins_anew_with_another_part() -> None:
    model = Model.from_proto(linear()).loss("mse").optimizer("adam")
    x, y = rows()
    model.train(x, y, verbose=0, engine_options=OPTIONS)
    again = model.metrics("mae")
    state = {t.name: numpy_helper.to_array(t) for t in again.proto.training_info[0].algorithm.initializer}
    assert state["step"] == 0
    assert not state["momentum/w"].any()
    assert (again.parameters()["w"] == model.parameters()["w"]).all()


# -- freezing ------------------------------------------------------------------------------------------


def test_frozen_parameters_stay(tmp_path: Path) -> None:
    model = Model.from_proto(linear()).freeze("w").loss("mse").optimizer("adam")
    loaded = saved(model, tmp_path).optimizer("sgd")
    x, y = rows()
    for one in (model, loaded):
        before = one.parameters()
        one.train(x, y, verbose=0, engine_options=OPTIONS)
        np.testing.assert_array_equal(one.parameters()["w"], before["w"])
        assert (one.parameters()["b"] != before["b"]).all()


def test_freezing_adds_up(tmp_path: Path) -> None:
    model = composed(("loss", "optimizer")).freeze("conv2d/kernel")
    assert checked(model.freeze("conv2d/bias")).trainable == checked(composed(tuple(STEPS))).trainable
    assert checked(saved(model, tmp_path).freeze("conv2d/bias")).trainable == (
        "batch_normalization/gamma",
        "batch_normalization/beta",
        "dense/kernel",
        "dense/bias",
    )


def test_running_statistics_are_updated_unless_frozen() -> None:
    statistics = {"batch_normalization/moving_mean", "batch_normalization/moving_variance"}
    free = composed(("loss", "optimizer"))
    assert statistics <= checked(free).updates.keys()
    assert statistics <= checked(free.freeze("batch_normalization/gamma")).updates.keys()
    frozen = free.freeze("batch_normalization/*")
    assert statistics.isdisjoint(checked(frozen).updates)
    x = np.random.default_rng(0).normal(size=(8, 1, 4, 4)).astype(np.float32)
    before = frozen.parameters()
    frozen.train(x, np.arange(8) % 3, verbose=0, engine_options=OPTIONS)
    for name, array in frozen.parameters().items():
        assert (array == before[name]).all() == name.startswith("batch_normalization"), name


def test_a_frozen_batch_normalization_keeps_its_inference_meaning() -> None:
    frozen = composed(("loss", "optimizer")).freeze("batch_normalization/*")
    x = 5 + np.random.default_rng(0).normal(size=(8, 1, 4, 4)).astype(np.float32)
    y = np.arange(8) % 3
    expected = frozen.evaluate(x, y)["loss"]
    history = frozen.train(x, y, verbose=0, engine_options=OPTIONS)
    assert history.history["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_what_the_first_loss_did_not_reach_is_not_frozen(tmp_path: Path) -> None:
    x = nm.Input((3,))
    heads = [nm.layers.Dense(1, name=name)(x) for name in ("one", "two")]
    loaded = saved(nm.Model(x, heads).loss({"one": "mse"}).optimizer("sgd"), tmp_path)
    assert checked(loaded).trainable == ("one/kernel", "one/bias")
    assert len(checked(loaded.loss({"one": "mse", "two": "mse"})).trainable) == 4


def test_freezing_everything_or_nothing_is_refused() -> None:
    model = composed(("loss", "optimizer"))
    with pytest.raises(RecipeError, match="no parameter is left to train: no unfrozen float initializer"):
        model.freeze("*")
    with pytest.raises(UnknownNameError, match="there is no initializer named 'conv/\\*'"):
        model.freeze("conv/*")


# -- files of others -----------------------------------------------------------------------------------


def test_names_that_are_taken() -> None:
    extra = " ".join(
        f"{name} = Identity(x)"
        for name in ("step", "learning_rate", "target", "momentum_", "gradient_", "new_")
    )
    proto = linear(output="loss", extra=extra)
    for node in proto.graph.node:  # the text form knows no slashes
        for i, name in enumerate(node.output):
            node.output[i] = name.replace("_", "/") + "w" if name.endswith("_") else name
    model = Model.from_proto(proto).loss("mse").optimizer("sgd", momentum=0.5).metrics("mae")
    found = checked(model)
    assert (found.loss, found.step, found.learning_rate) == ("loss_1", "step_1", "learning_rate_1")
    assert found.targets[0].name == "target_1"
    assert found.updates["w"] == "new/w_1"
    x, y = rows()
    twin = Model.from_proto(linear()).loss("mse").optimizer("sgd", momentum=0.5).metrics("mae")
    for one in (model, twin, model.metrics("mse")):
        one.train(x, y, verbose=0, engine_options=OPTIONS)
    np.testing.assert_array_equal(model.parameters()["w"], twin.parameters()["w"])
    assert model.evaluate(x, y) == twin.evaluate(x, y)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_initializers_that_are_inputs_too(optimizer: str, tmp_path: Path) -> None:
    old = linear(ir=3, opset=13)
    for tensor in old.graph.initializer:
        kind = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        old.graph.input.append(kind)
    onnx.checker.check_model(old)
    model = Model.from_proto(old).loss("mse").optimizer(optimizer).metrics("mae")
    assert model.input_names == ("x",)
    assert validate(model.proto) is not None
    assert strip(model.proto) == old
    x, y = rows()
    twin = Model.from_proto(linear(opset=13)).loss("mse").optimizer(optimizer).metrics("mae")
    for one in (model, twin):
        one.train(x, y, verbose=0, engine_options=OPTIONS)
    np.testing.assert_array_equal(model.parameters()["w"], twin.parameters()["w"])
    assert saved(model, tmp_path).evaluate(x, y) == twin.evaluate(x, y)
    assert model.predict(x).shape == (8, 2)


def test_tied_weights_stay_tied() -> None:
    w = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32) / 2
    proto = parsed(
        """<ir_version: 8, opset_import: ["": 17]>
        net (float[N, 3] x) => (float[N, 3] y) { h = MatMul(x, w) y = MatMul(h, w) }""",
        w=w,
    )
    model = Model.from_proto(proto).loss("mse").optimizer("sgd", learning_rate=0.1)
    assert checked(model).trainable == ("w",)
    x = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
    model.train(x, np.zeros_like(x), verbose=0, engine_options=OPTIONS)
    a, v = x.astype(np.float64), w.astype(np.float64)
    d = 2 * (a @ v @ v) / a.size
    gradient = a.T @ d @ v.T + (a @ v).T @ d
    np.testing.assert_allclose(model.parameters()["w"], v - 0.1 * gradient, rtol=1e-5, atol=1e-6)
    assert len(model.proto.graph.initializer) == 1


def test_several_outputs_with_a_loss_each() -> None:
    x = nm.Input((3,))
    one = nm.layers.Dense(2, name="one")(x)
    two = nm.layers.Dense(4, "softmax", name="two")(x)
    model = (
        nm.Model(x, [one, two])
        .optimizer("sgd")
        .loss({"two": "sparse_categorical_crossentropy", "one": "mse"})
    )
    model = model.metrics({"one": "mae", "two": ["accuracy", "sparse_categorical_accuracy"]})
    found = checked(model)
    assert {t.name: (t.output, t.classes) for t in found.targets} == {
        "target/two": ("two", 4),
        "target/one": ("one", None),
    }
    names = ["one_mean_absolute_error", "two_accuracy", "two_sparse_categorical_accuracy"]
    assert [m.name for m in found.metrics] == names
    data, y = rows()
    labels = np.arange(8) % 4
    logs = model.evaluate(data, {"target/one": y, "target/two": labels})
    p = model.predict(data)
    mse = np.mean((p["one"] - y) ** 2.0)
    crossentropy = -np.mean(np.log(p["two"][np.arange(8), labels]))
    assert logs["loss"] == pytest.approx(mse + crossentropy, rel=1e-5)
    assert logs["two_accuracy"] == logs["two_sparse_categorical_accuracy"]
    history = model.train(data, [labels, y], verbose=0, engine_options=OPTIONS)  # in the order of the losses
    assert history.history["loss"][0] == pytest.approx(logs["loss"], rel=1e-5)


def test_losses_as_a_list_and_what_does_not_fit() -> None:
    x = nm.Input((3,))
    model = nm.Model(x, [nm.layers.Dense(1, name=n)(x) for n in ("one", "two")]).optimizer("sgd")
    assert [t.output for t in checked(model.loss(["mse", "mae"])).targets] == ["one", "two"]
    with pytest.raises(ValueError, match=r"1 loss for 2 outputs \['one', 'two'\]"):
        model.loss(["mse"])
    with pytest.raises(ValueError, match=r"no loss given; the model has outputs \['one', 'two'\]"):
        model.loss({})
    with pytest.raises(UnknownNameError, match=r"there is no output named 'tow'; did you mean 'two'?"):
        model.loss({"tow": "mse"})
    with pytest.raises(ValueError, match=r"give metrics as a mapping by output"):
        model.metrics("mae")


def test_too_old_and_without_operators() -> None:
    with pytest.raises(RecipeError, match="a recipe needs opset 7, the model has 6; raise it with: neuro"):
        Model.from_proto(linear(opset=6)).loss("mse").optimizer("adam")
    model = linear()
    model.opset_import[0].domain = "com.example"
    with pytest.raises(RecipeError, match="the model imports no version of ONNX' own operators"):
        Model.from_proto(model).loss("mse").optimizer("adam")


def test_an_operator_of_others_is_refused_by_the_engine_alone() -> None:
    proto = linear()
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    proto.graph.node[0].output[0] = "h"
    proto.graph.node.append(helper.make_node("Strange", ["h"], ["k"], domain="com.example", name="odd"))
    proto.graph.node.append(helper.make_node("Relu", ["k"], ["y"]))
    model = Model.from_proto(proto).loss("mse").optimizer("sgd")
    assert model.recipe is not None
    assert model.recipe.trainable == ("w", "b")
    with pytest.raises(
        UnsupportedOpError, match=r"no lowering for com.example.Strange \(node 'odd', opset 1"
    ):
        model.train(*rows(), verbose=0)


def test_what_is_not_differentiable_is_not_trained() -> None:
    proto = parsed(
        """<ir_version: 8, opset_import: ["": 17]>
        net (float[N, 3] x) => (float[N, 3] y)
        { h = Mul(x, w) k = Clip(h, low, high) z = Dropout(k, ratio) y = Reshape(z, shape) }""",
        w=np.ones(3, np.float32),
        low=np.array(-1, np.float32),
        high=np.array(1, np.float32),
        ratio=np.array(0, np.float32),
        shape=np.array([-1, 3]),
    )
    model = Model.from_proto(proto).loss("mse").optimizer("adam")
    assert checked(model).trainable == ("w",)
    with pytest.raises(RecipeError, match="no parameter is left to train"):
        model.freeze("w")


def test_a_function_of_the_file_in_our_domain_is_kept_once() -> None:
    model = Model.from_proto(linear()).loss("mse").optimizer("sgd").proto
    base: ModelProto = strip(model)
    base.functions.extend(model.functions)
    base.opset_import.append(helper.make_opsetid("neuromatic", 1))
    base.graph.node.append(
        helper.make_node("SGD", ["rate", "", "w", "w"], ["unused"], domain="neuromatic", name="call")
    )
    base.graph.initializer.append(numpy_helper.from_array(np.array(0.1, np.float32), "rate"))
    again = Model.from_proto(base).loss("mse").optimizer("sgd")
    assert [f.name for f in again.proto.functions] == ["SGD"]
    assert strip(again.proto) == base


def test_an_output_without_gradient_has_nothing_to_train() -> None:
    proto = parsed(
        """<ir_version: 8, opset_import: ["": 17]>
        net (float[N, 3] x) => (int64[N] y) { h = Mul(x, w) y = ArgMax<axis = 1, keepdims = 0>(h) }""",
        w=np.ones(3, np.float32),
    )
    assert proto.graph.output[0].type.tensor_type.elem_type == INT64
    with pytest.raises(RecipeError, match="no parameter is left to train"):
        Model.from_proto(proto).loss("mae").optimizer("sgd")


def test_weights_are_trained_through_their_own_rounding() -> None:
    rng = np.random.default_rng(0)
    model = parsed(
        """<ir_version: 8, opset_import: ["": 17]>
        net (float[N, 4] x) => (float[N, 2] y) {
            q = QuantizeLinear(w, scale, zero)
            d = DequantizeLinear(q, scale, zero)
            y = MatMul(x, d)
        }""",
        w=rng.normal(size=(4, 2)).astype(np.float32),
        scale=np.array(0.05, np.float32),
        zero=np.array(0, np.int8),
    )
    net = nm.Model.from_proto(model).loss("mse").optimizer("sgd", learning_rate=0.1)
    assert net.recipe is not None
    assert net.recipe.trainable == ("w",)
    x = rng.normal(size=(32, 4)).astype(np.float32)
    history = net.train(x, x[:, :2], epochs=20, batch_size=32, verbose=0)
    assert history.step_losses[-1] < 0.2 * history.step_losses[0]
    np.testing.assert_array_equal(net.parameters()["scale"], np.float32(0.05))


def test_a_recorded_penalty_stays_with_its_function(tmp_path: Path) -> None:
    model = nm.Sequential((4,)).dense(3, kernel_regularizer="l2").loss("mse").optimizer("adam")
    model.save(tmp_path / "penalized.onnx")
    changed = nm.load(tmp_path / "penalized.onnx").metrics("mae")
    x, y = np.ones((5, 4), np.float32), np.zeros((5, 3), np.float32)
    assert changed.evaluate(x, y)["loss"] == pytest.approx(model.evaluate(x, y)["loss"], rel=1e-6)
    assert changed.train(x, y, verbose=0).history["loss"] == pytest.approx([model.evaluate(x, y)["loss"]])
