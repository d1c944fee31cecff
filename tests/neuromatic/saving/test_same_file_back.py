"""A file that is loaded, trained and saved is the same file, with other values of what was trained."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper
from onnx.numpy_helper import from_array, to_array

import neuromatic as nm
from neuromatic.errors import ModelError
from neuromatic.ir import parameters as weights
from neuromatic.recipe.sections import strip
from neuromatic.saving import external_data as external
from tests.neuromatic.graphs import in_onnxruntime

UNKNOWN = bytes([0x98, 0x7D, 0x01])
"""Field 2003 of a message, a varint; ONNX has none of that number."""
DOMAIN = "com.example"
X = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
Y = np.ones((8, 3), np.float32)


def rich_model() -> ModelProto:
    """A model that has something of everything that a file may hold: x (N, 4) -> y (N, 3), z (N, 2)."""
    opposite = helper.make_function(
        DOMAIN,
        "Opposite",
        ["a"],
        ["b"],
        [helper.make_node("Neg", ["a"], ["b"], name="minus", doc_string="with the other sign")],
        [helper.make_opsetid("", 17)],
    )
    w = from_array(np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32), "model/w:0")
    w.doc_string = "first\nweight"
    b = helper.make_tensor("b", TensorProto.FLOAT, (3,), [0.5, -0.5, 0.25])
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "model/w:0"], ["product"], name="n 1", doc_string="a node"),
            helper.make_node("Add", ["product", "b"], ["shifted"], name="été"),
            helper.make_node("Opposite", ["shifted"], ["y"], domain=DOMAIN),
            helper.make_node("MatMul", ["x", "thin"], ["z"], name="sparse"),
        ],
        "the graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 4), "rows")],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ("N", 3)),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, ("N", 2)),
        ],
        [w, b],
        "about the graph",
    )
    thin = from_array(np.array([2.0, 3.0], np.float32), "thin")
    indices = from_array(np.array([1, 6], np.int64), "")
    graph.sparse_initializer.append(helper.make_sparse_tensor(thin, indices, [4, 2]))
    note = graph.quantization_annotation.add(tensor_name="product")
    note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="b")
    graph.metadata_props.add(key="graph key", value="graph value")
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 3)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10, functions=[opposite])
    model.producer_name, model.producer_version, model.model_version = "somebody", "0.1-β", 7
    model.domain, model.doc_string = "org.example", "several\nlines"
    helper.set_model_props(model, {"key": "value\nline", "other": ""})
    return model


def trained(path: Path) -> nm.Model:
    """The model in a file, trained towards ``y`` alone."""
    model = nm.load(path).loss({"y": "mse"}).optimizer("sgd", learning_rate=0.1)
    model.train(X, Y, epochs=2, verbose=0, engine_options={"jit": False})
    return model


def without_values(model: ModelProto, *names: str) -> ModelProto:
    """A copy of a model, without its recipe and the values of some initializers."""
    result = strip(model)
    for tensor in result.graph.initializer:
        if tensor.name in names:
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
    return result


def test_only_values_change(tmp_path: Path) -> None:
    before = ModelProto.FromString(rich_model().SerializeToString() + UNKNOWN)
    (tmp_path / "a.onnx").write_bytes(before.SerializeToString())
    trained(tmp_path / "a.onnx").save(tmp_path / "b.onnx")
    after = onnx.load(tmp_path / "b.onnx")
    names = ("model/w:0", "b")
    for old, new in zip(before.graph.initializer, after.graph.initializer, strict=True):
        assert (to_array(old) != to_array(new)).all()
        assert old.HasField("raw_data") == new.HasField("raw_data")
        assert len(old.float_data) == len(new.float_data)
    assert after.SerializeToString().endswith(UNKNOWN)
    stripped = without_values(after, *names)
    assert stripped == without_values(before, *names)
    assert stripped.SerializeToString() == without_values(before, *names).SerializeToString()


def test_export_is_the_file_with_new_values(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(rich_model().SerializeToString())
    model = trained(tmp_path / "a.onnx")
    model.export(tmp_path / "b.onnx")
    after = onnx.load(tmp_path / "b.onnx")
    assert not after.training_info
    assert without_values(after, "model/w:0", "b") == without_values(rich_model(), "model/w:0", "b")
    for got, expected in zip(in_onnxruntime(after, {"x": X}), model.predict(X).values(), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("dtype", "field"),
    [
        (TensorProto.FLOAT, "float_data"),
        (TensorProto.DOUBLE, "double_data"),
        (TensorProto.INT64, "int64_data"),
        (TensorProto.INT32, "int32_data"),
        (TensorProto.UINT64, "uint64_data"),
    ],
)
def test_values_stay_in_their_field(dtype: int, field: str) -> None:
    model = ModelProto()
    model.graph.initializer.append(helper.make_tensor("w", dtype, (3,), [1, 2, 3]))
    new = np.array([7, 0, 5])
    weights.write_back(model, {"w": new})
    tensor = model.graph.initializer[0]
    assert list(getattr(tensor, field)) == [7, 0, 5]
    assert not tensor.HasField("raw_data")
    np.testing.assert_array_equal(to_array(tensor), new)


# -- external data -------------------------------------------------------------------------------------


def place(model: ModelProto, locations: dict[str, tuple[str, int, bool]], folder: Path) -> None:
    """Write a model to ``a.onnx``, its initializers to files: location, offset, whether length is said."""
    for tensor in model.graph.initializer:
        if tensor.name not in locations:
            continue
        location, offset, sized = locations[tensor.name]
        values = to_array(tensor).tobytes()
        file = folder / location
        file.parent.mkdir(exist_ok=True)
        file.touch()
        with file.open("rb+") as out:
            out.seek(offset)
            out.write(values)
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
        tensor.data_location = TensorProto.EXTERNAL
        entries = {"location": location, "offset": offset} | ({"length": len(values)} if sized else {})
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))
    (folder / "a.onnx").write_bytes(model.SerializeToString())


LAYOUTS: dict[str, dict[str, tuple[str, int, bool]]] = {
    "one file": {"model/w:0": ("w.bin", 0, True), "b": ("w.bin", 4096, True)},
    "a file each": {"model/w:0": ("w.bin", 0, True), "b": ("sub/b.bin", 0, False)},
    "one of two": {"model/w:0": ("w.bin", 64, False)},
    "backwards": {"model/w:0": ("./all.data", 100, True), "b": ("all.data", 7, True)},
}


@pytest.fixture(params=["read", "mapped"])
def mapping(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which external data are kept in memory."""
    if request.param == "mapped":
        monkeypatch.setattr(external, "MOST_READ", 0)
        monkeypatch.setattr(external, "LEAST_MAPPED", 1)


