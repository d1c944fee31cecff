"""Float32 masters of float16 and bfloat16, against Keras' optimizers, PyTorch and numpy in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

import neuromatic as nm
from neuromatic import constraints, regularizers
from neuromatic.errors import VerificationError
from neuromatic.ir.parameters import stored_tensors
from neuromatic.ir.tensors import array_of
from neuromatic.ir.terms import Penalty, Terms
from neuromatic.ir.types import HALVES
from neuromatic.training.tolerance import allowed
from tests.neuromatic.graphs import linear
from tests.neuromatic.half_precision import KINDS, classifier, half, images, line, model_of

Array = NDArray[Any]
RNG = np.random.default_rng(1)
X = RNG.normal(size=(64, 8)).astype(np.float32)
LABELS = RNG.integers(3, size=64)
QUIET: dict[str, Any] = {"verbose": 0, "shuffle": False, "batch_size": 16}
STEPS = 24


def stored(model: nm.Model, name: str) -> Array:
    return array_of(stored_tensors(model.proto)[name])


def states(model: ModelProto) -> dict[str, int]:
    """Types of what the training algorithm keeps, by name."""
    return {t.name: t.data_type for t in model.training_info[0].algorithm.initializer}


# -- the update --------------------------------------------------------------------------------

OPTIONS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.9},
    "adam": {},
    "adamw": {"weight_decay": 0.01},
    "adamax": {},
    "nadam": {},
    "lamb": {},
    "lion": {},
    "rmsprop": {"momentum": 0.5, "centered": True},
    "adagrad": {},
    "adadelta": {"learning_rate": 0.5},
    "ftrl": {},
    "adafactor": {},
    "muon": {},
}
KERAS = {
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "adamax": keras.optimizers.Adamax,
    "nadam": keras.optimizers.Nadam,
    "lamb": keras.optimizers.Lamb,
    "lion": keras.optimizers.Lion,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "adadelta": keras.optimizers.Adadelta,
    "ftrl": keras.optimizers.Ftrl,
    "adafactor": keras.optimizers.Adafactor,
    "muon": keras.optimizers.Muon,
}
FEATURES = half("float16", RNG.normal(size=(16, 6))).astype(np.float64)
WANTED = RNG.normal(size=(16, 4)) * 3


def expected_master(kind: str, name: str, **options: Any) -> tuple[Array, Array]:
    """What Keras' optimizer makes of a float32 variable whose rounded copy the gradient is taken at."""
    start = numpy_helper.to_array(line(kind).graph.initializer[0]).astype(np.float32)
    variable = keras.Variable(start, name="w")
    optimizer = KERAS[name](**{"learning_rate": 0.01, **options})
    losses = []
    for _ in range(STEPS):
        error = FEATURES @ half(kind, variable.numpy()).astype(np.float64) - WANTED
        losses.append((error**2).mean())
        gradient = 2 * FEATURES.T @ error / error.size
        optimizer.apply([keras.ops.convert_to_tensor(gradient.astype(np.float32))], [variable])
    return variable.numpy() - start, np.array(losses)


@pytest.mark.parametrize("name", KERAS)
@pytest.mark.parametrize("kind", KINDS)
def test_updates_are_those_of_keras_for_a_float32_variable(kind: str, name: str) -> None:
    options = OPTIONS[name]
    model = nm.Model.from_proto(line(kind)).loss("mse")
    model = model.optimizer(name, **{"learning_rate": 0.01, **options})
    kinds = states(model.proto)
    assert set(kinds.values()) == {TensorProto.FLOAT, TensorProto.INT64}
    start = stored(model, "master/w")
    assert start.tobytes() == model.parameters()["w"].astype(np.float32).tobytes()
    history = model.train(FEATURES, WANTED, epochs=STEPS, **QUIET)
    moved, losses = expected_master(kind, name, **options)
    # Gradients come in half precision: 2^-11 or 2^-8 off, of their largest element.
    off = 4 * {"float16": 2.0**-11, "bfloat16": 2.0**-8}[kind]
    np.testing.assert_allclose(history.history["loss"], losses, rtol=off)
    np.testing.assert_allclose(
        stored(model, "master/w") - start, moved, rtol=0, atol=4 * off * abs(moved).max()
    )
    assert model.parameters()["w"].tobytes() == half(kind, stored(model, "master/w")).tobytes()


