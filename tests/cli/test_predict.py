"""neuromatic predict."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

import neuromatic as nm
from neuromatic.cli.predict import column_names, write_csv
from neuromatic.data import read_npz

Run = Callable[..., Result]
Fails = Callable[..., str]


@pytest.fixture
def expected(folder: Path) -> np.ndarray:
    result: np.ndarray = nm.load(folder / "trained.onnx").predict(read_npz(folder / "data.npz")["x"])
    return result


def test_the_first_rows_are_shown(run: Run) -> None:
    result = run("predict", "trained.onnx", "--data", "data.npz")
    assert result.exit_code == 0, result.output
    first, *rows = result.stdout.splitlines()
    assert first == "dense_1 (48, 3) float32, first 5 rows"
    assert len(rows) == 5


def test_npz(run: Run, folder: Path, expected: np.ndarray) -> None:
    result = run("predict", "trained.onnx", "--data", "data.npz", "-o", "p.npz", "--batch-size", "7")
    assert (result.exit_code, result.stdout) == (0, "wrote p.npz\n")
    written = read_npz(folder / "p.npz")
    assert written.keys() == {"dense_1"}
    np.testing.assert_allclose(written["dense_1"], expected, rtol=1e-5)


def test_csv(run: Run, folder: Path, expected: np.ndarray) -> None:
    assert run("predict", "trained.onnx", "--data", "data.npz", "-o", "p.csv").exit_code == 0
    header, *rows = csv.reader((folder / "p.csv").read_text(encoding="utf-8").splitlines())
    assert header == ["dense_1[0]", "dense_1[1]", "dense_1[2]"]
    np.testing.assert_array_equal(np.array(rows, np.float32), expected)


def test_several_outputs(run: Run, folder: Path) -> None:
    assert run("predict", "net.py:two", "--data", "data.npz", "-o", "p.csv").exit_code == 0
    assert (folder / "p.csv").read_text(encoding="utf-8").splitlines()[0] == "a[0],b[0],b[1]"
    assert run("predict", "net.py:two", "--data", "data.npz", "-o", "p.npz").exit_code == 0
    assert {n: a.shape for n, a in read_npz(folder / "p.npz").items()} == {"a": (48, 1), "b": (48, 2)}


def test_text_never_becomes_a_formula(tmp_path: Path) -> None:
    assert column_names("=a", np.zeros((2, 1, 2))) == ["'=a[0,0]", "'=a[0,1]"]
    outputs = {"label": np.array(["-x", "y"], object), "score": np.array([-1, 2])}
    write_csv(tmp_path / "p.csv", outputs)
    assert (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines() == ["label,score", "'-x,-1", "y,2"]


def test_no_labels_are_needed(run: Run, folder: Path) -> None:
    np.savez(folder / "x.npz", x=np.zeros((2, 4), np.float32))
    assert run("predict", "trained.onnx", "--data", "x.npz").exit_code == 0


@pytest.mark.parametrize(
    ("code", "arguments", "sentence"),
    [
        (2, ["--data", "data.npz", "-o", "p.txt"], "p.txt must end in .npz or .csv"),
        (1, ["--data", "data.npz", "-o", "no/p.npz"], "cannot write no/p.npz: there is no folder no"),
        (1, ["--data", "net.py"], "net.py is not a readable .npz file: File is not a zip file"),
        (1, ["--data", "y.npz"], "y.npz has no array 'input' or 'x' for the model; it has ['y']"),
    ],
)
def test_mistakes(fails: Fails, folder: Path, code: int, arguments: list[str], sentence: str) -> None:
    np.savez(folder / "y.npz", y=np.zeros(3))
    assert fails(code, "predict", "trained.onnx", *arguments) == sentence
