"""doctor: each thing that can block, on each engine, and what it advises."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto

import neuromatic as nm
from neuromatic.builder.model import Model
from neuromatic.converters import doctor
from neuromatic.converters.doctor import EngineCheck, examine
from neuromatic.errors import EngineNotAvailableError, UnknownNameError
from tests.neuromatic.graphs import linear, parsed
from tests.neuromatic.transfer.test_lift_constants import HIDDEN


def check(model: ModelProto | Model, engine: str = "tensorflow") -> EngineCheck:
    return examine(model if isinstance(model, Model) else Model.from_proto(model), [engine])[0]


def gradients(found: EngineCheck) -> dict[str, str]:
    return {o.operator: o.gradient for o in found.operators}


def odd(*, head: str = "y = com.example.Odd (b)") -> ModelProto:
    text = f"""<ir_version: 8, opset_import: ["": 17, "com.example": 1]>
        net (float[N, 3] x) => (float[N, 3] y) {{ a = MatMul (x, w) b = Relu (a) {head} }}"""
    return parsed(text, w=np.ones((3, 3), np.float32))


@pytest.mark.parametrize("engine", ["tensorflow", "cntk"])
def test_a_model_that_can_be_trained(engine: str) -> None:
    found = check(
        nm.Sequential((1, 6, 6)).conv2d(2, 3).batch_normalization().flatten().dense(3).build(), engine
    )
    assert (found.problems, found.advice) == ((), ())
    assert found.ready == (found.missing is None)
    assert gradients(found) == {
        "Conv-11": "yes",
        "BatchNormalization-15": "yes",
        "Flatten-13": "yes",
        "Gemm-13": "yes",
    }


@pytest.mark.parametrize("engine", ["tensorflow", "cntk"])
def test_an_operator_that_no_engine_has(engine: str) -> None:
    found = check(odd(), engine)
    assert not found.ready
    (blocked,) = [o for o in found.operators if not o.runs]
    assert (blocked.operator, blocked.nodes) == ("com.example.Odd", ("y",))
    assert blocked.problem is not None
    assert blocked.problem.startswith(f"{engine} has no lowering for com.example.Odd (the node of output 'y'")
    assert found.advice == ("put a new head before them: --new-head N --cut-at b",)
    assert check(Model.from_proto(odd()).replace_head("b", units=2), engine).problems == ()


def test_the_other_engine_is_advised() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[N, 3] x) => (float[N, 3] y) {
        a = MatMul (x, w) y, i = TopK (a, k) }"""
    found = check(parsed(text, w=np.ones((3, 3), np.float32), k=np.array([3])), "cntk")
    assert [o.operator for o in found.operators if not o.runs] == ["TopK-11"]
    assert "tensorflow runs these operators: --engine tensorflow" in found.advice


def test_a_newer_opset_is_advised(monkeypatch: pytest.MonkeyPatch) -> None:
    model = linear(opset=9)
    registry = doctor._registry("tensorflow")
    assert registry is not None
    for version in (7, 9):
        key = next(k for k in registry._lowerings if (k.op, k.since_version) == ("Gemm", version))
        monkeypatch.delitem(registry._lowerings, key)
    found = check(model)
    assert "raise the opset: neuromatic convert MODEL.onnx -o NEW.onnx --opset 11" in found.advice


def test_an_opset_without_recipes() -> None:
    found = check(linear(opset=6, ir=4))
    assert not found.ready
    assert "a recipe needs opset 7, the model has 6" in found.problems[0]


def test_where_the_gradient_stops() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[N, 3] x) => (float[N, 2] y) {
        a = MatMul (x, w) b = Tanh (a) c = Round (b) d = Abs (x) e = MatMul (c, v) f = Identity (d)
        y = Identity (e) }"""
    found = check(parsed(text, w=np.ones((3, 3), np.float32), v=np.ones((3, 2), np.float32)))
    assert gradients(found) == {
        "MatMul-13": "no",
        "Tanh-13": "no",
        "Round-11": "stops",
        "Abs-13": "not needed",
        "Identity-16": "yes",
    }
    assert found.ready
    assert found.advice[0].startswith("no gradient passes c: ")


def test_nothing_to_train_and_no_floats() -> None:
    for text, reason in (
        ("y = Relu (x)", "no parameter is left to train"),
        ("a = Relu (x) y = Cast <to = 7> (a)", "no output is of floats"),
    ):
        kind = "int64" if "Cast" in text else "float"
        model = parsed(
            f'<ir_version: 8, opset_import: ["": 17]> net (float[N, 3] x) => ({kind}[N, 3] y) {{ {text} }}'
        )
        assert reason in check(model).problems[0]


@pytest.mark.parametrize("engine", ["tensorflow", "cntk"])
def test_a_trial_finds_what_the_table_does_not_tell(engine: str) -> None:
    """Reshape, which both engines have, to a shape that the data do not fit."""
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[N, 3] x) => (float[P, Q] y) {
        a = MatMul (x, w) shape = Constant <value = int64[2] {7, 1}> () y = Reshape (a, shape) }"""
    found = check(parsed(text, w=np.ones((3, 3), np.float32)), engine)
    assert all(o.runs for o in found.operators)
    assert f"a trial step on {engine} fails" in found.problems[0]
    assert not found.ready