def test_what_keras_cannot_judge_follows_its_float32_twin() -> None:
    """Keras' own ScheduleFreeAdamW differs in eager steps; see the tests of its formula."""
    model = nm.Model.from_proto(line()).loss("mse").optimizer("schedule_free_adamw", learning_rate=0.01)
    twin = linear()
    del twin.graph.initializer[:], twin.graph.node[:], twin.graph.input[:], twin.graph.output[:]
    like = line()
    twin.graph.node.extend(like.graph.node)
    for field in ("input", "output"):
        for value in getattr(like.graph, field):
            value.type.tensor_type.elem_type = TensorProto.FLOAT
            getattr(twin.graph, field).append(value)
    start = numpy_helper.to_array(like.graph.initializer[0]).astype(np.float32)
    twin.graph.initializer.append(numpy_helper.from_array(start, "w"))
    wide = nm.Model.from_proto(twin).loss("mse").optimizer("schedule_free_adamw", learning_rate=0.01)
    ours, theirs = (m.train(FEATURES, WANTED, epochs=STEPS, **QUIET) for m in (model, wide))
    np.testing.assert_allclose(ours.history["loss"], theirs.history["loss"], rtol=2.0**-9)


@pytest.mark.parametrize("kind", KINDS)
def test_adam_trains_as_pytorch_does_with_float32_masters(kind: str) -> None:
    """The old slots of float16 made the loss jump at the first steps."""
    proto = classifier(kind)
    model = nm.Model.from_proto(proto).loss("sparse_categorical_crossentropy")
    model = model.optimizer("adam", learning_rate=0.01)
    history = model.train(X, LABELS, epochs=8, **QUIET)
    dtype = getattr(torch, kind)
    held = {
        t.name: torch.tensor(numpy_helper.to_array(t).astype(np.float32), requires_grad=True)
        for t in proto.graph.initializer
    }
    optimizer = torch.optim.Adam(held.values(), 0.01, eps=1e-7)
    losses = []
    for step in range(8 * 4):
        rows = slice(16 * (step % 4), 16 * (step % 4) + 16)
        w = {name: master.to(dtype) for name, master in held.items()}
        a = torch.tanh(torch.tensor(X[rows]).to(dtype) @ w["w1"] + w["b1"])
        loss = torch.nn.functional.cross_entropy((a @ w["w2"] + w["b2"]).float(), torch.tensor(LABELS[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(
        history.step_losses, losses, rtol={"float16": 2e-3, "bfloat16": 1.5e-2}[kind], atol=0
    )


def test_small_updates_add_up() -> None:
    """Each is below half a unit in the last place of the parameter."""
    model = nm.Model.from_proto(line(scale=50.0)).loss("mae").optimizer("sgd", learning_rate=1e-3)
    before = model.parameters()["w"].astype(np.float64)
    far = np.full((16, 4), 1e4)
    model.train(FEATURES, far, epochs=2000, **QUIET)
    step = 1e-3 * FEATURES.mean(0)[:, None] / 4
    expected = before + 2000 * np.broadcast_to(step, before.shape)
    np.testing.assert_allclose(model.parameters()["w"].astype(np.float64), expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(stored(model, "master/w"), expected, rtol=2e-4, atol=2e-4)


def test_the_loss_is_of_float32() -> None:
    """A squared error of 90,000 is no float16."""
    model = nm.Model.from_proto(line()).loss("mse").optimizer("sgd", learning_rate=0.0).metrics("mse")
    y = model.predict(FEATURES).astype(np.float64) + 300
    assert model.predict(FEATURES).dtype == np.float16
    found = model.evaluate(FEATURES, y)
    np.testing.assert_allclose([found["loss"], found["mean_squared_error"]], 9e4, rtol=1e-3)
    assert model.train(FEATURES, y, **QUIET).history["loss"] == pytest.approx([9e4], rel=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
        {"use_ema": True},
        {"gradient_accumulation_steps": 3},
        {"global_clipnorm": 0.1, "weight_decay": 0.1, "loss_scale_factor": 128.0},
        {"clipvalue": 0.01, "learning_rates": {"w1": 0.1}},
        {"clipnorm": 0.01, "exclude_from_weight_decay": ["b"], "weight_decay": 0.2},
        {},
    ],
    ids=lambda options: " ".join(options) or "plain",
)
@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_it_trains_on_bit_for_bit(
    kind: str, options: dict[str, Any], tmp_path: Path
) -> None:
    model = nm.Model.from_proto(classifier(kind)).loss("sparse_categorical_crossentropy")
    model = model.optimizer("adam", learning_rate=0.01, **options).metrics("accuracy")
    assert TensorProto.FLOAT in states(model.proto).values()
    assert not set(states(model.proto).values()) & HALVES
    whole = nm.Model.from_proto(model.proto)
    first = model.train(X, LABELS, epochs=2, **QUIET).step_losses
    model.save(tmp_path / "half.onnx")
    again = nm.load(tmp_path / "half.onnx")
    assert again.proto == model.proto
    second = again.train(X, LABELS, epochs=3, **QUIET).step_losses
    if not options.get("use_ema"):  # whose averages take the parameters' place at the end of each run
        assert [*first, *second] == whole.train(X, LABELS, epochs=5, **QUIET).step_losses
        assert again.proto == whole.proto
    assert model.train(X, LABELS, epochs=3, **QUIET).step_losses == second
    assert again.proto == model.proto
    for name, value in again.parameters().items():
        assert value.tobytes() == half(kind, stored(again, f"master/{name}")).tobytes()


def test_inference_stays_of_half_precision(tmp_path: Path) -> None:
    model = nm.Model.from_proto(classifier()).loss("sparse_categorical_crossentropy").optimizer("adam")
    model.train(X, LABELS, **QUIET)
    model.export(tmp_path / "release.onnx")
    released = nm.load(tmp_path / "release.onnx").proto
    assert [t.data_type for t in released.graph.initializer] == [TensorProto.FLOAT16] * 4
    assert [n.op_type for n in released.graph.node] == [n.op_type for n in classifier().graph.node]
    assert not released.training_info


def test_only_what_is_of_half_precision_has_a_master() -> None:
    mixed = linear()
    mixed.graph.initializer[1].CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(mixed.graph.initializer[1]).astype(np.float16), "b")
    )
    cast = mixed.graph.node.add(op_type="Cast", input=["b"], output=["wide"], name="widen")
    cast.attribute.add(name="to", type=2, i=TensorProto.FLOAT)
    mixed.graph.node[0].input[2] = "wide"
    nodes = [mixed.graph.node[1], mixed.graph.node[0]]
    copies = [type(n).FromString(n.SerializeToString()) for n in nodes]
    del mixed.graph.node[:]
    mixed.graph.node.extend(copies)
    model = nm.Model.from_proto(mixed).loss("mse").optimizer("adam", learning_rate=0.1)
    kept = {name for name in states(model.proto) if name.startswith("master/")}
    assert kept == {"master/b"}
    x, y = RNG.normal(size=(16, 3)), RNG.normal(size=(16, 2))
    twin = nm.Model.from_proto(linear()).loss("mse").optimizer("adam", learning_rate=0.1)
    ours, theirs = (m.train(x, y, epochs=10, **QUIET).history["loss"] for m in (model, twin))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)


