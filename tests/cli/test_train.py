"""neuromatic train: what may be asked for, and that each mistake is one sentence and changes no file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from click.testing import Result

import neuromatic as nm
from neuromatic.cli.train import by_output
from neuromatic.data import read_npz
from neuromatic.recipe.sections import default_learning_rate
from neuromatic.saving import atomic as files
from tests.cli.conftest import write_data

Run = Callable[..., Result]
Fails = Callable[..., str]

TRAINED = ("train", "trained.onnx", "--data", "data.npz", "-o", "out.onnx")
CHAIN = ("train", "net.py:chain", "--data", "data.npz", "-o", "out.onnx", "--epochs", "1")
CROSSENTROPY = ("--loss", "sparse_categorical_crossentropy")


def learning_rate(path: Path) -> float | None:
    model = nm.load(path)
    assert model.recipe is not None
    return default_learning_rate(model.proto, model.recipe)


def test_a_file_with_a_recipe_needs_no_other_option(run: Run, folder: Path) -> None:
    result = run(*TRAINED)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "wrote out.onnx"
    assert len([line for line in result.stderr.splitlines() if line.startswith("epoch ")]) == 10
    old, new = nm.load(folder / "trained.onnx"), nm.load(folder / "out.onnx")
    assert old.parameters().keys() == new.parameters().keys()
    assert not np.array_equal(old.parameters()["dense/kernel"], new.parameters()["dense/kernel"])


def test_the_output_may_be_the_model(run: Run, folder: Path) -> None:
    before = (folder / "trained.onnx").read_bytes()
    assert run("train", "trained.onnx", "--data", "data.npz", "-o", "trained.onnx").exit_code == 0
    assert (folder / "trained.onnx").read_bytes() != before


def test_no_epochs_give_the_same_bytes(run: Run, folder: Path) -> None:
    result = run(*TRAINED, "--epochs", "0", "--lr", "0.5")
    assert (result.exit_code, result.stdout) == (0, "wrote out.onnx\n")
    assert (folder / "out.onnx").read_bytes() == (folder / "trained.onnx").read_bytes()


def test_a_loss_is_all_that_a_model_without_recipe_needs(run: Run, folder: Path) -> None:
    result = run(*CHAIN, *CROSSENTROPY)
    assert result.exit_code == 0, result.output
    model = onnx.load(folder / "out.onnx")
    assert {n.op_type for n in model.training_info[0].algorithm.node} >= {"Gradient", "Adam"}


def test_all_parts_of_the_recipe_can_be_chosen(run: Run, folder: Path) -> None:
    chosen = ["--optimizer", "sgd", "--lr", "0.25", "--freeze", "dense/*"]
    result = run(*CHAIN, *CROSSENTROPY, *chosen, "--metrics", "acc,sparse_categorical_accuracy")
    assert result.exit_code == 0, result.output
    assert learning_rate(folder / "out.onnx") == 0.25
    found = nm.load(folder / "out.onnx").recipe
    assert found is not None
    assert found.trainable == ("dense_1/kernel", "dense_1/bias")
    assert [m.name for m in found.metrics] == ["accuracy", "sparse_categorical_accuracy"]


def test_a_learning_rate_alone_holds_for_the_run(run: Run, folder: Path) -> None:
    assert run(*TRAINED, "--epochs", "1", "--lr", "0.5").exit_code == 0
    assert learning_rate(folder / "out.onnx") == pytest.approx(0.01)
    slow = nm.load(folder / "trained.onnx").parameters()["dense/kernel"]
    fast = nm.load(folder / "out.onnx").parameters()["dense/kernel"]
    assert np.abs(fast - slow).max() > 0.1


def test_validation_data_are_evaluated_at_the_end(run: Run, folder: Path) -> None:
    write_data(folder / "val.npz", 12)
    result = run(*TRAINED, "--epochs", "1", "--val", "val.npz")
    assert result.exit_code == 0, result.output
    evaluated, difference, written = result.stdout.splitlines()
    assert evaluated.startswith("val.npz: loss ")
    assert "accuracy" in evaluated
    assert difference.startswith("largest difference between tensorflow and onnxruntime: ")
    assert written == "wrote out.onnx"
    assert "val_accuracy" in result.stderr
    assert run("evaluate", "out.onnx", "--data", "val.npz").stdout.strip() == evaluated.removeprefix(
        "val.npz: "
    )


def test_json_is_one_object_per_line(run: Run, folder: Path) -> None:
    result = run(*TRAINED, "--epochs", "2", "--json", "--val", "data.npz")
    *epochs, outcome = map(json.loads, result.stdout.splitlines())
    assert [e["epoch"] for e in epochs] == [1, 2]
    assert epochs[0].keys() == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}
    assert (outcome["file"], outcome["epochs"]) == ("out.onnx", 2)
    assert outcome["evaluation"].keys() == {"loss", "accuracy"}
    assert outcome["difference"] < 1e-5


def test_patience_stops_early(run: Run) -> None:
    result = run(
        *TRAINED, "--epochs", "50", "--lr", "1e-12", "--patience", "2", "--val-split", "0.25", "--json"
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.splitlines()[-1])["epochs"] < 50


def test_the_same_seed_gives_the_same_file(run: Run, folder: Path) -> None:
    written = []
    for seed in ("3", "3", "4"):
        assert run(*TRAINED, "--epochs", "1", "--batch-size", "7", "--seed", seed).exit_code == 0
        written.append((folder / "out.onnx").read_bytes())
    assert written[0] == written[1] != written[2]


def test_losses_for_several_outputs(run: Run, folder: Path) -> None:
    x = np.zeros((6, 4), np.float32)
    targets = {"target/a": np.ones((6, 1)), "target/b": np.ones((6, 2))}
    np.savez(folder / "two.npz", input=x, **targets)  # type: ignore[arg-type]
    arguments = ("train", "net.py:two", "--data", "two.npz", "-o", "out.onnx", "--epochs", "1")
    result = run(*arguments, "--loss", "a=mse", "--loss", "b=mae", "--metrics", "a=mae,b=mse,b=mae", "--json")
    assert result.exit_code == 0, result.output
    numbers = json.loads(result.stdout.splitlines()[0])
    assert numbers.keys() == {
        "epoch",
        "loss",
        "a_mean_absolute_error",
        "b_mean_squared_error",
        "b_mean_absolute_error",
    }


def test_a_loss_from_a_file(run: Run, folder: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 17]>
        picked (int64[N] y_true, float[N, C] y_pred) => (float[N] value) {
            log = Log(y_pred)  axes = Constant <value_ints = [1]> ()  index = Unsqueeze(y_true, axes)
            found = GatherElements <axis = 1> (log, index)  flat = Squeeze(found, axes)  value = Neg(flat)
        }"""
    onnx.save(onnx.parser.parse_model(text), folder / "my_loss.onnx")
    result = run(*CHAIN, "--loss", "my_loss.onnx")
    assert result.exit_code == 0, result.output
    own = nm.load(folder / "out.onnx").parameters()
    assert run(*CHAIN, *CROSSENTROPY).exit_code == 0
    for name, array in nm.load(folder / "out.onnx").parameters().items():
        np.testing.assert_allclose(own[name], array, rtol=1e-4, atol=1e-5)


