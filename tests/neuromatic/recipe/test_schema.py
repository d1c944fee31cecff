"""Reading and checking training_info: what a recipe looks like, and every way in which it can be damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.checker
import pytest
from onnx import ModelProto, helper, numpy_helper

import neuromatic as nm
from neuromatic.builder.model import Model
from neuromatic.errors import RecipeError
from neuromatic.ir.opsets import TRAINING_DOMAIN
from neuromatic.ir.types import combined, value_types
from neuromatic.recipe import schema as recipe
from neuromatic.recipe.schema import METADATA_KEY, Target
from neuromatic.recipe.sections import default_learning_rate, evaluation_part, strip
from neuromatic.recipe.validation import validate
from tests.neuromatic.graphs import linear, listing
from tests.neuromatic.recipes import algorithm, binding, drop, trained_by_sgd

GRAPH = ["y = Gemm(x, w, b)"]
ALGORITHM = """
    loss/Sub = Sub(y, target)
    loss/Mul = Mul(loss/Sub, loss/Sub)
    loss/ReduceMean = ReduceMean(loss/Mul)
    loss = Identity(loss/ReduceMean)
    metric/mean_absolute_error/Sub = Sub(y, target)
    metric/mean_absolute_error/Abs = Abs(metric/mean_absolute_error/Sub)
    metric/mean_absolute_error/ReduceSum = ReduceSum(metric/mean_absolute_error/Abs)
    metric/mean_absolute_error/Size = Size(metric/mean_absolute_error/Abs)
    metric/mean_absolute_error/Cast = Cast(metric/mean_absolute_error/Size)
    metric/mean_absolute_error/Constant = Constant()
    metric/mean_absolute_error/Reshape = Reshape(metric/mean_absolute_error/ReduceSum, metric/mean_absolute_error/Constant)
    metric/mean_absolute_error/Reshape_1 = Reshape(metric/mean_absolute_error/Cast, metric/mean_absolute_error/Constant)
    metric/mean_absolute_error/Concat = Concat(metric/mean_absolute_error/Reshape, metric/mean_absolute_error/Reshape_1)
    gradient/w, gradient/b = ai.onnx.preview.training.Gradient(w, b)
    Constant = Constant()
    new/step = Add(step, Constant)
    new/w, new/momentum/w = neuromatic.SGDMomentum(learning_rate, new/step, w, gradient/w, momentum/w)
    new/b, new/momentum/b = neuromatic.SGDMomentum(learning_rate, new/step, b, gradient/b, momentum/b)