@pytest.mark.parametrize("engine", ["tensorflow", "cntk"])
def test_a_fixed_batch_is_tried_as_it_is(engine: str) -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[5, 3] x) => (float[5, 3] y) {
        a = MatMul (x, w) shape = Constant <value = int64[2] {5, 3}> () y = Reshape (a, shape) }"""
    assert check(parsed(text, w=np.ones((3, 3), np.float32)), engine).problems == ()


def test_inputs_without_rows_are_tried_whole() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[n, 3] x, int64[2, m] e) => (float[n, 3] y) {
        i = Constant <value = int64 {0}> () from = Gather <axis = 0> (e, i) a = Gather <axis = 0> (x, from)
        s = ReduceSum (a) b = Add (x, s) y = MatMul (b, w) }"""
    assert check(parsed(text, w=np.ones((3, 3), np.float32))).problems == ()


def test_functions_and_a_recipe_of_its_own() -> None:
    model = nm.Sequential((3,)).dense(4, activation="relu").alpha_dropout(0.1).dense(2)
    found = check(model.loss("mse").optimizer("sgd", momentum=0.9))
    named = gradients(found)
    assert found.ready
    assert "AlphaDropout" in named
    assert named["ReduceMean-13"] == "yes"
    assert named["ai.onnx.preview.training.Gradient-1"] == "not needed"


def test_an_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise EngineNotAvailableError(name, "it is not there", "install it")

    monkeypatch.setattr(doctor.engines, "find", missing)
    for engine in ("tensorflow", "cntk"):
        found = check(linear(), engine)
        assert not found.ready
        assert found.missing == f"{engine} is not available (it is not there); install it with: install it"
        assert (found.problems, gradients(found)) == ((), {"Gemm-13": "yes"})


def test_an_unknown_engine() -> None:
    with pytest.raises(UnknownNameError, match="there is no engine named 'torch'"):
        check(linear(), "torch")


def test_the_model_is_left_as_it_was() -> None:
    model = Model.from_proto(odd(head="y = Identity (b)"))
    before = model.proto.SerializeToString()
    check(model)
    assert model.proto.SerializeToString() == before
    assert onnx.ModelProto.FromString(before) == odd(head="y = Identity (b)")


def test_weights_in_constants_count() -> None:
    found = check(parsed(HIDDEN))
    assert found.ready
    assert gradients(found)["MatMul-13"] == "yes"


LABELS = """<ir_version: 8, opset_import: ["": 17, "ai.onnx.ml": 1]>
    net (float[N, 3] x) => (int64[N] label, float[N, 2] probabilities) {
        scores = MatMul (x, w)
        probabilities = Softmax (scores)
        best = ArgMax <axis = 1, keepdims = 0> (probabilities)
        label = ai.onnx.ml.ArrayFeatureExtractor (classes, best)
    }"""


ZIPPED = """<ir_version: 8, opset_import: ["": 17, "ai.onnx.ml": 1]>
    net (float[N, 3] x) => (seq(map(int64, float)) maps, float[N, 2] probabilities) {
        scores = MatMul (x, w)
        probabilities = Softmax (scores)
        maps = ai.onnx.ml.ZipMap <classlabels_int64s = [5, 7]> (probabilities)
    }"""


def test_what_only_labels_need_blocks_nothing() -> None:
    model = parsed(ZIPPED, w=np.ones((3, 2), np.float32))
    found = check(nm.Model.from_proto(model), "tensorflow")
    assert found.ready
    (refused,) = [o for o in found.operators if not o.runs]
    assert (refused.operator, refused.blocks) == ("ai.onnx.ml.ZipMap-1", False)


def test_a_loss_is_of_the_outputs_that_are_floats() -> None:
    model = nm.Model.from_proto(parsed(LABELS, w=np.ones((3, 2), np.float32), classes=np.array([5, 7])))
    net = model.loss("sparse_categorical_crossentropy").optimizer("sgd").metrics("accuracy")
    assert net.recipe is not None
    assert [t.output for t in net.recipe.targets] == ["probabilities"]
    x = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    history = net.train(x, (x[:, 0] > 0).astype(np.int64), epochs=3, verbose=0)
    assert history.step_losses[-1] < history.step_losses[0]
