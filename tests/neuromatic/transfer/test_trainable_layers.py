"""What is trained: by pattern, by layer, and told as roles."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import neuromatic as nm
from neuromatic.builder.model import Model
from neuromatic.errors import RecipeError, UnknownNameError
from tests.neuromatic.graphs import parsed
from tests.neuromatic.transfer.test_lift_constants import tied

OPTIONS = {"jit": False}
STATISTICS = ["batch_normalization/moving_mean", "batch_normalization/moving_variance"]


def network() -> Model:
    chain = nm.Sequential((1, 4, 4)).conv2d(2, 3).batch_normalization().flatten().dense(4).dense(3)
    return chain.loss("mse").optimizer("adam")


def trained(model: Model) -> list[str]:
    assert model.recipe is not None
    return list(model.recipe.trainable)


def test_train_only_freezes_the_rest_statistics_included(tmp_path: Path) -> None:
    model = network().train_only("dense/*", "dense_1/bias")
    assert trained(model) == ["dense/kernel", "dense/bias", "dense_1/bias"]
    assert model.roles()["batch_normalization/moving_mean"] == "frozen"
    before = model.parameters()
    model.train(np.ones((4, 1, 4, 4)), np.ones((4, 3)), engine_options=OPTIONS, verbose=0)
    for name, old in before.items():
        assert (model.parameters()[name] == old).all() == (name not in trained(model)), name
    model.save(tmp_path / "model.onnx")
    assert nm.load(tmp_path / "model.onnx").roles() == model.roles()


def test_train_last_counts_layers_that_have_parameters() -> None:
    assert trained(network().train_last(1)) == ["dense_1/kernel", "dense_1/bias"]
    model = network().train_last(3)
    assert len(trained(model)) == 6
    assert model.roles()[STATISTICS[0]] == "state"
    assert model.roles()["conv2d/kernel"] == "frozen"


@pytest.mark.parametrize("n", [0, 5, True, "2"])
def test_train_last_of_more_than_there_are(n: int) -> None:
    text = f"train_last: n must be a number from 1 to 4, how many layers have parameters, got {n!r}"
    with pytest.raises(ValueError, match=re.escape(text)):
        network().train_last(n)


def test_shared_and_transposed_weights_count_where_they_meet_data() -> None:
    assert trained(Model.from_proto(tied()).loss("mse").optimizer("sgd").train_last(1)) == ["table"]


def test_unnamed_nodes_are_layers() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[N, 2] x) => (float[N, 2] y) {
        a = MatMul (x, w) b = Relu (a) c = MatMul (b, v) y = Add (c, u) }"""
    weight = np.ones((2, 2), np.float32)
    model = Model.from_proto(parsed(text, w=weight, v=weight, u=weight[0])).loss("mse").optimizer("sgd")
    assert trained(model.train_last(1)) == ["u"]
    assert trained(model.train_last(2)) == ["v", "u"]


def test_unfreeze_takes_freezing_back() -> None:
    frozen = network().freeze("conv2d/*", "batch_normalization/*")
    assert trained(frozen.unfreeze("conv2d/kernel"))[0] == "conv2d/kernel"
    assert frozen.unfreeze("conv2d/kernel").roles()["conv2d/bias"] == "frozen"
    assert frozen.unfreeze().recipe == network().recipe


@pytest.mark.parametrize("method", ["freeze", "unfreeze", "train_only"])
def test_a_pattern_that_matches_nothing(method: str) -> None:
    with pytest.raises(UnknownNameError, match="there is no initializer named 'conv3d/\\*'"):
        getattr(network(), method)("conv3d/*")


def test_train_only_needs_a_pattern_and_something_to_train() -> None:
    with pytest.raises(ValueError, match="train_only: give at least one pattern"):
        network().train_only()
    with pytest.raises(RecipeError, match="no parameter is left to train"):
        network().train_only(*STATISTICS)


def test_roles_without_a_recipe_and_of_constants() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[N, 2] x) => (float[N, 1, 2] y) {
        a = MatMul (x, w) b = Clip (a, low) y = Unsqueeze (b, axes) }"""
    arrays = {"w": np.ones((2, 2), np.float32), "low": np.float32(0), "axes": np.array([1])}
    model = Model.from_proto(parsed(text, **{n: np.asarray(a) for n, a in arrays.items()}))
    assert model.roles() == {"w": "trainable", "low": "constant", "axes": "constant"}
    assert model.loss("mse").optimizer("sgd").roles()["w"] == "trained"
