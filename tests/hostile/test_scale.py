"""Work grows with the size of a model, not with its square; long tables are shortened, which is said."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import ModelProto
from onnx.numpy_helper import from_array

import neuromatic as nm
from neuromatic.cli.main import main
from neuromatic.reports.summary import MOST_ROWS
from tests.hostile.bombs import chain
from tests.hostile.files import floats, model, node, saved

RATIO = 8
"""Four times as much takes at most so many times as long; what is quadratic takes sixteen times."""
FEW, TIMES = 2000, 4


def layers(count: int) -> ModelProto:
    """Nodes one after the other."""
    return model(chain(count, last="y"), outputs=[floats("y", ("N", 4))])


def parameters(count: int) -> ModelProto:
    """Initializers one after the other, each with a node."""
    names = ["x", *(f"v{i}" for i in range(count - 1)), "y"]
    nodes = [node("Add", f"{names[i]} w{i}", names[i + 1], name=f"layer{i}/Add") for i in range(count)]
    weights = [from_array(np.full(4, 0.1, np.float32), f"w{i}") for i in range(count)]
    return model(nodes, weights, outputs=[floats("y", ("N", 4))])


def command(*arguments: str) -> Callable[[Path], None]:
    def run(file: Path) -> None:
        given = [
            str(file) if a == "FILE" else str(file.with_name("out.onnx")) if a == "OUT" else a
            for a in arguments
        ]
        result = CliRunner().invoke(main, given)
        assert result.exit_code in (0, 1, 3), result.output

    return run


WORK: dict[str, Callable[[Path], object]] = {
    "load": lambda file: nm.load(file).input_names,
    "save": lambda file: nm.load(file).save(file.with_name("copy.onnx")),
    "roles": lambda file: nm.load(file).roles(),
    "info": command("info", "FILE"),
    "info --json": command("info", "FILE", "--json"),
    "convert": command("convert", "FILE", "-o", "OUT"),
    "diff": command("diff", "FILE", "FILE"),
    "doctor": command("doctor", "FILE", "--engine", "cntk"),
}


def seconds(work: Callable[[Path], object], file: Path) -> float:
    """Processor time, which a busy machine does not lengthen; the better of two."""
    found = []
    for _ in range(2):
        begin = time.process_time()
        work(file)
        found.append(time.process_time() - begin)
    return min(found)


@pytest.mark.parametrize("build", [layers, parameters])
@pytest.mark.parametrize("work", WORK)
def test_work_is_linear(work: str, build: Callable[[int], ModelProto], tmp_path: Path) -> None:
    for count in (FEW, TIMES * FEW):
        (tmp_path / str(count)).mkdir()
        saved(lambda count=count: build(count))(tmp_path / str(count))  # type: ignore[misc]
    WORK[work](tmp_path / str(FEW) / "model.onnx")  # imports
    few = seconds(WORK[work], tmp_path / str(FEW) / "model.onnx")
    many = seconds(WORK[work], tmp_path / str(TIMES * FEW) / "model.onnx")
    assert many < RATIO * few, f"{few:.2f} s, then {many:.2f} s"


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (("info",), "50 more layers, which --all shows"),
        (("doctor", "--engine", "cntk"), "50 more, which --all shows"),
    ],
)
def test_long_tables_are_shortened(arguments: tuple[str, ...], more: str, tmp_path: Path) -> None:
    saved(lambda: parameters(MOST_ROWS + 50))(tmp_path)
    name, *options = arguments
    short = CliRunner().invoke(main, [name, str(tmp_path / "model.onnx"), *options]).output
    assert more in short
    assert f" {'layer' if name == 'info' else 'w'}{MOST_ROWS // 2 + 5} " not in short
    full = CliRunner().invoke(main, [name, str(tmp_path / "model.onnx"), *options, "--all"]).output
    assert "--all" not in full
    assert f" {'layer' if name == 'info' else 'w'}{MOST_ROWS // 2 + 5} " in full
