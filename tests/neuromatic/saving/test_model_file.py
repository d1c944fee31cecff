"""Parameters and models to and from files: nothing changes but what was meant to."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

import neuromatic as nm
from neuromatic.builder.model import Model
from neuromatic.errors import InvalidModelError, ModelError, ShapeError
from neuromatic.ir import parameters as weights
from tests.neuromatic.graphs import in_onnxruntime, linear

Array = NDArray[Any]


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field of less than 128 * 128 bytes."""
    size = len(payload)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + payload


def packed_dims(tensor: TensorProto) -> bytes:
    """A tensor whose ``dims`` are packed, as writers of proto3 spell them."""
    rest = TensorProto()
    rest.CopyFrom(tensor)
    del rest.dims[:]
    return field(1, bytes(tensor.dims)) + rest.SerializeToString()


def spellings() -> dict[str, bytes]:
    """One model as different bytes."""
    model = linear()
    graph, tensors = model.graph, list(model.graph.initializer)
    head = ModelProto()
    head.CopyFrom(model)
    head.ClearField("graph")
    bare = onnx.GraphProto()
    bare.CopyFrom(graph)
    del bare.initializer[:]
    dims = b"".join(field(5, packed_dims(t)) for t in tensors) + bare.SerializeToString()
    unknown = bytes([0x98, 0x7D, 0x01])  # field 2003, varint 1
    return {
        "canonical": model.SerializeToString(),
        "graph first": field(7, graph.SerializeToString()) + head.SerializeToString(),
        "packed dims": head.SerializeToString() + field(7, dims),
        "unknown field first": unknown + model.SerializeToString(),
        "unknown field last": model.SerializeToString() + unknown,
        "version twice": model.SerializeToString() + ModelProto(ir_version=8).SerializeToString(),
    }


@pytest.mark.parametrize("spelling", spellings())
def test_load_and_save_give_the_same_bytes(spelling: str, tmp_path: Path) -> None:
    data = spellings()[spelling]
    (tmp_path / "a.onnx").write_bytes(data)
    model = nm.load(tmp_path / "a.onnx")
    assert set(model.parameters()) == {"w", "b"}
    model.save(tmp_path / "b.onnx")
    assert (tmp_path / "b.onnx").read_bytes() == data


@pytest.mark.parametrize("spelling", spellings())
def test_zero_epochs_give_the_same_bytes(spelling: str, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(spellings()[spelling])
    model = nm.load(tmp_path / "a.onnx").loss("mse").optimizer("sgd")
    model.save(tmp_path / "b.onnx")
    data = (tmp_path / "b.onnx").read_bytes()
    again = nm.load(tmp_path / "b.onnx")
    again.train(np.ones((2, 3)), np.ones((2, 2)), epochs=0, verbose=0)
    again.save(tmp_path / "b.onnx")
    assert (tmp_path / "b.onnx").read_bytes() == data


def test_a_file_with_numbers_that_are_none_keeps_its_bytes(tmp_path: Path) -> None:
    model = linear()
    tensor = helper.make_tensor("w", TensorProto.FLOAT, (3, 2), [float("nan")] * 6)
    model.graph.initializer[0].CopyFrom(tensor)
    data = field(7, model.graph.SerializeToString())
    model.ClearField("graph")
    data += model.SerializeToString()
    (tmp_path / "a.onnx").write_bytes(data)
    nm.load(tmp_path / "a.onnx").save(tmp_path / "b.onnx")
    assert (tmp_path / "b.onnx").read_bytes() == data


# -- write back ----------------------------------------------------------------------------------------


def typed(dtype: int, values: list[float]) -> ModelProto:
    """A model with one initializer that is stored in a typed field."""
    tensor = helper.make_tensor("w", dtype, (2, 3), values)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])],
        "g",
        [],
        [helper.make_tensor_value_info("y", dtype, (2, 3))],
        [tensor],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    "dtype",
    [
        TensorProto.FLOAT,
        TensorProto.DOUBLE,
        TensorProto.FLOAT16,
        TensorProto.INT32,
        TensorProto.INT64,
        TensorProto.UINT8,
        TensorProto.UINT64,
        TensorProto.BOOL,
    ],
)
def test_typed_fields_are_replaced(dtype: int) -> None:
    model = typed(dtype, [0, 1, 0, 1, 1, 0])
    assert not model.graph.initializer[0].HasField("raw_data")
    new = np.array([[1, 0, 1], [0, 0, 1]])
    weights.write_back(model, {"w": new})
    onnx.checker.check_model(model)
    assert model.graph.initializer[0].data_type == dtype
    (found,) = in_onnxruntime(model, {})
    np.testing.assert_array_equal(found, new.astype(found.dtype))


