"""Every way in which training_info can be damaged, and the sentence that refuses it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper

from neuromatic.builder.model import Model
from neuromatic.errors import InvalidModelError, RecipeError
from neuromatic.ir.types import value_types
from neuromatic.recipe.schema import METADATA_KEY
from neuromatic.recipe.validation import validate
from tests.neuromatic.graphs import INT64, linear
from tests.neuromatic.recipes import algorithm, binding, drop, node, set_notes, trained_by_sgd

Damage = Callable[[ModelProto], Any]


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
        "the recipe needs a value that the graph no longer has ('nowhere'): another program has ",
    ),
    "a value computed twice": (
        lambda m: algorithm(m).node.append(node(m, "loss/Sub")),
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
        f"metadata '{METADATA_KEY}' of the model is damaged: 'ten' is not a class",
    ),
    "a class axis that is text": (
        lambda m: set_notes(m, targets=[{"name": "target", "output": "y", "axis": "one"}]),
        f"metadata '{METADATA_KEY}' of the model is damaged: 'one' is not a class or axis",
    ),
    "a class axis that the output lacks": (
        lambda m: set_notes(m, targets=[{"name": "target", "output": "y", "axis": 2}]),
        "target 'target' has classes along axis 2, which its output 'y' (N, 2) lacks or needs for the batch",
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
        lambda m: set_notes(m, metrics=metric(result="oracle")),
        "metric 'm' reports 'oracle'; this Neuromatic knows ['auc', 'best_rate', ",
    ),
    "a metric of one number": (
        lambda m: set_notes(m, metrics=metric(sums="loss")),
        "metric 'm' makes 'mean' of sums (), expected (2,)",
    ),
    "a metric of too few numbers": (
        lambda m: set_notes(m, metrics=metric(result="rate", arguments={"of": "recall"})),
        "metric 'm' makes 'rate' of sums (2,), expected (4, ?)",
    ),
    "a metric with an argument too many": (
        lambda m: set_notes(m, metrics=metric(arguments={"of": "recall"})),
        "metric 'm' cannot make 'mean' with {'of': 'recall'}: mean() got an unexpected keyword argument 'of'",
    ),
    "a metric with arguments that are a number": (
        lambda m: set_notes(m, metrics=metric(arguments=3)),
        f"metadata '{METADATA_KEY}' of the model is damaged: 'int' object is not iterable",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_refused_by_name(kind: str) -> None:
    damage, message = DAMAGES[kind]
    model = trained_by_sgd()
    damage(model)
    with pytest.raises(RecipeError, match="^" + re.escape(message)) as caught:
        validate(model)
    assert "\n" not in str(caught.value)
    with pytest.raises(RecipeError):
        _ = Model.from_proto(model).recipe


def test_damage_of_the_inference_graph_is_another_error() -> None:
    model = linear()
    model.graph.input.append(helper.make_tensor_value_info("b", INT64, (2,)))
    with pytest.raises(InvalidModelError, match="the types in the model do not fit: "):
        value_types(model)
    with pytest.raises(InvalidModelError, match="the types in the model do not fit: "):
        Model.from_proto(model).loss("mse").optimizer("sgd")
    with pytest.raises(InvalidModelError, match="the types in the model do not fit: "):
        Model.from_proto(model).summary()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"step": []}, r"\[\] is not a name"),
        ({"step": False}, "False is not a name"),
        ({"learning_rate": 0}, "0 is not a name"),
        ({"loss": None}, "None is not a name"),
        ({"version": True}, "has version True"),
        ({"targets": [{"name": "y", "classes": True}]}, "True is not a class or axis"),
        ({"targets": [{"name": "y", "classes": 0}]}, "0 is no number of classes"),
        ({"targets": [{"name": "y", "classes": 10**30}]}, "10000.* has more than 64 bits"),
        ({"targets": [{"name": "y", "classes": float("inf")}]}, "Infinity is no number"),
        ({"targets": [{"name": "y", "output": ""}], "schedule": [1]}, "damaged"),
        ({"optimizer": {"name": "sgd", "arguments": {"momentum": float("nan")}}}, "NaN is no number"),
    ],
)
def test_entries_of_a_wrong_kind(entry: dict[str, Any], message: str) -> None:
    """Empty values of other types are none of those that are left out."""
    model = trained_by_sgd()
    set_notes(model, **entry)
    with pytest.raises(RecipeError, match=message):
        _ = Model.from_proto(model).recipe