def test_targets_named_as_outputs(run: Run, folder: Path) -> None:
    x = np.zeros((6, 4), np.float32)
    targets = {"a": np.ones((6, 1)), "b": np.ones((6, 2))}
    np.savez(folder / "two.npz", input=x, **targets)  # type: ignore[arg-type]
    arguments = ("train", "net.py:two", "--data", "two.npz", "-o", "out.onnx", "--epochs", "1")
    assert run(*arguments, "--loss", "mse", "--loss", "mae").exit_code == 0


def test_names_by_output() -> None:
    assert by_output(["mse", "mae"]) == ["mse", "mae"]
    assert by_output(["a=mse", "b=mae", "b=mse"]) == {"a": "mse", "b": ["mae", "mse"]}


# -- mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "arguments", "sentence"),
    [
        (
            2,
            [*CHAIN, "--loss", "sparse_categorical_crossentrop"],
            "did you mean 'sparse_categorical_crossentropy'?",
        ),
        (
            2,
            [*CHAIN, *CROSSENTROPY, "--optimizer", "adan"],
            "there is no optimizer named 'adan'; did you mean 'adam'?",
        ),
        (2, [*CHAIN, *CROSSENTROPY, "--metrics", "acuracy"], "did you mean 'accuracy'?"),
        (2, [*CHAIN, *CROSSENTROPY, "--freeze", "nothing/*"], "there is no initializer named 'nothing/*'"),
        (1, [*CHAIN, *CROSSENTROPY, "--freeze", "*"], "no parameter is left to train"),
        (2, [*CHAIN], "MODEL has no loss: choose one with --loss; --help lists them"),
        (
            2,
            [*TRAINED, "--engine", "tensorflo"],
            "there is no engine named 'tensorflo'; did you mean 'tensorflow'?",
        ),
        (2, [*TRAINED, "--monitor", "loss"], "--monitor needs --patience"),
        (
            2,
            [*TRAINED, "--patience", "1", "--monitor", "val_loss"],
            "there is no reported number named 'val_loss'",
        ),
        (
            2,
            [*TRAINED, "--val", "data.npz", "--val-split", "0.5"],
            "--val and --val-split exclude each other",
        ),
        (2, [*TRAINED[:-1], "out.h5"], "out.h5 must end in .onnx"),
        (1, [*TRAINED[:-1], "no/out.onnx"], "cannot write no/out.onnx: there is no folder no"),
        (1, [*TRAINED[:-1], "net.py/out.onnx"], "cannot write net.py/out.onnx: there is no folder net.py"),
        (1, [*TRAINED, "--data", "none.npz"], "cannot read none.npz: No such file or directory"),
        (1, [*TRAINED, "--val", "none.npz"], "cannot read none.npz: No such file or directory"),
        (1, [*TRAINED, "--val-split", "0.999"], "validation_split 0.999 of 48 rows leaves one part empty"),
    ],
)
def test_wrong_arguments(fails: Fails, folder: Path, code: int, arguments: list[str], sentence: str) -> None:
    (folder / "out.onnx").write_bytes(b"old")
    assert sentence in fails(code, *arguments)
    assert (folder / "out.onnx").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("source", "code", "sentence"),
    [
        ("net.py", 2, "net.py is a program: name its function that returns the model, as in net.py:build"),
        ("net.py:modle", 2, "there is no function in net.py named 'modle'; did you mean 'model'?"),
        ("net.py:broken", 1, "net.py, line 25: ZeroDivisionError: division by zero"),
        ("net.py:number", 1, "net.py:number returned int, expected a Model or a Sequential"),
        ("none.py:model", 1, "cannot read none.py: there is no such file"),
        ("syntax.py:model", 1, "syntax.py, line 2: SyntaxError: "),
        ("quits.py:model", 1, "quits.py, line 1: SystemExit: bye"),
        (
            "name.py:model",
            2,
            "name.py, line 3: UnknownNameError: there is no loss named 'msee'; did you mean 'mse'?",
        ),
    ],
)
def test_a_program_that_gives_no_model(
    fails: Fails, folder: Path, source: str, code: int, sentence: str
) -> None:
    (folder / "syntax.py").write_text("x = 1\ny = = 2\n")
    (folder / "quits.py").write_text("raise SystemExit('bye')\n")
    program = "import neuromatic as nm\ndef model():\n    return nm.Sequential((4,)).dense(1).loss('msee')\n"
    (folder / "name.py").write_text(program)
    assert fails(code, "train", source, "--data", "data.npz", "-o", "out.onnx").startswith(sentence)
    assert not (folder / "out.onnx").exists()


