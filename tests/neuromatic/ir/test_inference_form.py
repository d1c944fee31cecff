"""A file in training form has one meaning: that of inference, whatever is done with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from onnx import ModelProto, helper

import neuromatic as nm
from neuromatic.cli.main import main
from neuromatic.ir.inference_form import in_training_form, inference_form, training_form_note
from neuromatic.recipe.sections import strip
from tests.neuromatic.graphs import in_onnxruntime, listing, parsed

Array = NDArray[Any]
W = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
STATISTICS = {
    "gamma": np.array([1.5, 0.5], np.float32),
    "beta": np.array([0.1, -0.2], np.float32),
    "m": np.array([0.3, -0.4], np.float32),
    "v": np.array([2.0, 0.5], np.float32),
}
HEADER = """<ir_version: 8, opset_import: ["": OPSET]>"""
BODY = """
    net (float[N, 3] x) => (float[N, 2] y) <bool on = {1}, float ratio = {0.5}> {
        h = MatMul(x, w)
        n, mean, var = BatchNormalization <training_mode = 1> (h, gamma, beta, m, v)
        y = Dropout(n, ratio, on)
    }"""
NOTE = "nodes in training form (1 BatchNormalization, 1 Dropout) are read, and written, in inference form"


def trained() -> ModelProto:
    return parsed(HEADER.replace("OPSET", "17") + BODY, w=W, **STATISTICS)


def x(rows: int = 6) -> Array:
    return np.random.default_rng(1).normal(size=(rows, 3)).astype(np.float32)


def expected(rows: Array) -> Array:
    """What the net means in inference, in float64."""
    h = rows.astype(np.float64) @ W
    s = STATISTICS
    return np.asarray(s["gamma"] * (h - s["m"]) / np.sqrt(s["v"] + 1e-5) + s["beta"])


def test_predict_depends_on_no_other_row_and_is_the_same_before_and_after_a_loss() -> None:
    model = nm.Model.from_proto(trained())
    np.testing.assert_allclose(model.predict(x()), expected(x()), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.predict(x())[:1], model.predict(x(6)[:1]))
    chosen = model.loss("mse").optimizer("sgd")
    np.testing.assert_array_equal(chosen.predict(x()), model.predict(x()))
    loss = chosen.evaluate(x(), np.zeros((6, 2), np.float32))["loss"]
    assert loss == pytest.approx((expected(x()) ** 2).mean(), rel=1e-5)


def test_a_file_that_is_saved_unchanged_keeps_its_bytes_and_an_export_is_in_inference_form(
    tmp_path: Path,
) -> None:
    onnx.save(trained(), tmp_path / "net.onnx")
    model = nm.load(tmp_path / "net.onnx")
    model.save(tmp_path / "same.onnx")
    assert (tmp_path / "same.onnx").read_bytes() == (tmp_path / "net.onnx").read_bytes()
    model.export(tmp_path / "released.onnx")
    released = onnx.load(tmp_path / "released.onnx")
    assert not in_training_form(released)
    assert released == strip(model.loss("mse").optimizer("sgd").proto)


@pytest.mark.parametrize("options", [[], ["--opset", "18"], ["--strip-training"]])
def test_convert_to_onnx_says_so_and_is_verified(tmp_path: Path, options: list[str]) -> None:
    onnx.save(trained(), tmp_path / "net.onnx")
    arguments = ["convert", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "new.onnx"), *options]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.output.splitlines()[0]) == (0, NOTE), result.output
    new = nm.load(tmp_path / "new.onnx")
    assert not in_training_form(new.proto)
    np.testing.assert_allclose(new.predict(x()), expected(x()), rtol=1e-5, atol=1e-6)


def test_convert_to_a_saved_model_says_so_and_is_verified(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    onnx.save(trained(), tmp_path / "net.onnx")
    arguments = ["convert", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "saved")]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.output.splitlines()[0]) == (0, NOTE), result.output
    serve = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    np.testing.assert_allclose(serve(x=tf.constant(x()))["y"], expected(x()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("command", ["doctor", "info"])
def test_doctor_and_info_say_so(tmp_path: Path, command: str) -> None:
    onnx.save(trained(), tmp_path / "net.onnx")
    lines = CliRunner().invoke(main, [command, str(tmp_path / "net.onnx")]).output.splitlines()
    assert [line for line in lines if line.endswith(NOTE)]


def test_a_recipe_of_others_that_binds_the_statistics_keeps_the_node() -> None:
    model = trained()
    del model.graph.node[2]
    model.graph.node[1].output[0] = "y"
    info = model.training_info.add()
    info.update_binding.add(key="m", value="mean")
    info.update_binding.add(key="v", value="var")
    assert inference_form(model) is model
    (node,) = in_training_form(strip(model))
    assert node.op_type == "BatchNormalization"


def test_what_is_used_in_another_way_stays() -> None:
    read = HEADER.replace("OPSET", "17") + BODY.replace("Dropout(n, ratio, on)", "Add(n, mean)")
    asked = HEADER.replace("OPSET", "17") + BODY.replace("x) =>", "x, bool mode) =>").replace("on)", "mode)")
    model = parsed(read, w=W, **STATISTICS)
    assert inference_form(model) is model
    assert training_form_note(model) is None
    assert [n.op_type for n in in_training_form(parsed(asked, w=W, **STATISTICS))] == ["BatchNormalization"]


def test_masks_and_nodes_in_branches_and_functions_too() -> None:
    text = """<ir_version: 8, opset_import: ["": 17, "local": 1]>
        net (float[N, 2] x, bool c) => (float[N, 2] y, bool[N, 2] mask) {
            on = Constant <value = bool {1}> ()
            same = Identity (on)
            ratio = Constant <value = float {0.5}> ()
            a, mask = Dropout (x, ratio, same)
            b = local.Norm (a)
            y = If (c) <
                then_branch = one () => (float[N, 2] p) { p = Dropout (b, ratio, on) },
                else_branch = two () => (float[N, 2] q) { q = Dropout (b, ratio) }>
        }
        <domain: "local", opset_import: ["": 17]>
        Norm (x) => (y) {
            one = Constant <value = float[2] {1, 1}> ()
            y, m, v = BatchNormalization <training_mode = 1> (x, one, one, one, one)
        }"""
    model = parsed(text)
    assert len(in_training_form(model)) == 3
    changed = inference_form(model)
    assert not in_training_form(changed)
    onnx.checker.check_model(changed)
    assert listing(changed.functions[0].node)[1:] == ["y = BatchNormalization(x, one, one, one, one)"]
    rows = np.array([[1, 2], [3, 4]], np.float32)
    for chosen in (True, False):
        y, mask = in_onnxruntime(changed, {"x": rows, "c": np.array(chosen)})
        assert mask.all()
        np.testing.assert_allclose(y, (rows - 1) / np.sqrt(1 + 1e-5) + 1, rtol=1e-6)


@pytest.mark.parametrize("opset", [9, 13])
def test_five_outputs_of_older_opsets(opset: int) -> None:
    body = BODY.replace("n, mean, var = BatchNormalization <training_mode = 1>", "n, a, b, c, d = ONE")
    body = body.replace("ONE", "BatchNormalization").replace("Dropout(n, ratio, on)", "Identity(n)")
    model = parsed(HEADER.replace("OPSET", str(opset)) + body, w=W, **STATISTICS)
    found = nm.Model.from_proto(model).predict(x())
    np.testing.assert_allclose(found, expected(x()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("is_test", "trains"), [(None, True), (0, True), (1, False)])
def test_before_opset_7_an_attribute_says_it(is_test: int | None, trains: bool) -> None:
    given: dict[str, Any] = {} if is_test is None else {"is_test": is_test}
    outputs = ["n", "a", "b", "c", "d"] if trains else ["n"]
    nodes = [
        helper.make_node("BatchNormalization", ["x", "gamma", "beta", "m", "v"], outputs, **given),
        helper.make_node("Dropout", ["n"], ["y"], ratio=0.5, **given),
    ]
    kind = helper.make_tensor_type_proto(1, ["N", 2])
    values = [onnx.ValueInfoProto(name=name, type=kind) for name in ("x", "y")]
    initial = [onnx.numpy_helper.from_array(a, n) for n, a in STATISTICS.items()]
    stored = [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in initial]
    graph = helper.make_graph(nodes, "old", [values[0], *stored], values[1:], initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 6)], ir_version=3)
    onnx.checker.check_model(model)
    assert bool(in_training_form(model)) == trains
    changed = inference_form(model)
    assert [a.i for n in changed.graph.node for a in n.attribute if a.name == "is_test"] == [1, 1]
    # onnx raises only what is in inference form, and onnxruntime begins at opset 7
    raised = nm.Model.from_proto(onnx.version_converter.convert_version(changed, 9))
    rows = np.array([[1, 2], [3, 4]], np.float32)
    s = STATISTICS
    want = s["gamma"] * (rows - s["m"]) / np.sqrt(s["v"] + 1e-5) + s["beta"]
    np.testing.assert_allclose(raised.predict(rows), want, rtol=1e-5)


def test_what_neuromatic_has_written_is_as_it_should_be() -> None:
    model = trained()
    model.producer_name = "neuromatic"
    assert inference_form(model) is model
