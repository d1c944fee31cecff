"""Files with a fixed batch, and inputs without rows, on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from onnx import TensorProto, helper, numpy_helper

from tests.cli.conftest import write_data

Run = Callable[..., Result]


@pytest.fixture
def fixed(folder: Path) -> Path:
    """A classifier of 5 rows at a time."""
    info = helper.make_tensor_value_info
    weight = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["l"]), helper.make_node("Softmax", ["l"], ["y"])],
        "net",
        [info("x", TensorProto.FLOAT, [5, 4])],
        [info("y", TensorProto.FLOAT, [5, 3])],
        [numpy_helper.from_array(weight, "w")],
    )
    path = folder / "fixed.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_a_fixed_batch_is_used_and_what_it_leaves_out_is_said(run: Run, folder: Path, fixed: Path) -> None:
    write_data(folder / "rows.npz", 48)
    loss = ("--loss", "sparse_categorical_crossentropy", "--epochs", "1")
    result = run("train", "fixed.onnx", "--data", "rows.npz", "--val", "rows.npz", "-o", "out.onnx", *loss)
    assert result.exit_code == 0, result.output
    warning = "Warning: 48 rows are no multiple of 5, the batch size that is fixed in the file: "
    assert [line for line in result.stderr.splitlines() if line.startswith(warning)]
    assert run("predict", "out.onnx", "--data", "rows.npz", "-o", "out.npz").exit_code == 0
    with np.load(folder / "out.npz") as found:
        assert found["y"].shape == (48, 3)
    assert run("evaluate", "out.onnx", "--data", "rows.npz").exit_code == 0


@pytest.mark.parametrize("command", ["train", "predict", "evaluate"])
def test_another_batch_size_is_one_sentence(run: Run, folder: Path, fixed: Path, command: str) -> None:
    write_data(folder / "rows.npz", 10)
    loss = ("--loss", "sparse_categorical_crossentropy", "--epochs", "1", "-o", "out.onnx")
    assert run("train", "fixed.onnx", "--data", "rows.npz", *loss).exit_code == 0
    more = ("-o", "again.onnx") if command == "train" else ()
    result = run(command, "out.onnx", "--data", "rows.npz", "--batch-size", "8", *more)
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "Error: batch_size=8: the file has a fixed batch of 5, in input 'x' (5, 4); "
    )


def test_converted_to_a_dynamic_batch(run: Run, folder: Path, fixed: Path) -> None:
    result = run("convert", "fixed.onnx", "-o", "free.onnx", "--dynamic-batch")
    assert result.exit_code == 0, result.output
    write_data(folder / "rows.npz", 7)
    assert (
        run("predict", "free.onnx", "--data", "rows.npz", "--batch-size", "3", "-o", "y.csv").exit_code == 0
    )
    assert (
        "input 'x' (5, 4) has a fixed batch: it is trained and run 5 rows at a time"
        in run("doctor", "fixed.onnx").stdout
    )
    assert "fixed batch" not in run("doctor", "free.onnx").stdout


def test_an_input_of_another_shape(run: Run, folder: Path, fixed: Path) -> None:
    result = run("convert", "fixed.onnx", "-o", "named.onnx", "--input", "x:rows,4")
    assert result.exit_code == 0, result.output
    write_data(folder / "rows.npz", 9)
    options = ("--loss", "sparse_categorical_crossentropy", "--epochs", "1", "-o", "out.onnx")
    assert run("train", "named.onnx", "--data", "rows.npz", "--input", "x:n,4", *options).exit_code == 0
    for given, message in {
        "x:rows,5": "its axis 1 has size 4 in the file, which 5 cannot replace",
        "x": "--input x: write NAME:DIM,... as in x:batch,3,224,224",
        "image:1,4": "there is no input named 'image'",
    }.items():
        result = run("convert", "fixed.onnx", "-o", "b.onnx", "--input", given)
        assert result.exit_code in (1, 2)
        assert message in result.stderr
