"""Models over 2 GiB: their large weights stay in their files, whatever is done with the model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array, to_array

import neuromatic as nm
from neuromatic.builder.model import Model
from neuromatic.errors import InvalidModelError, ModelError
from neuromatic.ir.tensors import is_mapped
from neuromatic.saving import external_data as external
from neuromatic.saving import writer as layout
from tests.neuromatic.graphs import linear

ROWS = 3 * 2**30 // 256
"""3 GiB of rows of 64 numbers."""
MARKED = 123_456

PROGRAM = """
import json, sys, time
import numpy as np
import neuromatic as nm
from neuromatic.reports.summary import summary_text

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

folder, marked, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
started = time.perf_counter()
x = np.array([marked, 5, rows - 1])
model = nm.load(f"{folder}/m.onnx")
text = summary_text(model.proto, model.recipe)
before = model.predict(x)
recipe = model.freeze("table").loss("mse").optimizer("sgd", learning_rate=1e-7)
loaded = peak()
recipe.train(x, np.zeros((3, 3)), epochs=2, verbose=0)
recipe.evaluate(x, np.zeros((3, 3)))
recipe.save(f"{folder}/m.onnx")
recipe.save(f"{folder}/beside.onnx")
recipe.save(f"{folder}/other/m.onnx")
after = recipe.predict(x)
files = [f"{folder}/{name}" for name in ("m.onnx", "beside.onnx", "other/m.onnx")]
again = [nm.load(file).predict(x).tolist() for file in files]
print(json.dumps({
    "text": text, "before": before.tolist(), "after": after.tolist(), "again": again,
    "loaded": loaded, "peak": peak(), "seconds": time.perf_counter() - started,
}))
"""


def large_model(folder: Path) -> None:
    """Write i (N,) -> table[i] @ head (N, 3), whose table is a file of holes and one row."""
    with (folder / "w.bin").open("wb") as file:
        file.truncate(ROWS * 256)
        file.seek(MARKED * 256)
        file.write(np.arange(64, dtype=np.float32).tobytes())
    table = TensorProto(name="table", data_type=TensorProto.FLOAT, dims=[ROWS, 64])
    table.data_location = TensorProto.EXTERNAL
    table.external_data.add(key="location", value="w.bin")
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "i"], ["row"]),
            helper.make_node("MatMul", ["row", "head"], ["y"]),
        ],
        "large",
        [helper.make_tensor_value_info("i", TensorProto.INT64, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [table, from_array(np.ones((64, 3), np.float32), "head")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "m.onnx").write_bytes(model.SerializeToString())


def holes_stay_holes(folder: Path) -> bool:
    """Whether the system can have a large file in little space."""
    with (folder / "probe").open("wb") as file:
        file.truncate(1 << 24)
    found = (folder / "probe").stat().st_blocks * 512 < 1 << 20
    (folder / "probe").unlink()
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
def test_three_gigabytes(tmp_path: Path) -> None:
    if not holes_stay_holes(tmp_path):
        pytest.skip("this file system has no sparse files")
    large_model(tmp_path)
    (tmp_path / "other").mkdir()
    written = (tmp_path / "w.bin").stat()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(MARKED), str(ROWS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert f"{ROWS * 64 + 192:,}" in found["text"]
    assert found["before"] == [[2016.0] * 3, [0.0] * 3, [0.0] * 3]
    assert 0 < found["after"][0][0] < 2016
    assert found["again"] == [found["after"]] * 3
    assert found["loaded"] < 512 << 10  # KiB
    assert found["peak"] < 2 << 20
    assert found["seconds"] < 60
    assert (tmp_path / "w.bin").stat().st_mtime_ns == written.st_mtime_ns
    assert (tmp_path / "w.bin").stat().st_ino == written.st_ino
    for copy in ("beside.w.bin", "other/w.bin"):
        assert (tmp_path / copy).stat().st_size == ROWS * 256
        assert (tmp_path / copy).stat().st_blocks * 512 < 1 << 20
        os.truncate(tmp_path / copy, 0)


# -- the same on a small scale -------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(6, 100)).astype(np.float32)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts as large is small."""
    monkeypatch.setattr(layout, "MOST_INLINE", 1000)
    monkeypatch.setattr(external, "MOST_READ", 0)
    monkeypatch.setattr(external, "LEAST_MAPPED", 4096)


