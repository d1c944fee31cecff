"""Training with TensorFlow: repeatable, exact at the edges, and nothing is kept that onnxruntime denies."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

import neuromatic as nm
from neuromatic.builder.model import Model
from neuromatic.converters.tensorflow import program
from neuromatic.errors import DivergedError, RecipeError, TrainingError, VerificationError
from neuromatic.ir import parameters as weights
from neuromatic.recipe.schema import METADATA_KEY
from tests.neuromatic.graphs import linear, set_parameters
from tests.neuromatic.training.fake_program import Recorder

Array = NDArray[Any]
PLAIN = {"jit": False}


def classifier(rate: float = 0.5) -> Model:
    model = nm.Sequential((4,)).dense(8, "relu").dropout(rate).dense(3, "softmax")
    return (
        model.loss("sparse_categorical_crossentropy")
        .optimizer("adam", learning_rate=0.01)
        .metrics("accuracy")
    )


def rows(count: int = 50) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 4)).astype(np.float32)
    return x, (x[:, :3] + 0.1 * rng.normal(size=(count, 3))).argmax(1)


def trained(seed: int = 0, rate: float = 0.5, **options: Any) -> tuple[Model, nm.History]:
    model = classifier(rate)
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 8, "verbose": 0, "engine_options": PLAIN}
    return model, model.train(*rows(), seed=seed, **(settings | options))


# -- repeatable ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("jit", [False, True, "auto"])
def test_the_same_seed_gives_the_same_bits(jit: bool | str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "MOST_STEPS", 3)
    (one, first), (two, second) = (trained(engine_options={"jit": jit}) for _ in range(2))
    assert one.proto == two.proto
    assert first.step_losses == second.step_losses
    assert first.history == second.history


def test_steps_in_one_call_give_the_bits_of_single_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "MOST_STEPS", 1)
    single, first = trained()
    monkeypatch.setattr(program, "MOST_STEPS", 4)
    monkeypatch.setattr(program, "SECONDS_PER_CALL", 1e9)
    several, second = trained()
    assert first.step_losses == second.step_losses
    assert single.proto == several.proto


def test_another_seed_gives_another_course() -> None:
    (one, first), (two, second) = trained(0), trained(1)
    assert first.step_losses != second.step_losses
    assert one.proto != two.proto


def test_the_seed_alone_changes_dropout() -> None:
    first, second = (trained(seed, shuffle=False)[1] for seed in (0, 1))
    assert first.step_losses[0] != second.step_losses[0]


def test_data_that_do_not_stay_on_the_device_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = rows(20)
    resident, first = trained(validation_data=(x, y))
    monkeypatch.setattr(program, "RESIDENT_BYTES", 0)
    streamed, second = trained(validation_data=(x, y))
    assert resident.proto == streamed.proto
    assert first.history == second.history


def test_xla_agrees_without_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "MOST_STEPS", 4)
    (_, first), (_, second) = (
        trained(0, 0.0, epochs=5, engine_options={"jit": jit}) for jit in (False, True)
    )
    np.testing.assert_allclose(first.step_losses, second.step_losses, rtol=1e-5)


# -- exact at the edges --------------------------------------------------------------------------------


def test_zero_epochs_change_nothing(tmp_path: Path) -> None:
    model = classifier()
    before = model.proto.SerializeToString()
    history = model.train(*rows(), epochs=0)
    assert model.proto.SerializeToString() == before
    assert (history.history, history.step_losses, history.difference) == ({}, [], None)


def test_only_what_is_bound_changes() -> None:
    before = classifier()
    model, _ = trained()
    assert before.recipe is not None
    restored = ModelProto()
    restored.CopyFrom(model.proto)
    tensors = weights.stored_tensors(before.proto)
    for name, tensor in weights.stored_tensors(restored).items():
        changed = tensor != tensors[name]
        assert changed == (name in before.recipe.updates), name
        tensor.CopyFrom(tensors[name])
    assert restored.SerializeToString() == before.proto.SerializeToString()


def test_a_last_batch_of_fewer_rows_is_a_step_of_its_own() -> None:
    model = Model.from_proto(linear()).loss("mse").optimizer("sgd", learning_rate=0.1)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    w, b = (array.astype(np.float64) for array in model.parameters().values())
    losses = []
    for batch in ([0, 1, 2], [3, 4]):
        error = x[batch] @ w + b - y[batch]
        losses.append(np.mean(error**2))
        w -= 0.1 * x[batch].T @ (2 * error / error.size)
        b -= 0.1 * (2 * error / error.size).sum(0)
    history = model.train(x, y, batch_size=3, shuffle=False, verbose=0, engine_options=PLAIN)
    np.testing.assert_allclose(history.step_losses, losses, rtol=1e-6)
    np.testing.assert_allclose(history.history["loss"], [(3 * losses[0] + 2 * losses[1]) / 5], rtol=1e-6)
    for found, expected in zip(model.parameters().values(), (w, b), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("most", [1, 4])
def test_each_step_draws_anew_also_without_a_step_counter(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "MOST_STEPS", most)
    model = nm.Sequential((100,)).dropout(0.5).dense(1).loss("mse").optimizer("sgd", learning_rate=0.0)
    proto = model.proto
    notes = next(p for p in proto.metadata_props if p.key == METADATA_KEY)
    notes.value = json.dumps(json.loads(notes.value) | {"step": None})
    bindings = proto.training_info[0].update_binding
    bindings.remove(next(b for b in bindings if b.key == "step"))
    x = np.ones((4, 100), np.float32)
    history = Model.from_proto(proto).train(x, x[:, :1], epochs=6, batch_size=4, verbose=0)
    assert len(set(history.step_losses)) == 6


def test_dropout_drops_in_training_alone() -> None:
    model = nm.Sequential((100,)).dropout(0.5).dense(100).loss("mse").optimizer("sgd", learning_rate=0.0)
    set_parameters(model, **{"dense/kernel": np.eye(100)})
    x = np.ones((64, 100), np.float32)
    history = model.train(x, np.zeros_like(x), batch_size=16, verbose=0, engine_options=PLAIN)
    kept = np.array(history.step_losses) / 4  # what is kept is doubled, and the loss squares it
    assert (np.abs(kept - 0.5) < 0.1).all()
    assert len(set(kept)) == 4
    np.testing.assert_array_equal(model.predict(x), x)
    assert model.evaluate(x, np.zeros_like(x))["loss"] == 1.0


def test_validation_numbers_are_those_of_evaluate() -> None:
    x, y = rows(21)
    model, history = trained(validation_data=(x, y))
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    found = model.evaluate(x, y)
    assert history.history["val_loss"][-1] == pytest.approx(found["loss"], rel=1e-5)
    assert history.history["val_accuracy"][-1] == pytest.approx(found["accuracy"], rel=1e-6)


def test_validation_does_not_change_training() -> None:
    assert trained()[0].proto == trained(validation_data=rows(21))[0].proto


def test_a_validation_split_is_the_end_of_the_data() -> None:
    x, y = rows()
    one, two = classifier(), classifier()
    options: dict[str, Any] = {"batch_size": 8, "verbose": 0, "engine_options": PLAIN}
    first = one.train(x, y, validation_split=0.2, **options)
    second = two.train(x[:40], y[:40], validation_data=(x[40:], y[40:]), **options)
    assert first.history == second.history
    assert one.proto == two.proto


def test_training_goes_on_from_a_file_as_without(tmp_path: Path) -> None:
    x, y = rows()
    whole, half = classifier(), classifier()
    options: dict[str, Any] = {"batch_size": 8, "verbose": 0, "engine_options": PLAIN, "shuffle": False}
    whole.train(x, y, epochs=2, **options)
    half.train(x, y, **options)
    half.save(tmp_path / "half.onnx")
    resumed = nm.load(tmp_path / "half.onnx")
    resumed.train(x, y, **options)
    assert resumed.proto == whole.proto


def test_callbacks_see_the_program_and_can_stop_it() -> None:
    recorder = Recorder(stop_after=0)
    _, history = trained(callbacks=[recorder], epochs=9)
    assert history.epoch == [0]
    assert recorder.events[-2:] == ["end", "close"]


def test_early_stopping_keeps_the_best_epoch() -> None:
    x, y = rows()
    model = classifier()
    stopping = nm.EarlyStopping(patience=1, restore_best_weights=True)
    history = model.train(
        x,
        y,
        epochs=6,
        validation_data=(x, y),
        learning_rate=lambda step: 0.01 if step < 4 else 3.0,
        batch_size=25,
        callbacks=[stopping],
        verbose=0,
        engine_options=PLAIN,
    )
    assert len(history.epoch) < 6
    best = min(history.history["val_loss"])
    assert stopping.best == best
    assert model.evaluate(x, y)["loss"] == pytest.approx(best, rel=1e-5)


# -- what goes wrong -----------------------------------------------------------------------------------


def test_a_model_that_onnxruntime_denies_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    right = program.TensorFlowProgram.predict
    monkeypatch.setattr(
        program.TensorFlowProgram,
        "predict",
        lambda self, *given: {k: v + 0.5 for k, v in right(self, *given).items()},
    )
    model = classifier()
    before = model.proto.SerializeToString()
    message = (
        "output 'dense_1' of the trained model differs by 0.5 between the engine and onnxruntime "
        "(allowed: 0.0001 + 0.0001 * |value|); the model is left as it was"
    )
    with pytest.raises(VerificationError, match=f"^{re.escape(message)}$") as caught:
        model.train(*rows(), verbose=0, engine_options=PLAIN)
    assert caught.value.difference == pytest.approx(0.5, abs=1e-5)
    assert model.proto.SerializeToString() == before
    history = model.train(*rows(), verbose=0, engine_options=PLAIN, verify_atol=1.0)
    assert history.difference == pytest.approx(0.5, abs=1e-5)


def test_the_difference_is_reported() -> None:
    _, history = trained()
    assert history.difference is not None
    assert 0 <= history.difference < 1e-5


def test_divergence_leaves_the_model_as_it_was() -> None:
    model = Model.from_proto(linear()).loss("mse").optimizer("sgd", learning_rate=1e20)
    before = model.proto.SerializeToString()
    x = np.ones((20, 3), np.float32)
    with pytest.raises(
        DivergedError, match=r"the loss became (inf|nan) at step 2 \(the last finite loss was"
    ):
        model.train(x, np.zeros((20, 2)), batch_size=4, verbose=0, engine_options=PLAIN)
    assert model.proto.SerializeToString() == before


def test_divergence_in_the_very_last_step() -> None:
    model = Model.from_proto(linear()).loss("mse").optimizer("sgd", learning_rate=3e38)
    before = model.proto.SerializeToString()
    with pytest.raises(
        TrainingError, match=r"'w' became -?inf by step 1; try a lower learning rate or check the data"
    ):
        model.train(np.full((4, 3), 100.0), np.zeros((4, 2)), verbose=0, engine_options=PLAIN)
    assert model.proto.SerializeToString() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": -1}, "epochs must be 0 or more, got -1"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"verbose": 7}, "verbose must be 'auto', 0, 1 or 2, got 7"),
        ({"validation_split": 1.0}, r"validation_split must be in \[0, 1\), got 1.0"),
        ({"engine_options": {"jit": "maybe"}}, "jit must be 'auto', True or False, got 'maybe'"),
        ({"engine": "tensroflow"}, "there is no engine named 'tensroflow'; did you mean 'tensorflow'?"),
    ],
)
def test_arguments_that_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trained(**options)


def test_an_unknown_engine_option() -> None:
    with pytest.raises(TypeError, match=r"the tensorflow engine has no option 'xla'; it has \['jit'\]"):
        trained(engine_options={"xla": True})


def test_what_is_missing() -> None:
    model = nm.Sequential((4,)).dense(1)
    with pytest.raises(RecipeError, match=r"the model has no loss; choose one with .loss\(...\)"):
        model.train(*rows())
    with pytest.raises(
        RecipeError, match=r"the model has no optimizer; choose one with .optimizer\('adam'\)"
    ):
        model.loss("mse").train(*rows())
