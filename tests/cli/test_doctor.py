"""neuromatic doctor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import Result

from neuromatic.converters import doctor
from neuromatic.errors import EngineNotAvailableError
from tests.converters.test_doctor import odd
from tests.neuromatic.graphs import linear

Run = Callable[..., Result]
Fails = Callable[..., str]


def test_a_model_with_a_recipe(run: Run) -> None:
    result = run("doctor", "trained.onnx")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert result.stdout.startswith("trained.onnx: opset 17, IR version 8\n")
    assert ["dense/kernel", "(4,", "8)", "32", "trained"] in lines
    assert ["Gemm-13", "2", "yes", "yes"] in lines
    assert result.stdout.endswith("\ntensorflow: ready\n")


def test_as_json_with_stable_keys(run: Run) -> None:
    facts = json.loads(run("doctor", "trained.onnx", "--json").stdout)
    assert list(facts) == [
        *("file", "opset", "ir_version", "runtimes", "inputs", "recipe_problem", "parameters"),
        *("batch_normalizations", "frozen", "dropouts", "notes", "memory", "engines"),
    ]
    assert [p["role"] for p in facts["parameters"]] == ["trained"] * 4
    assert facts["inputs"] == [{"name": "input", "dtype": "float32", "shape": ["batch", 4], "dynamic": [0]}]
    assert list(facts["engines"][0]) == ["engine", "missing", "operators", "problems", "advice", "ready"]
    assert facts["memory"]["parameters"] == 67 * 4


def test_what_blocks(run: Run, folder: Path) -> None:
    onnx.save(odd(), folder / "odd.onnx")
    result = run("doctor", "odd.onnx")
    assert result.exit_code == 1
    assert "tensorflow: 1 operators do not run" in result.stdout
    assert "tensorflow: put a new head before them: --new-head N --cut-at b" in result.stdout


def test_one_of_all_engines_is_enough(run: Run, folder: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[N, 3] x) => (float[N, 3] y) {
        a = MatMul (x, w) y, i = TopK (a, k) b = Identity (a) }"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((3, 3), np.float32), "w"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([3]), "k"))
    model.graph.output.add(name="b").type.CopyFrom(model.graph.output[0].type)
    onnx.save(model, folder / "hard.onnx")
    assert run("doctor", "hard.onnx", "--engine", "cntk").exit_code in (1, 3)
    result = run("doctor", "hard.onnx", "--engine", "all")
    assert result.exit_code == 0, result.output
    assert "tensorflow: ready" in result.stdout


def test_an_engine_that_is_not_installed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise EngineNotAvailableError(name, "it is not there", "install it")

    monkeypatch.setattr(doctor.engines, "find", missing)
    result = run("doctor", "trained.onnx", "--engine", "cntk")
    assert result.exit_code == 3
    assert "cntk: cntk is not available (it is not there); install it with: install it" in result.stdout


def test_a_recipe_or_an_opset_that_cannot_be_used(run: Run, folder: Path) -> None:
    model = onnx.load(folder / "trained.onnx")
    model.training_info[0].update_binding[0].value = "nowhere"
    onnx.save(model, folder / "bad.onnx")
    onnx.save(linear(opset=6, ir=4), folder / "old.onnx")
    for file, reason in (("bad.onnx", "update_binding refers to 'nowhere'"), ("old.onnx", "needs opset 7")):
        result = run("doctor", file)
        assert result.exit_code == 1, result.output
        assert reason in " ".join(result.stdout.split())


def test_an_unknown_engine(fails: Fails) -> None:
    assert fails(2, "doctor", "trained.onnx", "--engine", "torch").startswith(
        "there is no engine named 'torch'"
    )
