"""The table of a model's layers."""

from __future__ import annotations

import pytest

import neuromatic as nm
from neuromatic.builder.model import Model
from neuromatic.recipe.schema import Recipe
from neuromatic.reports.summary import Row, rows, summary_text
from tests.neuromatic.graphs import linear, parsed


def net() -> nm.Sequential:
    return nm.Sequential((1, 8, 8)).conv2d(4, 3, activation="relu").flatten().dense(10, activation="softmax")


def test_the_table() -> None:
    lines = [line.rstrip() for line in summary_text(net().onnx(), None).strip().splitlines()]
    assert [line.split() for line in lines if line and "─" not in line] == [
        ["layer", "operators", "output", "parameters", "FLOPs"],
        ["conv2d", "Conv", "Relu", "(batch,", "4,", "6,", "6)", "40", "2,880"],
        ["flatten", "Flatten", "(batch,", "144)", "0", "0"],
        ["dense", "Gemm", "Softmax", "(batch,", "10)", "1,450", "2,940"],
        ["FLOPs", "for", "one", "row", "of", "data:", "about", "5,820"],
        ["parameters:", "1,490"],
    ]
    assert all(len(line) <= 100 for line in lines)


def test_what_is_trained(capsys: pytest.CaptureFixture[str]) -> None:
    model = net().loss("mse").optimizer("adam").freeze("conv2d/*")
    model.summary()
    text = capsys.readouterr().out
    assert text.endswith("parameters: 1,490, of which 1,450 are trained\n")
    assert "loss" not in text  # the recipe is no layer


def test_rows_of_a_model_of_others() -> None:
    model = linear(extra="k = Constant<value_float = 2.0>() h = Mul(x, k)")
    assert rows(model) == [
        Row("h", ("Mul",), ("N", 3), (), 0),
        Row("y", ("Gemm",), ("N", 2), ("w", "b"), 8),
    ]


def test_a_shared_parameter_counts_once() -> None:
    x = nm.Input((3,))
    shared = nm.layers.Dense(3)
    model = nm.Model(x, shared(shared(x)))
    assert sum(row.count for row in rows(model.proto)) == 12


def test_unknown_shapes() -> None:
    model = linear()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert "(?, 2)" in summary_text(model, None)


def test_names_that_look_like_markup_and_colour_stay_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    model = linear()
    model.graph.node[0].name = "[bold]a[/x]/Gemm"
    text = summary_text(model, None)
    assert "[bold]a[/x]" in text
    assert "\x1b" not in text


def test_long_names_are_cut_to_the_width() -> None:
    model = linear()
    model.graph.node[0].name = "block/" * 60
    assert all(len(line) <= 100 for line in summary_text(model, None).splitlines())


def test_a_recipe_that_trains_what_is_no_parameter_of_the_graph() -> None:
    recipe = Recipe("loss", ("w", "elsewhere"), {})
    assert summary_text(linear(), recipe).endswith("parameters: 8, of which 6 are trained")


def test_a_model_without_parameters() -> None:
    model = parsed("""<ir_version: 8, opset_import: ["": 17]>
        net (float[N, 3] x) => (float[N, 3] y) { y = Neg(x) }""")
    Model.from_proto(model).summary()
    assert summary_text(model, None).endswith("parameters: 0")
