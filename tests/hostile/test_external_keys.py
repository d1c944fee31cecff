"""Entries of external data: only those that ONNX defines, wherever in a model a tensor may be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnx.numpy_helper import from_array

import neuromatic as nm
from neuromatic.errors import InvalidModelError
from tests.hostile.files import branch, call, calling, function, ints, model, node, stored

UNKNOWN = ("__class__", "basepath", "Location", "offset ", "", "prepacked_0", "raw_data", "__dict__")


def constant(tensor: TensorProto, output: str = "w") -> NodeProto:
    return helper.make_node("Constant", [], [output], value=tensor)


def in_training(tensor: TensorProto, part: str) -> ModelProto:
    made = model([node("Neg", "x")])
    getattr(made.training_info.add(), part).name = "part"
    getattr(made.training_info[0], part).initializer.append(tensor)
    return made


def in_sparse(tensor: TensorProto) -> ModelProto:
    made = model([node("Add", "x w")])
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor, ints("", 0, 1, 2, 3), [4]))
    return made


def in_branch(tensor: TensorProto) -> ModelProto:
    body = branch(node("Add", "x w", "inner"))
    body.initializer.append(tensor)
    true = constant(from_array(np.array(True)), "c")
    other = branch(node("Neg", "x", "inner"))
    return model([true, helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=other)])


def in_branch_of_function(tensor: TensorProto) -> ModelProto:
    body = branch(constant(tensor), node("Add", "a w", "inner"))
    true = constant(from_array(np.array(True)), "c")
    other = branch(node("Neg", "a", "inner"))
    return calling(
        function("f", true, helper.make_node("If", ["c"], ["b"], then_branch=body, else_branch=other))
    )


PLACES: dict[str, Callable[[TensorProto], ModelProto]] = {
    "initializer": stored,
    "constant": lambda t: model([constant(t), node("Add", "x w")]),
    "sparse initializer": in_sparse,
    "graph in a node": in_branch,
    "function": lambda t: calling(function("f", constant(t), node("Add", "a w", "b"))),
    "function that is not called": lambda t: calling(
        function("f", node("Neg", "a", "b")), function("g", constant(t), call("f", "a", "b"))
    ),
    "graph in a function": in_branch_of_function,
    "algorithm": lambda t: in_training(t, "algorithm"),
    "initialization": lambda t: in_training(t, "initialization"),
}


def elsewhere(**entries: str) -> TensorProto:
    """An initializer whose values are in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "data.bin", **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "data.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("place", PLACES)
def test_unknown_entries_are_refused(place: str, file: Path) -> None:
    for key in UNKNOWN:
        file.write_bytes(PLACES[place](elsewhere(**{key: "x"})).SerializeToString())
        with pytest.raises(InvalidModelError) as caught:
            nm.load(file)
        expected = (
            f"external data of 'w' have an entry {key!r}, expected only checksum, length, location, off"
        )
        assert expected in str(caught.value)


@pytest.mark.parametrize("place", PLACES)
def test_entries_without_a_use_are_refused_too(place: str, file: Path) -> None:
    """They would be carried into what is written, also where the values are in the model."""
    tensor = from_array(np.arange(4, dtype=np.float32), "w")
    tensor.external_data.add(key="__class__", value="x")
    file.write_bytes(PLACES[place](tensor).SerializeToString())
    with pytest.raises(InvalidModelError, match="external data of 'w' have an entry '__class__'"):
        nm.load(file)


@pytest.mark.parametrize("place", PLACES)
def test_entries_that_are_there_twice(place: str, file: Path) -> None:
    tensor = elsewhere()
    tensor.external_data.add(key="location", value="data.bin")
    file.write_bytes(PLACES[place](tensor).SerializeToString())
    with pytest.raises(InvalidModelError, match="external data of 'w' have an entry twice: 'location'"):
        nm.load(file)


@pytest.mark.parametrize("place", ["initializer", "constant", "graph in a node", "function"])
def test_known_entries_are_read_wherever_they_are(place: str, file: Path, tmp_path: Path) -> None:
    tensor = elsewhere(offset="0", length="16", checksum="none")
    file.write_bytes(PLACES[place](tensor).SerializeToString())
    loaded = nm.load(file)
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(loaded.predict(x), x + np.arange(4))
    loaded.save(tmp_path / "again.onnx")
    np.testing.assert_array_equal(nm.load(tmp_path / "again.onnx").predict(x), x + np.arange(4))
