"""Another head: where it is cut, what stays, what is dropped, and that it trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.backend.test
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import ModelProto

import neuromatic as nm
from neuromatic import layers
from neuromatic.builder.model import Model
from neuromatic.errors import ModelError, ShapeError, UnknownNameError
from tests.neuromatic.graphs import in_onnxruntime, linear, parsed

Array = NDArray[Any]
OPTIONS = {"jit": False}


def vision() -> ModelProto:
    """A small network for images as others write it: Conv, Relu, pooling, Gemm."""
    text = """<ir_version: 8, opset_import: ["": 13]>
        net (float[N, 1, 6, 6] image) => (float[N, 10] logits) {
            features = Conv <kernel_shape = [3, 3]> (image, conv_weight, conv_bias)
            active = Relu (features)
            pooled = GlobalAveragePool (active)
            flat = Flatten (pooled)
            logits = Gemm <transB = 1> (flat, fc_weight, fc_bias)
        }"""
    rng = np.random.default_rng(0)
    shapes = {"conv_weight": (4, 1, 3, 3), "conv_bias": (4,), "fc_weight": (10, 4), "fc_bias": (10,)}
    return parsed(text, **{name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()})


def images(rows: int = 6) -> Array:
    return np.random.default_rng(1).normal(size=(rows, 1, 6, 6)).astype(np.float32)


def inner(model: ModelProto, name: str, feed: Array) -> Array:
    """A value inside a model, by onnxruntime."""
    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    return in_onnxruntime(copy, {copy.graph.input[0].name: feed})[0]


def test_the_head_begins_at_the_last_product(tmp_path: Path) -> None:
    model = Model.from_proto(vision()).replace_head(units=3, activation="softmax")
    onnx.checker.check_model(model.proto, full_check=True)
    assert list(model.parameters()) == ["conv_weight", "conv_bias", "head/kernel", "head/bias"]
    (output,) = model.proto.graph.output
    assert [d.dim_param or d.dim_value for d in output.type.tensor_type.shape.dim] == ["N", 3]
    assert list(model.proto.graph.node[:4]) == list(vision().graph.node[:4])
    scores = inner(vision(), "flat", images()).astype(np.float64) @ model.parameters()["head/kernel"]
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(images()), expected, rtol=1e-5)
    model = model.loss("sparse_categorical_crossentropy").optimizer("adam").train_only("head/*")
    model.train(images(), np.arange(6) % 3, epochs=2, engine_options=OPTIONS, verbose=0)
    model.save(tmp_path / "model.onnx")
    assert nm.load(tmp_path / "model.onnx").output_names == ("head",)


@pytest.mark.parametrize("after", ["active", "features"])
def test_images_are_pooled_first(after: str) -> None:
    model = Model.from_proto(vision()).replace_head(after, units=2)
    pooled = inner(vision(), after, images()).astype(np.float64).mean(axis=(2, 3))
    np.testing.assert_allclose(
        model.predict(images()), pooled @ model.parameters()["head/kernel"], rtol=1e-4, atol=1e-6
    )
    assert [n.op_type for n in model.proto.graph.node][-3:] == ["GlobalAveragePool", "Flatten", "Gemm"]


def test_layers_of_ones_own_with_what_they_ask_of_training() -> None:
    own = [layers.Dense(5, activation="relu", kernel_regularizer="l2"), layers.Dropout(0.5), layers.Dense(2)]
    model = Model.from_proto(vision()).replace_head("flat", layers=own).loss("mse").optimizer("sgd")
    assert list(model.parameters())[2:] == ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]
    (output,) = model.output_names
    assert output == "dense_1"
    flat, kernel = inner(vision(), "flat", images()), model.parameters()["dense/kernel"].astype(np.float64)
    y = np.maximum(flat @ kernel, 0) @ model.parameters()["dense_1/kernel"]
    expected = (y**2).mean() + 0.01 * (kernel**2).sum()
    found = model.evaluate(images(), np.zeros((6, 2)))["loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_seed_decides_and_names_do_not_collide() -> None:
    chain = nm.Sequential((4,)).dense(6, name="head").dense(3).build()
    first, again, other = (chain.replace_head(units=2, seed=seed) for seed in (1, 1, 2))
    assert list(first.parameters()) == ["head/kernel", "head/bias", "head_1/kernel", "head_1/bias"]
    np.testing.assert_array_equal(first.parameters()["head_1/kernel"], again.parameters()["head_1/kernel"])
    assert (first.parameters()["head_1/kernel"] != other.parameters()["head_1/kernel"]).all()
    assert list(first.replace_head(units=9).parameters()) == list(first.parameters())


def test_other_outputs_stay_and_shared_initializers_too() -> None:
    x = nm.Input((4,))
    body = layers.Dense(5, name="body")(x)
    shared = layers.Dense(5, name="shared")
    model = nm.Model(x, [shared(body), layers.Dense(2, name="two")(shared(shared(body)))])
    changed = model.replace_head(units=3)
    assert changed.output_names == ("shared", "head")
    assert "shared/kernel" in changed.parameters()
    assert "two/kernel" not in changed.parameters()
    np.testing.assert_array_equal(
        changed.predict(np.ones((2, 4)))["shared"], model.predict(np.ones((2, 4)))["shared"]
    )


def test_the_optimizer_and_what_is_frozen_stay_and_the_loss_goes() -> None:
    model = nm.Sequential((4,)).dense(6).dense(3).loss("mse").optimizer("sgd", learning_rate=0.5)
    changed = model.metrics("mae").freeze("dense/*").replace_head(units=2)
    assert changed.recipe is None
    trained = changed.loss("mse")
    assert trained.recipe is not None
    assert trained.recipe.trainable == ("head/kernel", "head/bias")
    before = trained.parameters()["head/bias"]
    trained.train(np.zeros((2, 4)), np.full((2, 2), 3.0), engine_options=OPTIONS, verbose=0)
    np.testing.assert_allclose(trained.parameters()["head/bias"], before + 0.5 * 3.0)


def test_inputs_that_only_the_old_head_took_are_dropped() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[N, 2] x, float[N, 3] extra)
        => (float[N, 1] y) { h = Relu (x) both = Concat <axis = 1> (h, extra) y = MatMul (both, w) }"""
    model = Model.from_proto(parsed(text, w=np.ones((5, 1), np.float32)))
    assert model.replace_head("h", units=2).input_names == ("x",)
    assert model.replace_head("both", units=2).input_names == ("x", "extra")