# -- what layers ask for -----------------------------------------------------------------------


def test_penalties_and_constraints_are_of_float32(tmp_path: Path) -> None:
    terms = Terms((Penalty("w1", regularizers.L2(0.1)),), {"w2": constraints.MaxNorm(0.5)})
    model = nm.Model.from_proto(classifier(), terms).loss("sparse_categorical_crossentropy")
    model = model.optimizer("adam", learning_rate=0.01)
    plain = nm.Model.from_proto(classifier()).loss("sparse_categorical_crossentropy").optimizer("adam")
    penalty = 0.1 * (model.parameters()["w1"].astype(np.float64) ** 2).sum()
    difference = model.evaluate(X, LABELS)["loss"] - plain.evaluate(X, LABELS)["loss"]
    np.testing.assert_allclose(difference, penalty, rtol=1e-5)
    model.train(X, LABELS, epochs=2, **QUIET)
    norms = np.linalg.norm(stored(model, "master/w2"), axis=0)
    assert 0.3 < norms.max() <= 0.5 + 1e-6
    assert np.linalg.norm(numpy_helper.to_array(classifier().graph.initializer[2]), axis=0).min() > 0.6
    model.save(tmp_path / "terms.onnx")
    chosen = nm.load(tmp_path / "terms.onnx").metrics("accuracy")
    found = chosen._known_parts().terms
    assert [p.value for p in found.penalties] == ["w1"]
    assert list(found.constraints) == ["w2"]
    assert chosen.train(X, LABELS, epochs=1, **QUIET).history["loss"][0] < 2


