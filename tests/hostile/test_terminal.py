"""What a file's texts might do to a terminal: nothing, by whichever command they are shown."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import ModelProto, TensorProto, helper
from onnx.numpy_helper import from_array
from rich.console import Console

import neuromatic as nm
from neuromatic.cli.main import main
from neuromatic.cli.predict import write_csv
from neuromatic.data import write_npz
from neuromatic.errors import DataError, InvalidModelError, NeuromaticError, RecipeError
from neuromatic.printable import printable
from neuromatic.training.progress import EpochLines

ESCAPES = {
    "colour": "\x1b[31m",
    "title": "\x1b]0;owned\x07",
    "C1": "\x9b2J",
    "backspaces": "\b\b\b",
    "carriage return": "ready\rblocked",
    "override": "\u202e",
    "isolate": "\u2066",
    "mark": "\u200f",
    "separator": "\u2028",
    "invisible": "\u200b",
    "tag": "\U000e0041",
}
SEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)


def recipe_text(model: ModelProto, old: str, new: str) -> None:
    """Change the metadata that belong to the recipe."""
    for prop in model.metadata_props:
        prop.value = prop.value.replace(old, new)


def with_attribute(model: ModelProto, text: str) -> None:
    for node in model.training_info[0].algorithm.node:
        if node.op_type in ("Adam", "AdamW", "Momentum"):
            node.attribute.append(helper.make_attribute("mode", text))


PLACES: dict[str, Callable[[ModelProto, str], None]] = {
    "doc string": lambda m, t: setattr(m, "doc_string", t),
    "graph's doc string": lambda m, t: setattr(m.graph, "doc_string", t),
    "node's doc string": lambda m, t: setattr(m.graph.node[0], "doc_string", t),
    "metadata key": lambda m, t: m.metadata_props.add(key=t, value="1") and None,
    "metadata value": lambda m, t: m.metadata_props.add(key="author", value=t) and None,
    "node's metadata": lambda m, t: m.graph.node[0].metadata_props.add(key=t, value=t) and None,
    "denotation": lambda m, t: setattr(m.graph.input[0].type, "denotation", t),
    "metric": lambda m, t: recipe_text(m, '"name": "accuracy"', f'"name": "{escaped(t)}"'),
    "result": lambda m, t: recipe_text(m, '"result": "mean"', f'"result": "{escaped(t)}"'),
    "unknown entry": lambda m, t: recipe_text(m, '"version"', f'"{escaped(t)}": 1, "version"'),
    "update key": lambda m, t: setattr(m.training_info[0].update_binding[0], "key", t),
    "update value": lambda m, t: setattr(m.training_info[0].update_binding[0], "value", t),
    "optimizer attribute": with_attribute,
}


def escaped(text: str) -> str:
    """Text as JSON has it, which no check of characters sees."""
    return "".join(f"\\u{unit:04x}" for unit in np.frombuffer(text.encode("utf-16-le"), np.uint16))


@pytest.fixture(scope="module")
def trained() -> ModelProto:
    model = nm.Sequential(input_shape=(4,)).dense(3, activation="softmax").build()
    return model.loss("sparse_categorical_crossentropy").optimizer("adam").metrics("accuracy").proto


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: ModelProto) -> Path:
    np.savez(tmp_path / "data.npz", x=np.ones((2, 4), np.float32), y=np.zeros(2, np.int64))
    (tmp_path / "plain.onnx").write_bytes(trained.SerializeToString())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")  # which -v sets for the process
    return tmp_path


def test_all_is_shown_as_text(trained: ModelProto, folder: Path) -> None:
    """Every place, all characters at once, and every command that reads a model."""
    text = "x".join(ESCAPES.values())
    commands = (
        ["info", "m.onnx"],
        ["info", "m.onnx", "--weights"],
        ["doctor", "m.onnx"],
        ["diff", "plain.onnx", "m.onnx"],
        ["evaluate", "m.onnx", "--data", "data.npz"],
        ["predict", "m.onnx", "--data", "data.npz"],
        ["info", "m.onnx", "--json"],
        ["-v", "info", "m.onnx"],
    )
    shown = 0
    for place, put in PLACES.items():
        model = ModelProto.FromString(trained.SerializeToString())
        put(model, text)
        assert model != trained, place
        (folder / "m.onnx").write_bytes(model.SerializeToString())
        for command in commands:
            result = CliRunner().invoke(main, command)
            assert not SEEN.search(result.output), (place, command, result.output)
            shown += "x1b[31m" in result.output or "u001b[31m" in result.output
    assert shown > 10  # they are not left out either


@pytest.mark.parametrize("text", ESCAPES.values(), ids=ESCAPES)
def test_printable(text: str) -> None:
    for shown in (printable(f"a{text}b"), str(NeuromaticError(f"a{text}b"))):
        assert not SEEN.search(shown)
        assert shown.startswith(("a\\", "aready\\"))
        assert shown.endswith("b")


def test_what_is_meant_to_be_seen_stays() -> None:
    for text in ("été/数:0 [x] \\n", "two\nlines\tand a tab", "👩\u200d🔬 می\u200cخواهم", ""):
        assert printable(text) == text
    assert printable("half a pair \ud800") == "half a pair \\ud800"
    assert printable("a\nb", keep="") == "a\\nb"


def test_a_name_of_the_recipe_is_no_escape(trained: ModelProto, folder: Path) -> None:
    model = ModelProto.FromString(trained.SerializeToString())
    PLACES["metric"](model, "\x1b[2J")
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    loaded = nm.load("m.onnx")
    with pytest.raises(RecipeError, match=r"is damaged: the name '\\x1b\[2J' has a control character$"):
        _ = loaded.recipe


def test_names_of_arrays(folder: Path) -> None:
    write_npz(folder / "bad.npz", {"\x1b[31mred": np.ones(2), "a\u202eb": np.ones(2)})
    result = CliRunner().invoke(main, ["predict", "plain.onnx", "--data", "bad.npz"])
    assert result.exit_code == DataError.exit_code
    assert r"it has ['\x1b[31mred', 'a\u202eb']" in result.stderr


def test_outputs_that_are_text(folder: Path) -> None:
    """Labels in a file are printed, and written to .csv, as text."""
    labels = from_array(np.array(["\x1b[31m", "a\u202e\nb"], object), "labels")
    graph = helper.make_graph(
        [helper.make_node("Gather", ["labels", "i"], ["y"])],
        "g",
        [helper.make_tensor_value_info("i", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.STRING, ["n"])],
        [labels],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    np.savez(folder / "i.npz", i=np.arange(2))
    result = CliRunner().invoke(main, ["predict", "m.onnx", "--data", "i.npz"])
    assert result.exit_code == 0, result.output
    assert not SEEN.search(result.output)
    assert r"\x1b[31m" in result.output
    assert CliRunner().invoke(main, ["predict", "m.onnx", "--data", "i.npz", "-o", "p.csv"]).exit_code == 0
    (_, *rows) = csv.reader(io.StringIO((folder / "p.csv").read_text(encoding="utf-8")))
    assert rows == [[r"\x1b[31m"], ["a\\u202e\nb"]]


def test_headers_of_tables(tmp_path: Path) -> None:
    write_csv(tmp_path / "p.csv", {"a\x1b[31m": np.ones((1, 2)), "=b\u202e": np.ones(1)})
    (header, _) = csv.reader(io.StringIO((tmp_path / "p.csv").read_text(encoding="utf-8")))
    assert header == [r"a\x1b[31m[0]", r"a\x1b[31m[1]", r"'=b\u202e"]


def test_the_course_of_training() -> None:
    out = io.StringIO()
    lines = EpochLines(Console(file=out, soft_wrap=True, highlight=False))
    run: Any = SimpleNamespace(epochs=1)
    lines.on_epoch_begin(run, 0)
    lines.on_epoch_end(run, 0, {"a\x1b[31m\nb": 0.5})
    assert r"a\x1b[31m\nb 0.5000" in out.getvalue()
    assert len(out.getvalue().splitlines()) == 1


def test_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    model = nm.Sequential(input_shape=(4,)).dense(2).build()
    for node in model.proto.graph.node:
        node.name = f"{node.name}\x1b[31m"
    model.summary()
    assert not SEEN.search(capsys.readouterr().out)


@pytest.mark.skipif(sys.platform == "win32", reason="a picture needs Graphviz")
def test_labels_of_pictures(tmp_path: Path) -> None:
    pytest.importorskip("pygraphviz")
    model = nm.Sequential(input_shape=(4,)).dense(2).build()
    for node in model.proto.graph.node:
        node.name, node.op_type = f"{node.name}\x1b[31m\u202e", "Op\x07"
    model.plot(tmp_path / "m.dot", detail="nodes")
    assert not SEEN.search((tmp_path / "m.dot").read_text(encoding="utf-8"))


def test_names_in_a_graph_are_refused(folder: Path, trained: ModelProto) -> None:
    model = ModelProto.FromString(trained.SerializeToString())
    model.graph.node[0].name = "a\x1b[31m"
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InvalidModelError, match=r"the name 'a\\x1b\[31m' has a control character"):
        nm.load("m.onnx")
