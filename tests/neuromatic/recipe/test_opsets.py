"""Recipes from opset 7 on: what trains at opset 21 trains alike at every other."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

import neuromatic as nm
from neuromatic import constraints, losses, metrics, optimizers, regularizers
from neuromatic.errors import ModelError, RecipeError, ShapeError
from neuromatic.ir.terms import Penalty, Terms
from neuromatic.ir.types import combined
from neuromatic.recipe.validation import validate

Array = NDArray[Any]
NEWEST = onnx.defs.onnx_opset_version()
OPSETS = range(7, NEWEST + 1)
CHOSEN = (7, 8, 9, 11, 12, 15, NEWEST)
"""Where the forms of operators, functions or constants change."""
RNG = np.random.default_rng(4)
X = RNG.normal(size=(12, 5)).astype(np.float32)
IMAGES = RNG.normal(size=(12, 2, 6, 6)).astype(np.float32)
LABELS = RNG.integers(4, size=12)
HOT = np.eye(4, dtype=np.float32)[LABELS]
QUIET: dict[str, Any] = {"verbose": 0, "batch_size": 4, "shuffle": False, "engine_options": {"jit": False}}


def net(opset: int, nodes: str, data: str, **arrays: Array) -> nm.Model:
    ir = helper.find_min_ir_version_for([helper.make_opsetid("", opset)], True)
    text = f"""<ir_version: {max(8, ir)}, opset_import: ["": {opset}]>
        net (float[N, {data}] x) => (float[N, 4] y) {{ {nodes} }}"""
    model = onnx.parser.parse_model(text)
    for name, array in arrays.items():
        model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    onnx.checker.check_model(model, full_check=True)
    return nm.Model.from_proto(model)


def mlp(opset: int) -> nm.Model:
    rng = np.random.default_rng(0)
    return net(
        opset,
        "h = Gemm(x, w1, b1)  a = Tanh(h)  z = Gemm(a, w2, b2)  y = Softmax <axis = 1> (z)",
        "5",
        w1=rng.normal(size=(5, 6)) / 2,
        b1=rng.normal(size=6) / 9,
        w2=rng.normal(size=(6, 4)) / 2,
        b2=np.zeros(4),
    )


def cnn(opset: int) -> nm.Model:
    rng = np.random.default_rng(1)
    return net(
        opset,
        """c = Conv <pads = [1, 1, 1, 1]> (x, kernel, bias)
        n = BatchNormalization <momentum = 0.9> (c, scale, offset, mean, variance)
        a = Sigmoid(n)  p = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (a)  f = Flatten(p)
        z = Gemm(f, w, b)  y = Softmax <axis = 1> (z)""",
        "2, 6, 6",
        kernel=rng.normal(size=(3, 2, 3, 3)) / 4,
        bias=np.zeros(3),
        scale=np.ones(3),
        offset=np.zeros(3),
        mean=np.zeros(3),
        variance=np.ones(3),
        w=rng.normal(size=(27, 4)) / 5,
        b=np.zeros(4),
    )


DATA = {mlp: X, cnn: IMAGES}
ALL: dict[str, Any] = {
    "muon": optimizers.Muon(),
    "schedule_free_adamw": optimizers.ScheduleFreeAdamW(),
    "sgd": optimizers.SGD(0.05),
    "momentum": optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": optimizers.Adam(0.02),
    "amsgrad": optimizers.Adam(0.02, amsgrad=True),
    "adamw": optimizers.AdamW(0.02),
    "adamax": optimizers.Adamax(0.02),
    "nadam": optimizers.Nadam(0.02),
    "lamb": optimizers.Lamb(0.02),
    "lion": optimizers.Lion(0.02),
    "rmsprop": optimizers.RMSprop(0.02, momentum=0.5, centered=True),
    "adagrad": optimizers.Adagrad(0.1),
    "adadelta": optimizers.Adadelta(1.0),
    "ftrl": optimizers.Ftrl(0.1),
    "adafactor": optimizers.Adafactor(0.02),
    "clipnorm": optimizers.Adamax(0.02, clipnorm=0.1, use_ema=True, ema_overwrite_frequency=2),
    "accumulated": optimizers.SGD(0.1, global_clipnorm=0.1, gradient_accumulation_steps=2, weight_decay=0.1),
    "several": optimizers.MultiOptimizer(
        optimizers.Adamax(0.02), {"*w*": optimizers.Adamax(0.05, beta_1=0.8), "b*": optimizers.SGD(0.1)}
    ),
}


Run = tuple[list[float], dict[str, Array]]
"""The losses of the steps, and the parameters at the end."""


@cache
def at_21(make: Any, name: str) -> Run:
    return trained(make(21), make, name)


def trained(model: nm.Model, make: Any, name: str, **more: Any) -> Run:
    model = model.loss("categorical_crossentropy").optimizer(ALL[name]).metrics("accuracy")
    history = model.train(DATA[make], HOT, epochs=2, **QUIET | more)
    onnx.checker.check_model(model.proto)
    return list(history.step_losses), model.parameters()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("opset", OPSETS)
def test_every_optimizer_is_said_at_every_opset(opset: int, name: str, tmp_path: Path) -> None:
    model = mlp(opset).loss("sparse_categorical_crossentropy").optimizer(ALL[name]).metrics("accuracy")
    onnx.checker.check_model(model.proto)
    onnx.checker.check_model(combined(model.proto))
    assert validate(model.proto) is not None
    model.save(tmp_path / "m.onnx")
    kept = nm.load(tmp_path / "m.onnx").metrics("log_loss").metrics("accuracy")
    algorithms = [m.proto.training_info[0].algorithm for m in (model, kept)]
    updates = [[n for n in a.node if n.name.startswith("update/")] for a in algorithms]
    assert [(n.op_type, n.attribute, len(n.input)) for n in updates[0]] == [
        (n.op_type, n.attribute, len(n.input)) for n in updates[1]
    ]
    assert [(t.name, t.raw_data) for t in algorithms[0].initializer] == [
        (t.name, t.raw_data) for t in algorithms[1].initializer
    ]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("opset", [7, 11])
def test_optimizers_train_as_at_opset_21(opset: int, name: str) -> None:
    compare(trained(mlp(opset), mlp, name), at_21(mlp, name))


@pytest.mark.parametrize("name", ["momentum", "adam", "nadam"])
@pytest.mark.parametrize("opset", CHOSEN)
def test_a_convolutional_net_trains_as_at_opset_21(opset: int, name: str) -> None:
    compare(trained(cnn(opset), cnn, name), at_21(cnn, name))


def compare(
    found: tuple[list[float], dict[str, Array]], expected: tuple[list[float], dict[str, Array]]
) -> None:
    np.testing.assert_allclose(found[0], expected[0], rtol=2e-6)
    for name, value in expected[1].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-5, atol=2e-6, err_msg=name)


# -- losses, metrics, and what layers ask for --------------------------------------------------

DENSE = sorted({cls.__name__ for cls in losses.LOSSES.values() if not cls.sparse})
SPARSE = ["SparseCategoricalCrossentropy", "CategoricalGeneralizedCrossEntropy"]
WEIGHTS = RNG.uniform(0.5, 2, 12)


@cache
def reported_at_21(name: str) -> tuple[float, float]:
    return reported(21, name)


def reported(opset: int, name: str) -> tuple[float, float]:
    y = LABELS if name in SPARSE else HOT
    model = mlp(opset).loss(name).optimizer("sgd")
    return model.evaluate(X, y)["loss"], model.evaluate(X, y, sample_weight=WEIGHTS)["loss"]


@pytest.mark.parametrize("name", [*DENSE, *SPARSE])
@pytest.mark.parametrize("opset", CHOSEN)
def test_losses_are_those_of_opset_21_in_onnxruntime(opset: int, name: str) -> None:
    if name in ("Dice", "Tversky"):
        assert mlp(opset).loss(name).optimizer("sgd").evaluate(X, HOT)["loss"] == pytest.approx(
            mlp(21).loss(name).optimizer("sgd").evaluate(X, HOT)["loss"], rel=1e-6
        )
        return
    np.testing.assert_allclose(reported(opset, name), reported_at_21(name), rtol=2e-6)


def measures(labels: str) -> list[Any]:
    """The metrics that can be chosen by name beside a loss."""
    found: list[Any] = []
    for cls in dict.fromkeys(metrics.METRICS.values()):
        try:
            metric = metrics.get(cls)
            mlp(17).loss(labels).optimizer("sgd").metrics(metric)
        except (ValueError, ModelError):
            continue
        found.append(metric)
    return found


@pytest.mark.parametrize("labels", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
@pytest.mark.parametrize("opset", [7, 8, 10, 12, 18, NEWEST])
def test_metrics_are_those_of_opset_21(opset: int, labels: str) -> None:
    chosen = measures(labels)
    assert len(chosen) > 6
    y = HOT if labels.startswith("cat") else LABELS
    found, expected = (
        mlp(o).loss(labels).optimizer("sgd").metrics(*chosen).evaluate(X, y, batch_size=5)
        for o in (opset, 21)
    )
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("opset", [7, 9, 12])
def test_penalties_and_constraints(opset: int) -> None:
    def model(opset: int) -> nm.Model:
        penalties = (
            Penalty("w1", regularizers.L1L2(0.01, 0.02)),
            Penalty("w2", regularizers.OrthogonalRegularizer()),
        )
        limits = {"w1": constraints.MaxNorm(0.5), "w2": constraints.UnitNorm(), "b1": constraints.NonNeg()}
        terms = Terms(penalties, limits)
        plain = mlp(opset)
        return nm.Model.from_proto(plain.proto, terms)

    compare(trained(model(opset), mlp, "momentum"), trained(model(21), mlp, "momentum"))


def test_a_file_of_opset_7_still_runs_in_onnxruntime(tmp_path: Path) -> None:
    model = mlp(7).loss("categorical_crossentropy").optimizer(ALL["rmsprop"])
    model.train(X, HOT, **QUIET)
    model.save(tmp_path / "old.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "old.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"x": X})[0], model.predict(X))


# -- what cannot be said -----------------------------------------------------------------------


def test_what_needs_a_newer_opset_says_which() -> None:
    with pytest.raises(
        RecipeError,
        match=r"^EyeLike of this recipe needs opset 9, the model has 8; raise it with: "
        r"neuromatic convert MODEL\.onnx -o NEW\.onnx --opset 17$",
    ):
        mlp(8).loss("circle").optimizer("sgd")
    mlp(9).loss("circle").optimizer("sgd")


def test_opsets_before_7_are_refused() -> None:
    old = ModelProto.FromString(mlp(7).proto.SerializeToString())
    old.opset_import[0].version = 6
    with pytest.raises(RecipeError, match=r"^a recipe needs opset 7, the model has 6; raise it with: "):
        nm.Model.from_proto(old).loss("mse").optimizer("sgd")


def test_ctc_at_opset_7_needs_known_steps_as_elsewhere() -> None:
    with pytest.raises(ShapeError, match="of known steps and classes"):
        mlp(7).loss("ctc").optimizer("sgd")