@pytest.mark.parametrize(
    ("kind", "opset"), [("float16", 9), ("float16", 14), ("float16", 17), ("bfloat16", 22)]
)
def test_running_statistics_are_kept_in_float32(kind: str, opset: int) -> None:
    """With a momentum of 0.99 a step changes them by less than half precision can tell."""
    x = (RNG.normal(size=(64, 2, 6, 6)) * 3 + 5).astype(np.float32)
    model = nm.Model.from_proto(images(kind, opset=opset))
    model = model.loss("sparse_categorical_crossentropy", from_logits=True)
    model = model.optimizer("adam", learning_rate=0.0)
    model.train(x, LABELS, epochs=100, **QUIET)
    kernel = torch.tensor(model.parameters()["kernel"].astype(np.float64))
    pixels = torch.tensor(half(kind, x).astype(np.float64))
    seen = [torch.nn.functional.conv2d(part, kernel, padding=1) for part in pixels.split(16)]
    kept = 0.99 ** (100 * 4)
    mean = sum(part.mean((0, 2, 3)) for part in seen).numpy() / 4 * (1 - kept)  # type: ignore[union-attr]
    rtol = {"float16": 2e-2, "bfloat16": 4e-2}[kind]  # the batches' order in the running mean
    np.testing.assert_allclose(stored(model, "master/running_mean"), mean, rtol=rtol)
    assert (
        model.parameters()["running_mean"].tobytes()
        == half(kind, stored(model, "master/running_mean")).tobytes()
    )


# -- other parts chosen, files changed ---------------------------------------------------------


def trained(kind: str = "float16") -> nm.Model:
    model = nm.Model.from_proto(classifier(kind)).loss("sparse_categorical_crossentropy")
    model = model.optimizer("adam", learning_rate=1e-3)
    model.train(X, LABELS, epochs=2, **QUIET)
    return model


def lost(model: nm.Model, name: str) -> bool:
    """Whether a master is only what its parameter says."""
    return stored(model, f"master/{name}").tobytes() == model.parameters()[name].astype(np.float32).tobytes()