"""  # noqa: E501 - one node, one line


def test_training_info_of_a_small_model() -> None:
    model = trained_by_sgd()
    assert listing(model.graph.node) == GRAPH
    (info,) = model.training_info
    assert listing(info.algorithm.node) == [line.strip() for line in ALGORITHM.strip().splitlines()]
    assert [i.name for i in info.algorithm.input] == ["target", "learning_rate"]
    assert {t.name: numpy_helper.to_array(t).tolist() for t in info.algorithm.initializer} == {
        "learning_rate": 0.5,
        "step": 0,
        "momentum/w": np.zeros((3, 2)).tolist(),
        "momentum/b": [0.0, 0.0],
    }
    assert {b.key: b.value for b in info.update_binding} == {
        "step": "new/step",
        "w": "new/w",
        "momentum/w": "new/momentum/w",
        "b": "new/b",
        "momentum/b": "new/momentum/b",
    }
    gradient = next(n for n in info.algorithm.node if recipe.is_gradient(n))
    assert {a.name: helper.get_attribute_value(a) for a in gradient.attribute} == {
        "xs": [b"w", b"b"],
        "y": b"loss",
    }
    assert [f.name for f in model.functions] == ["SGDMomentum"]
    assert {o.domain: o.version for o in model.opset_import} == {
        "": 17,
        TRAINING_DOMAIN: 1,
        "neuromatic": 1,
    }
    assert json.loads(next(p.value for p in model.metadata_props if p.key == METADATA_KEY)) == {
        "version": 1,
        "targets": [{"name": "target", "output": "y", "classes": None}],
        "metrics": [
            {
                "name": "mean_absolute_error",
                "sums": "metric/mean_absolute_error/Concat",
                "result": "mean",
            }
        ],
        "learning_rate": "learning_rate",
        "step": "step",
    }
    onnx.checker.check_model(model, full_check=True)


def test_reading_gives_what_was_written() -> None:
    found = validate(trained_by_sgd())
    assert found is not None
    assert found == recipe.read(trained_by_sgd())
    assert found.trainable == ("w", "b")
    assert found.loss == "loss"
    assert found.targets == (Target("target", "y", None),)
    assert default_learning_rate(trained_by_sgd(), found) == 0.5


def test_no_training_info_is_no_recipe() -> None:
    assert recipe.read(linear()) is None
    assert validate(linear()) is None


def test_strip_gives_back_the_original() -> None:
    assert strip(trained_by_sgd()) == linear()
    assert strip(linear()) == linear()
    other = linear()
    other.metadata_props.add(key="author", value="someone")
    other.opset_import.append(helper.make_opsetid("com.example", 3))
    made = Model.from_proto(other).loss("mse").optimizer("adam").proto
    assert made.training_info
    assert strip(made) == other


def test_the_combined_graph_runs_without_large_initializers() -> None:
    model = trained_by_sgd()
    whole = combined(model)
    light = combined(model, weights=False)
    assert len(whole.graph.node) == len(light.graph.node) == 19
    assert value_types(model)["new/momentum/w"].shape == (3, 2)


def test_the_evaluation_part_has_no_gradient_and_no_state() -> None:
    model = trained_by_sgd()
    found = recipe.read(model)
    assert found is not None
    part = evaluation_part(model, found)
    onnx.checker.check_model(part, full_check=True)
    assert [o.name for o in part.graph.output] == ["y", "loss", "metric/mean_absolute_error/Concat"]
    assert [i.name for i in part.graph.input] == ["x", "target"]
    assert [t.name for t in part.graph.initializer] == ["w", "b"]


# -- recipes of others -----------------------------------------------------------------------------------


def without_metadata() -> ModelProto:
    """A recipe as another program would write it, with its rate as a constant of the algorithm."""
    model = Model.from_proto(linear()).loss("mse").optimizer("sgd", learning_rate=0.25).proto
    drop(algorithm(model).input, "learning_rate")
    del model.metadata_props[:]
    return model


def test_a_recipe_without_metadata_is_read() -> None:
    found = validate(without_metadata())
    assert found is not None
    assert found.targets == (Target("target"),)
    assert (found.metrics, found.learning_rate, found.step) == ((), None, None)


def test_a_recipe_without_metadata_trains_by_its_own_rate() -> None:
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    y = np.ones((8, 2), np.float32)
    ours = Model.from_proto(linear()).loss("mse").optimizer("sgd", learning_rate=0.25)
    theirs = Model.from_proto(without_metadata())
    for model in (ours, theirs):
        model.train(x, y, batch_size=4, verbose=0, engine_options={"jit": False})
    for name, array in ours.parameters().items():
        np.testing.assert_array_equal(theirs.parameters()[name], array)
    with pytest.raises(RecipeError, match=r"the learning rate of this recipe is no input; choose .optimizer"):
        theirs.train(x, y, learning_rate=0.1, verbose=0)


def test_a_gradient_of_more_than_is_updated() -> None:
    model = without_metadata()
    model.training_info[0].update_binding.remove(binding(model, "b"))
    other = Model.from_proto(model)
    before = other.parameters()
    x = np.ones((4, 3), np.float32)
    other.train(x, np.zeros((4, 2), np.float32), verbose=0, engine_options={"jit": False})
    np.testing.assert_array_equal(other.parameters()["b"], before["b"])
    assert (other.parameters()["w"] != before["w"]).any()


def test_an_optimizer_of_others_cannot_be_kept() -> None:
    model = without_metadata()
    with pytest.raises(
        RecipeError, match=r"this recipe's optimizer cannot be kept; choose one with .optimizer\(...\)"
    ):
        nm.Model.from_proto(model).loss("mae")
    assert nm.Model.from_proto(model).optimizer("adam").recipe is not None


def test_files_that_were_written_before_keep_their_recipe() -> None:
    """The names in a file are a promise: these files were written by an earlier version."""
    for path in sorted((Path(__file__).parents[3] / "models" / "trained").glob("*.onnx")):
        model = onnx.load(path)
        (notes,) = [p.value for p in model.metadata_props if p.key == "neuromatic.recipe"]
        found = recipe.read(model)
        assert found is not None
        assert [t.name for t in found.targets] == [t["name"] for t in json.loads(notes)["targets"]]
        assert found.step is not None