def test_a_program_may_import_its_neighbours(run: Run, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "width.py").write_text("WIDTH = 3\n")
    program = "import neuromatic as nm\nfrom width import WIDTH\n"
    program += "def model():\n    return nm.Sequential((4,)).dense(WIDTH)\n"
    (folder / "sub" / "net.py").write_text(program)
    before = list(sys.path)
    assert run("info", "sub/net.py:model").exit_code == 0
    assert sys.path == before


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"x": np.zeros((48, 5))}, "bad.npz: x (for 'input') has shape (48, 5), expected (batch, 4)"),
        (
            {"y": np.zeros((47,), int)},
            "bad.npz: the arrays have different lengths: {'input': 48, 'target': 47}",
        ),
        (
            {"y": np.full(48, 3)},
            "bad.npz: y (for 'target') has label 3 in row 0, expected 0 to 2 for 3 classes",
        ),
        ({"y": np.eye(3)[np.zeros(48, int)]}, "targets are class indices, not one-hot: use y.argmax(-1)"),
        ({"x": np.full((48, 4), np.nan)}, "bad.npz: x (for 'input') has nan in row 0"),
        ({"x": np.full((48, 4), 1e300)}, "bad.npz: x (for 'input') as float32 has inf in row 0"),
        ({"x": np.zeros((0, 4)), "y": np.zeros(0, int)}, "bad.npz: x (for 'input') is empty"),
        ({"x": np.array([["a"] * 4] * 48)}, "bad.npz: x (for 'input') has type <U1, expected numbers"),
        ({"x": np.array([{}] * 48, object)}, "bad.npz: 'x.npy' holds Python objects; save numbers"),
    ],
)
def test_data_that_do_not_fit(
    fails: Fails, folder: Path, changes: dict[str, np.ndarray], sentence: str
) -> None:
    write_data(folder / "bad.npz", changes=changes)
    (folder / "out.onnx").write_bytes(b"old")
    assert sentence in fails(1, *TRAINED, "--data", "bad.npz")
    assert (folder / "out.onnx").read_bytes() == b"old"