def in_files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by its name."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.usefixtures("mapping")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_untouched_external_data_are_saved_as_they_were(layout: str, tmp_path: Path) -> None:
    place(rich_model(), LAYOUTS[layout], fresh(tmp_path / "old"))
    before = in_files(tmp_path / "old")
    model = nm.load(tmp_path / "old" / "a.onnx")
    np.testing.assert_array_equal(model.parameters()["b"], to_array(rich_model().graph.initializer[1]))
    for found, expected in zip(
        model.predict(X).values(), in_onnxruntime(rich_model(), {"x": X}), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    model.save(fresh(tmp_path / "new") / "a.onnx")
    assert in_files(tmp_path / "new") == before
    model.save(tmp_path / "old" / "a.onnx")
    assert in_files(tmp_path / "old") == before


@pytest.mark.usefixtures("mapping")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_trained_external_data_keep_their_layout(layout: str, tmp_path: Path) -> None:
    place(rich_model(), LAYOUTS[layout], fresh(tmp_path / "old"))
    before = in_files(tmp_path / "old")
    model = trained(tmp_path / "old" / "a.onnx")
    values, outputs = model.parameters(), model.predict(X)
    assert in_files(tmp_path / "old") == before
    model.save(fresh(tmp_path / "new") / "a.onnx")
    after = in_files(tmp_path / "new")
    assert {n: len(d) for n, d in after.items() if n != "a.onnx"} == {
        n: len(d) for n, d in before.items() if n != "a.onnx"
    }
    found = onnx.load(tmp_path / "new" / "a.onnx", load_external_data=False)
    names = ("model/w:0", "b")
    assert without_values(found, *names) == without_values(ModelProto.FromString(before["a.onnx"]), *names)
    for place_ in (tmp_path / "new", tmp_path / "old"):
        model.save(place_ / "a.onnx")
        again = onnx.load(place_ / "a.onnx")
        for tensor in again.graph.initializer:
            np.testing.assert_array_equal(to_array(tensor), values[tensor.name])
        for name, array in nm.load(place_ / "a.onnx").predict(X).items():
            np.testing.assert_array_equal(array, outputs[name])
    assert in_files(tmp_path / "old") == in_files(tmp_path / "new") == after


def test_a_second_model_beside_the_first_has_its_own_data(tmp_path: Path) -> None:
    place(rich_model(), LAYOUTS["one file"], tmp_path)
    before = in_files(tmp_path)
    model = trained(tmp_path / "a.onnx")
    model.save(tmp_path / "b.onnx")
    after = in_files(tmp_path)
    assert {n: d for n, d in after.items() if n in before} == before
    assert set(after) - set(before) == {"b.onnx", "b.w.bin"}
    values = {t.name: to_array(t) for t in onnx.load(tmp_path / "b.onnx").graph.initializer}
    np.testing.assert_array_equal(values["b"], model.parameters()["b"])


def test_bytes_between_tensors_stay(tmp_path: Path) -> None:
    place(rich_model(), LAYOUTS["one file"], tmp_path)
    with (tmp_path / "w.bin").open("rb+") as file:
        file.seek(1000)
        file.write(b"other data")
        file.seek(0, 2)
        file.write(b"the end")
    trained(tmp_path / "a.onnx").save(tmp_path / "a.onnx")
    data = (tmp_path / "w.bin").read_bytes()
    assert data[1000:1010] == b"other data"
    assert data.endswith(b"the end")


def test_checksums_are_renewed(tmp_path: Path) -> None:
    model = rich_model()
    place(model, LAYOUTS["one file"], tmp_path)
    digest = hashlib.sha1((tmp_path / "w.bin").read_bytes()).hexdigest()
    for tensor in model.graph.initializer:
        tensor.external_data.add(key="checksum", value=digest)
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    trained(tmp_path / "a.onnx").save(tmp_path / "a.onnx")
    expected = hashlib.sha1((tmp_path / "w.bin").read_bytes()).hexdigest()
    found = onnx.load(tmp_path / "a.onnx", load_external_data=False)
    entries = [e.value for t in found.graph.initializer for e in t.external_data if e.key == "checksum"]
    assert entries == [expected] * 2 != [digest] * 2


def test_other_spellings_of_a_file_with_external_data_stay(tmp_path: Path) -> None:
    place(rich_model(), LAYOUTS["one file"], fresh(tmp_path / "old"))
    data = (tmp_path / "old" / "a.onnx").read_bytes() + ModelProto(ir_version=10).SerializeToString()
    (tmp_path / "old" / "a.onnx").write_bytes(data)
    nm.load(tmp_path / "old" / "a.onnx").save(fresh(tmp_path / "new") / "a.onnx")
    assert in_files(tmp_path / "new") == in_files(tmp_path / "old")


def test_values_of_attributes_may_be_external(tmp_path: Path) -> None:
    model = rich_model()
    value = TensorProto(name="c", data_type=1, dims=[3], data_location=TensorProto.EXTERNAL)
    value.external_data.add(key="location", value="c.bin")
    (tmp_path / "c.bin").write_bytes(np.array([1, 2, 3], np.float32).tobytes())
    del model.graph.initializer[1]
    model.graph.node.insert(0, helper.make_node("Constant", [], ["b"], value=value))
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    loaded = nm.load(tmp_path / "a.onnx")
    weight = to_array(model.graph.initializer[0])
    np.testing.assert_allclose(loaded.predict(X)["y"], -(X @ weight + [1, 2, 3]), rtol=1e-5)
    loaded.save(fresh(tmp_path / "new") / "a.onnx")
    assert in_files(tmp_path / "new") == {n: d for n, d in in_files(tmp_path).items() if "new" not in n}


def test_data_that_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(rich_model(), LAYOUTS["one file"], tmp_path)
    read = nm.load(tmp_path / "a.onnx")
    monkeypatch.setattr(external, "MOST_READ", 0)
    monkeypatch.setattr(external, "LEAST_MAPPED", 1)
    mapped = nm.load(tmp_path / "a.onnx")
    before = in_files(tmp_path)
    (tmp_path / "w.bin").unlink()
    with pytest.raises(
        ModelError, match=r"cannot write 'model/w:0': .*w.bin, which holds its values, is gone"
    ):
        mapped.save(tmp_path / "a.onnx")
    with pytest.raises(ModelError, match=r"cannot read 'model/w:0' from .*w.bin"):
        mapped.parameters()
    with pytest.raises(ModelError, match="onnxruntime refuses the model"):
        mapped.predict(X)
    read.save(tmp_path / "a.onnx")
    assert nm.load(tmp_path / "a.onnx").predict(X)["y"].shape == (8, 3)
    assert in_files(tmp_path)["a.onnx"] == before["a.onnx"]


# -- failures ------------------------------------------------------------------------------------------


class Stop(BaseException):
    """Stands for the moment at which the computer loses its power."""


def count(monkeypatch: pytest.MonkeyPatch, stop_at: int | None) -> Callable[[], int]:
    """Count the calls that change names of files; stop before one of them, and let none happen after it."""
    import os

    calls = 0

    def counted(name: str) -> None:
        original = getattr(os, name)

        def call(*arguments: object, **more: object) -> object:
            nonlocal calls
            calls += 1
            if stop_at is not None and calls > stop_at:
                raise Stop
            return original(*arguments, **more)

        monkeypatch.setattr(os, name, call)

    for name in ("replace", "link", "unlink"):
        counted(name)
    return lambda: calls


def test_a_crash_while_replacing_leaves_a_whole_model(tmp_path: Path) -> None:
    place(rich_model(), LAYOUTS["a file each"], fresh(tmp_path / "0"))
    old = nm.load(tmp_path / "0" / "a.onnx").predict(X)["y"]
    model = trained(tmp_path / "0" / "a.onnx")
    new = model.predict(X)["y"]
    seen, steps, folder = set[str](), 1, tmp_path
    for stop in range(20):
        folder = fresh(tmp_path / f"copy {stop}")
        place(rich_model(), LAYOUTS["a file each"], folder)
        with pytest.MonkeyPatch.context() as patch:
            done = count(patch, stop)
            try:
                model.save(folder / "a.onnx")
            except Stop:
                pass
            else:
                steps = done()
                break
        found = nm.load(folder / "a.onnx").predict(X)["y"]
        seen.add("old" if (found == old).all() else "new")
        assert (found == old).all() or (found == new).all()
    assert seen == {"old", "new"}
    assert steps > 5
    assert set(in_files(folder)) == {"a.onnx", "w.bin", "sub/b.bin"}


def test_a_failure_leaves_the_old_model_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(rich_model(), LAYOUTS["a file each"], fresh(tmp_path / "old"))
    before = in_files(tmp_path / "old")
    model = trained(tmp_path / "old" / "a.onnx")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("neuromatic.saving.atomic.write", full)
    for folder in (tmp_path / "old", fresh(tmp_path / "new")):
        with pytest.raises(OSError, match="No space left"):
            model.save(folder / "a.onnx")
    assert in_files(tmp_path / "old") == before
    assert in_files(tmp_path / "new") == {}
