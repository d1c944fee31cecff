"""Pictures of models."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

import neuromatic as nm
from neuromatic.cli.main import main
from neuromatic.errors import EngineNotAvailableError
from neuromatic.reports.plot import picture


def branched() -> nm.Model:
    x = nm.Input((4,), name="x")
    y = nm.layers.Dense(4, activation="gelu", name="first")(x)
    z = nm.layers.Add(name="sum")([x, y])
    return nm.Model(x, nm.layers.Dense(2, name="<last>")(z))


def test_boxes_are_layers_and_arrows_are_values() -> None:
    drawn = picture(branched().proto, by_node=False, rankdir="TB")
    titles = {n: re.findall("b>(.*?)</b>", n.attr["label"])[0] for n in drawn.nodes()}
    arrows = {(titles[a], titles[b]) for a, b in drawn.edges()}
    assert arrows == {
        ("x", "first"),
        ("x", "sum"),
        ("first", "sum"),
        ("sum", "&lt;last&gt;"),
        ("&lt;last&gt;",) * 2,
    }
    assert len(drawn.nodes()) == 5


def test_boxes_are_nodes_on_request() -> None:
    drawn = picture(branched().proto, by_node=True, rankdir="LR")
    operators = [n.op_type for n in branched().proto.graph.node if n.op_type != "Constant"]
    assert len(drawn.nodes()) == len(operators) + 2


@pytest.mark.parametrize("ending", ["svg", "png", "pdf", "dot"])
def test_files(tmp_path: Path, ending: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"net.{ending}"
    branched().plot(path, direction="right")
    data = path.read_bytes()
    assert data.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF", "dot": b"digraph"}[ending])
    if ending == "svg":
        texts = [e.text for e in ET.fromstring(data).iter("{http://www.w3.org/2000/svg}text")]
        assert "first" in texts
        assert "(batch, 4)" in texts
    assert capfd.readouterr() == ("", "")


def test_other_endings_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a picture ends in .png, .svg, .pdf, .dot; got '.*net.bmp'"):
        branched().plot(tmp_path / "net.bmp")
    assert not list(tmp_path.iterdir())


def test_without_graphviz(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    with pytest.raises(EngineNotAvailableError, match=r"pip install 'neuromatic\[plot\]'"):
        branched().plot(tmp_path / "net.png")


def test_the_command(tmp_path: Path) -> None:
    branched().save(tmp_path / "net.onnx")
    arguments = ["plot", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "net.svg"), "--detail", "nodes"]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.output) == (0, f"wrote {tmp_path / 'net.svg'}\n")
    wrong = CliRunner().invoke(main, [*arguments[:3], str(tmp_path / "net.gif")])
    assert wrong.exit_code == 2
    assert "a picture ends in" in wrong.output
