"""Reading and checking training_info: what a recipe looks like, and every way in which it can be damaged."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx.checker
import pytest
from onnx import ModelProto, helper, numpy_helper

import neuromatic as nm
from neuromatic import recipe
from neuromatic.errors import InvalidModelError, RecipeError
from neuromatic.graph import TRAINING_DOMAIN
from neuromatic.model import Model
from neuromatic.recipe import METADATA_KEY, Target
from tests.neuromatic.graphs import INT64, linear, listing

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


def trained_by_sgd() -> ModelProto:
    model = Model.from_proto(linear()).loss("mse").optimizer("sgd", learning_rate=0.5, momentum=0.9)
    return model.metrics("mae").proto


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
    found = recipe.validate(trained_by_sgd())
    assert found is not None
    assert found == recipe.read(trained_by_sgd())
    assert found.trainable == ("w", "b")
    assert found.loss == "loss"
    assert found.targets == (Target("target", "y", None),)
    assert recipe.default_learning_rate(trained_by_sgd(), found) == 0.5


def test_no_training_info_is_no_recipe() -> None:
    assert recipe.read(linear()) is None
    assert recipe.validate(linear()) is None


def test_strip_gives_back_the_original() -> None:
    assert recipe.strip(trained_by_sgd()) == linear()
    assert recipe.strip(linear()) == linear()
    other = linear()
    other.metadata_props.add(key="author", value="someone")
    other.opset_import.append(helper.make_opsetid("com.example", 3))
    made = Model.from_proto(other).loss("mse").optimizer("adam").proto
    assert made.training_info
    assert recipe.strip(made) == other


def test_the_combined_graph_runs_without_large_initializers() -> None:
    model = trained_by_sgd()
    whole = recipe.combined(model)
    light = recipe.combined(model, weights=False)
    assert len(whole.graph.node) == len(light.graph.node) == 19
    assert recipe.value_types(model)["new/momentum/w"].shape == (3, 2)


def test_the_evaluation_part_has_no_gradient_and_no_state() -> None:
    model = trained_by_sgd()
    found = recipe.read(model)
    assert found is not None
    part = recipe.evaluation_part(model, found)
    onnx.checker.check_model(part, full_check=True)
    assert [o.name for o in part.graph.output] == ["y", "loss", "metric/mean_absolute_error/Concat"]
    assert [i.name for i in part.graph.input] == ["x", "target"]
    assert [t.name for t in part.graph.initializer] == ["w", "b"]


# -- damage --------------------------------------------------------------------------------------------

Damage = Callable[[ModelProto], Any]


def algorithm(model: ModelProto) -> Any:
    return model.training_info[0].algorithm


def node(model: ModelProto, output: str) -> Any:
    return next(n for n in algorithm(model).node if output in n.output)


def binding(model: ModelProto, key: str) -> Any:
    return next(b for b in model.training_info[0].update_binding if b.key == key)


def set_notes(model: ModelProto, text: str | None = None, **changes: Any) -> None:
    entry = next(p for p in model.metadata_props if p.key == METADATA_KEY)
    entry.value = json.dumps(json.loads(entry.value) | changes) if text is None else text


def drop(container: Any, name: str) -> None:
    item = next(x for x in container if getattr(x, "name", None) == name)
    container.remove(item)


def drop_attribute(name: str) -> Damage:
    return lambda m: drop(node(m, "gradient/w").attribute, name)


def metric(**changes: Any) -> list[dict[str, Any]]:
    return [{"name": "m", "sums": "metric/mean_absolute_error/Concat", "result": "mean"} | changes]


def change_type(model: ModelProto) -> None:
    for tensor in algorithm(model).initializer:
        if tensor.name == "momentum/w":
            tensor.CopyFrom(numpy_helper.from_array(np.zeros((2, 3), np.float32), "momentum/w"))


def train_an_integer(model: ModelProto) -> None:
    xs = next(a for a in node(model, "gradient/w").attribute if a.name == "xs")
    xs.strings[0] = b"step"


def other_gradient(model: ModelProto) -> None:
    algorithm(model).node.append(node(model, "gradient/w"))


DAMAGES: dict[str, tuple[Damage, str]] = {
    "unknown operator": (
        lambda m: setattr(node(m, "loss/Mul"), "op_type", "Nonsense"),
        "the training graph is not valid ONNX: No Op registered for Nonsense with domain_version of 17",
    ),
    "a value from nowhere": (
        lambda m: node(m, "loss/Mul").input.__setitem__(0, "nowhere"),
        "the training graph is not valid ONNX: Nodes in a graph must be topologically sorted, however input "
        "'nowhere' of node:",
    ),
    "a value computed twice": (
        lambda m: node(m, "loss/Mul").output.__setitem__(0, "loss/Sub"),
        "the training graph is not valid ONNX: Graph must be in single static assignment (SSA) form, however "
        "'loss/Sub' has been used as output names multiple times.",
    ),
    "declared types that contradict": (
        lambda m: algorithm(m).input.append(helper.make_tensor_value_info("momentum/b", INT64, (2,))),
        "the training graph is not valid ONNX: the types in the model do not fit: [TypeInferenceError] "
        "Inferred elem type differs from existing elem type: (1) vs (7)",
    ),
    "two training_infos": (
        lambda m: m.training_info.append(m.training_info[0]),
        "the model has 2 training_info entries, expected one",
    ),
    "two gradients": (other_gradient, "training_info has 2 Gradient nodes, expected one"),
    "no gradient": (
        lambda m: algorithm(m).node.remove(node(m, "gradient/w")),
        "training_info has 0 Gradient nodes, expected one",
    ),
    "a gradient of nothing": (
        drop_attribute("y"),
        "the Gradient node of training_info lacks its attribute 'xs' or 'y'",
    ),
    "a gradient by nothing": (
        drop_attribute("xs"),
        "the Gradient node of training_info lacks its attribute 'xs' or 'y'",
    ),
    "a gradient of a number": (
        lambda m: next(a for a in node(m, "gradient/w").attribute if a.name == "y").CopyFrom(
            helper.make_attribute("y", 3)
        ),
        "the Gradient node of training_info lacks its attribute 'xs' or 'y'",
    ),
    "a gradient of bytes": (
        lambda m: next(a for a in node(m, "gradient/w").attribute if a.name == "y").__setattr__(
            "s", b"\xff\xfe"
        ),
        "the Gradient node of training_info names values that are not text",
    ),
    "a gradient by an input": (
        lambda m: next(a for a in node(m, "gradient/w").attribute if a.name == "xs").strings.append(b"x"),
        "Gradient asks for 'x', but the model has no initializer of that name",
    ),
    "a gradient by an integer": (
        train_an_integer,
        "Gradient asks for 'step' of int64, expected floats",
    ),
    "a loss from nowhere": (
        lambda m: next(a for a in node(m, "gradient/w").attribute if a.name == "y").__setattr__("s", b"no"),
        "the loss refers to 'no', which no node of the training graph computes",
    ),
    "a loss of each sample": (
        lambda m: next(a for a in node(m, "gradient/w").attribute if a.name == "y").__setattr__(
            "s", b"loss/Mul"
        ),
        "the loss 'loss/Mul' has shape ('N', 2), expected a scalar",
    ),
    "a binding to nowhere": (
        lambda m: binding(m, "w").__setattr__("value", "nowhere"),
        "update_binding refers to 'nowhere', which no node of the training graph computes",
    ),
    "a binding of nothing": (
        lambda m: binding(m, "w").__setattr__("key", "v"),
        "update_binding replaces 'v', but the model has no initializer of that name",
    ),
    "a binding twice": (
        lambda m: m.training_info[0].update_binding.append(binding(m, "w")),
        "update_binding replaces 'w' twice",
    ),
    "a binding of another shape": (
        lambda m: binding(m, "w").__setattr__("value", "new/b"),
        "update_binding replaces 'w' (3, 2) by 'new/b' (2,), which has another type or shape",
    ),
    "a binding of another type": (
        lambda m: binding(m, "w").__setattr__("value", "new/step"),
        "update_binding replaces 'w' (3, 2) by 'new/step' (), which has another type or shape",
    ),
    "a state of another shape": (
        change_type,
        "update_binding replaces 'momentum/w' (2, 3) by 'new/momentum/w' (3, 2), which has another type",
    ),
    "metadata that are no JSON": (
        lambda m: set_notes(m, '{"version": 1,'),
        f"metadata '{METADATA_KEY}' of the model is damaged: ",
    ),
    "metadata that are a number": (
        lambda m: set_notes(m, "7"),
        f"metadata '{METADATA_KEY}' of the model is damaged: 'int' object is not subscriptable",
    ),
    "metadata too deep": (
        lambda m: set_notes(m, "[" * 100_000),
        f"metadata '{METADATA_KEY}' of the model is damaged: ",
    ),
    "metadata without targets": (
        lambda m: set_notes(m, '{"version": 1}'),
        f"metadata '{METADATA_KEY}' of the model is damaged: 'targets'",
    ),
    "metadata of tomorrow": (
        lambda m: set_notes(m, version=2),
        f"metadata '{METADATA_KEY}' has version 2, this Neuromatic reads 1",
    ),
    "a target with a surprise": (
        lambda m: set_notes(m, targets=[{"name": "target", "weight": 1}]),
        f"metadata '{METADATA_KEY}' of the model is damaged: ",
    ),
    "a target that is a number": (
        lambda m: set_notes(m, targets=[{"name": 5}]),
        f"metadata '{METADATA_KEY}' of the model is damaged: 5 is not a name",
    ),
    "classes that are text": (
        lambda m: set_notes(m, targets=[{"name": "target", "classes": "ten"}]),
        f"metadata '{METADATA_KEY}' of the model is damaged: classes is 'ten'",
    ),
    "a rate that is a list": (
        lambda m: set_notes(m, learning_rate=["x"]),
        f"metadata '{METADATA_KEY}' of the model is damaged: ['x'] is not a name",
    ),
    "a target that is no input": (
        lambda m: set_notes(m, targets=[{"name": "truth"}]),
        "the recipe names 'truth', which is not an input of the training graph",
    ),
    "an input that nobody fills": (
        lambda m: set_notes(m, targets=[]),
        "input 'target' of the training graph is neither a target nor has it a default",
    ),
    "a missing target input": (
        lambda m: drop(algorithm(m).input, "target"),
        "the training graph is not valid ONNX: Nodes in a graph must be topologically sorted, however input "
        "'target' of node:",
    ),
    "a target of no output": (
        lambda m: set_notes(m, targets=[{"name": "target", "output": "z"}]),
        "target 'target' is for output 'z', which the model lacks",
    ),
    "a rate that is no input": (
        lambda m: set_notes(m, learning_rate="step"),
        "the recipe names 'step', which is not an input of the training graph",
    ),
    "a rate of two numbers": (
        lambda m: next(t for t in algorithm(m).initializer if t.name == "learning_rate").CopyFrom(
            numpy_helper.from_array(np.ones(2, np.float32), "learning_rate")
        ),
        "the training graph is not valid ONNX: the types in the model do not fit: [ShapeInferenceError] "
        "Inferred shape and existing shape differ in rank: (1) vs (0)",
    ),
    "a step that stands still": (
        lambda m: set_notes(m, step="learning_rate"),
        "the step counter 'learning_rate' is not replaced by update_binding",
    ),
    "a step from nowhere": (
        lambda m: set_notes(m, step="tick"),
        "the step refers to 'tick', which no node of the training graph computes",
    ),
    "a metric from nowhere": (
        lambda m: set_notes(m, metrics=metric(sums="sums")),
        "a metric refers to 'sums', which no node of the training graph computes",
    ),
    "a metric of the future": (
        lambda m: set_notes(m, metrics=metric(result="auc")),
        "metric 'm' makes 'auc' of (2,); this Neuromatic knows ['mean'] of (2,)",
    ),
    "a metric of one number": (
        lambda m: set_notes(m, metrics=metric(sums="loss")),
        "metric 'm' makes 'mean' of (); this Neuromatic knows ['mean'] of (2,)",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_refused_by_name(kind: str) -> None:
    damage, message = DAMAGES[kind]
    model = trained_by_sgd()
    damage(model)
    with pytest.raises(RecipeError, match="^" + re.escape(message)) as caught:
        recipe.validate(model)
    assert "\n" not in str(caught.value)
    with pytest.raises(RecipeError):
        _ = Model.from_proto(model).recipe


def test_damage_of_the_inference_graph_is_another_error() -> None:
    model = linear()
    model.graph.input.append(helper.make_tensor_value_info("b", INT64, (2,)))
    with pytest.raises(InvalidModelError, match="the types in the model do not fit: "):
        recipe.value_types(model)
    with pytest.raises(InvalidModelError, match="the types in the model do not fit: "):
        Model.from_proto(model).loss("mse").optimizer("sgd")
    with pytest.raises(InvalidModelError, match="the types in the model do not fit: "):
        Model.from_proto(model).summary()


# -- recipes of others -----------------------------------------------------------------------------------


def without_metadata() -> ModelProto:
    """A recipe as another program would write it, with its rate as a constant of the algorithm."""
    model = Model.from_proto(linear()).loss("mse").optimizer("sgd", learning_rate=0.25).proto
    drop(algorithm(model).input, "learning_rate")
    del model.metadata_props[:]
    return model


def test_a_recipe_without_metadata_is_read() -> None:
    found = recipe.validate(without_metadata())
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