LIGHT = Path(onnx.backend.test.__file__).parent / "data" / "light"


@pytest.mark.parametrize(
    ("name", "lost", "last"),
    [
        ("squeezenet", ["Conv", "Relu", "GlobalAveragePool", "Softmax"], "Dropout"),
        ("resnet50", ["Gemm", "Softmax"], "Reshape"),
        ("densenet121", ["Conv"], "GlobalAveragePool"),
    ],
)
def test_well_known_networks(name: str, lost: list[str], last: str) -> None:
    before = nm.load(LIGHT / f"light_{name}.onnx")
    model = before.replace_head(units=3)
    onnx.checker.check_model(model.proto, full_check=True)
    kept = [n for n in model.proto.graph.node if n in before.proto.graph.node]
    operators = [n.op_type for n in before.proto.graph.node if n.op_type != "ConstantOfShape"]
    assert [n.op_type for n in kept if n.op_type != "ConstantOfShape"] == operators[: -len(lost)]
    assert (operators[-len(lost) :], kept[-1].op_type) == (lost, last)


def test_by_node_and_by_layer() -> None:
    chain = nm.Sequential((4,)).dense(6, activation="relu", name="one").dense(3).build()
    for after in ("one", "one/Relu"):
        assert chain.replace_head(after, units=2).proto.graph.node[-1].input[0] == "one/Relu"
    assert chain.replace_head("one/Gemm", units=2).proto.graph.node[-1].input[0] == "one/Gemm"


def test_sequences_keep_their_steps() -> None:
    model = nm.Sequential((5, 4)).dense(6).dense(3).build().replace_head(units=2)
    assert model.predict(np.ones((2, 5, 4))).shape == (2, 5, 2)


@given(units=st.integers(1, 5), widths=st.lists(st.integers(1, 6), min_size=1, max_size=4), cut=st.data())
@settings(derandomize=True, deadline=None, max_examples=15, database=None)
def test_any_layer_of_any_chain(units: int, widths: list[int], cut: st.DataObject) -> None:
    chain = nm.Sequential((3,))
    for i, width in enumerate(widths):
        chain = chain.dense(width, activation="tanh", name=f"layer{i}")
    kept = cut.draw(st.integers(0, len(widths) - 1))
    model = chain.build().replace_head(f"layer{kept}", units=units)
    expected = np.ones((2, 3))
    for i in range(kept + 1):
        expected = np.tanh(expected @ model.parameters()[f"layer{i}/kernel"].astype(np.float64))
    expected = expected @ model.parameters()["head/kernel"]
    np.testing.assert_allclose(model.predict(np.ones((2, 3))), expected, rtol=1e-4, atol=1e-6)
    assert len(model.parameters()) == 2 * (kept + 2)


def test_what_is_refused() -> None:
    model = Model.from_proto(vision())
    for given_, text in (
        ({}, "give units, the size of a Dense layer, or layers"),
        ({"units": 2, "layers": [layers.Dense(2)]}, "give units, the size of a Dense layer, or layers"),
        ({"layers": []}, "layers must hold at least one layer"),
        ({"layers": [layers.Dense(2)], "activation": "relu"}, "activation goes with units"),
        ({"after": "features", "layers": [layers.Dense(2, name="features")]}, "has a 'features' already"),
        ({"units": 0}, "units must be"),
    ):
        with pytest.raises(ValueError, match=text):
            model.replace_head(**given_)  # type: ignore[arg-type]
    with pytest.raises(
        UnknownNameError, match="there is no value, node or layer named 'flt'; did you mean 'flat'"
    ):
        model.replace_head("flt", units=2)
    with pytest.raises(ModelError, match="no Gemm or MatMul with weights shows where the head begins"):
        nm.Sequential((1, 4, 4)).conv2d(2, 3).replace_head(units=2)
    with pytest.raises(
        ModelError, match="LayerNormalization needs opset 17, the model has 13; raise it with"
    ):
        model.replace_head("flat", layers=[layers.LayerNormalization()])
    with pytest.raises(ShapeError, match="Conv2D takes"):
        model.replace_head("flat", layers=[layers.Flatten(), layers.Conv2D(2, 3)])


def test_functions_raise_the_ir_version() -> None:
    head = [layers.Dense(3), layers.AlphaDropout(0.1), layers.Dense(1)]
    proto = vision()
    proto.ir_version = 4
    model = Model.from_proto(proto).replace_head("flat", layers=head)
    assert model.proto.ir_version == 8
    onnx.checker.check_model(model.proto, full_check=True)
    assert Model.from_proto(proto).replace_head(units=2).proto.ir_version == 4


def test_doubles_stay_doubles() -> None:
    model = Model.from_proto(linear(dtype="double")).replace_head(units=4)
    assert {a.dtype for a in model.parameters().values()} == {np.dtype(np.float64)}
