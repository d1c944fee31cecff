"""What of a file is a parameter: by uses, values and names, where no exporter noted it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

import neuromatic as nm
from neuromatic.errors import ParameterWarning, RecipeError
from neuromatic.recipe.exporters import doubts, exported_constants
from tests.neuromatic.graphs import parsed

W = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
TWO = np.array([2], np.float32)
POWER = """<ir_version: 8, opset_import: ["": 17], producer_name: "PRODUCER">
    net (float[N, 4] x) => (float[N, 4] y) { h = MatMul (x, w)  y = Pow (h, two) }"""
TABLE = """<ir_version: 8, opset_import: ["": 17], producer_name: "others">
    net (float[N, 8, 4] x) => (float[N, 8, 4] y) { h = MatMul (x, w)  r = Relu (h)  y = OP (r, table) }"""
POSITIONS = np.arange(8, dtype=np.float32)[:, None] * np.array([1, 0.1, 0.01, 0.001], np.float32)


def powers(producer: str = "") -> nm.Model:
    return nm.Model.from_proto(parsed(POWER.replace("PRODUCER", producer), w=W, two=TWO))


def trained(model: nm.Model) -> set[str]:
    assert model.recipe is not None
    return set(model.recipe.trainable)


def test_an_exponent_is_a_constant_unless_asked_for(tmp_path: Path) -> None:
    model = powers().loss("mse").optimizer("sgd")
    assert trained(model) == {"w"}
    assert model.roles() == {"w": "trained", "two": "constant"}
    asked = model.unfreeze("two")
    assert trained(asked) == {"w", "two"}
    assert trained(model.unfreeze("t*")) == {"w"}
    assert trained(model.train_only("two")) == {"two"}
    assert trained(asked.freeze("two")) == {"w"}
    asked.save(tmp_path / "net.onnx")
    assert trained(nm.load(tmp_path / "net.onnx").optimizer("adam")) == {"w", "two"}


def test_asking_for_what_no_gradient_reaches() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[N, 4] x) => (float[N, 4] y) {
        h = MatMul (x, w)  f = Floor (step)  y = Mul (h, f) }"""
    model = nm.Model.from_proto(parsed(text, w=W, step=TWO)).loss("mse").optimizer("sgd")
    with pytest.raises(RecipeError, match="'step' cannot be trained: no gradient of the loss reaches it"):
        model.unfreeze("step")


@pytest.mark.parametrize(
    ("body", "arrays"),
    [
        ("y = Gemm (x, u, b)", {"u": W[:, :1], "b": np.array([0.5], np.float32)}),
        ("h = MatMul (x, u)  y = Add (h, b)", {"u": W[:, :1], "b": np.array([0.5], np.float32)}),
        (
            "h = MatMul (x, u)  t = Transpose <perm = [0, 1]> (b)  y = Add (h, t)",
            {"u": W[:, :1], "b": W[:1, :1]},
        ),
        ("h = MatMul (x, u)  y = PRelu (h, b)", {"u": W[:, :1], "b": np.array([0.5], np.float32)}),
    ],
)
def test_a_single_number_that_is_a_weight_is_trained(body: str, arrays: dict[str, np.ndarray]) -> None:
    text = f"""<ir_version: 8, opset_import: ["": 17]> net (float[N, 4] x) => (float[N, 1] y) {{ {body} }}"""
    model = nm.Model.from_proto(parsed(text, **arrays)).loss("mse").optimizer("sgd")
    assert trained(model) == {"u", "b"}


def test_single_numbers_of_neuromatics_layers_are_trained_also_in_files_of_others() -> None:
    class Gain(nm.layers.Layer):
        def emit(self, g, x):  # type: ignore[no-untyped-def]
            return g.add("Mul", x, g.initializer(f"{g.scope}gain", np.array([1.5], np.float32)))

    model = powers("others").replace_head(after="h", layers=[Gain(name="head")])
    head = next(n for n in model.parameters() if "gain" in n)
    assert trained(model.loss("mse").optimizer("sgd")) == {"w", head}


@pytest.mark.parametrize(
    ("op", "table", "what"),
    [
        ("Add", np.triu(np.full((8, 4), -np.inf, np.float32), 1), "a mask"),
        ("Add", np.where(np.eye(8, 4) > 0, 0, -1e9).astype(np.float32), "a mask"),
        ("Mul", np.tril(np.ones((8, 4), np.float32)), "a mask"),
        ("Add", np.arange(32, dtype=np.float32).reshape(8, 4), "evenly spaced numbers"),
        ("Mul", (10000.0 ** (-np.arange(4) / 4)).astype(np.float32), "frequencies"),
        ("Mul", np.cos(POSITIONS), "waves"),
        ("Add", np.sin(POSITIONS), "waves"),
    ],
)
def test_tables_are_constants_and_that_is_said(op: str, table: np.ndarray, what: str) -> None:
    model = parsed(TABLE.replace("OP", op), w=W, table=table)
    assert exported_constants(model) == {"table"}
    said = re.escape(f"as it holds {what}, and not trained: unfreeze('table') changes that")
    with pytest.warns(ParameterWarning, match=said):
        chosen = nm.Model.from_proto(model).loss("mse").optimizer("sgd")
    assert trained(chosen) == {"w"}
    assert trained(chosen.unfreeze("table")) == {"w", "table"}


@pytest.mark.parametrize("table", [np.ones((8, 4)), np.zeros(4), W[0], np.repeat(W[:1], 8, 0)])
def test_numbers_that_may_be_learnt_are_trained(table: np.ndarray) -> None:
    found = doubts(parsed(TABLE.replace("OP", "Add"), w=W, table=table.astype(np.float32)))
    assert [(d.name, d.trained) for d in found] == [("table", True)]


def test_weights_are_no_tables_whatever_they_begin_from() -> None:
    model: ModelProto = parsed(TABLE.replace("OP", "Add"), w=np.eye(4, dtype=np.float32), table=W[0])
    assert not exported_constants(model)


def test_doubts_are_notes_of_info_and_doctor() -> None:
    from neuromatic.reports.inspection import traces

    model = parsed(TABLE.replace("OP", "Mul"), w=W, table=np.cos(POSITIONS))
    assert any("unfreeze('table') changes that" in note for note in traces(model))
