"""What the fuzzer found, a case of each kind: told when the file is read or used, by our errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import AttributeProto, ModelProto, TensorProto, helper
from onnx.numpy_helper import from_array

import neuromatic as nm
from neuromatic.cli.main import main
from neuromatic.errors import ConversionError, InvalidModelError, ModelError, NeuromaticError, RecipeError
from neuromatic.recipe.schema import METADATA_KEY
from tests.hostile.files import call, calling, floats, function, model, node, stored, tensor
from tests.hostile.fuzz_corpus import CORPUS

MARK = "MARKMARK"


def saved(made: ModelProto, folder: Path, *, spoil: bool = False) -> Path:
    """A model's file; spoiled, a text that is :data:`MARK` is no UTF-8."""
    data = made.SerializeToString()
    (folder / "m.onnx").write_bytes(data.replace(MARK.encode(), b"MARK\xff\xfeRK") if spoil else data)
    return folder / "m.onnx"


def text_in(place: str) -> ModelProto:
    made = calling(function("f", node("Neg", "a", "b")), function("g", call("f", "a", "b")))
    made.graph.initializer.append(from_array(np.ones(1, np.float32), "w"))
    match place:
        case "doc string":
            made.doc_string = MARK
        case "a node's doc string":
            made.graph.node[0].doc_string = MARK
        case "a tensor's doc string":
            made.graph.initializer[0].doc_string = MARK
        case "a function's doc string":
            made.functions[1].doc_string = MARK
        case "metadata":
            made.metadata_props.add(key="author", value=MARK)
        case "a key of metadata":
            made.graph.node[0].metadata_props.add(key=MARK, value="x")
        case "denotation":
            made.graph.input[0].type.denotation = MARK
        case "binding":
            made.training_info.add().update_binding.add(key=MARK, value="x")
        case "node's name":
            made.graph.node[0].name = MARK
        case "function's name":
            made.functions[1].name = MARK
        case "attribute":
            made.functions[0].node[0].attribute.append(helper.make_attribute("mode", MARK))
        case "list of an attribute":
            made.graph.node[0].attribute.append(helper.make_attribute("modes", ["a", MARK]))
        case "tensor of text":
            made.graph.initializer.append(from_array(np.array([MARK], object), "t"))
    return made


PLACES = (
    *("doc string", "a node's doc string", "a tensor's doc string", "a function's doc string", "metadata"),
    *("a key of metadata", "denotation", "binding", "node's name", "function's name", "attribute"),
    *("list of an attribute", "tensor of text"),
)


@pytest.mark.parametrize("place", PLACES)
def test_text_that_is_none(place: str, tmp_path: Path) -> None:
    path = saved(text_in(place), tmp_path, spoil=True)
    assert b"MARK\xff" in path.read_bytes()
    with pytest.raises(InvalidModelError, match=r"not UTF-8|utf-8"):
        nm.load(path)


def with_attribute(**fields: Any) -> ModelProto:
    made = model([node("Neg", "x")])
    made.graph.node[0].attribute.append(AttributeProto(name="a", **fields))
    return made


def of_type(kind: int) -> ModelProto:
    made = model([node("Neg", "x")])
    made.graph.value_info.append(floats("y2", ("N",)))
    made.graph.value_info[0].type.tensor_type.elem_type = kind
    return made


def segment() -> ModelProto:
    made = stored(tensor("w", [4], bytes(16)))
    made.graph.initializer[0].segment.begin = 0
    return made


def wrong_field() -> ModelProto:
    made = stored(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], int64_data=[1, 2]))
    return made


def without(inputs: list[str], op_type: str, **attributes: Any) -> ModelProto:
    """A node that leaves out inputs."""
    made = model([helper.make_node(op_type, inputs, ["y"], name="n", **attributes)])
    made.graph.initializer.append(from_array(np.ones((4, 4), np.float32), "w"))
    return made