def built() -> Model:
    return nm.Sequential((100,)).dense(100).dense(100).build()


@pytest.mark.usefixtures("small_limits")
def test_a_model_that_is_too_large_for_one_file_gets_another(tmp_path: Path) -> None:
    expected = built().predict(X)
    built().save(tmp_path / "a.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.onnx", "a.onnx.data"]
    stored = onnx.load(tmp_path / "a.onnx", load_external_data=False)
    entries = {t.name: {e.key: e.value for e in t.external_data} for t in stored.graph.initializer}
    assert {name: e["offset"] for name, e in entries.items() if e} == {
        "dense/kernel": "0",
        "dense_1/kernel": "40960",
    }
    model = nm.load(tmp_path / "a.onnx")
    assert [t.name for t in model.proto.graph.initializer if is_mapped(t)] == [
        name for name, e in entries.items() if e
    ]
    np.testing.assert_array_equal(model.predict(X), expected)
    for tensor in onnx.load(tmp_path / "a.onnx").graph.initializer:
        np.testing.assert_array_equal(to_array(tensor), built().parameters()[tensor.name])


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("frozen", [(), ("dense/*",)])
def test_training_keeps_in_the_file_what_it_does_not_change(tmp_path: Path, frozen: tuple[str, ...]) -> None:
    built().save(tmp_path / "a.onnx")
    model = nm.load(tmp_path / "a.onnx").loss("mse").optimizer("sgd").freeze(*frozen)
    expected = built().loss("mse").optimizer("sgd").freeze(*frozen)
    for one in (model, expected):
        one.train(X, np.zeros((6, 100)), epochs=2, verbose=0, engine_options={"jit": False})
    mapped = [t.name for t in model.proto.graph.initializer if is_mapped(t)]
    assert mapped == (["dense/kernel"] if frozen else [])
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    model.save(tmp_path / "a.onnx")
    np.testing.assert_array_equal(nm.load(tmp_path / "a.onnx").predict(X), expected.predict(X))
    model.export(tmp_path / "b.onnx")
    np.testing.assert_array_equal(nm.load(tmp_path / "b.onnx").predict(X), expected.predict(X))
    assert not list(tmp_path.glob("*.new"))


@pytest.mark.usefixtures("small_limits")
def test_writing_to_an_array_does_not_change_the_file(tmp_path: Path) -> None:
    built().save(tmp_path / "a.onnx")
    before = (tmp_path / "a.onnx.data").read_bytes()
    model = nm.load(tmp_path / "a.onnx")
    model.parameters()["dense/kernel"][...] = 7
    assert (tmp_path / "a.onnx.data").read_bytes() == before
    np.testing.assert_array_equal(model.predict(X), built().predict(X))


@pytest.mark.usefixtures("small_limits")
def test_data_in_two_folders_cannot_be_served(tmp_path: Path) -> None:
    protos = []
    for name in "ab":
        (tmp_path / name).mkdir()
        built().save(tmp_path / name / "m.onnx")
        protos.append(nm.load(tmp_path / name / "m.onnx").proto)
    proto, other = protos
    proto.graph.initializer[0].CopyFrom(other.graph.initializer[0])
    with pytest.raises(ModelError, match="the model's external data lie in several folders"):
        Model.from_proto(proto).predict(X)


def test_a_file_over_two_gigabytes(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(linear().SerializeToString())
    os.truncate(tmp_path / "a.onnx", 2**31)
    with pytest.raises(
        InvalidModelError, match="has 2,147,483,648 bytes; a model of over 2 GiB needs external"
    ):
        nm.load(tmp_path / "a.onnx")