CHANGES = {
    "metrics": lambda m: m.metrics("accuracy"),
    "optimizer": lambda m: m.optimizer("sgd", learning_rate=0.1),
    "loss": lambda m: m.loss("categorical_crossentropy"),
    "freeze": lambda m: m.freeze("w1"),
    "batch norm": lambda m: m._with_batch_norm("frozen"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_masters_stay_when_a_part_is_chosen_anew(change: str, tmp_path: Path) -> None:
    model = trained()
    model.save(tmp_path / "m.onnx")
    for known in (model, nm.load(tmp_path / "m.onnx")):
        changed = CHANGES[change](known)
        name = "b1" if change == "freeze" else "w1"
        assert not lost(changed, name)
        assert stored(changed, f"master/{name}").tobytes() == stored(model, f"master/{name}").tobytes()
        assert not set(states(changed.proto).values()) & HALVES


def test_a_parameter_changed_by_others_is_what_training_begins_with() -> None:
    model = trained()
    tensor = next(t for t in model.proto.graph.initializer if t.name == "w1")
    changed = np.zeros((8, 16), np.float16)
    tensor.CopyFrom(numpy_helper.from_array(changed, "w1"))
    with pytest.warns(UserWarning, match="^1 parameters, 'w1' the first, are not what training left"):
        model.train(X, LABELS, learning_rate=0.0, **QUIET)
    assert not model.parameters()["w1"].any()
    tensor.CopyFrom(numpy_helper.from_array(changed + np.float16(1), "w1"))
    assert stored(model.metrics("accuracy"), "master/w1").min() in (0.0, 1.0)


def with_half_slots() -> ModelProto:
    """A file from before there were masters: state and update are of the parameter's type."""
    model = nm.Model.from_proto(line()).loss("mse").optimizer("sgd", learning_rate=0.01, momentum=0.9)
    proto = ModelProto.FromString(model.proto.SerializeToString())
    algorithm = proto.training_info[0].algorithm
    for tensor in algorithm.initializer:
        if tensor.name == "momentum/w":
            tensor.CopyFrom(numpy_helper.from_array(np.zeros((6, 4), np.float16), "momentum/w"))
    kept = [t for t in algorithm.initializer if not t.name.startswith("master/")]
    del algorithm.initializer[:]
    algorithm.initializer.extend(kept)
    gradient = next(n for n in algorithm.node if n.op_type == "Gradient").output[0]
    update = next(n for n in algorithm.node if n.name == "update/w")
    rate = algorithm.node.add(op_type="Cast", input=["learning_rate"], output=["rate"], name="rate")
    rate.attribute.add(name="to", type=2, i=TensorProto.FLOAT16)
    update.input[:] = ["rate", update.input[1], "w", gradient, "momentum/w"]
    names = {
        o
        for n in algorithm.node
        if n.op_type == "Cast" and n.input[0] in (gradient, "new/w")
        for o in n.output
    }
    nodes = [n for n in algorithm.node if not names & set(n.output) and n is not update and n is not rate]
    copies = [type(n).FromString(n.SerializeToString()) for n in [*nodes, rate, update]]
    del algorithm.node[:]
    algorithm.node.extend(copies)
    for output in list(algorithm.output):
        if output.name in names:
            algorithm.output.remove(output)
        elif output.name in ("new/w", "new/momentum/w"):
            output.type.tensor_type.elem_type = TensorProto.FLOAT16
    bindings = proto.training_info[0].update_binding
    for binding in list(bindings):
        if binding.key.startswith("master/"):
            bindings.remove(binding)
        elif binding.key == "w":
            binding.value = "new/w"
    return proto


def test_a_file_with_slots_of_float16_trains_as_it_is_and_gets_masters_with_a_new_part() -> None:
    old = nm.Model.from_proto(with_half_slots())
    with pytest.warns(UserWarning, match="1 parameters of half precision, 'w' the first, without"):
        old.train(FEATURES, WANTED, epochs=2, **QUIET)
    assert states(old.proto)["momentum/w"] == TensorProto.FLOAT16
    assert stored(old, "momentum/w").any()
    renewed = old.metrics("mae")
    assert states(renewed.proto)["momentum/w"] == states(renewed.proto)["master/w"] == TensorProto.FLOAT
    renewed.train(FEATURES, WANTED, **QUIET)


# -- verification ------------------------------------------------------------------------------


def deep(kind: str, layers: int) -> ModelProto:
    rng = np.random.default_rng(2)
    nodes, names = [], {}
    for i in range(layers):
        names[f"w{i}"] = rng.normal(size=(32, 32)) / np.sqrt(32) * 1.2
        nodes += [f"z{i} = MatMul({'x' if not i else f'a{i - 1}'}, w{i})", f"a{i} = Tanh(z{i})"]
    names["w"] = rng.normal(size=(32, 4)) * 3
    return model_of(kind, [*nodes, f"y = MatMul(a{layers - 1}, w)"], (32,), 17, **names)


@pytest.mark.parametrize("layers", [1, 12, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_a_good_file_is_not_refused(kind: str, layers: int) -> None:
    x, y = RNG.normal(size=(64, 32)), RNG.normal(size=(64, 4))
    model = nm.Model.from_proto(deep(kind, layers)).loss("mse").optimizer("adam", learning_rate=1e-3)
    history = model.train(x, y, epochs=2, **QUIET)
    largest = np.abs(model.predict(x).astype(np.float64)).max()
    atol, rtol = allowed(deep(kind, layers), "y", model.predict(x), (None, None))
    assert history.difference is not None
    assert history.difference < atol + rtol * largest
    assert atol <= 8 * np.sqrt(2 * layers + 1) * {"float16": 2.0**-11, "bfloat16": 2.0**-8}[kind] * largest


def test_tolerances_that_are_given_hold() -> None:
    x, y = RNG.normal(size=(64, 32)), RNG.normal(size=(64, 4))
    model = nm.Model.from_proto(deep("float16", 12)).loss("mse").optimizer("adam", learning_rate=1e-3)
    with pytest.raises(VerificationError, match=r"allowed: 1e-06 \+ 0 \* \|value\|"):
        model.train(x, y, verify_atol=1e-6, verify_rtol=0.0, **QUIET)


def test_float32_is_held_to_what_it_was() -> None:
    assert allowed(linear(), "y", np.full((2, 2), 1e6, np.float32), (None, None)) == (1e-4, 1e-4)
    assert allowed(linear(), "y", np.zeros((2, 2)), (1e-3, None)) == (1e-3, 1e-4)


# -- bfloat16 in onnxruntime -------------------------------------------------------------------


def test_bfloat16_is_predicted_in_float32() -> None:
    model = nm.Model.from_proto(line("bfloat16"))
    w = model.parameters()["w"].astype(np.float64)
    found = model.predict(FEATURES)
    assert found.dtype == w.astype(found.dtype).dtype
    assert str(found.dtype) == "bfloat16"
    rounded = half("bfloat16", FEATURES)
    np.testing.assert_array_equal(found, half("bfloat16", rounded.astype(np.float64) @ w))
    np.testing.assert_array_equal(model.predict(rounded), found)