MALFORMED: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "a tensor that is not there": (
        lambda: with_attribute(type=AttributeProto.TENSOR),
        "'a' of type TENSOR has no value",
    ),
    "a graph that is not there": (
        lambda: with_attribute(type=AttributeProto.GRAPH),
        "'a' of type GRAPH has no value",
    ),
    "no type": (lambda: with_attribute(i=1), "attribute 'a' has no type"),
    "a reference": (
        lambda: with_attribute(type=AttributeProto.INT, ref_attr_name="alpha"),
        "attribute 'a' refers to that of a function, but is in none",
    ),
    "the first input": (lambda: without(["", "x"], "Add"), "node 'n' (Add) leaves out its input 'A'"),
    "one of many": (lambda: without(["x", ""], "Min"), "node 'n' (Min) leaves out"),
    "the last of many": (lambda: without(["x", "x", ""], "Max"), "node 'n' (Max) leaves out"),
    "the first of many": (lambda: without(["", "x"], "Concat", axis=0), "node 'n' (Concat) leaves out"),
    "in a function": (
        lambda: calling(function("f", helper.make_node("Mul", ["a", ""], ["b"], name="n"))),
        "node 'n' (Mul) leaves out its input 'B'",
    ),
    "an element type": (lambda: of_type(2**31 - 1), "'y2' has unknown type 2147483647"),
    "a segment": (segment, "tensor 'w' is a segment of another, which nothing reads"),
    "another field": (wrong_field, "tensor 'w' of FLOAT has its values in int64_data, expected float_data"),
    "text as bytes": (
        lambda: stored(tensor("w", [1], b"ab", TensorProto.STRING)),
        "tensor 'w' of STRING has its values in raw_data, expected string_data",
    ),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_is_not_as_it_is_declared(kind: str, tmp_path: Path) -> None:
    build, message = MALFORMED[kind]
    with pytest.raises(InvalidModelError) as caught:
        nm.load(saved(build(), tmp_path))
    assert message in str(caught.value)


def test_optional_inputs_may_be_left_out(tmp_path: Path) -> None:
    made = without(["x", "", "high"], "Clip")
    made.graph.initializer.append(from_array(np.array(0.5, np.float32), "high"))
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(nm.load(saved(made, tmp_path)).predict(x), x / 2)


def test_a_model_without_outputs(tmp_path: Path) -> None:
    made = CORPUS["foreign"]()
    del made.graph.output[:]
    with pytest.raises(ModelError, match="the model has no outputs, so it can have no loss"):
        nm.Model.from_proto(made).loss("mse")


def test_outputs_that_are_no_rows(tmp_path: Path) -> None:
    """One number, a sequence, and outputs of a model that takes nothing."""
    np.savez(tmp_path / "d.npz", x=np.ones((2, 4), np.float32))
    arguments = ["--data", str(tmp_path / "d.npz")]
    path = saved(CORPUS["one_number"](), tmp_path)
    shown = CliRunner().invoke(main, ["predict", str(path), *arguments])
    assert (shown.exit_code, shown.stdout) == (0, "y () float32\n8.0\n")
    path = saved(CORPUS["sequence_output"](), tmp_path)
    failed = CliRunner().invoke(main, ["predict", str(path), *arguments])
    assert (failed.exit_code, failed.stderr) == (
        1,
        "Error: output 'y' is not a tensor; choose outputs that are\n",
    )
    assert (
        CliRunner()
        .invoke(main, ["convert", str(path), "-o", str(tmp_path / "n.onnx"), "--opset", "18"])
        .exit_code
        == 0
    )
    np.testing.assert_array_equal(
        nm.load(saved(CORPUS["no_inputs"](), tmp_path)).predict({}), np.ones((2, 2))
    )


@pytest.mark.parametrize(
    ("key", "value"), [("alpha", []), ("decay_steps", None), ("initial_learning_rate", "x")]
)
def test_a_schedule_of_a_wrong_kind(key: str, value: object) -> None:
    made = CORPUS["regression"]()

    entry = next(p for p in made.metadata_props if p.key == METADATA_KEY)
    notes = json.loads(entry.value)
    notes["schedule"]["arguments"][key] = value
    entry.value = json.dumps(notes)
    loaded = nm.Model.from_proto(made)
    with pytest.raises(RecipeError, match="names a schedule that cannot be made"):
        loaded.train(np.ones((2, 3), np.float32), np.ones((2, 1), np.float32))


def test_a_graph_that_an_engine_cannot_compute_is_told_with_the_node(tmp_path: Path) -> None:
    """Shapes that contradict each other where shape inference cannot see it."""
    made = model(
        [node("Reshape", "x s", "r"), helper.make_node("Add", ["r", "w"], ["y"], name="sum")],
        [from_array(np.array([-1, 2]), "s"), from_array(np.ones((3, 3), np.float32), "w")],
        outputs=[floats("y", None)],
    )
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    with pytest.raises(NeuromaticError) as caught:
        nm.Model.from_proto(made).loss("mse").optimizer("sgd").train(
            np.ones((2, 4), np.float32), np.ones((2, 3), np.float32)
        )
    assert isinstance(caught.value, (ConversionError, ModelError))