def test_only_values_change() -> None:
    model = linear()
    model.graph.initializer[0].doc_string = "kept"
    before = ModelProto()
    before.CopyFrom(model)
    weights.write_back(model, {"w": np.full((3, 2), 7, np.float32)})
    assert numpy_helper.to_array(model.graph.initializer[0]).tolist() == [[7.0, 7.0]] * 3
    model.graph.initializer[0].raw_data = before.graph.initializer[0].raw_data
    assert model == before


def test_values_of_the_training_part_are_written_too() -> None:
    model = Model.from_proto(linear()).loss("mse").optimizer("sgd").proto
    weights.write_back(model, {"step": np.array(7)})
    assert numpy_helper.to_array(weights.stored_tensors(model)["step"]) == 7


def test_nothing_is_written_if_something_does_not_fit() -> None:
    model = linear()
    before = model.SerializeToString()
    new = np.zeros((3, 2), np.float32)
    with pytest.raises(ModelError, match="the model has no initializer 'v' to write to"):
        weights.write_back(model, {"w": new, "v": new})
    with pytest.raises(ShapeError, match=r"initializer 'b' has shape \(2,\), got \(3,\)"):
        weights.write_back(model, {"w": new, "b": np.zeros(3)})
    assert model.SerializeToString() == before


# -- files ---------------------------------------------------------------------------------------------


def test_external_data_are_read_and_written_into_one_file(tmp_path: Path) -> None:
    model = linear()
    onnx.save(model, tmp_path / "a.onnx", save_as_external_data=True, location="a.bin", size_threshold=0)
    assert (tmp_path / "a.bin").stat().st_size
    loaded = nm.load(tmp_path / "a.onnx")
    loaded.save(tmp_path / "b.onnx")
    (tmp_path / "a.bin").unlink()
    x = np.ones((2, 3), np.float32)
    expected = in_onnxruntime(linear(), {"x": x})[0]
    np.testing.assert_array_equal(nm.load(tmp_path / "b.onnx").predict(x), expected)
    trained = nm.load(tmp_path / "b.onnx").loss("mse").optimizer("sgd")
    trained.train(x, np.zeros((2, 2)), verbose=0, engine_options={"jit": False})
    assert (trained.predict(x) != expected).all()


def test_external_data_that_are_missing_or_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    onnx.save(linear(), folder / "a.onnx", save_as_external_data=True, location="a.bin", size_threshold=0)
    (folder / "a.bin").rename(tmp_path / "a.bin")
    with pytest.raises(InvalidModelError, match=r"a.onnx"):
        nm.load(folder / "a.onnx")
    model = onnx.load(folder / "a.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../a.bin" if entry.key == "location" else entry.value
    (folder / "b.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InvalidModelError, match=r"b.onnx is not a valid ONNX model"):
        nm.load(folder / "b.onnx")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty; expected an ONNX model"),
        (b"hello, world", "is not a valid ONNX model: "),
        (b"\x00" * 100, "is not a valid ONNX model: "),
        (linear().SerializeToString()[:-5], "is not a valid ONNX model: "),
        (ModelProto(ir_version=8).SerializeToString(), "is not a valid ONNX model: "),
        (ModelProto(ir_version=10**6).SerializeToString(), "is not a valid ONNX model: "),
        (b"PK\x03\x04", "is not a valid ONNX model: "),
    ],
)
def test_files_that_are_no_models(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(data)
    with pytest.raises(InvalidModelError, match=message) as caught:
        nm.load(tmp_path / "a.onnx")
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match=r"cannot read .*none.onnx: No such file or directory"):
        nm.load(tmp_path / "none.onnx")
    with pytest.raises(InvalidModelError):
        nm.load(tmp_path)


def test_mutated_files_are_refused_or_loaded(tmp_path: Path) -> None:
    original = Model.from_proto(linear()).loss("mse").optimizer("adam").proto.SerializeToString()
    rng = np.random.default_rng(0)
    file = tmp_path / "a.onnx"
    for _ in range(300):
        data = bytearray(original)
        for place in rng.integers(len(data), size=rng.integers(1, 6)):
            data[place] = rng.integers(256)
        file.write_bytes(data)
        with contextlib.suppress(ModelError):
            _ = nm.load(file).recipe


def test_export_drops_the_recipe_and_save_keeps_it(tmp_path: Path) -> None:
    model = Model.from_proto(linear()).loss("mse").optimizer("adam")
    model.export(tmp_path / "a.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == linear().SerializeToString()
    model.save(tmp_path / "b.onnx")
    assert nm.load(tmp_path / "b.onnx").proto == model.proto