def test_labels_that_are_missing(fails: Fails, folder: Path) -> None:
    np.savez(folder / "bad.npz", x=np.zeros((4, 4), np.float32))
    expected = "bad.npz has no array 'target' or 'y' for the model; it has ['x']"
    assert fails(1, *TRAINED, "--data", "bad.npz") == expected


def test_arrays_may_be_named_as_the_graph_names_them(run: Run, folder: Path) -> None:
    data = read_npz(folder / "data.npz")
    np.savez(folder / "named.npz", input=data["x"], target=data["y"], more=np.zeros(3))
    assert run("evaluate", "trained.onnx", "--data", "named.npz").exit_code == 0


@pytest.mark.parametrize("content", [b"", b"\x08", b"not a model at all", None])
def test_models_that_are_none(fails: Fails, folder: Path, content: bytes | None) -> None:
    whole = (folder / "trained.onnx").read_bytes()
    (folder / "bad.onnx").write_bytes(whole[: len(whole) // 2] if content is None else content)
    sentence = fails(1, "train", "bad.onnx", "--data", "data.npz", "-o", "out.onnx")
    assert sentence.startswith("bad.onnx is ")
    assert not (folder / "out.onnx").exists()


def test_a_folder_is_no_model(fails: Fails, folder: Path) -> None:
    assert fails(1, "train", ".", "--data", "data.npz", "-o", "out.onnx") == "cannot read .: it is a folder"


def test_operators_that_are_not_supported(fails: Fails, folder: Path) -> None:
    arguments = ["train", "unsupported.onnx", "--data", "data.npz", "-o", "out.onnx", *CROSSENTROPY]
    sentence = fails(3, *arguments)
    assert sentence.startswith(
        "tensorflow has no lowering for ai.onnx.ml.TreeEnsembleRegressor-1 (node 'tree', opset 1)"
    )
    assert not (folder / "out.onnx").exists()


def test_an_engine_that_is_not_installed(fails: Fails, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    sentence = fails(3, *TRAINED)
    assert sentence.startswith("tensorflow is not available (")
    assert sentence.endswith("); install it with: pip install 'neuromatic[cpu]'")
    assert not (folder / "out.onnx").exists()


def test_an_engine_and_onnxruntime_that_disagree(run: Run, folder: Path) -> None:
    (folder / "out.onnx").write_bytes(b"old")
    result = run(*TRAINED, "--epochs", "1", "--verify-atol", "0", "--verify-rtol", "0")
    assert result.exit_code == 1
    assert "between the engine and onnxruntime (allowed: 0 + 0 * |value|)" in result.stderr
    assert (folder / "out.onnx").read_bytes() == b"old"


def test_training_that_diverges(run: Run, folder: Path) -> None:
    rows = np.full((48, 4), 3e38, np.float32)
    write_data(folder / "large.npz", changes={"x": rows})
    result = run(*TRAINED[:3], "large.npz", "-o", "out.onnx", "--epochs", "3")
    assert result.exit_code == 1
    assert "Error: the loss became " in result.stderr
    assert not (folder / "out.onnx").exists()


def test_a_disk_that_is_full_at_the_end(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device", "out.onnx")

    (folder / "out.onnx").write_bytes(b"old")
    monkeypatch.setattr(files.os, "fsync", full)
    result = run(*TRAINED, "--epochs", "1")
    assert result.exit_code == 1
    sentence = f"Error: cannot write {folder / 'out.onnx'}: No space left on device"
    assert result.stderr.splitlines()[-1] == sentence
    assert (folder / "out.onnx").read_bytes() == b"old"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="an administrator may write everywhere"
)
def test_a_folder_that_may_not_be_written_to(fails: Fails, folder: Path) -> None:
    (folder / "closed").mkdir(mode=0o500)
    sentence = fails(1, *TRAINED[:-1], "closed/out.onnx")
    assert sentence == "cannot write closed/out.onnx: writing in closed is not permitted"
