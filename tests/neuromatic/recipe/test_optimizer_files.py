"""What a file says of its optimizer and schedule, and that both are kept when loss or metrics change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest

import neuromatic as nm
from neuromatic import optimizers
from neuromatic.builder.model import Model
from neuromatic.errors import RecipeError, UnknownNameError
from neuromatic.optimizers import SGD, Adam, FunctionOptimizer, MultiOptimizer, Optimizer, RMSprop, UpdateRule
from tests.neuromatic.recipes import set_notes

BATCH = 8


def mlp(optimizer: Optimizer) -> Model:
    return nm.Sequential((4,)).dense(6, "tanh").dense(2).loss("mse").optimizer(optimizer)


def data() -> tuple[Any, Any]:
    x = np.random.default_rng(3).normal(size=(10 * BATCH, 4)).astype(np.float32)
    return x, np.sin(x[:, :2]) + np.float32(0.1)


OWN = onnx.parser.parse_function(
    """<domain: "mine", opset_import: ["": 17]> Heavy <keep> (R, T, X, G, V) => (Y, W) {
        k = Constant<value_float: float = @keep>()
        kept = Mul(k, V)
        W = Add(kept, G)
        step = Mul(R, W)
        Y = Sub(X, step)
    }"""
)
"""Momentum as PyTorch has it."""

KEPT: dict[str, Optimizer] = {
    "options": Adam(
        0.02,
        weight_decay=0.1,
        global_clipnorm=0.5,
        use_ema=True,
        ema_overwrite_frequency=2,
        gradient_accumulation_steps=2,
        loss_scale_factor=4.0,
        exclude_from_weight_decay=["bias"],
        learning_rates={"dense/*": 0.5},
    ),
    "decay by default": optimizers.AdamW(0.02),
    "other rules": optimizers.Muon(0.02, ns_steps=2),
    "state above zero": optimizers.Adagrad(0.02, initial_accumulator_value=0.4),
    "factored state": optimizers.Adafactor(0.02),
    "copied state": optimizers.ScheduleFreeAdamW(0.02),
    "a schedule": Adam(nm.schedules.CosineDecay(0.02, 8)),
    "a schedule in a schedule": SGD(nm.schedules.Warmup(nm.schedules.ExponentialDecay(0.1, 5, 0.5), 3)),
    "a function": FunctionOptimizer(0.02, body=OWN, attributes={"keep": 0.5}),
    "a function with options": FunctionOptimizer(0.02, body=OWN, attributes={"keep": 0.5}, clipnorm=0.3),
    "by pattern": MultiOptimizer(
        Adam(nm.schedules.CosineDecay(0.02, 8)), {"*/bias": SGD(0.1, momentum=0.5, clipvalue=0.1)}
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_file_keeps_its_optimizer(name: str, tmp_path: Path) -> None:
    mlp(KEPT[name]).save(tmp_path / "net.onnx")
    again = nm.load(tmp_path / "net.onnx").loss("mae").proto
    direct = mlp(KEPT[name]).loss("mae").proto
    assert again.training_info == direct.training_info
    assert {f.name: f for f in again.functions} == {f.name: f for f in direct.functions}
    assert again.metadata_props == direct.metadata_props


def test_a_kept_optimizer_follows_the_layers_that_are_frozen(tmp_path: Path) -> None:
    chosen = Adam(global_clipnorm=0.5, use_ema=True)
    mlp(chosen).save(tmp_path / "net.onnx")
    again = nm.load(tmp_path / "net.onnx").freeze("dense_1/*")
    assert again.proto.training_info == mlp(chosen).freeze("dense_1/*").proto.training_info


def test_a_constrained_parameter_does_not_hide_the_optimizer(tmp_path: Path) -> None:
    def net() -> Model:
        return nm.Sequential((4,)).dense(2, kernel_constraint="max_norm").optimizer(SGD(0.1, 0.9))

    net().loss("mse").save(tmp_path / "net.onnx")
    again = nm.load(tmp_path / "net.onnx").loss("mae").proto
    assert again.training_info == net().loss("mae").proto.training_info


def test_plain_optimizers_need_no_name_in_the_file() -> None:
    for plain in (SGD(), Adam(), RMSprop(momentum=0.5), optimizers.Lion()):
        recipe = mlp(plain).recipe
        assert recipe is not None
        assert recipe.optimizer is None


class Own(SGD):
    """A class that no file can name."""

    def rule(self, parameter: Any) -> UpdateRule:
        return UpdateRule.local("SGDMomentum", {"momentum": 0.5}, "momentum")


def test_a_class_of_ones_own_is_kept_by_its_nodes_or_refused(tmp_path: Path) -> None:
    mlp(Own(0.1)).save(tmp_path / "net.onnx")
    again = nm.load(tmp_path / "net.onnx").loss("mae").proto
    assert again.training_info == mlp(Own(0.1)).loss("mae").proto.training_info
    for option in (
        {"clipnorm": 1.0},
        {"weight_decay": 0.1},
        {"use_ema": True},
        {"learning_rates": {"*": 0.5}},
    ):
        mlp(Own(0.1, **option)).save(tmp_path / "net.onnx")  # type: ignore[arg-type]
        with pytest.raises(RecipeError, match=r"optimizer cannot be kept; choose one with .optimizer\(...\)"):
            nm.load(tmp_path / "net.onnx").loss("mae")


def test_a_name_that_the_nodes_contradict_is_refused() -> None:
    proto = mlp(SGD(clipnorm=1.0)).proto
    node = next(n for n in proto.training_info[0].algorithm.node if n.name == "update/dense/bias")
    node.op_type = "Lion"
    with pytest.raises(RecipeError, match="this recipe's optimizer cannot be kept"):
        Model.from_proto(proto).loss("mae")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"optimizer": {"name": "sgdd", "arguments": {}}},
            r"cannot be kept; .* \(KeyError\('sgdd'\)\)",
        ),
        ({"optimizer": {"name": "sgd", "arguments": {"clip": 1}}}, r"optimizer cannot be kept; .*'clip'"),
        ({"schedule": {"name": "never", "arguments": {}}}, "the file names a schedule that cannot be made"),
        ({"optimizer": {"name": 3, "arguments": {}}}, "metadata .* is damaged: 3 is not a name"),
        ({"optimizer": ["sgd"]}, "metadata .* is damaged"),
    ],
)
def test_damaged_notes(changes: dict[str, Any], message: str) -> None:
    proto = mlp(SGD(clipnorm=1.0)).proto
    set_notes(proto, **changes)
    with pytest.raises(RecipeError, match=message):
        Model.from_proto(proto).loss("mae")


# -- schedules and functions ---------------------------------------------------------------------------


def test_a_file_trains_on_with_its_schedule(tmp_path: Path) -> None:
    schedule = nm.schedules.ExponentialDecay(0.1, 5, 0.5)
    x, y = data()
    model, by_hand = mlp(SGD(schedule)), mlp(SGD(0.1))
    model.save(tmp_path / "net.onnx")
    loaded = nm.load(tmp_path / "net.onnx")
    settings: dict[str, Any] = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    for _ in range(2):
        loaded.train(x, y, **settings)
        loaded.save(tmp_path / "net.onnx")
        loaded = nm.load(tmp_path / "net.onnx")
        by_hand.train(x, y, learning_rate=lambda step: 0.1 * 0.5 ** (step / 5), **settings)
    for name, value in by_hand.parameters().items():
        np.testing.assert_array_equal(loaded.parameters()[name], value)
    again, constant = nm.load(tmp_path / "net.onnx"), nm.load(tmp_path / "net.onnx").optimizer(SGD(0.3))
    again.train(x, y, learning_rate=0.3, **settings)
    constant.train(x, y, **settings)
    for name, value in constant.parameters().items():
        np.testing.assert_array_equal(again.parameters()[name], value)


def test_a_schedule_of_ones_own_is_for_train() -> None:
    class Mine(nm.schedules.Schedule):
        def __call__(self, step: int) -> float:
            return 0.1

    with pytest.raises(RecipeError, match=r"the file has no name for the schedule Mine; give it to train\("):
        mlp(SGD(Mine()))


def test_any_function_is_an_optimizer() -> None:
    x, y = data()
    model = mlp(optimizers.get(OWN, learning_rate=0.1, attributes={"keep": 0.75}))
    start = {name: value.copy() for name, value in model.parameters().items()}
    model.train(x[: 3 * BATCH], y[: 3 * BATCH], batch_size=BATCH, shuffle=False, verbose=0)
    twin = mlp(SGD(0.1, 0.75))  # the same while the rate stays
    assert set(start) == set(twin.parameters())
    twin.train(x[: 3 * BATCH], y[: 3 * BATCH], batch_size=BATCH, shuffle=False, verbose=0)
    for name, value in twin.parameters().items():
        np.testing.assert_allclose(model.parameters()[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "attributes", "message"),
    [
        (
            "F (R, T, X) => (Y) { Y = Mul(R, X) }",
            {},
            r"'F' must take \(rate, step, parameter, gradient",
        ),
        ("F (R, T, X, G, V) => (Y) { Y = Mul(R, X) }", {}, r"got \['R', 'T', 'X', 'G', 'V'\] to \['Y'\]"),
        ("F <a> (R, T, X, G) => (Y) { Y = Mul(R, X) }", {}, r"'F' needs the attributes \['a'\]"),
        ("F (R, T, X, G) => (Y) { Y = Mul(R, X) }", {"b": 1.0}, r"'F' has no attributes \['b'\]"),
    ],
)
def test_functions_that_are_no_optimizer(text: str, attributes: dict[str, float], message: str) -> None:
    body = onnx.parser.parse_function(f'<domain: "mine", opset_import: ["": 17]> {text}')
    with pytest.raises(ValueError, match=message):
        FunctionOptimizer(body=body, attributes=attributes)


def test_a_function_of_the_model_that_has_the_name() -> None:
    proto = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17, "neuromatic": 1]>
        net (float[N, 3] x) => (float[N, 3] y) <float[3] w = {1, 2, 3}> { y = neuromatic.SGD(x, w) }
        <domain: "neuromatic", opset_import: ["": 17]> SGD (a, b) => (c) { c = Mul(a, b) }"""
    )
    model = Model.from_proto(proto).loss("mse")
    with pytest.raises(RecipeError, match="the model has another function named 'SGD' already"):
        model.optimizer("sgd")
    assert model.optimizer("adam").recipe is not None


def test_patterns_that_match_nothing() -> None:
    with pytest.raises(UnknownNameError, match="there is no initializer named 'dens/\\*'"):
        mlp(SGD(learning_rates={"dens/*": 0.5}))
    with pytest.raises(UnknownNameError, match="there is no initializer named 'dens/\\*'"):
        mlp(MultiOptimizer(SGD(), {"dens/*": Adam()}))


def test_options_that_are_off_add_no_nodes() -> None:
    nodes = mlp(Adam()).proto.training_info[0].algorithm.node
    updates = [n for n in nodes if n.op_type == "Adam"]
    after = [n.op_type for n in nodes[next(i for i, n in enumerate(nodes) if n.op_type == "Gradient") :]]
    assert after == ["Gradient", "Constant", "Add", *["Adam"] * len(updates)]
